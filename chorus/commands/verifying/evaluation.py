"""What `chorus verify` checks of test sets and of the results scored on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chorus.errors import BadInput, ChorusError
from chorus.evaluation.labelled_sets import COCO_EFT, MADE_BY, image_folder, read_photograph
from chorus.evaluation.result_files import (
    RESULTS,
    evaluation_arguments,
    file_name,
    read_scores,
    score_files,
    scored_field,
    scored_rows,
)
from chorus.files import display_name, portable_name, temporary_files
from chorus.records.aggregations import parsed_name
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, Table, read_table
from chorus.settings import ImageTreeOptions, ImportsOptions, SampleOptions


@dataclass(frozen=True)
class VerifyOptions(ImportsOptions, ImageTreeOptions, SampleOptions):
    """What is checked."""


Command = Callable[..., str]
"""The text of a command on the tree: command("testset", category, *more arguments)."""
_CURVE = ("predicted", "hits")


def test_sets(tree: ResultsTree) -> list[tuple[str, ShardKey]]:
    """Name and key of every category's test set in a tree."""
    names = dict.fromkeys((*MADE_BY, *tree.model_keys("test_set")))
    return [
        (name, shard) for name in names for shard in tree.shards("test_set", name, required=False)
    ]


def check_test_set(
    options: VerifyOptions, name: str, shard: ShardKey, command: Command
) -> tuple[list[str], int]:
    """Problems of one category's test set, each with the command that mends it, and its rows.

    Checked: the table, every test image's mask, camera, pose and residual, that all cameras belong
    to one body, and the photographs (those of COCO only where its folder is there).
    """
    path = options.tree.table("test_set", shard)
    tool, more = MADE_BY.get(name, "import"), ()
    if tool == "import":  # only its user knows the files
        more = ("--as", "test_set", name, "--images", "FOLDER", "--annotations", "FILE")
        more += ("--poses", "FILE")
    problems = [
        f"{leftover} is left of an interrupted run; it may be deleted."
        for leftover in (
            *temporary_files(path.parent, path.stem),
            *temporary_files(path.with_suffix("")),
        )
    ]
    try:
        table = read_table(path, "test_set")
    except ChorusError as error:
        return [
            *problems,
            f"{error} Rerun: {command(tool, shard.category, *more, '--overwrite')}",
        ], 0
    if table.shard != shard:
        problems.append(f"{path} belongs to {table.shard}; delete it.")
    more = ("--num_images", str(len(table.rows))) if tool == "testset" else more
    mend = command(tool, shard.category, *more, "--overwrite")
    problems += [f"{path}: {fault} Rerun: {mend}" for fault in _faults(table)]
    folder = image_folder(name, path, options.imports_dir)
    if name != COCO_EFT or folder.is_dir():
        fetch = f"Rerun: {mend}" if name != COCO_EFT else "Run scripts/download_coco_eft.sh."
        problems += [f"{fault} {fetch}" for fault in _missing_images(table, folder)]
    return problems, len(table.rows)


def _faults(table: Table) -> Iterator[str]:
    """What is wrong with the rows of a test set."""
    from chorus.evaluation.labelled_images import NUMBERS, check_one_body, labelled_image

    rows = [row for row in table.rows.values() if row["status"] == DONE]
    for row in rows:
        numbers = [value for name in NUMBERS for value in row[name]]
        if not all(map(math.isfinite, [*numbers, row["residual"], row["overlap"]])):
            yield f"row {row['index']} ({row['image']}) holds NaN or infinity."
        try:
            if not labelled_image(row).mask.any():
                yield f"row {row['index']} ({row['image']}) has an empty mask."
        except BadInput as error:
            yield f"row {row['index']} ({row['image']}): {error}"
    try:
        check_one_body(rows, rows[0]["body"] if rows else "")
    except BadInput as error:
        yield str(error)


def _missing_images(table: Table, folder: Path) -> Iterator[str]:
    for row in table.rows.values():
        if row["status"] == DONE:
            try:
                read_photograph(folder / row["image"], (row["height"], row["width"]))
            except ChorusError as error:
                yield str(error)


def scored_categories(tree: ResultsTree, model: str) -> set[str]:
    """The categories that have results of `evaluate`, as far as their folders tell the name."""
    names = (display_name(path.parts[-3]) for path in score_files(tree, model))
    return {name for name in names if name is not None}


def check_scores(
    options: VerifyOptions, categories: Collection[str], command: Command
) -> tuple[list[str], int]:
    """Problems of the results of these categories, each with its command, and how many there are.

    Checked: the file, its place, its figures, and that it was made from the distribution and the
    test set that are there now.
    """
    tree, model = options.tree, options.models.model_key
    root = tree.folder(RESULTS) / portable_name(model)
    problems = [
        f"{leftover} is left of an interrupted run; it may be deleted."
        for folder in (root, *root.glob("*/*"))
        for leftover in temporary_files(folder)
    ]
    known = {portable_name(category): category for category in categories}
    files = [path for path in score_files(tree, model) if path.parts[-3] in known]
    for path in files:
        category = known[path.parts[-3]]
        try:
            record = read_scores(path)
        except ChorusError as error:
            arguments = _arguments_by_place(path)
            problems.append(f"{error} Rerun: {command('evaluate', category, *arguments)}")
            continue
        mend = command("evaluate", category, *evaluation_arguments(record), "--overwrite")
        problems += [f"{path}: {fault} Rerun: {mend}" for fault in _unsound(path, record)]
        for find in (
            lambda record: scored_field(tree, model, record),
            lambda record: scored_rows(tree, record),
        ):
            try:
                find(record)
            except ChorusError as error:
                problems.append(f"{path}: {error} Rerun: {mend}")
    return problems, len(files)


def _arguments_by_place(path: Path) -> list[str]:
    """The arguments of `evaluate` as far as a result's path tells them."""
    rules, preset = parsed_name(display_name(path.parts[-2]) or "") or ("3", "quant:full")
    metric, _, test_set = path.stem.partition("@")
    named = ("--test_set", display_name(test_set) or test_set) if test_set else ()
    return [
        *("--aggr_setting_names", preset, "--filter_setting_nums", rules),
        *("--metric", metric.replace("-", "/", 1), *named, "--overwrite"),
    ]


def _unsound(path: Path, record: Mapping[str, Any]) -> Iterator[str]:
    """What a result contradicts itself in."""
    from chorus.evaluation.pap_settings import VARIANTS

    name = file_name(record["metric"], record["settings"]["test_set"])
    place = (record["category"], record["aggregation"], name.removesuffix(".json"))
    actual = (*path.parts[-3:-1], path.stem)
    if actual != (*map(portable_name, place[:2]), place[2]):
        yield f"it holds {', '.join(place)}, which belongs elsewhere; delete it."
    figures = [image.get(name) for image in record["images"] for name in VARIANTS]
    numbers = [value for value in figures if value is not None]
    if not all(isinstance(value, int | float) and 0 <= value <= 1 for value in numbers):
        yield "it holds figures that are not between 0 and 1."
    steps = len(record["settings"]["thresholds"])
    curves = [record[name].get(field) for name in ("curve", "curve_hoa") for field in _CURVE]
    if not all(isinstance(curve, list) and len(curve) == steps for curve in curves):
        yield f"a curve does not have the {steps} points of its thresholds."

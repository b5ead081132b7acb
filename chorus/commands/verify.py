"""`chorus verify`: is every file of a results tree whole, and all it refers to there?"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from chorus.commands import verify_evaluation
from chorus.commands.importing.sources import IMPORTED
from chorus.engine.command_result import Progress, Report
from chorus.engine.loop import Sample, difference
from chorus.errors import BadInput, ChorusError, unknown_name
from chorus.evaluation.result_files import parsed_name
from chorus.files import display_name, portable_name, temporary_files
from chorus.records.aggregations import load, stored
from chorus.records.image_files import read_what_is_kept
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, FAILED, Table, read_key, read_table
from chorus.settings import RunOptions
from chorus.vocabulary import strip_demo

# Each table, the tables it is made from, and the command that makes it.
_MADE_FROM = {
    "images": ((), "images"),
    "synthetic_truth": ((), "images"),
    "segmentations": (("images",), "segment"),
    "humans": (("images", "segmentations"), "humans"),
    "human_kps": (("images", "segmentations"), "keypoints"),
    "filtered": (("segmentations", "human_kps"), "filter"),
    "filtered_cameras": (("images", "humans", "filtered"), "calibrate"),
}


@dataclass(frozen=True)
class Options(RunOptions):
    """Check schemas, references, settings and files, and name the commands that mend them."""


def run(options: Options, progress: Progress = None) -> Report:
    """Problems are listed with the command that mends each; status 1 if there are any."""
    tree, model = options.tree, options.models.model_key
    if not tree.root.is_dir():
        raise BadInput(f"{tree.root} is not a folder; give the tree with --results_dir.")
    problems = _nameless(tree, model)
    present = [s for name in _MADE_FROM for s in tree.shards(name, model, required=False)]
    tested = verify_evaluation.test_sets(tree)
    categories = _categories(options, present, tested)
    shards = dict.fromkeys(
        shard
        for shard in present
        if shard.category in categories
        if not options.prompts or shard.prompt in options.prompts
    )
    bar = progress(total=len(shards), desc="verify", unit="shard") if progress else None
    checked = 0
    for shard in shards:
        found, count = _check_shard(options, shard)
        problems += found
        checked += count
        if bar is not None:
            bar.update(1)
    if bar is not None:
        bar.close()
    problems += _check_aggregations(options, categories, {shard.category for shard in present})
    command = functools.partial(_command, options)
    wanted = {strip_demo(category) for category in categories}
    tested = [one for one in tested if one[1].category in wanted]
    for name, shard in tested:
        found, count = verify_evaluation.check_test_set(options, name, shard, command)
        problems += found
        checked += count
    found, scored = verify_evaluation.check_scores(options, categories, command)
    problems += found
    verdict = f"{len(problems)} problems" if problems else "no problem"
    line = (
        f"verify: {checked} rows in {len(shards)} shards and {len(tested)} test sets, {scored} "
        f"evaluation results, {verdict} → {tree.root}"
    )
    return Report(line, problems, ok=not problems)


def _categories(
    options: Options, shards: Sequence[ShardKey], tested: Sequence[tuple[str, ShardKey]]
) -> set[str]:
    """The categories asked for, else all that the tree has anything of."""
    tree, model = options.tree, options.models.model_key
    totals = (display_name(folder.parts[-3]) for folder in stored(tree, model))
    present = {
        *(shard.category for shard in shards),
        *(shard.category for _, shard in tested),
        *(category for category in totals if category is not None),
        *verify_evaluation.scored_categories(tree, model),
    }
    for category in options.categories:
        if category not in present:
            raise unknown_name(f"category in {tree.root}:", category, present)
    return set(options.categories) or present


def _nameless(tree: ResultsTree, model: str) -> list[str]:
    """Tables under shortened names that are too damaged to tell their full one."""
    problems = []
    for name, (_, command) in _MADE_FROM.items():
        for path in sorted((tree.folder(name) / portable_name(model)).glob("*/*/*.parquet")):
            if None in map(display_name, (*path.parts[-3:-1], path.stem)):
                try:
                    read_key(path)
                except BadInput as error:
                    problems.append(f"{error} (chorus {command})")
    return problems


def _command(options: Options, command: str, category: str, *more: str) -> str:
    """A command on this tree and category, as it is typed."""
    profile = "synthetic" if command == "testset" else options.profile  # it knows no other
    words = ["chorus", command, "--categories", category, *more]
    words += ["--results_dir", str(options.results_dir), "--profile", profile]
    words += ["--model_key", options.model_key] if options.model_key else []
    return shlex.join(words)


def _is_imported(table: Table) -> bool:
    """Whether a table's rows were taken from files by `chorus import`."""
    models = ("image_model", "segmenter", "human_model", "keypoint_model")
    return IMPORTED in (table.settings.get(name) for name in models)


def _import_command(options: Options, category: str) -> str:
    """The command that imports a category again; only its user knows the files."""
    files = ("--images", "FOLDER", "--annotations", "FILE", "--poses", "FILE")
    return _command(options, "import", category, *files)


def _check_shard(options: Options, shard: ShardKey) -> tuple[list[str], int]:
    tree = options.tree
    tables: dict[str, Table] = {}
    problems: list[str] = []
    for name, (inputs, command) in _MADE_FROM.items():
        path = tree.table(name, shard)
        mend = _command(options, command, shard.category)
        for leftover in temporary_files(path.parent, path.stem):
            problems.append(f"{leftover} is left of an interrupted run; it may be deleted.")
        if not path.is_file():
            continue
        try:
            tables[name] = read_table(path, name)
        except ChorusError as error:
            problems.append(f"{error} Rerun: {mend} --overwrite")
            continue
        if _is_imported(tables[name]):
            mend = _import_command(options, shard.category)
        if tables[name].shard != shard:
            problems.append(f"{path} belongs to {tables[name].shard}; delete it.")
        for source in inputs:
            problems += [
                f"{path} {text}; rerun: {mend} --overwrite"
                for text in _against(tables[name], source, tables.get(source))
            ]
    problems += _check_files(options, shard, tables.get("images"))
    return problems, sum(len(table.rows) for table in tables.values())


def _against(table: Table, name: str, source: Table | None) -> Iterator[str]:
    """What is wrong with a table, seen from one it was made from."""
    if source is None:
        yield f"refers to {name}, which is missing or damaged"
        return
    dangling = sorted(table.rows.keys() - source.rows.keys())
    if dangling:
        yield f"has rows that {name} lacks (first: {dangling[0]:06d}, {len(dangling)} in all)"
    failed = {index for index, row in source.rows.items() if row["status"] == FAILED}
    outlived = sorted(failed & table.finished())
    if outlived:
        yield f"has rows that failed in {name} (first: {outlived[0]:06d}, {len(outlived)} in all)"
    changes = difference(table.settings.get(f"from {name}", {}), source.settings)
    if changes:
        yield f"was made from {name} of other settings ({'; '.join(changes[:3])})"


def _check_files(options: Options, shard: ShardKey, images: Table | None) -> Iterator[str]:
    if images is None:
        return
    folder = options.tree.table("images", shard).with_suffix("")
    for leftover in temporary_files(folder):
        yield f"{leftover} is left of an interrupted run; it may be deleted."
    count = ("--num_batch_per_augprompt", "1", "--batch_size", str(len(images.rows)))
    mend = _command(options, "images", shard.category, "--prompts", shard.prompt, *count)
    if _is_imported(images):
        mend = _import_command(options, shard.category)
    for index, row in images.rows.items():
        if row["status"] == DONE:
            try:
                read_what_is_kept(options.tree, Sample(SampleKey(*shard, index), {"images": row}))
            except ChorusError as error:
                yield f"{error} Rerun: {mend} --overwrite"


def _check_aggregations(
    options: Options, categories: Collection[str], generated: Collection[str]
) -> Iterator[str]:
    """Problems of distributions; those of categories that were not `generated` are imported."""
    known = {portable_name(category): category for category in categories}
    for folder in stored(options.tree, options.models.model_key):
        category = known.get(folder.parts[-3])
        if category is None:
            continue
        try:
            load(folder)
        except ChorusError as error:
            mend = _command(options, "import_published", category, "--overwrite")
            if category in generated:
                rules, preset = parsed_name(display_name(folder.name) or "") or ("", folder.name)
                more = ("--aggr_setting_names", preset, "--filter_setting_nums", rules)
                mend = _command(options, "aggregate", category, *more, "--overwrite")
            yield f"{error} Rerun: {mend}"

"""`chorus verify`: is every file of a results tree whole, and all it refers to there?"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from chorus.commands.verifying import evaluation as verify_evaluation
from chorus.commands.verifying.evaluation import VerifyOptions
from chorus.commands.verifying.values import check_values
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput, ChorusError, unknown_name
from chorus.evaluation.result_files import RESULTS, score_files
from chorus.files import display_name, portable_name, temporary_files
from chorus.models.registry import IMPORTED, MODELS
from chorus.pipeline import maker, tables
from chorus.records.aggregations import load, parsed_name, stored
from chorus.records.image_files import read_what_is_kept
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.staleness import difference, made_from
from chorus.records.tables import DONE, FAILED, Table, read_key, read_table
from chorus.vocabulary import strip_demo


@dataclass(frozen=True)
class Options(VerifyOptions):
    """Check schemas, references, settings and files, and name the commands that mend them."""


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Problems are listed with the command that mends each; status 1 if there are any."""
    tree, model = options.tree, options.models.model_key
    if not tree.root.is_dir():
        raise BadInput(f"{tree.root} is not a folder; give the tree with --results_dir.")
    problems = _nameless(tree, model)
    present = [s for name in tables() for s in tree.shards(name, model, required=False)]
    tested = verify_evaluation.test_sets(tree)
    own = present or stored(tree, model) or score_files(tree, model)
    if not own and (_known_keys(tree) or not tested):
        raise BadInput(_nothing_there(tree, model))
    categories = _categories(options, present, tested)
    shards = dict.fromkeys(
        shard
        for shard in present
        if shard.category in categories
        if not options.prompts or shard.prompt in options.prompts
    )
    checked = 0
    with progress_bar(progress, len(shards), "verify", "shard") as advance:
        for shard in shards:
            shard_problems, count = _check_shard(options, shard)
            problems += shard_problems
            checked += count
            advance(1)
    problems += _check_aggregations(options, categories, {shard.category for shard in present})
    command = functools.partial(_command, options)
    tested_categories = {strip_demo(category) for category in categories}
    tested = [(name, shard) for name, shard in tested if shard.category in tested_categories]
    for name, shard in tested:
        set_problems, count = verify_evaluation.check_test_set(options, name, shard, command)
        problems += set_problems
        checked += count
    score_problems, scored = verify_evaluation.check_scores(options, categories, command)
    problems += score_problems
    verdict = f"{len(problems)} problems" if problems else "no problem"
    line = (
        f"verify: {checked} rows in {len(shards)} shards and {len(tested)} test sets, {scored} "
        f"evaluation results, {verdict} → {tree.root}"
    )
    return CommandResult(line, problems, ok=not problems)


def _known_keys(tree: ResultsTree) -> list[str]:
    """The model keys that a tree has any samples, distributions or figures of."""
    kinds = (*tables(), "aggregations", RESULTS)
    return sorted({key for kind in kinds for key in tree.model_keys(kind)})


def _nothing_there(tree: ResultsTree, model: str) -> str:
    """The sentence that says that a tree has nothing under a model key, and under which it has."""
    keys = _known_keys(tree)
    if not keys:
        return f"{tree.root} holds no results; give the tree with --results_dir."
    return (
        f"{tree.root} has nothing of --model_key {model}; it has results of "
        f"{', '.join(keys)}: name one with --model_key, or its --profile."
    )


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
    for name in tables():
        for path in sorted((tree.folder(name) / portable_name(model)).glob("*/*/*.parquet")):
            if None in map(display_name, (*path.parts[-3:-1], path.stem)):
                try:
                    read_key(path)
                except BadInput as error:
                    problems.append(f"{error} (chorus {maker(name).name})")
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
    return IMPORTED in (table.settings.get(kind) for kind in MODELS)


def _import_command(options: Options, category: str) -> str:
    """The command that imports a category again; only its user knows the files."""
    files = ("--images", "FOLDER", "--annotations", "FILE", "--poses", "FILE")
    return _command(options, "import", category, *files)


def _check_shard(options: Options, shard: ShardKey) -> tuple[list[str], int]:
    tree = options.tree
    present: dict[str, Table] = {}
    problems: list[str] = []
    for name in tables():
        path = tree.table(name, shard)
        mend = _command(options, maker(name).name, shard.category)
        for leftover in temporary_files(path.parent, path.stem):
            problems.append(f"{leftover} is left of an interrupted run; it may be deleted.")
        if not path.is_file():
            continue
        try:
            present[name] = read_table(path, name)
        except ChorusError as error:
            problems.append(f"{error} Rerun: {mend} --overwrite")
            continue
        if _is_imported(present[name]):
            mend = _import_command(options, shard.category)
        if present[name].shard != shard:
            problems.append(f"{path} belongs to {present[name].shard}; delete it.")
        for source in made_from(name, present[name].settings):
            problems += [
                f"{path} {text}; rerun: {mend} --overwrite"
                for text in _against(present[name], source, present.get(source))
            ]
        problems += [
            f"{path} {text}; rerun: {mend} --overwrite"
            for text in check_values(name, present[name], present.get("filtered"))
        ]
    problems += _check_files(options, shard, present.get("images"))
    return problems, sum(len(table.rows) for table in present.values())


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
                read_what_is_kept(options.tree, SampleKey(*shard, index), row)
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

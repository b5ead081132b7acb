"""`chorus verify`: is every file of a results tree whole, and all it refers to there?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chorus.errors import ChorusError
from chorus.files import temporary_files
from chorus.results import ResultsTree
from chorus.samples import SampleKey, ShardKey
from chorus.settings import RunOptions
from chorus.stages.loop import Sample, difference
from chorus.stages.reading import read_image
from chorus.stages.report import Progress, Report
from chorus.tables import DONE, Table, read_table

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
    if not tree.folder("images").is_dir() and not tree.root.is_dir():
        raise ChorusError(f"{tree.root} is not a folder; give the tree with --results_dir.")
    shards = tree.shards("images", model, options.categories, options.prompts)
    bar = progress(total=len(shards), desc="verify", unit="shard") if progress else None
    problems: list[str] = []
    checked = 0
    for shard in shards:
        found, count = _check_shard(tree, shard)
        problems += found
        checked += count
        if bar is not None:
            bar.update(1)
    if bar is not None:
        bar.close()
    problems += _check_aggregations(tree, model, {shard.category for shard in shards})
    verdict = f"{len(problems)} problems" if problems else "no problem"
    line = f"verify: {checked} rows in {len(shards)} shards, {verdict} → {tree.root}"
    return Report(line, problems, ok=not problems)


def _check_shard(tree: ResultsTree, shard: ShardKey) -> tuple[list[str], int]:
    tables: dict[str, Table] = {}
    problems: list[str] = []
    for name, (inputs, command) in _MADE_FROM.items():
        path = tree.table(name, shard)
        mend = f'chorus {command} --categories "{shard.category}"'
        for leftover in temporary_files(path.parent, path.stem):
            problems.append(f"{leftover} is left of an interrupted run; rerun: {mend}")
        if not path.is_file():
            continue
        try:
            tables[name] = read_table(path, name)
        except ChorusError as error:
            problems.append(f"{error} Rerun: {mend}")
            continue
        if tables[name].shard != shard:
            problems.append(f"{path} belongs to {tables[name].shard}; delete it, rerun: {mend}")
        for source in inputs:
            problems += [
                f"{path} {text}; rerun: {mend} --overwrite"
                for text in _against(tables[name], source, tables.get(source))
            ]
    problems += _check_files(tree, shard, tables.get("images"))
    return problems, sum(len(table.rows) for table in tables.values())


def _against(table: Table, name: str, source: Table | None) -> Iterator[str]:
    """What is wrong with a table, seen from one it was made from."""
    if source is None:
        yield f"refers to {name}, which is missing or damaged"
        return
    dangling = sorted(table.rows.keys() - source.rows.keys())
    if dangling:
        yield f"has rows that {name} lacks (first: {dangling[0]:06d}, {len(dangling)} in all)"
    changes = difference(table.settings.get(f"from {name}", {}), source.settings)
    if changes:
        yield f"was made from {name} of other settings ({'; '.join(changes[:3])})"


def _check_files(tree: ResultsTree, shard: ShardKey, images: Table | None) -> Iterator[str]:
    if images is None:
        return
    folder = tree.table("images", shard).with_suffix("")
    mend = f'chorus images --categories "{shard.category}"'
    for leftover in temporary_files(folder):
        yield f"{leftover} is left of an interrupted run; rerun: {mend}"
    for index, row in images.rows.items():
        if row["status"] == DONE:
            try:
                read_image(tree, Sample(SampleKey(*shard, index), {"images": row}))
            except ChorusError as error:
                yield str(error)


def _check_aggregations(tree: ResultsTree, model: str, categories: set[str]) -> list[str]:
    from chorus.stages.aggregate import check_stored, stored

    problems = []
    for folder in stored(tree, model, categories):
        problems += check_stored(folder)
    return problems

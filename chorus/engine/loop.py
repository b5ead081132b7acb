"""The one loop all table-making stages share: shards → those with missing samples → tables.

A stage gives a `Stage` (names, settings, a worker factory); the loop finds what is missing,
compares settings, and works on the shards (`shard_work`) in this process or in several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from chorus.engine.processes import pooled
from chorus.engine.progress import Progress, progress_bar
from chorus.engine.shard_work import (
    Job,
    Outcome,
    Sample,
    Stage,
    Summary,
    Worker,
    expected_samples,
    run_shard,
)
from chorus.errors import BadInput, ChorusError, StaleResults
from chorus.pipeline import maker
from chorus.records.joining import check_origin
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.staleness import check_settings, made_from
from chorus.records.tables import DONE, read_settings, read_table

__all__ = ["Job", "Outcome", "Sample", "Stage", "Summary", "Worker", "run"]

Spread = Callable[[Sequence[Job]], Iterator[Summary]]

_INLINE_BELOW = 48  # fewer missing samples than this are not worth starting processes for


def run(
    stage: Stage,
    tree: ResultsTree,
    shards: Sequence[ShardKey],
    *,
    overwrite: bool = False,
    workers: int = 1,
    spread: Spread | None = None,
    progress: Progress = None,
) -> Summary:
    """Bring the output tables of `shards` up to date.

    Raises StaleResults before any work if a table was made with other settings (unless
    `overwrite`), Unavailable and DiskFull as soon as they occur. Other errors of a shard are
    collected in the summary, and the other shards go on. `spread` works on jobs elsewhere, as
    `ray_cluster.pooled` does; without it up to `workers` processes of this machine do.
    """
    plans, total = [], Summary()
    for shard in shards:
        try:
            settings, missing, kept, changed = _survey(stage, tree, shard, overwrite)
        except StaleResults:
            raise
        except ChorusError as error:
            total.errors.append(str(error))
            continue
        if missing or changed:
            plans.append((shard, settings, missing))
        total.already += len(kept)
        total.already_done += sum(status == DONE for status in kept)
    pending = sum(missing for *_, missing in plans)
    if not plans:
        return total
    jobs = [Job(stage, tree, shard, settings, overwrite) for shard, settings, _ in plans]
    few = len(jobs) == 1 or pending < _INLINE_BELOW
    inline = spread is None and (few or workers <= 1 or not stage.processes)
    with progress_bar(progress, pending, stage.name, "sample") as advance:
        if inline:
            worker = stage.make_worker()
            for job in jobs:
                total.add(run_shard(job, worker, advance))
        else:
            for summary in spread(jobs) if spread else pooled(jobs, workers):
                total.add(summary)
                advance(summary.done + summary.skipped + summary.failed)
    return total


def _check_inputs(stage: Stage, tree: ResultsTree, shard: ShardKey, settings: dict) -> None:
    """StaleResults if one of the tables that are read was made from another state of another."""
    read = {n: settings[f"from {n}"] for n in stage.inputs if f"from {n}" in settings}
    for name, made_with in read.items():
        for source in made_from(name, made_with):
            if source in read and f"from {source}" in made_with:
                check_origin(tree.table(name, shard), name, made_with, source, read[source])


def _survey(
    stage: Stage, tree: ResultsTree, shard: ShardKey, overwrite: bool
) -> tuple[dict, int, list[str], bool]:
    """Settings that a shard's table must have, how many of its samples are missing, the states of
    the finished ones, and whether some must go.

    Of every table only what this needs is read: a large tree is looked through in little time.
    """
    settings, rows = dict(stage.settings), {}
    for name in stage.inputs:
        path = tree.table(name, shard)
        if not path.is_file():
            if name in stage.optional:
                continue
            raise BadInput(
                f"{stage.name}: no {name} of {shard} ({path} is missing); run chorus "
                f"{maker(name).name} first."
            )
        if name == stage.inputs[0]:
            table = read_table(path, name, columns=())
            settings[f"from {name}"], rows = table.settings, table.rows
        else:
            settings[f"from {name}"] = read_settings(path)
    _check_inputs(stage, tree, shard, settings)
    expected = expected_samples(stage, rows)
    path = tree.table(stage.output, shard)
    if not path.is_file():
        return settings, len(expected), [], False
    if overwrite:
        if stage.check_overwrite is not None:
            stage.check_overwrite(tree, shard)
        return settings, len(expected), [], False
    table = read_table(path, stage.output, columns=())
    check_settings(path, table.settings, settings)
    finished = table.finished()
    gone = bool(stage.inputs) and not table.rows.keys() <= set(expected)
    missing = [index for index in expected if index not in finished]
    kept = [table.rows[index]["status"] for index in finished.intersection(expected)]
    return settings, len(missing), kept, gone

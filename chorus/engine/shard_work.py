"""The work on one shard: its missing samples → batches → rows → table.

A failed sample becomes a row with the reason, and takes no other with it. A killed run loses at
most the rows since the last write (FLUSH_SECONDS, or one shard).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from chorus.errors import ChorusError, StaleResults, Unavailable
from chorus.files import DiskFull
from chorus.pipeline import Step
from chorus.records.joining import Columns, read_tables, rows_of
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import ANY_RULE, retained
from chorus.records.schemas import SCHEMAS
from chorus.records.staleness import check_settings
from chorus.records.tables import (
    DONE,
    FAILED,
    SKIPPED,
    Table,
    read_table,
    write_table,
)

log = logging.getLogger(__name__)

FLUSH_SECONDS = 20.0  # a shard's table is written at least this often while it is worked on


@dataclass(frozen=True)
class Sample:
    """One sample to work on: its key and its rows in the stage's input tables, by table name."""

    key: SampleKey
    inputs: dict[str, dict]


@dataclass(frozen=True)
class Outcome:
    """What became of a sample: values of the output table's own columns, or a reason to skip it.

    `side` is a row of the stage's side table, written before the output row.
    """

    values: dict[str, Any] | None = None
    skipped: str = ""
    side: dict[str, Any] | None = None


class Worker(Protocol):
    """A stage's work, built once per process."""

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Outcomes of a batch of one shard, in order. An exception on a batch of one is recorded as
        that sample's failure; on a larger batch its samples are tried one by one.

        A worker may also have `prefetch(samples)`, which the loop calls with this batch (again) and
        the next one before it calls `process` with this one, so that reading overlaps with work."""


@dataclass(frozen=True)
class Stage:
    """What the loop needs to know of a step. `make_worker` must be picklable."""

    step: Step
    settings: dict[str, Any]
    make_worker: Callable[[], Worker]
    columns: Columns = field(default_factory=dict)
    """The columns of its input tables that its worker needs; all of a table that is not there."""
    optional: Collection[str] = ()
    """The input tables that a shard may lack; its samples then have no row of them."""
    side: bool = False
    """Whether it makes the step's second table too."""
    count: int | None = None
    """Number of samples a shard shall have; None: those of the first input."""
    batch_size: int = 32
    batch_pixels: int | None = None
    """The most pixels of a batch's images together, of a step that decodes them."""
    processes: bool = True
    """False for steps too light to be worth starting processes, or whose model is on a GPU."""
    check_overwrite: Callable[[ResultsTree, ShardKey], None] | None = None
    """Raises BadInput for a shard whose table could not be made again if it were replaced."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        return self.step.name

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tables that it reads."""
        return self.step.reads

    @property
    def output(self) -> str:
        """The table that it makes."""
        return self.step.writes[0]

    @property
    def works_on_rows(self) -> bool:
        """Whether it works on rows alone, of which each can be worked on; an image may be one that
        a network makes nothing of."""
        return bool(self.inputs) and self.batch_pixels is None

    @property
    def side_output(self) -> str:
        """The table that it makes beside it, or ""."""
        return self.step.writes[1] if self.side else ""


Batch = tuple[list[Sample], list[tuple[int, dict, None]]]
"""Samples to work on, and (index, row, no side row) of those that are held back."""


class Job(NamedTuple):
    """One shard to be worked on: everything a process needs to know."""

    stage: Stage
    tree: ResultsTree
    shard: ShardKey
    settings: dict
    overwrite: bool


@dataclass
class Summary:
    """Counts of one run of one stage, and the shards that could not be worked on."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    held_back: int = 0
    """Of the failed ones, those that an earlier step failed on or has not made yet."""
    already: int = 0
    """Done or skipped before."""
    already_done: int = 0
    """Of these, the ones that were done."""
    errors: list[str] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    """Why samples failed, counted."""
    refused: dict[str, int] = field(default_factory=dict)
    """Why samples were skipped that no verdict speaks against, counted; the other skipped ones are
    not retained."""

    def add(self, other: Summary) -> None:
        """Add another summary's counts to this one."""
        self.done += other.done
        self.skipped += other.skipped
        self.failed += other.failed
        self.held_back += other.held_back
        self.already += other.already
        self.already_done += other.already_done
        self.errors += other.errors
        for mine, others in ((self.reasons, other.reasons), (self.refused, other.refused)):
            for reason, count in others.items():
                mine[reason] = mine.get(reason, 0) + count

    @property
    def nothing_made(self) -> bool:
        """Whether samples failed and none was done, now or before."""
        return self.failed > 0 and not (self.done or self.already_done)

    def line(self, stage: str, where: Path, seconds: float) -> str:
        """The one line a stage prints at its end."""
        parts = [f"{self.done} done"]
        parts += [f"{self.already} already there"] if self.already else []
        refused = sum(self.refused.values())
        filtered = self.skipped - refused
        parts += [f"{filtered} not retained"] if filtered else []
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(self.refused.items()))
        parts += [f"{refused} refused ({why})"] if refused else []
        parts += [f"{self.failed} failed"] if self.failed else []
        return f"{stage}: {', '.join(parts)} in {seconds:.1f} s → {where}"


def expected_samples(stage: Stage, rows: Collection[int]) -> list[int]:
    """Indices of the samples that a shard's table shall have, rising; rows: those of its first
    input, if it has one."""
    return sorted(rows) if stage.count is None else list(range(stage.count))


def run_shard(
    job: Job,
    worker: Worker,
    tick: Callable[[int], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Summary:
    """Work on one shard under its lock.

    `tick` is called with the size of each finished batch; once `stopped` says so, no further batch
    is begun.
    """
    try:
        names = filter(None, (job.stage.output, job.stage.side_output))
        with job.tree.lock(*(job.tree.table(name, job.shard) for name in names)):
            return _locked_shard(*job, worker, tick, stopped)
    except (StaleResults, Unavailable, DiskFull):
        raise
    except ChorusError as error:
        return Summary(errors=[str(error)])


def _locked_shard(stage, tree, shard, settings, overwrite, worker, tick, stopped) -> Summary:
    path = tree.table(stage.output, shard)
    table = Table(shard, settings)
    side_path = tree.table(stage.side_output, shard) if stage.side_output else None
    side = Table(shard, settings)
    if path.is_file() and not overwrite:
        table = read_table(path, stage.output)
        check_settings(path, table.settings, settings)  # another run may have written it meanwhile
        if side_path is not None and side_path.is_file():
            side = read_table(side_path, stage.side_output)
    inputs = read_tables(tree, shard, stage.inputs, stage.columns, stage.optional)
    finished = table.finished()
    expected = expected_samples(stage, inputs[stage.inputs[0]].rows if stage.inputs else ())
    if stage.inputs:  # samples that are gone from the inputs
        for index in table.rows.keys() - set(expected):
            del table.rows[index]
    missing = [index for index in expected if index not in finished]
    summary = Summary()

    def write() -> None:
        if side_path is not None and side.rows:
            write_table(side_path, stage.side_output, side)
        write_table(path, stage.output, table)

    worked = False
    written = time.monotonic()
    try:
        for ready, held in _read_ahead(_batches(stage, shard, inputs, missing), worker):
            if stopped():
                break
            for index, row, side_row in (*held, *_rows(stage, ready, worker)):
                table.rows[index] = row
                if side_row is not None:
                    side.rows[index] = side_row
                _count(summary, row, inputs.get("filtered"))
                worked = True
            summary.held_back += sum(row["status"] == FAILED for _, row, _ in held)
            if time.monotonic() - written > FLUSH_SECONDS:
                write()
                written = time.monotonic()
            if tick is not None:
                tick(len(ready) + len(held))
    except (Unavailable, KeyboardInterrupt):
        if worked:
            write()
        raise
    # Nothing is written over a whole table by a run that was stopped before it made anything.
    if worked or not stopped():
        write()
    return summary


def _batches(stage, shard, inputs, missing) -> Iterator[Batch]:
    """Batches of the samples whose inputs are there, and the rows of those that are held back."""
    for indices in _parted(stage, inputs, missing):
        ready, held = [], []
        for index in indices:
            rows = rows_of(index, inputs)
            reason = _held_back(rows)
            if reason is None:
                ready.append(Sample(SampleKey(*shard, index), rows))
            else:
                held.append((index, _row(stage.output, index, *reason), None))
        yield ready, held


def _parted(stage: Stage, inputs: dict[str, Table], missing: list[int]) -> Iterator[list[int]]:
    """The samples of one batch after the other; an image too large for any has its own."""
    batch: list[int] = []
    pixels = 0
    for index in missing:
        own = 0
        if stage.batch_pixels is not None:
            row = inputs["images"].rows.get(index) or {}
            own = (row.get("width") or 0) * (row.get("height") or 0)
        full = stage.batch_pixels is not None and pixels + own > stage.batch_pixels
        if batch and (full or len(batch) == stage.batch_size):
            yield batch
            batch, pixels = [], 0
        batch.append(index)
        pixels += own
    if batch:
        yield batch


def _read_ahead(batches: Iterator[Batch], worker: Worker) -> Iterator[Batch]:
    """The batches, each after the next one was announced to a worker that prefetches."""
    prefetch = getattr(worker, "prefetch", None)
    if prefetch is None:
        yield from batches
        return
    now = next(batches, None)
    while now is not None:
        following = next(batches, None)
        for ready, _ in filter(None, (now, following)):
            prefetch(ready)
        yield now
        now = following


def _rows(
    stage: Stage, ready: list[Sample], worker: Worker
) -> Iterator[tuple[int, dict, dict | None]]:
    """Rows of a batch, done, skipped or failed."""
    for sample, result in zip(ready, _attempt(worker, ready), strict=True):
        index = sample.key.index
        if isinstance(result, Exception):
            log.debug("%s: %s", sample.key, result, exc_info=result)
            yield index, _row(stage.output, index, FAILED, _sentence(result)), None
        elif result.values is None:
            yield index, _row(stage.output, index, SKIPPED, result.skipped), None
        else:
            side = result.side
            if side is not None:
                side = {"index": index, "status": DONE, "reason": "", **side}
            yield index, _row(stage.output, index, DONE, "", result.values), side


def _held_back(rows: dict[str, dict | None]) -> tuple[str, str] | None:
    for name, row in rows.items():
        if row is None:
            return FAILED, f"no row in {name} yet"
        if row["status"] == FAILED:
            return FAILED, f"{name} failed: {row['reason']}"
        if row["status"] == SKIPPED:
            return SKIPPED, row["reason"]
    return None


def _attempt(worker: Worker, samples: list[Sample]) -> list[Outcome | Exception]:
    """Outcomes of samples; one that fails takes no other with it."""
    if not samples:
        return []
    try:
        return list(worker.process(samples))
    except (Unavailable, DiskFull):
        raise
    except Exception as error:
        if len(samples) == 1:
            return [error]
        return [result for sample in samples for result in _attempt(worker, [sample])]


def _row(output: str, index: int, status: str, reason: str, values: dict | None = None) -> dict:
    empty = dict.fromkeys(SCHEMAS[output].columns)
    return {"index": index, "status": status, "reason": reason, **empty, **(values or {})}


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ChorusError) else f"{type(error).__name__}: {text}"


def _count(summary: Summary, row: dict, verdicts: Table | None) -> None:
    """Count a row; `verdicts` is the table `filtered` of a step that reads it."""
    if row["status"] == DONE:
        summary.done += 1
    elif row["status"] == SKIPPED:
        summary.skipped += 1
        if verdicts is None or retained(verdicts.rows[row["index"]], ANY_RULE):
            summary.refused[row["reason"]] = summary.refused.get(row["reason"], 0) + 1
    else:
        summary.failed += 1
        summary.reasons[row["reason"]] = summary.reasons.get(row["reason"], 0) + 1

"""Running a table-making step by its options."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from chorus.engine import loop, ray_cluster
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.records.keys import ShardKey
from chorus.settings import TableOptions

_REASONS = 5


def run_table_stage(
    stage: loop.Stage, options: TableOptions, shards: list[ShardKey], progress: Progress
) -> CommandResult:
    """Run the loop for a step and word its result."""
    started = time.monotonic()
    spread = None
    if options.engine == "ray":
        spread = partial(ray_cluster.pooled, address=options.ray_address)
    summary = loop.run(
        stage,
        options.tree,
        options.my_shards(shards),
        overwrite=options.fresh,
        workers=options.worker_count,
        spread=spread,
        progress=progress,
    )
    where: Path = options.tree.folder(stage.output)
    problems = list(summary.errors)
    for reason, count in sorted(summary.reasons.items(), key=lambda item: -item[1])[:_REASONS]:
        problems.append(f"{count} x {reason}")
    line = summary.line(stage.name, where, time.monotonic() - started)
    ok = not summary.errors and not summary.nothing_made
    complete = not stage.works_on_rows or summary.failed == summary.held_back
    return CommandResult(line, problems, ok=ok, complete=complete)

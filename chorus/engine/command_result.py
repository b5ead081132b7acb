"""What a stage tells its user at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from chorus.engine import loop
from chorus.records.keys import ShardKey
from chorus.settings import RunOptions

Progress = Callable[..., Any] | None  # tqdm, or None for silence


@dataclass
class Report:
    """One summary line, problems that did not stop the stage, and whether all went well.

    `text` is longer output that was asked for (the table of `status`, say).
    """

    line: str
    problems: list[str] = field(default_factory=list)
    ok: bool = True
    text: str = ""


def run_table_stage(
    stage: loop.Stage, options: RunOptions, shards: list[ShardKey], progress: Progress
) -> Report:
    """Run the loop for a stage and word its report."""
    started = time.monotonic()
    overwrite = options.overwrite or not options.skip_done
    spread = None
    if options.engine == "ray":
        from chorus.engine import ray_cluster as ray_engine

        spread = partial(ray_engine.pooled, address=options.ray_address)
    summary = loop.run(
        stage,
        options.tree,
        options.my_shards(shards),
        overwrite=overwrite,
        workers=options.worker_count,
        spread=spread,
        progress=progress,
    )
    where: Path = options.tree.folder(stage.output)
    problems = list(summary.errors)
    for reason, count in sorted(summary.reasons.items(), key=lambda item: -item[1])[:5]:
        problems.append(f"{count} x {reason}")
    line = summary.line(stage.name, where, time.monotonic() - started)
    nothing = summary.failed and not (summary.done or summary.skipped or summary.already)
    return Report(line, problems, ok=not summary.errors and not nothing)

"""`chorus animals distribution`: where an animal carries something, in its canonical space."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from chorus.commands.animal_tasks.options import AnimalOptions
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.settings import SeedOptions, WorkerOptions
from chorus.viewing.text_table import format_table


@dataclass(frozen=True)
class DistributionTask(SeedOptions, WorkerOptions, AnimalOptions):
    """Learn where an animal of the pasture carries an object, and compare with the truth."""

    object: str = field(kw_only=True)
    """What is carried, e.g. saddle."""
    samples: int = 120
    """Pictures to learn from."""
    estimator: Literal["evidence", "quotient"] = "evidence"
    """evidence, or quotient: the paper's."""

    def run(self, progress: Progress = None) -> CommandResult:
        """Write <root>/distributions/<category>-<object>.npz, .png and .html."""
        from chorus.animals.carrying import learn_carried
        from chorus.viewing.displayed import DisplayedBody
        from chorus.viewing.distribution_page import write_page
        from chorus.viewing.estimates import displayed
        from chorus.viewing.figures import still

        started = time.monotonic()
        with progress_bar(progress, self.samples, "distribution", "sample") as advance:
            distribution, body, found = learn_carried(
                self.category,
                self.object,
                self.samples,
                self.seed,
                self.estimator,
                self.worker_count,
                advance,
            )
        folder = self.root / "distributions"
        stem = f"{self.category}-{self.object}"
        distribution.save(folder / f"{stem}.npz")
        shown, around = displayed(distribution), DisplayedBody.of(body)
        still(shown, around, folder / f"{stem}.png")
        write_page(folder / f"{stem}.html", [shown], around)
        rows = [
            ["mean probability inside", f"{found.inside:.3f}"],
            ["mean probability outside", f"{found.outside:.4f}"],
            ["best IoU of a level, percent", f"{100 * found.overlap:.1f}"],
        ]
        return CommandResult(
            f"distribution: a {self.category}'s {self.object} of {self.samples} samples in "
            f"{time.monotonic() - started:.1f} s → {folder}",
            text=format_table(["against the truth", "value"], rows),
        )

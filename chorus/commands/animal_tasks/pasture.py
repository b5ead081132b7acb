"""`chorus animals pasture`: the synthetic sets, in the published layout and forms."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass

from chorus.commands.animal_tasks.options import AnimalOptions
from chorus.engine.command_result import CommandResult
from chorus.engine.processes import in_processes
from chorus.engine.progress import Progress, progress_bar
from chorus.settings import RedoOptions, SeedOptions, WorkerOptions

_AT_ONCE = 25


@dataclass(frozen=True)
class Pasture(WorkerOptions, SeedOptions, RedoOptions, AnimalOptions):
    """Draw pictures of an animal: labelled ones, web images, and a test set."""

    labelled: int = 150
    """Pictures with labels."""
    web: int = 1000
    """Web images, with boxes alone; their truth lies beside them."""
    test: int = 200
    """Test images, with labels, masks and cameras."""

    def run(self, progress: Progress = None) -> CommandResult:
        """Draw what is not there yet, then write the labels."""
        from chorus.animals.pasture.sets import (
            PastureSizes,
            draw_all,
            is_drawn,
            pictures,
            write_sets,
        )

        started = time.monotonic()
        sizes = PastureSizes(self.labelled, self.web, self.test)
        everything = pictures(self.root, self.category, sizes, self.seed)
        todo = [each for each in everything if self.fresh or not is_drawn(each)]
        with progress_bar(progress, len(todo), "pasture", "picture") as advance:
            if self.worker_count == 1 or len(todo) <= _AT_ONCE:
                draw_all(todo, advance)
            else:
                parts = [todo[at : at + _AT_ONCE] for at in range(0, len(todo), _AT_ONCE)]
                calls = [functools.partial(_draw_part, part) for part in parts]
                for _, count in in_processes(calls, self.worker_count, "pasture"):
                    advance(count)
        write_sets(self.root, self.category, everything)
        seconds = time.monotonic() - started
        return CommandResult(
            f"pasture: {len(everything)} pictures of a {self.category}, {len(todo)} of them new, "
            f"in {seconds:.1f} s → {self.root}"
        )


def _draw_part(part: list) -> int:
    from chorus.animals.pasture.sets import draw_all

    return draw_all(part, lambda _: None)

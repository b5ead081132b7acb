"""Counting samples for body parts that are found in them (method.md 9, "Automatic clusters")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from chorus.engine.progress import Progress
from chorus.engine.sample_counting import BATCH, CountingOptions, SampleCounter, views
from chorus.engine.torch_threads import one_torch_thread
from chorus.occupancy.presets import AggregationSettings
from chorus.records.aggregations import WHOLE
from chorus.records.discovered_parts import discovered
from chorus.records.gathering import Retained
from chorus.settings import resolve_device

if TYPE_CHECKING:
    from chorus.occupancy.canonical import CanonicalSpace


class FoundPartsCounter(SampleCounter):
    """Counts samples for the preset's body parts, or for those last found in a category."""

    def __init__(self, options: CountingOptions, settings: AggregationSettings, progress: Progress):
        super().__init__(options, settings, progress)
        self.discovery: dict[str, Any] | None = None
        """The parts found (`records.discovered_parts`); None for those of the preset."""
        self._found_space: CanonicalSpace | None = None

    def find_parts(
        self, folders: Sequence[Path], recorded: dict, samples: Mapping[str, Retained]
    ) -> dict[str, Any]:
        """Find the body parts in the samples of a category's prompts, and count for them from now.

        Taken from the aggregations in `folders` where one records them for exactly these samples
        and the `recorded` settings.
        """
        self.discovery = self._found_space = None
        self.discovery = discovered(
            folders, recorded, self._settings.discovery, samples, self._touched
        )
        return self.discovery

    def said_of_parts(self) -> dict[str, Any]:
        """What a record says of parts that were found; nothing for parts listed by hand."""
        return {} if self.discovery is None else {"discovery": self.discovery}

    def space(self) -> CanonicalSpace:
        """The canonical space with the clusters of the preset, or those found in the category."""
        space = super().space()
        if self.discovery is None:
            return space
        if self._found_space is None:
            from chorus.occupancy.regions import Part

            found = [
                Part(one["name"], (tuple(one["segments"]),)) for one in self.discovery["parts"]
            ]
            self._found_space = space.with_parts((Part(WHOLE), *found))
        return self._found_space

    def _touched(self, samples: Retained) -> Bool[np.ndarray, "24 S"]:
        """(24, S): who touches which segment. Worked out here, also with Ray."""
        from chorus.occupancy.accumulate import touched_segments

        device = resolve_device("cpu" if self._where.engine == "ray" else self._where.device)
        space, threads = super().space(), self._where.worker_count
        touched = [np.zeros((24, 0), bool)]
        for start in range(0, len(samples), BATCH):
            batch = range(start, min(start + BATCH, len(samples)))
            with one_torch_thread():
                touched.append(touched_segments(space, views(samples, batch), threads, device))
        return np.concatenate(touched, axis=1)

"""Retained samples → counts per azimuth bin, in this process or on a Ray cluster (method.md 8)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from chorus.engine.progress import Advance, Progress, progress_bar
from chorus.engine.ray_cluster import map_reduce
from chorus.engine.torch_threads import one_torch_thread
from chorus.errors import BadInput
from chorus.occupancy.presets import AggregationSettings
from chorus.records.aggregations import WHOLE
from chorus.records.gathering import Retained
from chorus.records.lifted_objects import LiftedSample
from chorus.settings import BodyOptions, DeviceOptions, EngineOptions, resolve_device

if TYPE_CHECKING:
    from chorus.occupancy.canonical import CanonicalSpace
    from chorus.occupancy.counts import BinCounts
    from chorus.occupancy.views import Views

BATCH = 1024
"""Samples whose masks, as bits, are held at a time: 32 MB at 512 x 512."""


@dataclass(frozen=True)
class CountingOptions(DeviceOptions, BodyOptions, EngineOptions):
    """Where and with which body samples are counted."""


class Counted(NamedTuple):
    """Counts per part, and the reasons for which samples were refused."""

    counts: dict[str, BinCounts]
    refused: Counter[str]


class SampleCounter:
    """Counts samples in one canonical space, which is made once."""

    def __init__(self, options: CountingOptions, settings: AggregationSettings, progress: Progress):
        self._where = options
        self._settings = settings
        self._progress = progress
        self._space: CanonicalSpace | None = None
        self.notes: list[str] = []
        """Which samples were refused, and why."""

    def accumulate(self, samples: Retained, label: str) -> dict[str, BinCounts]:
        """Counts of retained samples for every cluster."""
        batches = [
            range(start, min(start + BATCH, len(samples)))
            for start in range(0, len(samples), BATCH)
        ]
        on_ray = self._where.engine == "ray" and batches
        count = self._count_on_ray if on_ray else self._count_here
        with progress_bar(self._progress, samples.observed, label, "sample") as advance:
            counts, refused = count(samples, batches, advance)
            self._count_lifted(samples.lifted, counts, advance)
        self.notes += [f"{label}: {n} samples refused, {why}" for why, n in refused.items()]
        return counts

    def _count_here(self, samples: Retained, batches: Sequence[range], advance: Advance) -> Counted:
        from chorus.occupancy.accumulate import accumulate, empty_counts

        space = self.space()
        counts = empty_counts(space)
        refused: Counter[str] = Counter()
        device = resolve_device(self._where.device)
        for batch in batches:
            with one_torch_thread():
                into = accumulate(
                    space, views(samples, batch), counts, self._where.worker_count, device
                )
            refused.update(filter(None, into.refused))
            advance(len(batch))
        return Counted(counts, refused)

    def _count_lifted(
        self, samples: Sequence[LiftedSample], counts: dict[str, BinCounts], advance: Advance
    ) -> None:
        """Add the meshes of samples; here, also with Ray. BadInput for those of another body."""
        from chorus.occupancy.posed_meshes import count_meshes

        for sample in samples:
            if sample.body not in ("", self.space().body.fingerprint):
                raise BadInput(
                    f"the lifted objects of {sample.key.shard} were imported for another body than "
                    f"{self.space().body.name}; import them again with the same --body."
                )
            count_meshes(self.space(), [sample.posed()], counts)
            advance(1)

    def _count_on_ray(
        self, samples: Retained, batches: Sequence[range], advance: Advance
    ) -> Counted:
        return map_reduce(
            self.space(),
            [samples.take(batch) for batch in batches],
            count_chunk,
            add_counts,
            name="aggregate",
            advance=advance,
            address=self._where.ray_address,
            device=self._where.device,
        )

    def space(self) -> CanonicalSpace:
        """The canonical space of the preset, with the whole-body cluster before its parts."""
        if self._space is None:
            from chorus.body.loading import load_body
            from chorus.occupancy.canonical import canonical_space
            from chorus.occupancy.regions import Part, parts

            self._space = canonical_space(
                load_body(self._where.body, self._where.imports_dir),
                self._settings,
                cache_dir=self._where.imports_dir / "cache",
                clusters=(Part(WHOLE), *parts(self._settings.parts)),
                threads=self._where.worker_count,
            )
        return self._space


def count_chunk(space: CanonicalSpace, chunk: Retained, device: str) -> Counted:
    """The counts of some samples."""
    from chorus.occupancy.accumulate import accumulate

    into = accumulate(space, views(chunk, range(len(chunk))), device=device)
    return Counted(into.counts, Counter(filter(None, into.refused)))


def add_counts(first: Counted, second: Counted) -> Counted:
    """The counts of two sets of samples together."""
    counts = {part: counts + second.counts[part] for part, counts in first.counts.items()}
    return Counted(counts, first.refused + second.refused)


def views(samples: Retained, batch: Sequence[int]) -> Views:
    """Some of the retained samples; an object's mask is the union of its category's instances."""
    from chorus.occupancy.mask_bits import of_counts
    from chorus.occupancy.views import Views

    columns = (samples.pose, samples.R, samples.t, samples.K)
    arrays = ([values[at] for at in batch] for values in columns)
    masks = [of_counts(*samples.mask[at]) for at in batch]
    return Views.of(*arrays, masks, [samples.level[at] for at in batch])

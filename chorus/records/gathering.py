"""Retained samples of a prompt, joined from their tables."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chorus.errors import StaleResults
from chorus.filtering.verdicts import RETAINED
from chorus.occupancy.presets import Anchor
from chorus.records.joining import check_origins, joined, read_tables
from chorus.records.keys import SampleKey, ShardKey, sample_seed
from chorus.records.lifted_objects import LiftedSample
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import Camera, only_person, person_array, retained
from chorus.records.staleness import difference
from chorus.records.tables import DONE

_LEFT_OUT = "not in the share of the data"


@dataclass
class Retained:
    """Samples that a combination of rules retains and that have a camera.

    pose (24, 3) axis-angle with the predicted global rotation; R, t, K the camera, calibrated or
    refined, body frame to pixels; mask the RLE counts of the object's instances with the image's
    size; level: as how many samples it counts.
    """

    keys: list[SampleKey] = field(default_factory=list)
    pose: list[np.ndarray] = field(default_factory=list)
    R: list[np.ndarray] = field(default_factory=list)
    t: list[np.ndarray] = field(default_factory=list)
    K: list[np.ndarray] = field(default_factory=list)
    mask: list[tuple[tuple[bytes, ...], int, int]] = field(default_factory=list)
    level: list[int] = field(default_factory=list)
    dropped: Counter = field(default_factory=Counter)
    """Why the other samples are not here, counted."""
    left_out: int = 0
    """How many of these other samples the rules retain."""
    lifted: list[LiftedSample] = field(default_factory=list)
    """The samples whose objects' meshes are counted, where these are evidence."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def observed(self) -> int:
        """How many observations there are: masks and lifted samples."""
        return len(self) + len(self.lifted)

    def share(self, part: float) -> Retained:
        """The given part of these samples, at least one of them, in the same order.

        The samples of smallest hash of their key, so that a smaller part is within a larger one.
        """
        count = min(len(self), max(1, round(part * len(self))))
        if count == len(self):
            return self
        ranked = sorted(range(len(self)), key=lambda at: sample_seed(self.keys[at], "share"))
        chosen = self.take(sorted(ranked[:count]))
        chosen.dropped = self.dropped + Counter({_LEFT_OUT: len(self) - count})
        chosen.left_out = self.left_out + len(self) - count
        return chosen

    def take(self, chosen: Sequence[int]) -> Retained:
        """The samples of these numbers; nothing is said of the others."""
        return Retained(*([values[at] for at in chosen] for values in self._columns()))

    def _columns(self) -> tuple[list, ...]:
        return self.keys, self.pose, self.R, self.t, self.K, self.mask, self.level

    def digest(self) -> str:
        """Fingerprint of everything aggregation takes from these samples."""
        content = hashlib.sha256()
        for at, key in enumerate(self.keys):
            content.update("\0".join(map(str, key)).encode())
            for array in (self.pose[at], self.R[at], self.t[at], self.K[at]):
                content.update(np.ascontiguousarray(array).tobytes())
            counts, height, width = self.mask[at]
            content.update(f"{height} {width}".encode())
            for instance in counts:
                content.update(instance)
            if self.level[at] != 1:  # so that without levels digests are as they were before them
                content.update(f"level {self.level[at]}".encode())
        for sample in self.lifted:
            content.update(sample.digest())
        return content.hexdigest()


_COLUMNS = {
    "humans": ("persons.pose",),
    "refined": ("pose", "R", "t", "K", "doubt"),
    "segmentations": ("width", "height", "detections.mask"),
}
_ANCHORS: dict[Anchor, tuple[str, ...]] = {
    "calibrated": ("filtered_cameras", "humans"),
    "refined": ("refined",),
}
"""The tables that pose and camera are taken from."""


def gathered(anchor: Anchor) -> tuple[str, ...]:
    """The tables that `gather` joins, verdicts first."""
    return ("filtered", *_ANCHORS[anchor], "segmentations")


def gather(
    tree: ResultsTree,
    shards: Iterable[ShardKey],
    rules: Sequence[int],
    anchor: Anchor = "calibrated",
) -> Retained:
    """Join the tables of the shards of one prompt, in the order of shards and samples.

    anchor: whose poses and cameras (`AggregationSettings`); a refined person that is doubtful is
    dropped with the doubt as the reason. Raises BadInput if a table is missing or damaged,
    StaleResults if one was made from another state of its input than the one that is there, or if
    persons of some shards were refined otherwise than those of others.
    """
    samples = Retained()
    refined_by: dict[str, Any] | None = None
    for shard in shards:
        tables = read_tables(tree, shard, gathered(anchor), _COLUMNS)
        check_origins(tree, shard, tables)
        if "refined" in tables:
            by = {name: tables["refined"].settings.get(name) for name in ("refinement", "prior")}
            refined_by = by if refined_by is None else refined_by
            if changes := difference(refined_by, by):
                raise StaleResults(
                    f"{tree.table('refined', shard)} was refined otherwise than other shards of "
                    f"this prompt ({'; '.join(changes)}); run chorus refine --overwrite."
                )
        for key, rows in joined(shard, tables, "filtered"):
            reason = _why_not(rows, rules)
            if reason:
                samples.dropped[reason] += 1
                samples.left_out += retained(rows["filtered"], rules)
            else:
                _append(samples, key, rows)
    return samples


def _why_not(rows: dict[str, dict | None], rules: Sequence[int]) -> str:
    """Why a sample cannot be aggregated, empty if it can."""
    judged = rows["filtered"]
    if judged["status"] != DONE:
        return judged["reason"]
    if not retained(judged, rules):
        return next(
            judged["verdicts"][n - 1] for n in rules if judged["verdicts"][n - 1] != RETAINED
        )
    for name, row in rows.items():
        if row is None or row["status"] != DONE:
            return row["reason"] if row else f"no row in {name} yet"
    return rows["refined"]["doubt"] if "refined" in rows else ""


def _append(samples: Retained, key: SampleKey, rows: dict[str, dict]) -> None:
    image = rows["segmentations"]
    if "refined" in rows:
        camera = Camera.of_row(rows["refined"])
        pose = person_array(rows["refined"], "pose")
    else:
        camera = Camera.of_row(rows["filtered_cameras"])
        pose = person_array(only_person(rows["humans"]), "pose")
    samples.keys.append(key)
    samples.pose.append(pose)
    samples.R.append(camera.R)
    samples.t.append(camera.t)
    samples.K.append(camera.K)
    counts = tuple(image["detections"][at]["mask"] for at in rows["filtered"]["objects"])
    samples.mask.append((counts, image["height"], image["width"]))
    samples.level.append(1)

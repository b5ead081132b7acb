"""A few retained persons of every prompt, typical of the rest, whose poses a page shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.distance import cdist

from chorus.generation.augprompts import full_text
from chorus.records.keys import SampleKey
from chorus.records.rows import masks_of, retained
from chorus.records.tables import DONE
from chorus.viewing.judged import (
    BODY_TABLES,
    JudgedSample,
    completed,
    judged,
    pixels_of,
    pose_of,
    spread,
)
from chorus.viewing.sheet import SheetSettings

if TYPE_CHECKING:
    from chorus.body.model import BodyModel

POSES_PER_PROMPT = 4
CONSIDERED = 200
"""Persons of a prompt, spread evenly over its samples, that the typical ones are chosen among."""
_AIR = 0.15
"""Around a person, as a share of the mask's longer side."""


@dataclass(frozen=True, eq=False)
class RetainedPose:
    """The pose of a retained sample's person."""

    key: SampleKey
    """The sample."""
    pose: Float[np.ndarray, "24 3"]
    """Axis-angle, radians; the global rotation (joint 0) is zero."""
    image: UInt8[np.ndarray, "H W 3"] | None = field(default=None, repr=False)
    """The image that it is from, around the person; None if it was not kept."""

    @property
    def text(self) -> str:
        """What the image was made from, and its number: `A person sits, side view, image 3`."""
        return f"{full_text(self.key.prompt, self.key.augprompt)}, image {self.key.index}"

    @property
    def name(self) -> str:
        """The augprompt, if there is one, and the number: `side view, image 3`."""
        return f"{full_text('', self.key.augprompt)}, image {self.key.index}".lstrip(", ")


def retained_poses(about: SheetSettings, category: str, body: BodyModel) -> list[RetainedPose]:
    """Poses of every prompt, the most typical first; none of samples that are not in the tree.

    They are those that the aggregation takes (`SheetSettings.anchor`), of what its rules retain.
    """
    shards = about.tree.shards("filtered", about.model, (), about.prompts, required=False)
    shards = [shard for shard in shards if shard.category == category]
    chosen: list[RetainedPose] = []
    for prompt in dict.fromkeys(shard.prompt for shard in shards):
        mine = [shard for shard in shards if shard.prompt == prompt]
        samples = [sample for shard in mine for sample in judged(about.tree, shard)]
        kept = [sample for sample in samples if retained(sample.rows["filtered"], about.rules)]
        chosen += _typical(about, spread(kept, CONSIDERED), body)
    return chosen


def _typical(
    about: SheetSettings, samples: list[JudgedSample], body: BodyModel
) -> list[RetainedPose]:
    """The poses of one prompt, with their images."""
    columns = {"humans": ("persons",), "filtered_cameras": (), "refined": ("pose",)}
    samples = completed(about.tree, samples, BODY_TABLES[about.anchor], columns)
    found = [(sample, pose_of(sample.rows, about.anchor)) for sample in samples]
    found = [(s, pose) for s, pose in found if pose is not None and np.isfinite(pose).all()]
    if not found:
        return []
    joints = body.posed_joints(np.stack([pose for _, pose in found])).cpu().numpy()
    typical = [found[n] for n in medoids(joints.reshape(len(found), -1), POSES_PER_PROMPT)]
    with_images = completed(about.tree, [s for s, _ in typical], ("images", "segmentations"))
    return [
        RetainedPose(sample.key, pose, _around_person(about, sample))
        for sample, (_, pose) in zip(with_images, typical, strict=True)
    ]


def _around_person(
    about: SheetSettings, sample: JudgedSample
) -> UInt8[np.ndarray, "side side 3"] | None:
    """The square of the image around the person's mask; all of it if there is none."""
    image, row = pixels_of(about.tree, sample), sample.rows.get("segmentations")
    if image is None or row is None or row["status"] != DONE:
        return image
    mask, _ = masks_of(row)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows) or mask.shape != image.shape[:2]:
        return image
    middle = np.array([rows[0] + rows[-1], columns[0] + columns[-1]]) / 2
    longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = min(int((1 + 2 * _AIR) * longer), *image.shape[:2])
    low = np.clip(middle - side / 2, 0, np.array(image.shape[:2]) - side).astype(int)
    return image[low[0] : low[0] + side, low[1] : low[1] + side]


def medoids(points: Float[np.ndarray, "N D"], count: int) -> list[int]:
    """Numbers of at most `count` of the points (N, D) that stand for all: each one, in turn, lowers
    the mean distance to the nearest of them the most. Fewer where no other lowers it.

    So the first is the most central one, and a stray point is not chosen for being far off.
    """
    distances = cdist(points, points)
    nearest = np.full(len(points), np.inf)
    chosen: list[int] = []
    while len(chosen) < min(count, len(points)) and nearest.any():
        costs = np.minimum(nearest, distances).mean(axis=1)
        chosen.append(int(costs.argmin()))
        nearest = np.minimum(nearest, distances[chosen[-1]])
    return chosen

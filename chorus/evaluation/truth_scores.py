"""The truth test: a learned distribution against the occupancy of scenes that are known exactly.

Where the scenes are known (the synthetic world), the true canonical occupancy is: for each scene,
each canonical voxel goes to the person's true pose, and counts as occupied as far as it lies inside
the object; averaged over scenes. A learned distribution is scored by how well it ranks voxels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from chorus.body.model import BodyModel
from chorus.errors import BadInput
from chorus.occupancy.canonical import CanonicalSpace
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.posed_meshes import placed_voxels, probe_offsets


@dataclass(frozen=True, eq=False)
class KnownScene:
    """One person and one object whose places are known."""

    pose: Float[np.ndarray, "24 3"]
    """True pose, axis-angle, radians; the global rotation does not matter."""
    betas: Float[np.ndarray, " S"]
    """True body shape."""
    object_to_body: Float[np.ndarray, "4 4"]
    """Rigid map from the object's own frame to the person's body frame: the body at its true shape
    with zero global rotation and translation. Metres. A similarity if the person's size is not in
    the shape."""
    bounds: Float[np.ndarray, "2 3"]
    """Lowest and highest coordinates of the object in its own frame, metres."""
    contains: Callable[[Float[np.ndarray, "P 3"]], Bool[np.ndarray, " P"]]
    """Which points (P, 3) in the object's own frame lie inside the object."""


@dataclass(frozen=True, eq=False)
class TrueOccupancy:
    """What a perfect learner would know about some scenes."""

    probability: Float[np.ndarray, "N N N"]
    """(N, N, N) float32: mean over scenes of the share of the voxel inside the object."""
    grid: VoxelGrid
    """Where the voxels are."""
    scenes: int
    """How many scenes were averaged."""

    @property
    def region(self) -> Bool[np.ndarray, "N N N"]:
        """(N, N, N) bool: voxels with at least half of the highest probability; none if it is 0."""
        highest = self.probability.max()
        return (self.probability >= highest / 2) & (highest > 0)


@dataclass(frozen=True)
class TruthScores:
    """How well a learned distribution knows the truth; each from 0 to 1."""

    soft_ap: float
    """3D average precision over all (scene, voxel) pairs: a voxel's positives are the share of
    scenes that truly occupy it, the rest its negatives, all ranked by the learned probability."""
    soft_ap_ceiling: float
    """The soft_ap of the truth itself: no ranking of voxels can reach more."""
    region_ap: float
    """3D average precision with the voxels of the true region as the only positives."""
    best_iou: float
    """Intersection over union with the true region at the threshold where it is greatest."""
    best_threshold: float
    """That threshold: the learned voxels are those with at least this probability."""


def true_occupancy(
    space: CanonicalSpace, scenes: Iterable[KnownScene], subdivisions: int = 2
) -> TrueOccupancy:
    """The true canonical occupancy of scenes, on the space's grid.

    Each voxel is probed at subdivisions^3 points, so that boards thinner than a voxel count with
    their share of it. BadInput without any scene or for a scene that is not finite.
    """
    offsets = probe_offsets(space.grid.size, subdivisions)
    total = np.zeros(space.grid.count)
    count = 0
    for scene in scenes:
        count += 1
        voxels, share = _occupied_share(space, scene, offsets)
        total[voxels] += share
    if count == 0:
        raise BadInput("the truth test needs at least one known scene; found none.")
    probability = (total / count).astype(np.float32).reshape(space.grid.shape)
    return TrueOccupancy(probability, space.grid, count)


def body_scale(body: BodyModel, betas: Float[np.ndarray, " S"]) -> float:
    """How much larger a person's skeleton is than the zero-shape body's, about the pelvis.

    The least-squares factor between the two rest skeletons. Calibration sees a person of any size
    as the zero-shape body, so canonical lengths are the person's own divided by this.
    """
    joints = body.rest()[1].double()
    shaped = body.rest(torch.as_tensor(np.asarray(betas, np.float32)))[1].double()
    bones, shaped_bones = joints - joints[0], shaped - shaped[0]
    return float((bones * shaped_bones).sum() / (bones * bones).sum())


def to_own_size(body: BodyModel, betas: Float[np.ndarray, " S"]) -> Float[np.ndarray, "4 4"]:
    """From the zero-shape body's frame to the person's: scaled about the pelvis, put at its own."""
    shaped = body.rest(torch.as_tensor(np.asarray(betas, np.float32)))[1][0].double().numpy()
    scale = body_scale(body, betas)
    matrix = np.diag([scale, scale, scale, 1.0])
    matrix[:3, 3] = shaped - scale * body.rest()[1][0].double().numpy()
    return matrix


def _occupied_share(
    space: CanonicalSpace,
    scene: KnownScene,
    offsets: Float[np.ndarray, "S 3"],
) -> tuple[np.ndarray, Float[np.ndarray, " n"]]:
    """Voxels near the object, and the share of each that is inside it."""
    object_to_body = np.asarray(scene.object_to_body, float)
    pose = torch.as_tensor(np.asarray(scene.pose, np.float32))
    if not (np.isfinite(object_to_body).all() and torch.isfinite(pose).all()):
        raise BadInput("a known scene has a pose or an object transform that is not finite.")
    to_object = np.linalg.inv(object_to_body) @ to_own_size(space.body, scene.betas)
    voxels, probes = placed_voxels(space, scene.pose, to_object, scene.bounds, offsets)
    inside = scene.contains(probes.reshape(-1, 3)).reshape(probes.shape[:2])
    return voxels, inside.mean(axis=1)


def average_precision(
    scores: Float[np.ndarray, " n"],
    positives: Float[np.ndarray, " n"],
    negatives: Float[np.ndarray, " n"],
) -> float:
    """Average precision of a ranking by `scores` of items with positive and negative weights.

    Sum over distinct scores, highest first, of (recall gained) x (precision there); items with
    equal scores enter together. NaN if there are no positives.
    """
    hits, _, precision = _walk(scores, positives, negatives)
    if not hits.size or hits[-1] == 0:
        return float("nan")
    return float((np.diff(hits, prepend=0) * precision).sum() / hits[-1])


def _walk(
    scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(hits: positives so far, threshold, precision) at every distinct score, highest first."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else order
    hits = np.cumsum(positives[order], dtype=np.float64)[last]
    taken = hits + np.cumsum(negatives[order], dtype=np.float64)[last]
    precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
    return hits, ranked[last], precision


def truth_scores(probability: Float[np.ndarray, "N N N"], truth: TrueOccupancy) -> TruthScores:
    """Score a learned probability volume on the truth's grid.

    NaN where the truth is empty. BadInput if the volume is of another size.
    """
    if probability.shape != truth.probability.shape:
        raise BadInput(
            f"the learned distribution is {probability.shape} and the truth "
            f"{truth.probability.shape}; use the same resolution for both."
        )
    learned = probability.reshape(-1).astype(np.float64)
    true = truth.probability.reshape(-1).astype(np.float64)
    region = truth.region.reshape(-1).astype(np.float64)
    hits, threshold, precision = _walk(learned, region, 1 - region)
    # precision = hits / taken, and a union is what was taken plus what was not hit.
    taken = np.divide(hits, precision, out=np.zeros_like(hits), where=precision > 0)
    iou = np.divide(hits, taken + region.sum() - hits, out=np.zeros_like(hits), where=hits > 0)
    best = int(iou.argmax())
    # Voxels of equal truth enter one by one here: a ranking may be lucky within such a tie.
    one_by_one = np.empty_like(true)
    one_by_one[np.argsort(-true, kind="stable")] = np.arange(true.size, 0, -1)
    empty = not region.any()
    return TruthScores(
        soft_ap=average_precision(learned, true, 1 - true),
        soft_ap_ceiling=average_precision(one_by_one, true, 1 - true),
        region_ap=average_precision(learned, region, 1 - region),
        best_iou=float("nan") if empty else float(iou[best]),
        best_threshold=float("nan") if empty else float(threshold[best]),
    )

"""How well an estimate of where an object is agrees with where it is (docs/reconstruction.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from chorus.evaluation.object_symmetry import rotation_error
from chorus.evaluation.true_objects import TrueObject
from chorus.occupancy.grid import VoxelGrid


@dataclass(frozen=True, eq=False)
class Estimate:
    """Where a method says that an object is, in the body frame, metres."""

    centroid: Float[np.ndarray, " 3"]
    """Of its volume."""
    points: Float[np.ndarray, "P 3"]
    """Points that fill it, or lie on its surface where no more is said."""
    rotation: Float[np.ndarray, "3 3"] | None = None
    """From the true object's own axes to the body frame's, if the method has an orientation."""


class ReconstructionScores(NamedTuple):
    """One estimate on one image."""

    centroid: float
    """Distance of the centroids, metres."""
    relative: float
    """The same as a part of the object's largest extent."""
    chamfer: float
    """`chamfer_distance` of the points and the object's, surface and inside, metres."""
    iou: float
    """`volumetric_iou` of the voxels that hold any of each one's points."""
    rotation: float
    """`rotation_error`, radians; NaN without an orientation."""
    within: float
    """1 if the centroids are within one half of the object's largest extent, else 0."""


def reconstruction_scores(
    estimate: Estimate, truth: TrueObject, grid: VoxelGrid
) -> ReconstructionScores:
    """All figures of an estimate; grid: whose voxels the volumes are compared in."""
    distance = centroid_error(estimate.centroid, truth.centroid)
    true_points = np.concatenate([truth.surface, truth.volume])
    return ReconstructionScores(
        centroid=distance,
        relative=distance / truth.size,
        chamfer=chamfer_distance(estimate.points, true_points),
        iou=volumetric_iou(voxels_of(estimate.points, grid), voxels_of(true_points, grid)),
        rotation=float("nan")
        if estimate.rotation is None
        else float(rotation_error(estimate.rotation, truth.rotation, truth.symmetry)),
        within=float(distance <= truth.size / 2),
    )


def centroid_error(found: Float[np.ndarray, " 3"], true: Float[np.ndarray, " 3"]) -> float:
    """Distance of two points, in their unit."""
    return float(np.linalg.norm(np.asarray(found, float) - true))


def chamfer_distance(found: Float[np.ndarray, "P 3"], true: Float[np.ndarray, "Q 3"]) -> float:
    """The mean of two means: the distance of each found point from the nearest true one, and of
    each true one from the nearest found one. NaN without points."""
    if not len(found) or not len(true):
        return float("nan")
    there, back = cKDTree(true).query(found)[0], cKDTree(found).query(true)[0]
    return float((there.mean() + back.mean()) / 2)


def volumetric_iou(found: Bool[np.ndarray, "*shape"], true: Bool[np.ndarray, "*shape"]) -> float:
    """Intersection over union of two sets of voxels; NaN if both are empty."""
    union = np.count_nonzero(found | true)
    return np.count_nonzero(found & true) / union if union else float("nan")


def voxels_of(points: Float[np.ndarray, "P 3"], grid: VoxelGrid) -> Bool[np.ndarray, " N3"]:
    """(N^3,) the voxels that hold any of some points (P, 3), metres."""
    flat = grid.index_of(points)
    occupied = np.zeros(grid.count, bool)
    occupied[flat[flat >= 0]] = True
    return occupied

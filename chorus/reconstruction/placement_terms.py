"""How well a placed object agrees with a posed distribution, with the body, and with a mask.

All are per placement, batched, and differentiable in the placed points (docs/reconstruction.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import grid_sample

from chorus.geometry.cameras import project
from chorus.occupancy.grid import VoxelGrid
from chorus.reconstruction.cone import check_seen
from chorus.records.rows import Camera
from chorus.rendering.inside import inside
from chorus.rendering.raycast import cast

_MASK_SIDE = 128
"""Masks are looked at in pictures of at most so many pixels along a side."""
_MASK_POINTS = 200
"""So many of the mask's pixels must find the object near them."""
_BEHIND = 0.03
"""A point this much farther than the body at its pixel, metres, is hidden by it."""
_NEAREST = 1e-3


@dataclass(frozen=True, eq=False)
class ObjectView:
    """Where an object is seen. BadInput for an empty mask, or a camera that is none."""

    mask: Bool[np.ndarray, "H W"]
    """The object's visible pixels."""
    camera: Camera
    """From the body frame to the mask's image, metres and pixels."""

    def __post_init__(self) -> None:
        check_seen(self.mask, self.camera)


@dataclass(frozen=True, eq=False)
class Silhouette:
    """A mask, prepared: how far pixels are from it, and what the body hides."""

    distance: Float[Tensor, "h w"]
    """Distance of each pixel from the mask, as a share of its diagonal, at most 1."""
    depth: Float[Tensor, "h w"]
    """Depth of the body, metres; infinite where it is not seen."""
    pixels: Float[Tensor, "M 2"]
    """Some of the mask's pixels."""
    diagonal: float
    """Of the box around the mask, pixels."""
    R: Float[Tensor, "3 3"]
    t: Float[Tensor, " 3"]
    K: Float[Tensor, "3 3"]

    @classmethod
    def of(cls, view: ObjectView, body: tuple[np.ndarray, np.ndarray]) -> Silhouette:
        """body: vertices (V, 3) of the posed body, body frame, and faces."""
        step = max(1, -(-max(view.mask.shape) // _MASK_SIDE))
        height, width = (-(-side // step) for side in view.mask.shape)
        padded = np.zeros((height * step, width * step), bool)
        padded[: view.mask.shape[0], : view.mask.shape[1]] = view.mask
        mask = padded.reshape(height, step, width, step).mean(axis=(1, 3)) >= 0.5
        if not mask.any():  # a mask thinner than the coarse pixels
            mask = padded.reshape(height, step, width, step).any(axis=(1, 3))
        R, t, K = (np.asarray(a, float) for a in (view.camera.R, view.camera.t, view.camera.K))
        K = np.diag([1 / step, 1 / step, 1.0]) @ K
        rows, columns = np.nonzero(mask)
        diagonal = float(np.hypot(np.ptp(rows) + 1, np.ptp(columns) + 1))
        hits = cast([body], R, t, K, width, height)
        chosen = np.linspace(0, len(rows) - 1, min(_MASK_POINTS, len(rows))).astype(int)
        pixels = np.stack([columns[chosen], rows[chosen]], axis=1) + 0.5
        distance = np.minimum(distance_transform_edt(~mask) / diagonal, 1)
        return cls(
            *(torch.from_numpy(a).float() for a in (distance, hits.depth, pixels)),
            diagonal,
            *(torch.from_numpy(a).float() for a in (R, t, K)),
        )

    def outside(self, points: Float[Tensor, "*batch P 3"]) -> Float[Tensor, "*batch P"]:
        """How far outside of the mask each point (..., P, 3) is seen, from 0 to 1; 0 where the
        body hides it or the image ends."""
        pixels, depth = project(points, self.R, self.t, self.K, _NEAREST)
        height, width = self.distance.shape
        scaled = pixels / torch.tensor([width / 2, height / 2]) - 1
        flat = scaled.reshape(1, -1, 1, 2)
        found = grid_sample(self.distance[None, None], flat, align_corners=False)
        with torch.no_grad():
            limit = torch.tensor([width - 1, height - 1])
            cell = pixels.floor().long().minimum(limit).clamp(min=0)
            hidden = depth > self.depth[cell[..., 1], cell[..., 0]] + _BEHIND
            counts = (scaled.abs() <= 1).all(-1) & (depth > _NEAREST) & ~hidden
        return torch.where(counts, found.reshape(depth.shape), 0)

    def uncovered(self, points: Float[Tensor, "B P 3"]) -> Float[Tensor, " B"]:
        """Mean distance (B,) of the mask's pixels from the nearest projected point, as a share of
        the mask's diagonal, each at most 1."""
        pixels, _ = project(points, self.R, self.t, self.K, _NEAREST)
        with torch.no_grad():  # which is nearest has no slope; its distance does
            nearest = torch.cdist(self.pixels.expand(len(points), -1, -1), pixels).argmin(dim=-1)
        found = torch.take_along_dim(pixels, nearest[..., None], dim=1)
        distance = torch.linalg.vector_norm(found - self.pixels, dim=-1)
        return (distance / self.diagonal).clamp(max=1).mean(dim=-1)

    def __call__(self, points: Float[Tensor, "B P 3"]) -> Float[Tensor, " B"]:
        """Disagreement (B,) of objects' surface points with the mask, both ways: from 0 to 2."""
        return self.outside(points).mean(dim=-1) + self.uncovered(points)


def body_depth(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], grid: VoxelGrid
) -> Float[np.ndarray, "N N N"]:
    """(N, N, N) float32: how deep voxel centres lie in a body, metres; 0 outside.

    The distance is that of the nearest vertex, which a body has every centimetre or two.
    """
    axis = grid.axis()
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    near = [np.flatnonzero((axis >= low[k]) & (axis <= high[k])) for k in range(3)]
    places = np.stack(np.meshgrid(*(axis[n] for n in near), indexing="ij"), axis=-1)
    points = places.reshape(-1, 3)
    within = inside(vertices, faces, points)
    depth = np.zeros(len(points), np.float32)
    if within.any():
        depth[within] = cKDTree(vertices).query(points[within])[0]
    volume = np.zeros(grid.shape, np.float32)
    volume[np.ix_(*near)] = depth.reshape(places.shape[:3])
    return volume


def sampled(
    volumes: Float[Tensor, "C N N N"], side: float, points: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*shape"]:
    """Values (C, ...) of volumes over a cube of `side` metres at points (..., 3): trilinear
    between voxel centres, 0 outside."""
    # grid_sample wants the last axis first, and -1 and 1 at the outer faces of the cube.
    places = (points / (side / 2)).flip(-1).reshape(1, -1, 1, 1, 3)
    found = grid_sample(volumes[None], places, align_corners=False)
    return found.reshape(len(volumes), *points.shape[:-1])

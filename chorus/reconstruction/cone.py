"""A mask's cone through the voxels around a person: what the camera sees of each (method.md 8).

The image is divided into square cells about as wide as a voxel looks. Each voxel centre falls into
one; in each, the voxels nearer than the person's body may be seen, those behind it are hidden.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from chorus.errors import BadInput
from chorus.geometry.cameras import project
from chorus.occupancy.grid import VoxelGrid
from chorus.records.rows import Camera
from chorus.rendering.raycast import RayScene

_NEAREST = 0.1
"""Voxels nearer to the camera than this are not in the image, metres."""
_SKIN = 0.03
"""How far behind the body's surface a voxel's centre may lie and still be seen, metres."""


@dataclass(frozen=True, eq=False)
class Cone:
    """How an image sees the voxels of a grid; the cells are numbered row by row."""

    cell: Int[np.ndarray, " N3"]
    """(N^3,) the cell that each voxel's centre falls into, -1 outside of the image."""
    visible: Bool[np.ndarray, " N3"]
    """(N^3,) in the image and not behind the person's body."""
    coverage: Float[np.ndarray, " C"]
    """(C,) share of each cell that the object's mask covers."""

    @property
    def covered(self) -> Float[np.ndarray, " N3"]:
        """(N^3,) share of each visible voxel's cell that the mask covers; 0 where not visible."""
        return np.where(self.visible, self.coverage[np.maximum(self.cell, 0)], 0.0)


def cone_of(
    mask: Bool[np.ndarray, "H W"],
    camera: Camera,
    body: tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]],
    grid: VoxelGrid,
) -> Cone:
    """What an image sees of a grid around a posed body (vertices, body frame, metres, and faces).

    BadInput if the mask is empty or the camera is not finite.
    """
    check_seen(mask, camera)
    R, t, K = (np.asarray(part, np.float64) for part in (camera.R, camera.t, camera.K))
    height, width = mask.shape
    pixels, depth = project(grid.centres().astype(np.float64), R, t, K, nearest=_NEAREST)
    side = _cell_side(grid, K, float(depth[depth > _NEAREST].mean()))
    rows, columns = -(-height // side), -(-width // side)
    padded = np.zeros((rows * side, columns * side), np.float32)
    padded[:height, :width] = mask
    coverage = padded.reshape(rows, side, columns, side).mean(axis=(1, 3)).ravel()
    inside = (depth > _NEAREST) & ((pixels >= 0) & (pixels < (width, height))).all(axis=1)
    at = (np.where(inside[:, None], pixels, 0) // side).astype(np.int64)
    cell = np.where(inside, at[:, 1] * columns + at[:, 0], -1)
    behind = _body_depth(body, R, t, K, (rows, columns), side)
    return Cone(cell, inside & (depth <= behind[np.maximum(cell, 0)] + _SKIN), coverage)


def check_seen(mask: Bool[np.ndarray, "H W"], camera: Camera) -> None:
    """BadInput if a mask (H, W) bool is none or empty, or the camera not finite and in front."""
    if mask.ndim != 2 or mask.dtype != bool:
        raise BadInput(f"an object's mask is bool (height, width), not {mask.dtype} {mask.shape}.")
    if not mask.any():
        raise BadInput(
            "the object's mask is empty, so the image says nothing of where the object is; give "
            "the mask of the object's visible pixels."
        )
    parts = {"R": camera.R, "t": camera.t, "K": camera.K}
    wrong = [name for name, value in parts.items() if not np.isfinite(value).all()]
    if wrong:
        raise BadInput(
            f"the camera's {' and '.join(wrong)} must be finite numbers; calibrate anew."
        )
    if camera.t[2] <= _NEAREST:
        raise BadInput(
            f"the person's pelvis lies {camera.t[2]:.2f} m in front of the camera; it must be "
            f"more than {_NEAREST} m."
        )


def _cell_side(grid: VoxelGrid, K: np.ndarray, depth: float) -> int:
    """How many pixels wide a voxel looks at a depth, metres, at least one."""
    return max(1, round(grid.size * float(K[0, 0]) / depth))


def _body_depth(
    body: tuple[np.ndarray, np.ndarray],
    R: np.ndarray,
    t: np.ndarray,
    K: np.ndarray,
    shape: tuple[int, int],
    side: int,
) -> Float[np.ndarray, " C"]:
    """(C,) depth of the body's surface at the middle of each cell, metres; infinite beside it."""
    row, column = np.indices(shape).reshape(2, -1)
    middles = np.stack([(column + 0.5) * side, (row + 0.5) * side, np.ones(len(row))], axis=1)
    # of unit camera depth, so that a hit's distance along the ray is its depth
    rays = np.linalg.solve(K, middles.T).T @ R
    eye = np.broadcast_to(-R.T @ t, rays.shape)
    hits = RayScene([body]).first(eye, rays)
    return np.where(hits.found, hits.depth, np.inf)

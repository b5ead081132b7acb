"""The small pixel grid that a test image is scored on: target, projections, coverage.

See method.md 12.

Cells are numbered row by row, row * w + column; -1 stands for a point that no cell holds.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from chorus.errors import BadInput
from chorus.geometry.cameras import from_homogeneous, to_camera


def small_shape(height: int, width: int, shorter_side: int = 32) -> tuple[int, int]:
    """(h, w) of the small grid of an image: the shorter side as given, the other rounded down."""
    if min(height, width) < 1 or shorter_side < 1:
        raise BadInput(
            f"an image of {height} x {width} pixels has no grid with a shorter side of "
            f"{shorter_side}; both must be positive."
        )
    if height <= width:
        return shorter_side, width * shorter_side // height
    return height * shorter_side // width, shorter_side


def resize_area(mask: Bool[np.ndarray, "H W"], shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The mask (H, W) on a coarser grid: a cell is on where more than half of it is covered.

    OpenCV's area resizing of 0 and 1 with rounding, as in the published code, so a cell that is
    covered exactly half falls as it does there (on if both sides shrink exactly to half, for one).
    BadInput unless the mask is two-dimensional and at least as large as the grid.
    """
    mask = np.asarray(mask, bool)
    if mask.ndim != 2 or mask.shape[0] < shape[0] or mask.shape[1] < shape[1]:
        raise BadInput(
            f"a target mask must be (height, width) and at least {shape[0]} x {shape[1]} pixels, "
            f"found {mask.shape}; score with a smaller grid."
        )
    import cv2

    return cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_AREA) > 0


def cells_of(
    points: Float[np.ndarray, "P 3"],
    R: Float[np.ndarray, "3 3"],
    t: Float[np.ndarray, " 3"],
    K: Float[np.ndarray, "3 3"],
    image: tuple[int, int],
    grid: tuple[int, int],
    truncate: bool = False,
) -> Int[np.ndarray, " P"]:
    """The cell (P,) int64 that each point (P, 3), metres in the camera's world, projects into.

    image: (H, W) that K (pixels) belongs to; grid: (h, w). Both axes shrink alike, by the ratio of
    the shorter sides. A point behind the camera or outside the grid has no cell. `truncate` repeats
    the published code: pixels round toward zero and depth is not tested (method.md 13).
    """
    points, R, t, K = (np.asarray(array, np.float64) for array in (points, R, t, K))
    camera = to_camera(points, R, t)
    scale = min(grid) / min(image)
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = from_homogeneous(camera @ K.T * [scale, scale, 1.0])
    inside = pixels > -1 if truncate else (pixels >= 0) & (camera[:, 2:] > 0)
    inside = (inside & (pixels < [grid[1], grid[0]])).all(axis=1)
    whole = np.where(inside[:, None], pixels, 0).astype(np.int64)
    return np.where(inside, whole[:, 1] * grid[1] + whole[:, 0], -1)


def covered(cells: Int[np.ndarray, " P"], grid: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Which cells of the grid (h, w) at least one point lies in."""
    mask = np.zeros(grid[0] * grid[1], bool)
    mask[cells[cells >= 0]] = True
    return mask.reshape(grid)


def highest(
    values: Float[np.ndarray, " P"], cells: Int[np.ndarray, " P"], grid: tuple[int, int]
) -> Float[np.ndarray, "h w"]:
    """(h, w) float32: the largest value in each cell, -1 where there is none; values at least 0."""
    largest = np.full(grid[0] * grid[1], -1, np.float32)
    held = cells >= 0
    np.maximum.at(largest, cells[held], values[held].astype(np.float32, copy=False))
    return largest.reshape(grid)

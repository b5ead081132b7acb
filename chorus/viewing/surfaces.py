"""Smooth isosurfaces of a coarse probability grid.

The grid is first refined to twice its resolution by a separable cubic, then each level becomes a
mesh by surface nets: one vertex per cell that the surface crosses, at the mean of its edge
crossings. The page's script does the same in the browser, so both show the same shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chorus.viewing.displayed import vertex_normals

CUBIC = np.array([0.0026041667, 0.3151041667, 0.6119791667, 0.0703125], dtype=np.float32)
"""Cubic B-spline weights of four neighbours for a point a quarter of a cell off the third one.

A B-spline smooths by about half a cell and keeps values inside [0, 1]: voxels of 6 cm are no
shape, only samples of one."""

CORNERS = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=np.int64)
EDGES = np.array(
    [(a, b) for a in range(8) for b in range(8) if b > a and bin(a ^ b).count("1") == 1]
)


@dataclass(frozen=True)
class Surface:
    """Triangle mesh of one level: vertices (V, 3) metres, faces (F, 3) int32, normals (V, 3)."""

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray

    @property
    def is_empty(self) -> bool:
        """Whether the field stays below the level everywhere."""
        return len(self.faces) == 0


def refine(grid: np.ndarray) -> np.ndarray:
    """Twice the resolution, (N, N, N) -> (2N, 2N, 2N) float32, smoothed by a cubic B-spline.

    New cell centres lie a quarter of an old cell either side of each old centre; the field is
    zero outside the grid.
    """
    fine = np.asarray(grid, dtype=np.float32)
    for axis in range(3):
        wide = np.pad(fine, [(2, 2) if a == axis else (0, 0) for a in range(3)])
        n = fine.shape[axis]
        near = [np.take(wide, range(2 + shift, 2 + shift + n), axis=axis) for shift in range(-2, 3)]
        lower = sum(w * part for w, part in zip(CUBIC, near[0:4], strict=True))
        upper = sum(w * part for w, part in zip(CUBIC[::-1], near[1:5], strict=True))
        both = np.stack([lower, upper], axis=axis + 1)
        shape = list(fine.shape)
        shape[axis] = 2 * n
        fine = both.reshape(shape)
    return fine


def isosurface(field: np.ndarray, level: float, side: float) -> Surface:
    """Closed surface where `field` crosses `level`, by surface nets.

    `field` (N, N, N) holds values at the centres of N^3 cells of a cube of `side` metres centred
    at the origin. Faces are counter-clockwise seen from the lower-valued side.
    """
    inside = field >= level
    if not inside.any():
        none = np.zeros((0, 3), dtype=np.float32)
        return Surface(none, none.astype(np.int32), none)
    low, high = _bounds(inside)
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    # one ring of zeros closes the surface where the field touches the border of the grid
    values = np.pad(field[window].astype(np.float32), 1)
    cells, vertices = _cell_vertices(values, level)
    faces = _quads(values >= level, cells)
    size = side / field.shape[0]
    vertices = (vertices - 1 + low + 0.5) * size - side / 2
    vertices = vertices.astype(np.float32)
    return Surface(vertices, faces, vertex_normals(vertices, faces))


def _bounds(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest window (low, high) with one cell of margin that holds all true cells."""
    low, high = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    for axis in range(3):
        on = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        low[axis], high[axis] = max(on[0] - 1, 0), min(on[-1] + 2, inside.shape[axis])
    return low, high


def _cell_vertices(values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Number of the vertex in every cell (-1 none), and the vertices in cell units, (M, 3)."""
    shape = np.array(values.shape) - 1
    inside = values >= level
    count = np.zeros(shape, dtype=np.int8)
    for i, j, k in CORNERS:
        count += inside[i : i + shape[0], j : j + shape[1], k : k + shape[2]]
    active = np.argwhere((count > 0) & (count < 8))
    at = active[:, None] + CORNERS  # (M, 8, 3)
    corner = values[at[..., 0], at[..., 1], at[..., 2]]
    first, second = corner[:, EDGES[:, 0]], corner[:, EDGES[:, 1]]
    crossed = (first >= level) != (second >= level)
    step = np.where(crossed, (level - first) / np.where(crossed, second - first, 1), 0)
    start, along = CORNERS[EDGES[:, 0]], CORNERS[EDGES[:, 1]] - CORNERS[EDGES[:, 0]]
    points = np.where(crossed[..., None], start + step[..., None] * along, 0).sum(1)
    cells = np.full(shape, -1, dtype=np.int32)
    cells[tuple(active.T)] = np.arange(len(active), dtype=np.int32)
    return cells, active + points / crossed.sum(1)[:, None]


def _quads(inside: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Two triangles for each grid edge that the surface crosses, from the four cells around it."""
    triangles = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        ahead = np.roll(inside, -1, axis)
        change = inside != ahead
        change[tuple(-1 if a == axis else slice(None) for a in range(3))] = False
        edge = np.argwhere(change)
        unit = np.eye(3, dtype=np.int64)
        around = [edge - unit[u] - unit[v], edge - unit[v], edge, edge - unit[u]]
        a, b, c, d = (cells[tuple(corner.T)] for corner in around)
        leaving = inside[tuple(edge.T)]
        b, d = np.where(leaving, b, d), np.where(leaving, d, b)
        triangles += [np.stack([a, b, c], 1), np.stack([a, c, d], 1)]
    return np.concatenate(triangles).astype(np.int32)

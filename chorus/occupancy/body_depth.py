"""Where the person's body hides what lies behind it: a coarse depth map per sample (method.md 8).

A map is made once per sample, on the CPU, whichever path counts; the paths only look it up, by
whole pixels, so they mean the same cell. A cell's depth is that of the first surface of the body's
proxy (`body_proxy`) on the ray through the cell's centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from chorus.geometry.compiled import compiled
from chorus.occupancy.canonical import CanonicalSpace
from chorus.occupancy.mask_bits import MaskBits
from chorus.occupancy.views import Views, body_cameras

CELLS = 64
"""Cells along each side of a map."""
_NEAREST = 0.01
"""Triangles with a corner nearer to the camera's plane than this, metres, are left out."""
_BLOCK = 8
"""Samples per job of a thread."""
_ROUNDING = 1e-9
"""How far beyond an edge a triangle still owns a cell's centre, so that none falls between two."""


class BodyDepths(NamedTuple):
    """Maps of B samples.

    limit (B, 64, 64) float32, [row, column]: the camera depth beyond which the body hides a place,
    metres: the depth of its first surface plus the margin, inf where it is not. left, top (B,)
    int32: the first pixel column and row. side (B,) int32: pixels along a cell. Pixel (row, column)
    belongs to cell ((row - top) // side, (column - left) // side); beyond the cells nothing hides.
    """

    limit: Float[np.ndarray, "B 64 64"]
    left: Int[np.ndarray, " B"]
    top: Int[np.ndarray, " B"]
    side: Int[np.ndarray, " B"]


def body_depths(
    space: CanonicalSpace, views: Views, masks: Sequence[MaskBits], threads: int = 1
) -> BodyDepths:
    """Maps of the zero-shape body of each sample in its pose, as its camera sees it.

    A map covers the part of the body's bounding box that lies in the image with the smallest cells,
    whole pixels wide, that reach. `masks` tell the images' sizes. Triangles that come nearer than
    1 cm to the camera's plane hide nothing. BadInput if the body has no triangles.
    """
    cameras, features = body_cameras(space, views)
    cameras, features = cameras.contiguous().numpy(), features.numpy()
    sizes = np.array([(mask.height, mask.width) for mask in masks], np.int64)
    limit = np.empty((len(masks), CELLS, CELLS), np.float32)
    place = np.empty((3, len(masks)), np.int32)
    given = tuple(space.proxy), cameras, features, sizes, space.settings.hidden_margin

    def run(start: int) -> None:
        _draw(start, min(start + _BLOCK, len(masks)), *given, limit, place)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(0, len(masks), _BLOCK)))
    return BodyDepths(limit, *place)


@compiled
def _draw(start, stop, proxy, cameras, features, sizes, margin, limit, place):
    """Write the limits and the left, top and side (`place`) of the samples start..stop-1.

    cameras (B, 24, 3, 4) float64: per joint the map from the rest pose to homogeneous pixels;
    features (B, 207): factors of the blend shapes; sizes (B, 2): the images' height and width.
    """
    vertices, weights, posedirs, faces = proxy
    for image in range(start, stop):
        # One pose at a time, in one order: a matrix product's rounding would depend on the batch.
        rest = vertices.copy()
        for shape in range(posedirs.shape[0]):
            rest += features[image, shape] * posedirs[shape]
        points = _project(rest, weights, cameras[image])
        left, top, side = _square(points, sizes[image, 0], sizes[image, 1])
        place[0, image], place[1, image], place[2, image] = left, top, side
        nearness = np.zeros((CELLS, CELLS))
        _fill(_in_cells(points, left, top, side), faces, nearness)
        for row in range(CELLS):
            for column in range(CELLS):
                limit[image, row, column] = 1 / nearness[row, column] + margin


@compiled
def _in_cells(points, left, top, side):
    """(V, 3): column and row in cells, whose centres are whole numbers, and the inverse depth, 0
    for points that are not in front of the camera."""
    cells = np.zeros(points.shape)
    for vertex in range(points.shape[0]):
        if points[vertex, 2] > _NEAREST:
            cells[vertex, 0] = (points[vertex, 0] - left) / side - 0.5
            cells[vertex, 1] = (points[vertex, 1] - top) / side - 0.5
            cells[vertex, 2] = 1 / points[vertex, 2]
    return cells


@compiled
def _project(rest, weights, cameras):
    """(V, 3) float64: pixel u, v and depth of vertices under linear blend skinning."""
    points = np.zeros((rest.shape[0], 3))
    for vertex in range(rest.shape[0]):
        point = points[vertex]
        x, y, z = rest[vertex, 0], rest[vertex, 1], rest[vertex, 2]
        for joint in range(weights.shape[1]):
            weight = weights[vertex, joint]
            if weight != 0:
                for axis in range(3):
                    m = cameras[joint, axis]
                    point[axis] += weight * (m[0] * x + m[1] * y + m[2] * z + m[3])
        point[0] /= point[2]
        point[1] /= point[2]
    return points


@compiled
def _square(points, height, width):
    """First pixel column and row, and pixels along a cell, of the map around some points (V, 3)."""
    left, right, top, bottom = float(width), 0.0, float(height), 0.0
    for vertex in range(points.shape[0]):
        u, v = points[vertex, 0], points[vertex, 1]
        if points[vertex, 2] > _NEAREST:
            left, right = min(left, u), max(right, u)
            top, bottom = min(top, v), max(bottom, v)
    left, right = max(0.0, np.floor(left)), min(float(width), np.ceil(right))
    top, bottom = max(0.0, np.floor(top)), min(float(height), np.ceil(bottom))
    if not (left < right and top < bottom):
        return 0, 0, 1
    side = np.ceil(max(right - left, bottom - top) / CELLS)
    return int(left), int(top), int(side)


@compiled
def _fill(points, faces, nearness):
    """Raise the inverse depths of the cells whose centres triangles cover to the triangles'.

    points (V, 3): see `_in_cells`; inverse depth is linear over the image.
    """
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        bx, by, bz = points[b, 0], points[b, 1], points[b, 2]
        cx, cy, cz = points[c, 0], points[c, 1], points[c, 2]
        if min(az, bz, cz) == 0:
            continue
        first_column, last_column = _whole(min(ax, bx, cx), max(ax, bx, cx))
        first_row, last_row = _whole(min(ay, by, cy), max(ay, by, cy))
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if first_column > last_column or first_row > last_row or area == 0:
            continue
        share = 1 / area
        for row in range(first_row, last_row + 1):
            for column in range(first_column, last_column + 1):
                x, y = column - ax, row - ay
                of_b = share * (x * (cy - ay) - (cx - ax) * y)
                of_c = share * ((bx - ax) * y - x * (by - ay))
                of_a = 1 - of_b - of_c
                if min(of_a, of_b, of_c) >= -_ROUNDING:
                    near = of_a * az + of_b * bz + of_c * cz
                    nearness[row, column] = max(nearness[row, column], near)


@compiled
def _whole(low, high):
    """First and last of the cells 0..CELLS-1 whose centres lie in low..high."""
    low, high = np.ceil(low - _ROUNDING), np.floor(high + _ROUNDING)
    return int(min(max(low, 0.0), float(CELLS))), int(max(min(high, CELLS - 1.0), -1.0))

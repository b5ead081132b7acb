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
from chorus.occupancy.body_proxy import BodyProxy
from chorus.occupancy.canonical import CanonicalSpace
from chorus.occupancy.mask_bits import MaskBits
from chorus.occupancy.views import Views, body_cameras

CELLS = 64
"""Cells along each side of a map."""
_NEAREST = 0.01
"""Triangles with a corner nearer to the camera's plane than this, metres, are left out."""
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
    proxy = space.proxy
    cameras, feature = body_cameras(space, views)
    cameras, feature = cameras.contiguous().numpy(), feature.numpy()
    limit = np.empty((len(masks), CELLS, CELLS), np.float32)
    place = np.empty((3, len(masks)), np.int32)

    def run(image: int) -> None:
        size = masks[image].height, masks[image].width
        rest = _shaped(proxy, feature[image])
        given = rest, proxy.weights, proxy.faces, cameras[image], size
        place[:, image] = _draw(*given, space.settings.hidden_margin, limit[image])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(len(masks))))
    return BodyDepths(limit, *place)


def _shaped(proxy: BodyProxy, feature: Float[np.ndarray, " 207"]) -> Float[np.ndarray, "V 3"]:
    """Rest vertices with the pose's blend shapes, one pose at a time so that batches agree."""
    if proxy.posedirs is None:
        return proxy.vertices
    return _blend_shapes(proxy.vertices, proxy.posedirs, feature)


@compiled
def _blend_shapes(vertices, directions, feature):
    """vertices (V, 3) + sum over k of feature (K) * directions (K, V, 3)."""
    moved = vertices.copy()
    for k in range(feature.size):
        for vertex in range(moved.shape[0]):
            for axis in range(3):
                moved[vertex, axis] += feature[k] * directions[k, vertex, axis]
    return moved


@compiled
def _draw(rest, weights, faces, cameras, size, margin, limit):
    """Write a sample's limits (CELLS, CELLS); returns left, top, side.

    rest (V, 3), weights (V, 24): the body; cameras (24, 3, 4) float64: per joint the map from the
    rest pose to homogeneous pixels; size: the image's height and width.
    """
    points = _project(rest, weights, cameras)
    left, top, side = _square(points, size)
    # From here on in cells, whose centres are whole numbers, and with inverse depths.
    for vertex in range(points.shape[0]):
        points[vertex, 0] = (points[vertex, 0] - left) / side - 0.5
        points[vertex, 1] = (points[vertex, 1] - top) / side - 0.5
        points[vertex, 2] = 1 / points[vertex, 2] if points[vertex, 2] > _NEAREST else 0.0
    nearness = np.zeros((CELLS, CELLS))
    _fill(points, faces, nearness)
    for row in range(CELLS):
        for column in range(CELLS):
            limit[row, column] = 1 / nearness[row, column] + margin
    return left, top, side


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
def _square(points, size):
    """First pixel column and row, and pixels along a cell, of the map around some points (V, 3)."""
    height, width = size
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

    points (V, 3): column and row in cells, inverse depth, which is linear over the image; 0 for a
    point that is not in front of the camera.
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

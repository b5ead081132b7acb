"""Blends of what the nearest vertices carry, for many places at once (method.md 7), compiled.

A tree search answers every place alone, though places lie on a grid and the neighbours of one are
mostly those of the next. Here places are grouped by cells of space, and cells by larger cells. The
k nearest vertices of any place of a group lie within d + 2 r of the group's centre, r its radius
and d the centre's distance to its own k-th nearest vertex. So each group takes over its candidates
from the larger one, and the exact search of a place looks at few vertices. Distances that decide
are float64 of the float32 coordinates, as in a tree search.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from chorus.occupancy.compiled import compiled

_FINE = 0.125
"""Edge of the smaller cells, metres; the larger ones are twice as wide."""
_SLACK = 1e-5
"""Metres by which bounds from float32 distances are widened."""


def nearest_blend(
    points: Float[np.ndarray, "P 3"],
    vertices: Float[np.ndarray, "V 3"],
    values: Float[np.ndarray, "V C"],
    neighbours: int,
    reach: float,
    threads: int = 1,
) -> tuple[Int[np.ndarray, " near"], Float[np.ndarray, " near"], Float[np.ndarray, "near C"]]:
    """Numbers of the points that have a vertex within `reach`, rising, the distance of the nearest
    one, and the blend of `values` there.

    A blend is the mean of the values of the `neighbours` nearest vertices by inverse distance; an
    exact hit takes that vertex's. Points and vertices float32, metres; results float64.
    """
    if not len(points):
        return np.zeros(0, np.int64), np.zeros(0), np.zeros((0, values.shape[1]))
    near = np.zeros(len(points), bool)
    distance = np.full(len(points), np.inf)
    blend = np.zeros((len(points), values.shape[1]))
    order, fine, coarse = _groups(points)
    search = (
        np.ascontiguousarray(points[order].T),
        np.ascontiguousarray(vertices.T),
        np.ascontiguousarray(values, np.float64),
    )
    how = min(neighbours, len(vertices)), float(reach)
    cuts = np.linspace(0, len(coarse) - 1, 4 * max(threads, 1) + 1).astype(int)
    jobs = list(pairwise(cuts))

    def work(job: tuple[int, int]) -> None:
        _search(*search, order, fine, coarse[job[0] : job[1] + 1], *how, near, distance, blend)

    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, jobs))
    else:
        work((0, len(coarse) - 1))
    chosen = np.flatnonzero(near)
    return chosen, distance[chosen], blend[chosen]


def smoothed(
    field: Float[np.ndarray, "N3 C"],
    inner: Int[np.ndarray, " inner"],
    resolution: int,
    rounds: int,
    keep: float,
) -> Float[np.ndarray, "N3 C"]:
    """The field of a grid (N^3, C, C order) after Laplacian smoothing of the voxels `inner`.

    Each round moves them to the mean of their six neighbours but for the share `keep`; all at once.
    `inner` must not hold voxels at the grid's border.
    """
    before, after = field.astype(np.float32), field.astype(np.float32)
    for _ in range(rounds):
        _smooth_once(before, after, inner, resolution, np.float32(keep))
        before, after = after, before
    return before


@compiled
def _smooth_once(before, after, inner, n, keep):
    share = (np.float32(1) - keep) / np.float32(6)
    for at in inner:
        for channel in range(before.shape[1]):
            around = (
                before[at - 1, channel]
                + before[at + 1, channel]
                + before[at - n, channel]
                + before[at + n, channel]
                + before[at - n * n, channel]
                + before[at + n * n, channel]
            )
            after[at, channel] = share * around + keep * before[at, channel]


def _groups(
    points: Float[np.ndarray, "P 3"],
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " f"], Int[np.ndarray, " c"]]:
    """The order that puts points of a cell together, where each fine cell starts among them, and
    which of these starts a coarse cell; both with their end."""
    cell = np.floor((points - points.min(axis=0)) / _FINE).astype(np.int64)
    size = cell.max(axis=0) // 2 + 1
    half = cell // 2
    coarse = (half[:, 0] * size[1] + half[:, 1]) * size[2] + half[:, 2]
    odd = cell & 1
    key = coarse * 8 + odd[:, 0] * 4 + odd[:, 1] * 2 + odd[:, 2]
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    large = key[starts] // 8
    first = np.flatnonzero(np.r_[True, large[1:] != large[:-1]])
    return order, np.r_[starts, len(points)], np.r_[first, len(starts)]


@compiled
def _sink(heap, names, count):
    """Let the root of a heap (largest first) sink to its place."""
    value, name, at = heap[0], names[0], 0
    while True:
        child = 2 * at + 1
        if child >= count:
            break
        if child + 1 < count and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= value:
            break
        heap[at], names[at] = heap[child], names[child]
        at = child
    heap[at], names[at] = value, name


@compiled
def _ball(points, start, stop):
    """Centre of the box around points (3, P) start..stop and the radius that holds them."""
    x = (points[0, start:stop].min() + points[0, start:stop].max()) / 2
    y = (points[1, start:stop].min() + points[1, start:stop].max()) / 2
    z = (points[2, start:stop].min() + points[2, start:stop].max()) / 2
    radius = 0.0
    for at in range(start, stop):
        square = (points[0, at] - x) ** 2 + (points[1, at] - y) ** 2 + (points[2, at] - z) ** 2
        radius = max(radius, square)
    return x, y, z, np.sqrt(radius) + _SLACK


@compiled
def _candidates(ball, source, count, k, squares, heap, names, chosen):
    """Copy to `chosen` (coordinates, numbers) the vertices that may be among the k nearest of a
    place in the ball; their number, and the nearest's distance to the centre. `names` become the k
    nearest of the centre."""
    x, y, z, radius = np.float32(ball[0]), np.float32(ball[1]), np.float32(ball[2]), ball[3]
    places, numbers = source
    for at in range(count):
        dx, dy, dz = places[0, at] - x, places[1, at] - y, places[2, at] - z
        squares[at] = dx * dx + dy * dy + dz * dz
    heap[:k] = np.inf
    nearest = np.inf
    for at in range(count):
        if squares[at] < heap[0]:
            nearest = min(nearest, squares[at])
            heap[0], names[0] = squares[at], numbers[at]
            _sink(heap, names, k)
    nearest, farthest = np.sqrt(nearest), np.sqrt(heap[0])
    limit = (farthest + 2 * radius + _SLACK) ** 2
    found = 0
    for at in range(count):
        if squares[at] <= limit:
            chosen[0][0, found] = places[0, at]
            chosen[0][1, found] = places[1, at]
            chosen[0][2, found] = places[2, at]
            chosen[1][found] = numbers[at]
            found += 1
    return found, nearest


@compiled
def _nearest(x, y, z, source, count, known, vertices, squares, heap, names, k):
    """The k nearest of `count` candidates into the heap; none can be farther than the farthest of
    the k vertices `known`, the nearest of the group's centre."""
    places, numbers = source
    bound = 0.0
    for one in range(k):
        dx = vertices[0, known[one]] - x
        dy = vertices[1, known[one]] - y
        dz = vertices[2, known[one]] - z
        bound = max(bound, dx * dx + dy * dy + dz * dz)
    bound = np.sqrt(bound)
    u, v, w = np.float32(x), np.float32(y), np.float32(z)
    for at in range(count):
        dx, dy, dz = places[0, at] - u, places[1, at] - v, places[2, at] - w
        squares[at] = dx * dx + dy * dy + dz * dz
    heap[:k] = np.inf
    limit = np.float32((bound + _SLACK) ** 2)
    top = np.inf
    for at in range(count):
        if squares[at] <= limit:
            dx = np.float64(places[0, at]) - x
            dy = np.float64(places[1, at]) - y
            dz = np.float64(places[2, at]) - z
            square = dx * dx + dy * dy + dz * dz
            if square < top:
                heap[0], names[0] = square, numbers[at]
                _sink(heap, names, k)
                top = heap[0]


@compiled
def _search(points, vertices, values, order, fine, coarse, k, reach, near, distance, blend):
    """`nearest_blend` for the coarse cells that `coarse` bounds."""
    many, channels = vertices.shape[1], values.shape[1]
    every = (vertices, np.arange(many))
    some = (np.empty((3, many), np.float32), np.empty(many, np.int64))
    few = (np.empty((3, many), np.float32), np.empty(many, np.int64))
    squares = np.empty(many, np.float32)
    heap, names, known = np.empty(k), np.zeros(k, np.int64), np.zeros(k, np.int64)
    total = np.empty(channels)
    for large in range(len(coarse) - 1):
        ball = _ball(points, fine[coarse[large]], fine[coarse[large + 1]])
        found, nearest = _candidates(ball, every, many, k, squares, heap, names, some)
        if nearest - ball[3] > reach + _SLACK:
            continue
        for small in range(coarse[large], coarse[large + 1]):
            start, stop = fine[small], fine[small + 1]
            ball = _ball(points, start, stop)
            left, nearest = _candidates(ball, some, found, k, squares, heap, known, few)
            if nearest - ball[3] > reach + _SLACK:
                continue
            for at in range(start, stop):
                x = np.float64(points[0, at])
                y = np.float64(points[1, at])
                z = np.float64(points[2, at])
                _nearest(x, y, z, few, left, known, vertices, squares, heap, names, k)
                closest = np.sqrt(heap[:k].min())
                if closest > reach:
                    continue
                weight = 0.0
                total[:] = 0
                for one in range(k):
                    closeness = 1 / max(np.sqrt(heap[one]), 1e-12)
                    weight += closeness
                    for channel in range(channels):
                        total[channel] += closeness * values[names[one], channel]
                place = order[at]
                near[place] = True
                distance[place] = closest
                for channel in range(channels):
                    blend[place, channel] = total[channel] / weight

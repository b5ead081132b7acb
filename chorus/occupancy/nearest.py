"""The nearest vertices of many places and what they carry, blended, on a CPU (method.md 7).

The vertices are cut into compact groups of equal size, each with its bounding box. A place's k
nearest vertices are no farther than the farthest of those of the place before it, so a short list
of groups is all that is looked at; places that follow each other through space, as voxels in C
order do, make it short. Places far from all boxes are passed over. Which vertices are found does
not depend on the place before, so places may be cut into pieces for threads.

Everything is float64, metres; squares are squared distances.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from chorus.geometry.compiled import compiled

_GROUP = 32
"""Vertices of a group at most."""
_CLUSTER = 16
"""Groups that have a box around them all."""
_CELL = 0.06
"""Edge of the cells that points in any order are sorted by, metres: about a voxel of 48^3."""
CLOSEST = 1e-12
"""Distances count as at least this: a vertex that is hit outweighs all others, without a division
by zero."""


@dataclass(frozen=True, eq=False)
class VertexGroups:
    """Vertices in M clusters of B groups of S, with what they carry, in the order of the groups."""

    places: Float[np.ndarray, "G 3 S"]
    """Coordinates of the vertices of all G groups; infinite where a group has fewer."""
    boxes: Float[np.ndarray, "M 2 3 B"]
    """Lowest and highest corners of the groups' boxes."""
    outer: Float[np.ndarray, "2 3 M"]
    """Lowest and highest corners of the clusters' boxes."""
    values: Float[np.ndarray, "GS C"]
    """What the vertices carry."""
    first: Int[np.ndarray, " V"]
    """Where each vertex lies in the order of the groups."""

    @classmethod
    def of(
        cls, vertices: Float[np.ndarray, "V 3"], values: Float[np.ndarray, "V C"]
    ) -> VertexGroups:
        """Groups of vertices (V, 3), V at least 1, by halving along the longest side of the box."""
        count = len(vertices)
        groups = 1
        while groups * _GROUP < count:
            groups *= 2
        size = -(-count // groups)
        # The last vertex is repeated to fill up the groups, but lies nowhere there.
        vertex = np.minimum(np.arange(groups * size), count - 1)
        points = np.asarray(vertices, np.float64)[vertex]
        order = np.arange(groups * size)
        _halve(points, order, size)
        points, filled = points[order].reshape(groups, size, 3), order >= count
        first = np.empty(count, np.int64)
        first[order[~filled]] = np.flatnonzero(~filled)
        boxes = np.stack([points.min(axis=1), points.max(axis=1)])
        boxes = boxes.reshape(2, -1, min(groups, _CLUSTER), 3)
        outer = np.stack([boxes[0].min(axis=1), boxes[1].max(axis=1)])
        points[filled.reshape(groups, size)] = np.inf
        return cls(
            places=points.transpose(0, 2, 1).copy(),
            boxes=boxes.transpose(1, 0, 3, 2).copy(),
            outer=outer.transpose(0, 2, 1).copy(),
            values=np.asarray(values, np.float64)[vertex[order]],
            first=first,
        )


def nearest_blend(
    groups: VertexGroups,
    points: Float[np.ndarray, "P 3"],
    neighbours: int,
    reach: float,
    line: int | None = None,
    threads: int = 1,
) -> tuple[Int[np.ndarray, " near"], Float[np.ndarray, " near"], Float[np.ndarray, "near C"]]:
    """Numbers of the points (P, 3) that have a vertex within reach (metres; rising), the distance
    of the nearest one, and the mean of what the nearest vertices carry by inverse distance.

    neighbours: how many vertices a mean is of, at least 1 and at most as many as there are. Of
    vertices equally far any may be taken. line: how many points follow each other on a straight
    line before the next begins beside it, as in a grid; None for points in any order, which are
    sorted first. threads: how many pieces are worked on at a time. The points must be finite.
    """
    points = np.ascontiguousarray(points, np.float64)
    if line is None:
        order = np.lexsort(np.floor(points / _CELL).T)
        near, distance, blend = nearest_blend(groups, points[order], neighbours, reach, 1, threads)
        rising = np.argsort(order[near])
        return order[near][rising], distance[rising], blend[rising]
    near = np.zeros(len(points), bool)
    distance = np.empty(len(points))
    blend = np.empty((len(points), groups.values.shape[1]))
    arrays = groups.places, groups.boxes, groups.outer, groups.values

    def search(piece: slice) -> None:
        first = groups.first[:neighbours].copy()
        _search(points[piece], arrays, first, line, reach,
                near[piece], distance[piece], blend[piece])  # fmt: skip

    lines = -(-len(points) // line)
    bounds = np.linspace(0, lines, max(threads, 1) + 1).astype(int) * line
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        list(pool.map(search, map(slice, bounds[:-1], bounds[1:])))
    return np.flatnonzero(near), distance[near], blend[near]


@compiled
def _halve(points, order, size):
    """Sort order (G * size) so that every run of `size` numbers is a compact group of points."""
    length = order.size
    key = np.empty(length)
    while length > size:
        for start in range(0, order.size, length):
            part = order[start : start + length]
            longest, side = 0, -1.0
            for axis in range(3):
                low, high = np.inf, -np.inf
                for k in range(length):
                    low, high = min(low, points[part[k], axis]), max(high, points[part[k], axis])
                if high - low > side:
                    longest, side = axis, high - low
            for k in range(length):
                key[k] = points[part[k], longest]
            _split(key[:length], part, length // 2)
        length //= 2


@compiled
def _split(key, order, middle):
    """Sort both so that no key before `middle` is larger than one from there on (quickselect)."""
    first, last = 0, key.size - 1
    while first < last:
        pivot = key[(first + last) // 2]
        low, high = first, last
        while low <= high:
            while key[low] < pivot:
                low += 1
            while key[high] > pivot:
                high -= 1
            if low <= high:
                key[low], key[high] = key[high], key[low]
                order[low], order[high] = order[high], order[low]
                low += 1
                high -= 1
        if middle <= high:
            last = high
        elif middle >= low:
            first = low
        else:
            break


@compiled
def _search(points, arrays, first, line, reach, near, distance, blend):
    """`nearest_blend` of points one after the other; first (k) int64: any k vertices, used up."""
    places, boxes, outer, values = arrays
    bound = np.empty(max(outer.shape[2], boxes.shape[3], places.shape[2]))
    listed = np.empty(len(places), np.int64)
    squares = np.empty(len(places) * places.shape[2])
    numbers = np.empty(squares.size, np.int64)
    found, begun = first.copy(), False
    before, free = (0.0, 0.0, 0.0), -1.0
    for place in range(len(points)):
        if place % line == 0:  # begins beside the line before, where that one met the body first
            found[:], begun = first, False
        point = points[place, 0], points[place, 1], points[place, 2]
        if free > 0 and _square(point, before) < free * free:
            continue
        farthest = _farthest(point, places, found)
        many, closest = _list_groups(point, boxes, outer, farthest, bound, listed)
        free = np.sqrt(closest) - reach
        if free > 0:
            # A little less, so that rounding passes no place over that is within reach.
            before, free = point, free * (1 - 1e-9)
            continue
        seen = _gather(point, places, listed[:many], farthest, bound, squares, numbers)
        _choose(squares, numbers, seen, farthest, found)
        if not begun:
            first[:], begun = found, True
        distance[place] = np.sqrt(squares[: found.size].min())
        near[place] = distance[place] <= reach
        if near[place]:
            _blend(squares, found, values, blend[place])


@compiled
def _square(one, other):
    """Squared distance of two points."""
    dx, dy, dz = other[0] - one[0], other[1] - one[1], other[2] - one[2]
    return dx * dx + dy * dy + dz * dz


@compiled
def _farthest(point, places, found):
    """The largest square of the vertices `found`, and a little more, so that rounding leaves out
    none of them."""
    size = places.shape[2]
    farthest = 0.0
    for number in found:
        group, k = number // size, number % size
        vertex = places[group, 0, k], places[group, 1, k], places[group, 2, k]
        farthest = max(farthest, _square(point, vertex))
    return farthest * (1 + 1e-12)


@compiled
def _box_squares(point, low, high, bound):
    """Write the squares of boxes with these corners (3, B) to the front of `bound`."""
    x, y, z = point
    for box in range(low.shape[1]):
        dx = max(low[0, box] - x, x - high[0, box], 0.0)
        dy = max(low[1, box] - y, y - high[1, box], 0.0)
        dz = max(low[2, box] - z, z - high[2, box], 0.0)
        bound[box] = dx * dx + dy * dy + dz * dz


@compiled
def _list_groups(point, boxes, outer, farthest, bound, listed):
    """List the groups whose boxes are no farther; how many, and the least square of a box."""
    size = boxes.shape[3]
    _box_squares(point, outer[0], outer[1], bound)
    near = 0
    for cluster in range(outer.shape[2]):
        listed[near] = cluster
        near += bound[cluster] <= farthest
    clusters = listed[:near].copy()
    many, closest = 0, np.inf
    for cluster in clusters:
        _box_squares(point, boxes[cluster, 0], boxes[cluster, 1], bound)
        for group in range(size):
            listed[many] = cluster * size + group
            many += bound[group] <= farthest
            closest = min(closest, bound[group])
    return many, closest


@compiled
def _gather(point, places, listed, farthest, square, squares, numbers):
    """Write squares and numbers of the listed groups' vertices that are no farther; how many."""
    x, y, z = point
    size = places.shape[2]
    seen = 0
    for group in listed:
        for k in range(size):
            dx, dy, dz = places[group, 0, k] - x, places[group, 1, k] - y, places[group, 2, k] - z
            square[k] = dx * dx + dy * dy + dz * dz
        # Written always and kept if near enough: a branch would be foretold badly.
        for k in range(size):
            squares[seen], numbers[seen] = square[k], group * size + k
            seen += square[k] <= farthest
    return seen


@compiled
def _choose(squares, numbers, seen, farthest, found):
    """The nearest of the `seen` vertices to `found`, their squares to the front of `squares`."""
    # The interval in which the last one's square lies is halved until exactly as many lie below.
    # When it cannot be halved any more, all that is left in it is equally far.
    low, high, sure = -1.0, farthest, 0
    while sure < found.size < seen:
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        below = 0
        for k in range(seen):
            below += squares[k] <= middle
        if below <= found.size:
            low, sure = middle, below
        else:
            high = middle
    taken = 0
    for k in range(seen):
        certain = squares[k] <= low
        if certain or (sure < found.size and squares[k] <= high):
            squares[taken], found[taken] = squares[k], numbers[k]
            taken += 1
            sure += not certain


@compiled
def _blend(squares, found, values, blend):
    """Write the mean of the values of the vertices `found` by inverse distance."""
    total = 0.0
    blend[:] = 0
    for k in range(found.size):
        closeness = 1 / max(np.sqrt(squares[k]), CLOSEST)
        total += closeness
        for channel in range(blend.size):
            blend[channel] += closeness * values[found[k], channel]
    blend /= total

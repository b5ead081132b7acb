"""Which points lie inside of a closed mesh, and how deep; which lie near a surface."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from chorus.geometry.compiled import compiled
from chorus.rendering.raycast import RayScene, unit

_DIRECTIONS = unit(np.array([[0.31, 0.87, 0.39], [-0.59, -0.42, 0.69], [0.73, -0.37, -0.58]]))
"""Directions of the rays that decide by majority: along no axis, as edges of meshes often are."""
_STEP = 1e-5
"""How far beyond a face its ray goes on, as a part of the mesh's size."""


def body_depth_inside(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    points: Float[np.ndarray, "P 3"],
) -> Float[np.ndarray, " P"]:
    """(P,) float64: distance of points inside a mesh from its surface, 0 for those outside, metres.

    The mesh is closed and its faces are counter-clockwise seen from outside. Where it overlaps
    itself, as a bent body does, inside any part is inside, and the distance is that of the nearest
    triangle, in whichever part. NaN is outside. BadInput if a vertex is not finite or a face names
    a vertex that does not exist.
    """
    vertices, points = np.asarray(vertices, np.float64), np.asarray(points, np.float64)
    within = inside(vertices, faces, points)
    depth = np.zeros(len(points))
    depth[within] = _distances(points[within], vertices[faces])
    return depth


def inside(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    points: Float[np.ndarray, "P 3"],
) -> Bool[np.ndarray, " P"]:
    """(P,) bool: which points lie inside a mesh, closed as in `body_depth_inside`."""
    vertices, points = np.asarray(vertices, np.float64), np.asarray(points, np.float64)
    scene = RayScene([(vertices, faces)])
    if not len(scene.faces[0]):
        return np.zeros(len(points), bool)
    used = vertices[np.unique(faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    within = ((points > low) & (points < high)).all(axis=1)
    step = _STEP * np.linalg.norm(high - low)
    windings = [_winding(scene, points[within], along, step) for along in _DIRECTIONS]
    within[within] = np.sum([winding > 0 for winding in windings], axis=0) >= 2
    return within


def _winding(
    scene: RayScene,
    points: Float[np.ndarray, "P 3"],
    direction: Float[np.ndarray, " 3"],
    step: float,
) -> Int[np.ndarray, " P"]:
    """How many more faces a ray from each point leaves the mesh by than it enters by."""
    corners = scene.vertices[0][scene.faces[0]].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    leaving = np.sign(normals @ direction).astype(np.int64)
    winding = np.zeros(len(points), np.int64)
    going, origins = np.arange(len(points)), points
    while len(going):
        hits = scene.first(origins, direction)
        found = hits.found
        winding[going[found]] += leaving[hits.face_id[found]]
        beyond = hits.depth[found].astype(np.float64) + step
        going, origins = going[found], origins[found] + beyond[:, None] * direction
    return winding


def near_surface(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    points: Float[np.ndarray, "P 3"],
    distance: float,
) -> Bool[np.ndarray, " P"]:
    """(P,) bool: which points are at most `distance` from a mesh's surface, on either side.

    Same units throughout; the mesh need not be closed. NaN is not near.
    """
    triangles = np.asarray(vertices, np.float64)[faces]
    low, high = triangles.min(axis=1) - distance, triangles.max(axis=1) + distance
    return _near(np.asarray(points, np.float64), triangles, low, high, distance**2)


@compiled
def _near(points, triangles, low, high, square):
    """(P,) whether some triangle (F, 3, 3) is near a point; low, high (F, 3): where it may be."""
    near = np.zeros(points.shape[0], dtype=np.bool_)
    for point in range(points.shape[0]):
        x, y, z = points[point]
        for face in range(triangles.shape[0]):
            if not (
                low[face, 0] <= x <= high[face, 0]
                and low[face, 1] <= y <= high[face, 1]
                and low[face, 2] <= z <= high[face, 2]
            ):
                continue
            if _square_distance(points[point], triangles[face]) <= square:
                near[point] = True
                break
    return near


@compiled
def _distances(points, triangles):
    """(P,) distance of points (P, 3) from the nearest of triangles (F, 3, 3)."""
    distances = np.empty(points.shape[0])
    for point in range(points.shape[0]):
        nearest = np.inf
        for face in range(triangles.shape[0]):
            nearest = min(nearest, _square_distance(points[point], triangles[face]))
        distances[point] = np.sqrt(nearest)
    return distances


@compiled
def _square_distance(point, triangle):
    """Squared distance of a point (3,) from a triangle (3, 3): to its plane or to its edges."""
    a, b, c = triangle[0], triangle[1], triangle[2]
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    wx, wy, wz = point[0] - a[0], point[1] - a[1], point[2] - a[2]
    uu, uv, vv = (
        ux * ux + uy * uy + uz * uz,
        ux * vx + uy * vy + uz * vz,
        vx * vx + vy * vy + vz * vz,
    )
    wu, wv, ww = (
        wx * ux + wy * uy + wz * uz,
        wx * vx + wy * vy + wz * vz,
        wx * wx + wy * wy + wz * wz,
    )
    area = uu * vv - uv * uv
    s, t = vv * wu - uv * wv, uu * wv - uv * wu
    if area > 0 and s >= 0 and t >= 0 and s + t <= area:
        # The foot of the perpendicular lies within; rounding may take the square below 0.
        return max(ww - (s * wu + t * wv) / area, 0.0)
    along_c = _to_segment(ww - 2 * wu + uu, wv - uv - wu + uu, vv - 2 * uv + uu)
    return min(_to_segment(ww, wu, uu), _to_segment(ww, wv, vv), along_c)


@compiled
def _to_segment(square, along, length):
    """Squared distance of a point p from a segment v from the origin: from p p, p v and v v."""
    share = min(max(along / length, 0.0), 1.0) if length > 0 else 0.0
    return max(square - 2 * share * along + share * share * length, 0.0)

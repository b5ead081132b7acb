"""Ray casting of triangle meshes on the CPU with embree (no GL, no display).

Pixels, cameras and axes follow docs/conventions.md: a camera maps world to camera by
`R @ X + t` (x right, y down, z forward), and the ray of pixel (column, row) goes through its
centre (column + 0.5, row + 0.5). A mesh is a `trimesh.Trimesh` or a pair (vertices, faces).

    hits = cast([(vertices, faces)], R, t, K, width=512, height=512)
    mask = hits.mesh_id == 0
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from chorus.errors import BadInput

# A camera-space margin for the projected bounding box, in pixels: covers float32 rounding.
_BOX_MARGIN = 2


@dataclass(frozen=True)
class Hits:
    """First surface met by each ray; all arrays share the rays' leading shape `...`.

    mesh_id (...) int32: index into the list of meshes, -1 for none.
    face_id (...) int32: index into that mesh's faces, -1 for none.
    depth (...) float32: distance in units of the ray direction's length, inf for none. For
        `cast` that is the camera's z in metres.
    barycentric (..., 2) float32: weights of the face's second and third corner; the first
        corner's is one minus both.
    """

    mesh_id: np.ndarray
    face_id: np.ndarray
    depth: np.ndarray
    barycentric: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """(...) bool: whether the ray met anything."""
        return self.mesh_id >= 0

    def __getitem__(self, index) -> Hits:
        """The same record for a subset of the rays (any numpy index on the leading shape)."""
        return Hits(
            self.mesh_id[index], self.face_id[index], self.depth[index], self.barycentric[index]
        )


class RayScene:
    """Meshes prepared for ray queries: builds embree's hierarchy once, answers many times.

    meshes: sequence of trimesh.Trimesh or (vertices (V, 3), faces (F, 3)) in one common frame,
        metres. A mesh without faces keeps its index and is never hit.
    Raises BadInput if a vertex is not finite or a face names a vertex that does not exist.
    """

    def __init__(self, meshes: Sequence):
        self.vertices: list[np.ndarray] = []
        self.faces: list[np.ndarray] = []
        self._mesh_of_geometry: list[int] = []
        self._scene = EmbreeScene(robust=True)
        for index, mesh in enumerate(meshes):
            vertices, faces = _arrays(mesh, index)
            self.vertices.append(vertices)
            self.faces.append(faces)
            if len(faces):
                TriangleMesh(self._scene, vertices, faces)
                self._mesh_of_geometry.append(index)
        # embree numbers a miss -1, which picks the appended last entry.
        self._geometry_to_mesh = np.array([*self._mesh_of_geometry, -1], np.int32)

    def first(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """First hit of each ray. origins, directions (P, 3); directions need not be unit length.

        Both sides of a face count. Returns Hits with leading shape (P,).
        """
        origins, directions = _rays(origins, directions)
        if not self._mesh_of_geometry or not len(origins):
            return _no_hits(len(origins))
        hits = self._scene.run(origins, directions, output=1)
        geometry = hits["geomID"]
        return Hits(
            mesh_id=self._geometry_to_mesh[geometry],
            face_id=hits["primID"],
            depth=np.where(geometry < 0, np.float32(np.inf), hits["tfar"]),
            barycentric=np.stack([hits["u"], hits["v"]], axis=-1),
        )

    def occluded(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Whether each ray meets anything at all, (P,) bool: shadow and ambient-occlusion rays.

        origins (P, 3) must already be lifted off their own surface; directions (P, 3) or (3,).
        """
        origins, directions = _rays(origins, directions)
        if not self._mesh_of_geometry or not len(origins):
            return np.zeros(len(origins), bool)
        return self._scene.run(origins, directions, query="OCCLUDED") != -1

    def cast(self, R, t, K, width: int, height: int) -> Hits:
        """First hit of every pixel's ray; see the module's `cast`."""
        R, t, K = (np.asarray(value, np.float64) for value in (R, t, K))
        rays = camera_rays(K, width, height) @ R.astype(np.float32)
        centre = (-R.T @ t).astype(np.float32)
        hits = _no_hits((height, width))
        box = self._pixel_box(R, t, K, width, height)
        if box is None:
            return hits
        rows, columns = slice(box[1], box[3]), slice(box[0], box[2])
        directions = np.ascontiguousarray(rays[rows, columns]).reshape(-1, 3)
        part = self.first(np.broadcast_to(centre, directions.shape), directions)
        shape = (box[3] - box[1], box[2] - box[0])
        hits.mesh_id[rows, columns] = part.mesh_id.reshape(shape)
        hits.face_id[rows, columns] = part.face_id.reshape(shape)
        hits.depth[rows, columns] = part.depth.reshape(shape)
        hits.barycentric[rows, columns] = part.barycentric.reshape(*shape, 2)
        return hits

    def _pixel_box(self, R, t, K, width, height) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom of the pixels that can see anything; None if there are none."""
        filled = [v for v, f in zip(self.vertices, self.faces, strict=True) if len(f)]
        if not filled:
            return None
        points = np.concatenate(filled) @ R.T.astype(np.float32) + t.astype(np.float32)
        depth = points[:, 2]
        if depth.max() <= 0:
            return None
        if depth.min() <= 1e-3:  # something reaches behind the image plane: no bound to draw
            return 0, 0, width, height
        pixels = (points @ K.T.astype(np.float32))[:, :2] / depth[:, None]
        low = np.floor(pixels.min(0)) - _BOX_MARGIN
        high = np.ceil(pixels.max(0)) + _BOX_MARGIN
        left, top = (int(v) for v in np.clip(low, 0, [width, height]))
        right, bottom = (int(v) for v in np.clip(high, 0, [width, height]))
        return (left, top, right, bottom) if left < right and top < bottom else None


def cast(meshes: Sequence, R, t, K, width: int, height: int) -> Hits:
    """What every pixel of a pinhole camera sees first.

    meshes: sequence of trimesh.Trimesh or (vertices, faces), world frame, metres.
    R (3, 3), t (3,): world to camera. K (3, 3): intrinsics in pixels.
    Returns Hits with arrays (height, width[, 2]); depth is the camera's z in metres.
    A camera inside a mesh sees its inner side; what lies behind the camera is not seen.
    """
    return RayScene(meshes).cast(R, t, K, width, height)


def camera_rays(K, width: int, height: int) -> np.ndarray:
    """Ray directions through all pixel centres, camera frame, z = 1: (height, width, 3) float32.

    The array is shared between calls and read-only.
    """
    K = np.asarray(K, np.float64)
    return _camera_rays(tuple(K.ravel()), int(width), int(height))


@lru_cache(maxsize=8)
def _camera_rays(K: tuple, width: int, height: int) -> np.ndarray:
    inverse = np.linalg.inv(np.array(K).reshape(3, 3))
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ inverse.T
    rays = rays.astype(np.float32)
    rays.flags.writeable = False
    return rays


def blend_corners(corners: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """Barycentric mean of the three corners' values: corners (P, 3, ...) -> (P, ...).

    `blend_corners(vertex_normals(vertices, faces)[faces[hits.face_id]], hits.barycentric)`
    are the shading normals of hits (P,) on one mesh, before normalisation.
    """
    extra = (1,) * (corners.ndim - 2)
    u = barycentric[:, 0].reshape(-1, *extra)
    v = barycentric[:, 1].reshape(-1, *extra)
    return corners[:, 0] * (1 - u - v) + corners[:, 1] * u + corners[:, 2] * v


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals of the vertices, (V, 3) float32."""
    corners = vertices[faces]
    weighted = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.stack(
        [
            np.bincount(faces.ravel(), np.repeat(weighted[:, axis], 3), len(vertices))
            for axis in range(3)
        ],
        axis=-1,
    )
    return unit(total).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) divided by their length; zero stays zero."""
    length = np.sqrt(np.einsum("...i,...i->...", vectors, vectors))
    return vectors / np.maximum(length, 1e-12)[..., None]


def _arrays(mesh, index: int) -> tuple[np.ndarray, np.ndarray]:
    vertices, faces = (mesh.vertices, mesh.faces) if hasattr(mesh, "faces") else mesh
    vertices = np.array(vertices, np.float32, order="C").reshape(-1, 3)
    faces = np.array(faces, np.int32, order="C").reshape(-1, 3)
    if not np.isfinite(vertices).all():
        raise BadInput(
            f"mesh {index} has {int((~np.isfinite(vertices)).any(1).sum())} vertices that are NaN "
            "or infinite; every coordinate must be a finite number of metres."
        )
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise BadInput(
            f"mesh {index} has a face that names vertex {int(faces.max())}, but only "
            f"{len(vertices)} vertices; face indices must lie in 0..{len(vertices) - 1}."
        )
    return vertices, faces


def _rays(origins, directions) -> tuple[np.ndarray, np.ndarray]:
    origins = np.ascontiguousarray(origins, np.float32)
    directions = np.broadcast_to(np.asarray(directions, np.float32), origins.shape)
    return origins, np.ascontiguousarray(directions)


def _no_hits(shape) -> Hits:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return Hits(
        mesh_id=np.full(shape, -1, np.int32),
        face_id=np.full(shape, -1, np.int32),
        depth=np.full(shape, np.inf, np.float32),
        barycentric=np.zeros((*shape, 2), np.float32),
    )

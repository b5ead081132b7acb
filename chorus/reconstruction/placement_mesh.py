"""The mesh of an object that is to be placed: read, mended where that is safe, and filled with
points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from chorus.errors import BadInput
from chorus.geometry.surfaces import evenly_spread
from chorus.rendering.inside import inside

Unit = Literal["m", "cm", "mm", "in", "ft", "any"]
METRES: dict[str, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}
"""How many metres the units are that meshes come in."""
SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl")
POINTS = 400
"""Points that stand for the object's volume, and as many for its surface."""
_ROUNDS = 6
"""How often the lattice is made finer to have enough points inside; a thin object needs that."""
_THIN = 1e-3
"""A mesh that fills less of its box than this has no inside to speak of."""


@dataclass(frozen=True, eq=False)
class ObjectMesh:
    """An object in its own frame and unit, with points that stand for it."""

    vertices: Float[np.ndarray, "V 3"]
    """In the file's unit."""
    faces: Int[np.ndarray, "F 3"]
    """Triangles, counter-clockwise seen from outside if it is closed."""
    inside: Float[np.ndarray, "P 3"]
    """Spread evenly through its volume; over its surface if it encloses none."""
    surface: Float[np.ndarray, "S 3"]
    """Spread evenly over its surface."""
    closed: bool
    """Whether every edge has a face on either side."""
    notes: tuple[str, ...] = ()
    """What was found and done about it, a sentence each."""

    @property
    def centre(self) -> Float[np.ndarray, " 3"]:
        """(3,) the middle of its volume, the file's unit."""
        return self.inside.mean(axis=0)

    @property
    def size(self) -> float:
        """Its largest extent along an axis of its own, the file's unit."""
        return float(np.ptp(self.vertices, axis=0).max())


def read_mesh(path: str | Path) -> ObjectMesh:
    """The object in a GLB, glTF, OBJ, PLY or STL file, its parts put together.

    BadInput if there is no such file, it is of another kind or damaged, or has no faces.
    """
    import trimesh

    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(
            f"{path} is no mesh that is read here; give a file in {', '.join(SUFFIXES)}."
        )
    if not path.is_file():
        state = "a folder" if path.is_dir() else "not there"
        raise BadInput(f"the mesh {path} is {state}; give a file in {', '.join(SUFFIXES)}.")
    try:
        loaded = trimesh.load(path, process=False)
        mesh = loaded.to_mesh() if isinstance(loaded, trimesh.Scene) else loaded
    except Exception as problem:  # trimesh's readers raise whatever goes wrong in them
        raise BadInput(f"{path} cannot be read as a mesh: {problem}.") from problem
    vertices, faces = getattr(mesh, "vertices", ()), getattr(mesh, "faces", ())
    return object_mesh(np.asarray(vertices, float), np.asarray(faces, np.int64), str(path))


def object_mesh(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], name: str = "the mesh"
) -> ObjectMesh:
    """An object from its arrays, made ready to be placed.

    Faces of no area and what no face names are left out; a mesh turned inside out is turned back;
    one that encloses nothing (open, or a sheet) is stood for by its surface, which a note says.
    BadInput, with the name, for a mesh without faces, without extent, or not finite.
    """
    vertices = np.asarray(vertices, float).reshape(-1, 3)
    faces = np.asarray(faces, np.int64).reshape(-1, 3)
    _check(vertices, faces, name)
    vertices, faces = _with_area(vertices, faces, name)
    notes = []
    closed = _closed(faces)
    volume = _signed_volume(vertices, faces)
    if closed and volume < 0:
        faces = faces[:, ::-1]
        notes.append(f"{name} was inside out: its faces are turned round.")
    surface = _surface_points(vertices, faces)
    filling = _filling_points(vertices, faces)
    if filling is None:
        filling = surface
        why = "encloses nothing" if closed else "is open"
        notes.append(f"{name} {why}: its surface is placed, as if the object were a thin shell.")
    elif not closed:
        notes.append(f"{name} is open: what lies inside is decided by most of three directions.")
    return ObjectMesh(vertices, faces, filling, surface, closed, tuple(notes))


def _check(vertices: np.ndarray, faces: np.ndarray, name: str) -> None:
    if not len(vertices):
        raise BadInput(f"{name} is empty; give a mesh with triangles.")
    if not len(faces):
        raise BadInput(
            f"{name} has {len(vertices):,} points and no faces; make triangles of them first, by "
            "Poisson reconstruction for example."
        )
    if not np.isfinite(vertices).all():
        raise BadInput(f"{name} has vertices that are NaN or infinite; mend the file.")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise BadInput(
            f"{name} has a face that names vertex {int(faces.max())} of {len(vertices)}; mend it."
        )


def _with_area(vertices: np.ndarray, faces: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    corners = vertices[faces]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    faces = faces[area > 0]
    if not len(faces):
        raise BadInput(f"{name} has no face with an area; give a mesh with triangles.")
    # Files list a vertex once per normal or texture coordinate: equal places are one vertex.
    places, numbers = np.unique(vertices[faces].reshape(-1, 3), axis=0, return_inverse=True)
    return places, numbers.reshape(-1, 3)


def _closed(faces: Int[np.ndarray, "F 3"]) -> bool:
    """Whether every edge is passed as often one way as the other."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = int(faces.max()) + 1
    there = np.sort(edges[:, 0] * count + edges[:, 1])
    back = np.sort(edges[:, 1] * count + edges[:, 0])
    return bool((there == back).all())


def _signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = np.moveaxis(vertices[faces] - vertices.mean(axis=0), 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def _surface_points(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corners = vertices[faces]
    face, shares = evenly_spread(corners, POINTS)
    return (shares[..., None] * corners[face]).sum(axis=1)


def _filling_points(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray | None:
    """POINTS points (P, 3) evenly through the volume, the same in every run; None if there is
    none."""
    low, extent = vertices.min(axis=0), np.ptp(vertices, axis=0)
    if not (extent > 0).all():
        return None
    rng = np.random.default_rng(0)
    wanted = 8 * POINTS
    for _ in range(_ROUNDS):
        spacing = (extent.prod() / wanted) ** (1 / 3)
        counts = np.clip(np.ceil(extent / spacing), 5, 400).astype(int)
        cells = np.stack(np.indices(counts), axis=-1).reshape(-1, 3)
        points = low + (cells + rng.uniform(size=cells.shape)) / counts * extent
        # Embree computes in single precision: the object is looked at in a box of size one.
        within = inside((vertices - low) / extent.max(), faces, (points - low) / extent.max())
        found = points[within]
        if len(found) >= POINTS:
            return found[((np.arange(POINTS) + 0.5) * len(found) / POINTS).astype(int)]
        if wanted > 1e6 or len(found) < _THIN * len(points):
            break
        wanted *= min(1.5 * POINTS / max(len(found), 1), 8)
    return found if len(found) >= POINTS / 4 else None

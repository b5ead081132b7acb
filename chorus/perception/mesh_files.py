"""Meshes of persons and objects as other programs write them: OBJ, PLY, GLB, STL, …"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from chorus.errors import BadInput

MOST_OPEN = 0.02
"""Part of a mesh's edges that may lie at holes: what is inside is then still told by rays."""


class Mesh(NamedTuple):
    """vertices (V, 3), metres; faces (F, 3) vertex numbers; closed: whether it has an inside, which
    its faces then look away from."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    closed: bool


def read_mesh(path: Path, centred: bool = False) -> Mesh:
    """The mesh of a file, vertices of one place joined; BadInput if it is no mesh.

    centred: move the mean of the vertices, as the file lists them, to the origin.
    """
    import trimesh

    try:
        mesh = trimesh.load(path, process=False, force="mesh", skip_materials=True)
        if centred:
            mesh.apply_translation(-np.mean(mesh.vertices, axis=0))
        mesh.merge_vertices(merge_tex=True, merge_norm=True)
        vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    except Exception as error:  # a damaged file can fail in any way; none of them is ours
        raise BadInput(f"{path.name} cannot be read as a mesh ({error})") from error
    return mesh_of(vertices, faces, path.name)


def mesh_of(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], where: str) -> Mesh:
    """A mesh of arrays; BadInput, naming `where`, if it has no triangles or is not finite."""
    import trimesh

    if not len(faces) or not np.isfinite(vertices).all():
        raise BadInput(f"{where} has no triangles, or a vertex that is not finite")
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    closed = bool(mesh.is_watertight and mesh.is_winding_consistent)
    if closed and mesh.volume < 0:  # all its faces look inwards
        faces = faces[:, ::-1].copy()
    return Mesh(vertices, faces, closed)


def with_inside(mesh: Mesh, where: str) -> Mesh:
    """A mesh of which one can tell what is inside: closed, or with few holes (`MOST_OPEN`), and its
    faces looking outwards. BadInput, naming `where` and the cure, for any other."""
    import trimesh

    if mesh.closed:
        return mesh
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    _, counts = np.unique(solid.edges_sorted, axis=0, return_counts=True)
    share = float((counts == 1).mean())
    if share > MOST_OPEN:
        raise BadInput(
            f"{where} is open: {100 * share:.0f} % of its edges lie at holes, so nothing is inside "
            "of it; fill the holes (trimesh's fill_holes, MeshLab, Blender)"
        )
    _, counts = np.unique(solid.edges, axis=0, return_counts=True)
    if float((counts > 1).mean()) > MOST_OPEN:  # two faces run along an edge in one direction
        raise BadInput(
            f"{where} has faces that look to different sides; make them consistent (trimesh's "
            "fix_normals, Blender's Recalculate Outside)"
        )
    faces = mesh.faces[:, ::-1].copy() if solid.volume < 0 else mesh.faces
    return Mesh(mesh.vertices, faces, False)

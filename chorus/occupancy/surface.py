"""Surfaces of a volume: marching cubes, and mesh files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput
from chorus.files import atomic_write
from chorus.occupancy.grid import VoxelGrid

if TYPE_CHECKING:
    import trimesh

SUFFIXES = (".glb", ".ply", ".obj")
"""Mesh files that can be written."""


def isosurface(
    volume: Float[np.ndarray, "N N N"], grid: VoxelGrid, threshold: float
) -> trimesh.Trimesh:
    """Closed surface around the voxels of `volume` that reach the threshold, metres.

    Outside the grid counts as 0, so the surface closes at its border. Normals point outward.
    BadInput if the threshold is not above 0 or no voxel reaches it.
    """
    import trimesh
    from skimage.measure import marching_cubes

    highest = float(volume.max())
    if not 0 < threshold <= highest:
        raise BadInput(
            f"no surface at the threshold {threshold}: it must be above 0 and at most the highest "
            f"value of the volume, {highest:.4g}."
        )
    # A level a hair below lets voxels that equal the threshold lie inside, not on the surface.
    vertices, faces, _, _ = marching_cubes(
        np.pad(volume, 1),
        level=threshold * (1 - 1e-6),
        gradient_direction="ascent",
        allow_degenerate=False,
    )
    # Padding moved all voxels by one; a voxel's centre is half a voxel above its lower corner.
    vertices = grid.start + grid.size * (vertices - 0.5)
    return trimesh.Trimesh(vertices, faces, process=False)


def write_mesh(mesh: trimesh.Trimesh, path: str | Path) -> None:
    """Write a mesh as GLB, PLY or OBJ, as the path's suffix says, whole or not at all.

    BadInput for another suffix; DiskFull if the disk is.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(
            f"meshes are written as {', '.join(SUFFIXES)}, not {suffix or 'without a suffix'!r}; "
            f"rename {path.name!r}."
        )
    normals = {"include_normals": True} if suffix == ".glb" else {}
    content = mesh.export(file_type=suffix[1:], **normals)
    content = content.encode() if isinstance(content, str) else content
    atomic_write(path, content)

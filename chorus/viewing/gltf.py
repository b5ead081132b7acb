"""A distribution and its body as one binary glTF file (GLB), for any 3D program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.surface import isosurface
from chorus.viewing.displayed import DisplayedBody, DisplayedDistribution
from chorus.viewing.scene import BODY_COLOUR, ColourScale, outermost_level
from chorus.viewing.surfaces import refine

if TYPE_CHECKING:
    import trimesh

    from chorus.body.model import BodyModel
    from chorus.occupancy.distribution import Distribution

_OPACITY = 0.8


def distribution_glb(
    distribution: Distribution, body: BodyModel, threshold: float | None = None
) -> bytes:
    """A GLB with two nodes, `body` (zero shape, star pose) and `distribution` (a closed surface).

    Metres, y up, the person looks along +z: the body frame (docs/conventions.md) is glTF's own.
    The surface is the outermost one of stills, from the same refined field; marching cubes close it
    where two of its folds meet, as other programs want it.
    threshold: the probability at the surface; by default the one of stills. BadInput if the refined
    field does not reach it.
    """
    import trimesh

    displayed = DisplayedDistribution.of(distribution)
    field = refine(displayed.probability)
    level = outermost_level(field, threshold)
    surface = isosurface(field, VoxelGrid(field.shape[0], displayed.side), level)
    shown = DisplayedBody.of(body)
    scene = trimesh.Scene(
        metadata={
            "category": distribution.category,
            "prompt": distribution.prompt,
            "part": distribution.part,
            "probability": level,
        }
    )
    colour = ColourScale(displayed.peak)(level)
    for name, vertices, faces, rgba in (
        ("body", shown.vertices, shown.faces, (*BODY_COLOUR, 1.0)),
        ("distribution", surface.vertices, surface.faces, (*colour, _OPACITY)),
    ):
        scene.add_geometry(
            coloured_mesh(name, vertices, faces, rgba), node_name=name, geom_name=name
        )
    return scene.export(file_type="glb")


def coloured_mesh(
    name: str, vertices: np.ndarray, faces: np.ndarray, rgba: tuple[float, ...]
) -> trimesh.Trimesh:
    """A mesh (V, 3), (F, 3) of one material, its colour and opacity from 0 to 1."""
    import trimesh
    from trimesh.visual.material import PBRMaterial

    material = PBRMaterial(
        name=name,
        baseColorFactor=[round(255 * value) for value in rgba],
        metallicFactor=0.0,
        roughnessFactor=0.8,
        alphaMode="OPAQUE" if rgba[3] == 1 else "BLEND",
    )
    return trimesh.Trimesh(
        vertices, faces, process=False, visual=trimesh.visual.TextureVisuals(material=material)
    )


def surfaces_glb(
    parts: Mapping[str, tuple[np.ndarray, np.ndarray, tuple[float, float, float]]],
    metadata: dict,
) -> bytes:
    """A GLB with a node for each name: vertices (V, 3) in the body frame, metres, faces (F, 3) and
    a colour. metadata: what the file says of itself (extras)."""
    import trimesh

    scene = trimesh.Scene(metadata=metadata)
    for name, (vertices, faces, colour) in parts.items():
        mesh = coloured_mesh(name, vertices, faces, (*colour, 1.0))
        scene.add_geometry(mesh, node_name=name, geom_name=name)
    return scene.export(file_type="glb")

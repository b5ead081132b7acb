"""A distribution and its body as one binary glTF file (GLB), still or moving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chorus.body.skeleton import JOINT_COUNT, JOINT_NAMES
from chorus.errors import BadInput
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.surface import isosurface
from chorus.viewing.displayed import DisplayedBody, DisplayedDistribution
from chorus.viewing.glb import Glb, linear_light
from chorus.viewing.scene import BODY_COLOUR, ColourScale, outermost_level
from chorus.viewing.surfaces import refine

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, UInt8

    from chorus.body.model import BodyModel
    from chorus.occupancy.distribution import Distribution

HOLD, MOVE = 0.8, 1.2
"""Seconds for which a pose is held, and for which the body moves to the next one."""

_OPACITY = 0.8
_INFLUENCES = 4  # joints that move a vertex: as many as every program reads


class DisplayedSurface(NamedTuple):
    """Vertices (V, 3) metres, faces (F, 3), sRGB colour (3,) in [0, 1], and the probability."""

    vertices: np.ndarray
    faces: np.ndarray
    colour: np.ndarray
    level: float


def displayed_surface(
    distribution: Distribution, threshold: float | None = None
) -> DisplayedSurface:
    """The closed surface at a probability, by default that of stills, of the refined field.

    Marching cubes close it where two of its folds meet, as other programs want it. BadInput if the
    refined field does not reach the threshold.
    """
    displayed = DisplayedDistribution.of(distribution)
    field = refine(displayed.probability)
    level = outermost_level(field, threshold)
    surface = isosurface(field, VoxelGrid(field.shape[0], displayed.side), level)
    colour = np.asarray(ColourScale(displayed.peak)(level))
    return DisplayedSurface(np.array(surface.vertices), np.array(surface.faces), colour, level)


def distribution_glb(
    distribution: Distribution, body: BodyModel, threshold: float | None = None
) -> bytes:
    """A GLB with two nodes, `body` (zero shape, star pose) and `distribution` (a closed surface).

    Metres, y up, the person looks along +z: the body frame (docs/conventions.md) is glTF's own.
    threshold: the probability at the surface; by default the one of stills. BadInput if the refined
    field does not reach it.
    """
    surface = displayed_surface(distribution, threshold)
    shown = DisplayedBody.of(body)
    file = Glb(_said_of(distribution, surface.level))
    for name, mesh, rgba in (
        ("body", shown, _rgba(BODY_COLOUR)),
        ("distribution", surface, _rgba(surface.colour, _OPACITY)),
    ):
        made = file.mesh(name, mesh.vertices, mesh.faces, file.material(name, rgba))
        file.node(name, mesh=made)
    return file.content()


def animated_glb(
    distribution: Distribution,
    body: BodyModel,
    poses: Float[torch.Tensor, "P 24 3"],
    threshold: float | None = None,
    names: Sequence[str] = (),
) -> bytes:
    """`distribution_glb` with the body's 24 joints and an animation that moves both meshes from
    the star pose through the poses and back.

    poses (P, 24, 3): axis-angle, radians; the global rotation counts as zero. names: what the
    file's extras call them. The meshes are bound in the star pose, as `occupancy.posing` has it,
    and a vertex follows the four joints of largest weight, renormalised. BadInput as
    `distribution_glb`, and for a distribution that is not around the canonical body.
    """
    import torch

    from chorus.body.model import star_body, star_pose
    from chorus.occupancy.skinning_field import skinning_field

    if not distribution.canonical:
        raise BadInput("it was aggregated without canonicalising, so that no pose moves it.")
    surface = displayed_surface(distribution, threshold)
    star = star_body(body)
    around = skinning_field(
        star.vertices, body.weights, torch.as_tensor(surface.vertices, dtype=torch.float32)
    )
    moments = [0.0, HOLD]
    for _ in range(len(poses) + 1):
        moments += [moments[-1] + MOVE, moments[-1] + MOVE + HOLD]
    sequence = torch.cat([star_pose()[None], torch.as_tensor(poses), star_pose()[None]])
    file = Glb({**_said_of(distribution, surface.level), "poses": list(names)})
    joints = _joint_nodes(file, body)
    skin = file.skin("skeleton", joints, _inverse_bind(body, star.transforms))
    translucent = _rgba(surface.colour, _OPACITY)
    for name, vertices, triangles, weights, rgba in (
        ("body", star.vertices.numpy(), body.faces.numpy(), body.weights, _rgba(BODY_COLOUR)),
        ("distribution", surface.vertices, surface.faces, around, translucent),
    ):
        material, moved = file.material(name, rgba), strongest(weights.numpy())
        mesh = file.mesh(name, vertices, triangles, material, influences=moved)
        file.node(name, mesh=mesh, skin=skin)
    file.rotations("poses", joints, np.array(moments), _turns(sequence).repeat(2, axis=0))
    return file.content()


def strongest(
    weights: Float[np.ndarray, "V J"],
) -> tuple[UInt8[np.ndarray, "V 4"], Float[np.ndarray, "V 4"]]:
    """Numbers of the four joints of largest weight, and their weights, which sum to one. A joint
    without weight is named 0, as glTF wants it."""
    chosen = np.argsort(-weights, axis=1, kind="stable")[:, :_INFLUENCES]
    kept = np.take_along_axis(weights, chosen, axis=1).astype(np.float64)
    kept = (kept / kept.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.where(kept > 0, chosen, 0).astype(np.uint8), kept


def spread_of_poses(poses: Float[torch.Tensor, "P 24 3"], body: BodyModel, count: int) -> list[int]:
    """Numbers of up to `count` poses, from the most usual one towards unusual ones.

    They are ranked by how far their joints lie from the mean of all, and taken at even steps of
    the rank, so that the strangest, which are often wrong, are left out. Global rotations count
    as zero.
    """
    import torch

    facing = torch.as_tensor(poses, dtype=torch.float32).clone()
    facing[:, 0] = 0
    joints = body.posed_joints(facing)
    away = (joints - joints.mean(dim=0)).square().sum(dim=(1, 2))
    ranked = torch.argsort(away, stable=True).tolist()
    steps = np.linspace(0, len(ranked), min(count, len(ranked)), endpoint=False)
    return [ranked[int(step)] for step in steps]


def _said_of(distribution: Distribution, level: float) -> dict[str, Any]:
    return {
        "category": distribution.category,
        "prompt": distribution.prompt,
        "part": distribution.part,
        "probability": level,
    }


def _rgba(srgb: Sequence[float], opacity: float = 1.0) -> list[float]:
    return [*np.round(linear_light(np.asarray(srgb)), 4).tolist(), opacity]


def _joint_nodes(file: Glb, body: BodyModel) -> list[int]:
    """Nodes of the 24 joints in the star pose, each below its parent."""
    from chorus.body.model import star_pose

    places = body.rest()[1].double().numpy()
    turns = _turns(star_pose()[None])[0]
    nodes: list[int] = []
    for joint, parent in enumerate(body.parents):
        above = None if parent < 0 else nodes[parent]
        bone = places[joint] - (places[parent] if parent >= 0 else 0)
        turned = {"translation": bone.tolist(), "rotation": turns[joint].tolist()}
        nodes.append(file.node(JOINT_NAMES[joint], parent=above, **turned))
    return nodes


def _inverse_bind(
    body: BodyModel, star: Float[torch.Tensor, "24 4 4"]
) -> Float[np.ndarray, "24 4 4"]:
    """The canonical space in each joint's own frame; star: from rest to the star pose."""
    own = np.tile(np.eye(4), (JOINT_COUNT, 1, 1))
    own[:, :3, 3] = body.rest()[1].double().numpy()
    inverse = np.linalg.inv(star.double().numpy() @ own)
    inverse[:, 3] = 0.0, 0.0, 0.0, 1.0
    return inverse


def _turns(poses: Float[torch.Tensor, "P 24 3"]) -> Float[np.ndarray, "P 24 4"]:
    """Quaternions x, y, z, w of axis-angle poses without their global rotation, each the shorter
    way from the one before."""
    import roma

    facing = poses.double().clone()
    facing[:, 0] = 0
    turns = roma.rotvec_to_unitquat(facing).numpy().copy()
    for before, after in pairwise(turns):
        after[(before * after).sum(axis=-1) < 0] *= -1
    return turns


def surfaces_glb(
    parts: Mapping[str, tuple[np.ndarray, np.ndarray, Sequence[float]]],
    metadata: Mapping[str, Any],
) -> bytes:
    """A GLB with a node for each name: vertices (V, 3) in the body frame, metres, faces (F, 3) and
    an sRGB colour, with an opacity where it has four numbers. metadata: what the file says of
    itself (extras)."""
    file = Glb(metadata)
    for name, (vertices, faces, colour) in parts.items():
        material = file.material(name, _rgba(colour[:3], *colour[3:]))
        made = file.mesh(name, vertices, faces, material)
        file.node(name, mesh=made)
    return file.content()

"""Parts that turn about their centres, torch, any leading batch dimensions.

A part p takes X to T_p(X) = R_p (X - c_p) + c_p + t_p, and a vertex goes where the membership
weighs the places that the parts' chains take it to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from chorus.animals.template import Template, part_order
from chorus.errors import BadInput

Order = Literal["parent last", "root last"]
"""Which turn of a chain comes last. `parent last` is ACSM's published code, which its published
weights were trained with: from the third part of a chain on, a child leaves its parent."""

Transforms = Float[Tensor, "*batch P 3 4"]


def hinge_turns(
    angles: Float[Tensor, "*batch P"], axes: Float[Tensor, "P 3"]
) -> Float[Tensor, "*batch P 3 3"]:
    """Rotations (..., P, 3, 3) by angles (..., P), radians, about unit axes (P, 3)."""
    return roma.rotvec_to_rotmat(angles[..., None] * axes)


def part_transforms(
    turns: Float[Tensor, "*batch P 3 3"],
    centres: Float[Tensor, "P 3"],
    parents: Sequence[int],
    order: Order = "root last",
    shifts: Float[Tensor, "*batch P 3"] | None = None,
) -> Transforms:
    """Where the chain of each part takes points, (..., P, 3, 4): a rotation and a shift.

    turns: R_p; centres (P, 3): c_p; shifts: t_p, 0 if left out.
    """
    move = centres - (turns @ centres[..., None])[..., 0]
    own = torch.cat([turns, (move if shifts is None else move + shifts)[..., None]], dim=-1)
    if order == "root last":
        chains: dict[int, Tensor] = {}
        for part in part_order(parents):
            each, parent = own[..., part, :, :], parents[part]
            chains[part] = each if parent < 0 else _after(chains[parent], each)
        return torch.stack([chains[part] for part in range(len(parents))], dim=-3)
    return torch.stack([_parent_last(own, parents, part) for part in range(len(parents))], dim=-3)


def _parent_last(own: Transforms, parents: Sequence[int], part: int) -> Float[Tensor, "*batch 3 4"]:
    """T_parent after ... after T_root after T_part."""
    chain: list[int] = []
    above = parents[part]
    while above >= 0:
        chain.append(above)
        above = parents[above]
    total = own[..., part, :, :]
    for each in reversed(chain):
        total = _after(own[..., each, :, :], total)
    return total


def _after(second: Tensor, first: Tensor) -> Tensor:
    """The transform (..., 3, 4) that does `first`, then `second`."""
    turn = second[..., :3] @ first[..., :3]
    shift = (second[..., :3] @ first[..., 3:]) + second[..., 3:]
    return torch.cat([turn, shift], dim=-1)


def blend(
    vertices: Float[Tensor, "V 3"], membership: Float[Tensor, "V P"], transforms: Transforms
) -> Float[Tensor, "*batch V 3"]:
    """Vertices (..., V, 3) moved by the transforms of the parts, weighed by the membership."""
    mixed = (membership @ transforms.flatten(-2)).unflatten(-1, (3, 4))
    return (mixed[..., :3] @ vertices[..., None])[..., 0] + mixed[..., 3]


def pose_template(
    template: Template, angles: Float[np.ndarray, "*batch P"]
) -> Float[np.ndarray, "*batch V 3"]:
    """The template's vertices (..., V, 3) with its hinges turned by angles (..., P), radians.

    BadInput for a number of angles that is not the number of parts.
    """
    angles = np.asarray(angles, np.float32)
    if angles.shape[-1:] != (len(template.parts),):
        raise BadInput(
            f"template {template.name!r} has {len(template.parts)} parts; found angles of shape "
            f"{angles.shape}."
        )
    vertices, membership, centres, axes = (
        torch.tensor(array)
        for array in (template.vertices, template.membership, template.centres, template.axes)
    )
    turns = hinge_turns(torch.from_numpy(angles), axes)
    transforms = part_transforms(turns, centres, template.parents)
    return blend(vertices, membership, transforms).numpy()


def reshaped(template: Template, scales: Float[np.ndarray, "P 3"]) -> Template:
    """The template with each part stretched along x, y and z by scales (P, 3).

    A part is stretched about its centre, which its parent's stretching moves along; the root is
    stretched about its own. Symmetric scales keep the template symmetric.
    """
    scales = np.asarray(scales, np.float32)
    if scales.shape != template.centres.shape or not (scales > 0).all():
        raise BadInput(
            f"scales above 0 of shape {template.centres.shape} were expected, found the shape "
            f"{scales.shape}."
        )
    centres = template.centres.copy()
    for part in part_order(template.parents):
        parent = template.parents[part]
        if parent >= 0:
            offset = template.centres[part] - template.centres[parent]
            centres[part] = centres[parent] + scales[parent] * offset
    moved = (template.vertices[:, None] - template.centres) * scales + centres
    vertices = np.einsum("vp,vpc->vc", template.membership, moved)
    return replace(template, vertices=vertices, centres=centres)

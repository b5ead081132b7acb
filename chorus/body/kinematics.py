"""Blend shapes, forward kinematics and linear blend skinning of SMPL-format models, of any tree.

Pure functions, any leading batch dimensions, on the device of their tensors (method.md 7).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def shaped(
    points: Float[Tensor, "points 3"],
    directions: Float[Tensor, "points 3 shapes"],
    betas: Float[Tensor, "*batch used"],
) -> Float[Tensor, "*batch points 3"]:
    """Points (P, 3) moved by betas (..., S) along their directions (P, 3, S or more).

    Added up component by component: a matrix product sums in an order that depends on how many
    bodies and threads there are, and a body must not depend on its batch.
    """
    for beta, direction in zip(betas.unbind(-1), directions.unbind(-1), strict=False):
        points = points + beta[..., None, None] * direction
    return points


def forward_kinematics(
    rotations: Float[Tensor, "*batch joints 3 3"],
    joints: Float[Tensor, "*batch joints 3"],
    parents: Sequence[int],
    translation: Float[Tensor, "*batch 3"] | None = None,
) -> tuple[Float[Tensor, "*batch joints 4 4"], Float[Tensor, "*batch joints 3"]]:
    """Transforms A (..., J, 4, 4) from rest to posed space, and the posed joints (..., J, 3).

    rotations: of each joint in its parent's frame. joints: at rest, metres. parents: -1 for the
    root, which comes first; a parent's number is below its children's. translation: added last.
    """
    count = len(parents)
    batch = torch.broadcast_shapes(rotations.shape[:-3], joints.shape[:-2])
    rotations = rotations.expand(*batch, count, 3, 3)
    joints = joints.expand(*batch, count, 3)
    turns = [rotations[..., 0, :, :]]
    places = [joints[..., 0, :]]
    for joint, parent in enumerate(parents[1:], start=1):
        bone = joints[..., joint, :] - joints[..., parent, :]
        places.append(places[parent] + (turns[parent] @ bone[..., None])[..., 0])
        turns.append(turns[parent] @ rotations[..., joint, :, :])
    turn = torch.stack(turns, dim=-3)
    posed = torch.stack(places, dim=-2)
    if translation is not None:
        posed = posed + translation[..., None, :]
        turn = turn.expand(*posed.shape[:-1], 3, 3)
        joints = joints.expand(posed.shape)
    shift = posed - (turn @ joints[..., None])[..., 0]
    upper = torch.cat([turn, shift[..., None]], dim=-1)
    bottom = upper.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*upper.shape[:-2], 1, 4)
    return torch.cat([upper, bottom], dim=-2), posed


def pose_feature(rotations: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch features"]:
    """What pose blend shapes are multiplied by: R - I of all joints but the root, row by row."""
    identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    return (rotations[..., 1:, :, :] - identity).flatten(-3)


def skinned(
    vertices: Float[Tensor, "*batch vertices 3"],
    weights: Float[Tensor, "vertices joints"],
    transforms: Float[Tensor, "*batch joints 4 4"],
) -> Float[Tensor, "*batch vertices 3"]:
    """Vertices moved by the weighted mean of their joints' transforms."""
    blend = weights @ transforms[..., :3, :].flatten(-2)
    blend = blend.unflatten(-1, (3, 4))
    return (blend[..., :3] @ vertices[..., None])[..., 0] + blend[..., 3]

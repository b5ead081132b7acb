"""Points on an articulated body whose shape is unknown, and how they move with its rotations.

What a shape adds to a bone is linear, so rest places and their derivatives by S shape components
are carried along together as 1 + S columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.geometry.rotations import right_jacobian


class Chain(NamedTuple):
    """turns (B, J, 3, 3) of the joints; places (B, J, 3, 1 + S) of the joints and points
    (B, K, 3, 1 + S), from the root, in columns."""

    turns: Float[Tensor, "B J 3 3"]
    places: Float[Tensor, "B J 3 C"]
    points: Float[Tensor, "B K 3 C"]


def carried(
    rotations: Float[Tensor, "B J 3 3"],
    joints: Float[Tensor, "J 3 C"],
    offsets: Float[Tensor, "K 3 C"],
    carrier: Int[Tensor, " K"],
    parents: Sequence[int],
) -> Chain:
    """The chain of rotations (B, J, 3, 3), each in its parent's frame.

    joints (J, 3, 1 + S): at rest, in columns; offsets (K, 3, 1 + S): of the points from the joints
    `carrier` (K,) that they move with.
    """
    turns = [rotations[:, 0]]
    places = [torch.zeros_like(joints[0]).expand(len(rotations), -1, -1)]
    for joint, parent in enumerate(parents[1:], start=1):
        bone = joints[joint] - joints[parent]
        places.append(places[parent] + turns[parent] @ bone)
        turns.append(turns[parent] @ rotations[:, joint])
    turn, place = torch.stack(turns, 1), torch.stack(places, 1)
    return Chain(turn, place, place[:, carrier] + turn[:, carrier] @ offsets)


def moved_by_turning(
    turns: Float[Tensor, "B J 3 3"],
    places: Float[Tensor, "B J 3"],
    points: Float[Tensor, "B K 3"],
    moves: Bool[Tensor, "K J"] | Float[Tensor, "K J"],
    vectors: Float[Tensor, "B J 3"],
) -> Float[Tensor, "B K 3 D"]:
    """Derivatives (B, K, 3, 3 J) of points by the rotation vectors (B, J, 3) whose exponentials
    the joints' rotations end with. moves (K, J): whether a joint moves a point."""
    axes = turns @ right_jacobian(vectors)
    lever = points[:, :, None] - places[:, None]
    lever = lever * moves[None, :, :, None]
    # A turn w about a joint moves a point at lever r by w x r.
    by_joint = torch.linalg.cross(axes.mT[:, None], lever[:, :, :, None], dim=-1)
    return by_joint.permute(0, 1, 4, 2, 3).flatten(-2)

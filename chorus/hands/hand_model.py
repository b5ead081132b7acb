"""`HandModel`: a hand in MANO's format, its forward kinematics and skinning.

Conventions: metres, radians. Poses are absolute: zero is the flat hand. A pose that is relative to
the model's mean pose, as FreiHAND stores it (and smplx takes it with flat_hand_mean=False), becomes
absolute by `from_mean`. Axes are MANO's: of a right hand fingers point to -x, the palm faces -y,
the thumb is on the side of +z; of a left one, x is mirrored. Every function takes any leading batch
dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor

from chorus.body.kinematics import forward_kinematics, pose_feature, shaped, skinned
from chorus.errors import BadInput
from chorus.hands.joints import JOINT_COUNT, PARENTS, gather

Side = Literal["right", "left"]
OTHER: dict[Side, Side] = {"right": "left", "left": "right"}


class PosedHand(NamedTuple):
    """A hand in a pose.

    vertices (..., V, 3) metres; joints (..., 16, 3), the kinematic joints; joints21 (..., 21, 3),
    with the fingertips, in HO-3D's order; transforms (..., 16, 4, 4) from rest to posed space.
    """

    vertices: Float[Tensor, "*batch vertices 3"]
    joints: Float[Tensor, "*batch 16 3"]
    joints21: Float[Tensor, "*batch 21 3"]
    transforms: Float[Tensor, "*batch 16 4 4"]


@dataclass(frozen=True, eq=False)
class HandModel:
    """A hand in MANO's format. All floating tensors share one dtype and device."""

    name: str
    """Where it came from, for people: a file name or `free hand`."""
    side: Side
    v_template: Float[Tensor, "vertices 3"]
    """Zero-shape vertices of the flat hand, metres."""
    shapedirs: Float[Tensor, "vertices 3 shapes"]
    """Shape blend shapes: metres of displacement per unit of each beta."""
    posedirs: Float[Tensor, "135 coordinates"] | None
    """Pose blend shapes (135, V * 3), metres per unit of (R - I) of joints 1..15; None if zero."""
    weights: Float[Tensor, "vertices 16"]
    """Skinning weights; rows are not negative and sum to one."""
    joint_regressor: Float[Tensor, "16 vertices"]
    """Joints = joint_regressor @ shaped vertices."""
    faces: Int[Tensor, "faces 3"]
    """Triangles, int64, counter-clockwise seen from outside; open at the wrist."""
    mean_pose: Float[Tensor, "15 3"]
    """The mean pose of the fingers as axis-angle, MANO's `hands_mean`."""
    tip_faces: Int[Tensor, " 5"]
    """The triangles that the fingertips lie on: index, middle, pinky, ring, thumb."""
    tip_weights: Float[Tensor, "5 3"]
    """Their barycentric coordinates there."""

    def to(self, device: torch.device | str) -> HandModel:
        """The same hand on another device."""
        moved = {
            field.name: value.to(device)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)

    def rest(
        self, betas: Float[Tensor, "*batch shapes"] | None = None
    ) -> tuple[Float[Tensor, "*batch vertices 3"], Float[Tensor, "*batch 16 3"]]:
        """Vertices (..., V, 3) and joints (..., 16, 3) of the shaped flat hand, metres.

        betas: (..., S) with S up to the model's number of components; None is the zero shape.
        """
        if betas is None:
            return self.v_template, self._template_joints
        betas = self._tensor(betas)
        count = betas.shape[-1] if betas.ndim else 0
        if not 1 <= count <= self.shapedirs.shape[2]:
            raise BadInput(
                f"shape parameters have the shape {tuple(betas.shape)}; the hand {self.name!r} "
                f"expects (..., S) with S from 1 to {self.shapedirs.shape[2]}."
            )
        vertices = shaped(self.v_template, self.shapedirs, betas)
        return vertices, shaped(self._template_joints, self.joint_shapedirs, betas)

    def pose(
        self,
        pose: Float[Tensor, "*batch 16 3"] | Float[Tensor, "*batch 16 3 3"],
        betas: Float[Tensor, "*batch shapes"] | None = None,
        translation: Float[Tensor, "*batch 3"] | None = None,
    ) -> PosedHand:
        """Pose the hand; the wrist joint, about which it turns, stays where the rest hand has it.

        pose: absolute, (..., 16, 3) axis-angle or (..., 16, 3, 3) rotation matrices, the first the
        global rotation. translation: (..., 3) metres, added last. BadInput on other shapes.
        """
        rotations = self._rotations(pose)
        vertices, joints = self.rest(betas)
        moved = None if translation is None else self._tensor(translation)
        transforms, posed = forward_kinematics(rotations, joints, PARENTS, moved)
        if self.posedirs is not None:
            offsets = pose_feature(rotations) @ self.posedirs
            vertices = vertices + offsets.unflatten(-1, (-1, 3))
        surface = skinned(vertices, self.weights, transforms)
        all_joints = torch.cat([posed, self.tips(surface)], dim=-2)
        order = gather("tempclr", "ho3d")
        return PosedHand(surface, posed, all_joints[..., order, :], transforms)

    def skinning_transforms(
        self, pose: Float[Tensor, "*batch 16 3"] | Float[Tensor, "*batch 16 3 3"]
    ) -> Float[Tensor, "*batch 16 4 4"]:
        """A (..., 16, 4, 4): per joint the map from the flat hand of zero shape to the pose."""
        return forward_kinematics(self._rotations(pose), self._template_joints, PARENTS)[0]

    def tips(self, vertices: Float[Tensor, "*batch vertices 3"]) -> Float[Tensor, "*batch 5 3"]:
        """The fingertips (..., 5, 3) of posed vertices: index, middle, pinky, ring, thumb."""
        corners = vertices[..., self.faces[self.tip_faces], :]
        return (corners * self.tip_weights[..., None]).sum(dim=-2)

    def regressed_joints(
        self, vertices: Float[Tensor, "*batch vertices 3"]
    ) -> Float[Tensor, "*batch 16 3"]:
        """FreiHAND's joints: the regressor applied to posed vertices, not the kinematic joints;
        MANO's differ by some 3 mm."""
        return self.joint_regressor @ vertices

    def from_mean(self, pose: Float[Tensor, "*batch 16 3"]) -> Float[Tensor, "*batch 16 3"]:
        """The absolute pose of axis-angles (..., 16, 3) that are relative to the mean pose."""
        return self._tensor(pose) + self._whole_mean

    def to_mean(self, pose: Float[Tensor, "*batch 16 3"]) -> Float[Tensor, "*batch 16 3"]:
        """Axis-angles (..., 16, 3) relative to the mean pose, of an absolute pose."""
        return self._tensor(pose) - self._whole_mean

    def mirrored(self) -> HandModel:
        """The other hand, seen in a mirror at x = 0; the same betas, `mirror_pose` for poses."""
        sign = self.v_template.new_tensor([-1.0, 1.0, 1.0])
        posedirs = self.posedirs
        if posedirs is not None:
            turned = (sign[:, None] * sign).flatten().repeat(JOINT_COUNT - 1)
            posedirs = turned[:, None] * posedirs * sign.repeat(len(self.v_template))
        return replace(
            self,
            name=f"{self.name}, mirrored",
            side=OTHER[self.side],
            v_template=self.v_template * sign,
            shapedirs=self.shapedirs * sign[:, None],
            posedirs=posedirs,
            faces=self.faces.flip(1),
            mean_pose=mirror_pose(self.mean_pose),
            tip_weights=self.tip_weights.flip(1),
        )

    @cached_property
    def part_of_vertex(self) -> Int[Tensor, " vertices"]:
        """(V,) int64: the joint with the largest weight."""
        return self.weights.argmax(dim=1)

    @cached_property
    def joint_shapedirs(self) -> Float[Tensor, "16 3 shapes"]:
        """(16, 3, S): metres that the joints move per unit of each beta."""
        return torch.einsum("jv,vcs->jcs", self.joint_regressor, self.shapedirs)

    @cached_property
    def _template_joints(self) -> Tensor:
        return self.joint_regressor @ self.v_template

    @cached_property
    def _whole_mean(self) -> Tensor:
        return torch.cat([torch.zeros_like(self.mean_pose[:1]), self.mean_pose])

    def _rotations(self, pose: Any) -> Tensor:
        pose = self._tensor(pose)
        if pose.shape[-2:] == (JOINT_COUNT, 3):
            return roma.rotvec_to_rotmat(pose)
        if pose.shape[-3:] == (JOINT_COUNT, 3, 3):
            return pose
        raise BadInput(
            f"a hand's pose has the shape {tuple(pose.shape)}; expected (..., 16, 3) axis-angle "
            "or (..., 16, 3, 3) rotation matrices."
        )

    def _tensor(self, value: Any) -> Tensor:
        return torch.as_tensor(value, dtype=self.v_template.dtype, device=self.v_template.device)


def mirror_pose(pose: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Axis-angles (..., 3) of the other hand in the same gesture; its own inverse."""
    return pose * pose.new_tensor([1.0, -1.0, -1.0])

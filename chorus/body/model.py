"""`BodyModel`: an SMPL-format body, its forward kinematics and linear blend skinning (method.md 7).

Conventions (docs/conventions.md): metres, radians, x to the person's left, y up, z forward.
Every function takes any leading batch dimensions and runs on the device of its tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor

from chorus.body.fingerprint import fingerprint_of
from chorus.body.kinematics import forward_kinematics, pose_feature, shaped, skinned
from chorus.body.skeleton import JOINT_COUNT, JOINT_NAMES, MIRROR
from chorus.errors import BadInput

STAR_HIP_ANGLE = math.radians(30.0)


class PosedBody(NamedTuple):
    """A body in a pose.

    vertices: (..., V, 3) metres. joints: (..., 24, 3) metres. transforms: A (..., 24, 4, 4), the
    map of every joint from rest to posed space, so that without pose blend shapes
    `vertices = sum_j weights_j A_j rest_vertices` (translation included).
    """

    vertices: Float[Tensor, "*batch vertices 3"]
    joints: Float[Tensor, "*batch 24 3"]
    transforms: Float[Tensor, "*batch 24 4 4"]


@dataclass(frozen=True, eq=False)
class BodyModel:
    """An SMPL-format body. All floating tensors share one dtype and device.

    Two models with equal content have equal `fingerprint`s, whatever their name and device.
    """

    name: str
    """Where it came from, for people: a file name or `free body`."""
    v_template: Float[Tensor, "vertices 3"]
    """Zero-shape vertices in the rest pose (T-pose), metres."""
    shapedirs: Float[Tensor, "vertices 3 shapes"]
    """Shape blend shapes: metres of displacement per unit of each beta."""
    posedirs: Float[Tensor, "207 coordinates"] | None
    """Pose blend shapes (207, V * 3), metres per unit of (R - I) of joints 1..23; None if zero."""
    weights: Float[Tensor, "vertices 24"]
    """Skinning weights; rows are not negative and sum to one."""
    joint_regressor: Float[Tensor, "24 vertices"]
    """Joints = joint_regressor @ shaped vertices."""
    faces: Int[Tensor, "faces 3"]
    """Triangles, int64, counter-clockwise seen from outside."""
    parents: tuple[int, ...]
    """Parent of each joint, -1 for the root."""

    def to(self, device: torch.device | str) -> BodyModel:
        """The same body on another device (`cpu`, `cuda`, `cuda:1`)."""
        moved = {
            field.name: value.to(device)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the content: arrays and tree, not name or device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {
            name: value.detach().cpu().numpy()
            for name, value in values.items()
            if isinstance(value, Tensor)
        }
        return fingerprint_of(arrays, self.parents)

    @cached_property
    def part_of_vertex(self) -> Int[Tensor, " vertices"]:
        """(V,) int64: the joint with the largest weight, which names the segment (method.md 9)."""
        return self.weights.argmax(dim=1)

    @property
    def device(self) -> torch.device:
        """The device that holds the body."""
        return self.v_template.device

    def rest(
        self, betas: Float[Tensor, "*batch shapes"] | None = None
    ) -> tuple[Float[Tensor, "*batch vertices 3"], Float[Tensor, "*batch 24 3"]]:
        """Vertices (..., V, 3) and joints (..., 24, 3) of the shaped body in the rest pose.

        betas: (..., S) with S up to the model's number of shape components (the others count as
        zero); None is the zero shape. Metres. BadInput if there are more betas than components.
        """
        return self._rest_vertices(betas), self._rest_joints(betas)

    def skinning_transforms(
        self,
        pose: Float[Tensor, "*batch 24 3"] | Float[Tensor, "*batch 24 3 3"],
        betas: Float[Tensor, "*batch shapes"] | None = None,
        translation: Float[Tensor, "*batch 3"] | None = None,
    ) -> Float[Tensor, "*batch 24 4 4"]:
        """A (..., 24, 4, 4): per joint the map from rest to posed space, without any vertices.

        The fast path of aggregation (method.md 7): for the zero shape, points of the rest pose go
        to posed space by a blend of A. pose, betas, translation as in `pose`.
        """
        return self._kinematics(self._rotations(pose), betas, translation)[0]

    def posed_joints(
        self,
        pose: Float[Tensor, "*batch 24 3"] | Float[Tensor, "*batch 24 3 3"],
        betas: Float[Tensor, "*batch shapes"] | None = None,
        translation: Float[Tensor, "*batch 3"] | None = None,
    ) -> Float[Tensor, "*batch 24 3"]:
        """The kinematic joints (..., 24, 3) of `pose`, metres, without any vertices."""
        return self._kinematics(self._rotations(pose), betas, translation)[1]

    def pose(
        self,
        pose: Float[Tensor, "*batch 24 3"] | Float[Tensor, "*batch 24 3 3"],
        betas: Float[Tensor, "*batch shapes"] | None = None,
        translation: Float[Tensor, "*batch 3"] | None = None,
    ) -> PosedBody:
        """Pose the body: forward kinematics, pose blend shapes if any, linear blend skinning.

        pose: (..., 24, 3) axis-angle in radians, or (..., 24, 3, 3) rotation matrices; joint 0 is
        the global rotation, about the pelvis. betas: (..., S) or None for the zero shape.
        translation: (..., 3) metres, added last. Leading dimensions broadcast. NaN propagates
        (`check_pose` refuses it with a sentence). BadInput on other shapes. method.md 7.
        """
        rotations = self._rotations(pose)
        transforms, joints = self._kinematics(rotations, betas, translation)
        vertices = self._rest_vertices(betas)
        if self.posedirs is not None:
            offsets = pose_feature(rotations) @ self.posedirs
            vertices = vertices + offsets.unflatten(-1, (-1, 3))
        return PosedBody(skinned(vertices, self.weights, transforms), joints, transforms)

    def _kinematics(self, rotations: Tensor, betas: Any, translation: Any) -> tuple[Tensor, Tensor]:
        """Transforms A (..., 24, 4, 4) and posed joints (..., 24, 3) of rotation matrices."""
        moved = None if translation is None else self._tensor(translation)
        return forward_kinematics(rotations, self._rest_joints(betas), self.parents, moved)

    def _rest_vertices(self, betas: Any) -> Tensor:
        return self._shaped(self.v_template, self.shapedirs, betas)

    def _rest_joints(self, betas: Any) -> Tensor:
        return self._shaped(self._template_joints, self.joint_shapedirs, betas)

    def _shaped(self, points: Tensor, directions: Tensor, betas: Any) -> Tensor:
        """Points (P, 3) moved by betas along their directions (P, 3, S): (..., P, 3)."""
        if betas is None:
            return points
        betas = self._tensor(betas)
        count = betas.shape[-1] if betas.ndim else 0
        if not 1 <= count <= directions.shape[2]:
            raise BadInput(
                f"shape parameters have the shape {tuple(betas.shape)}; the body {self.name!r} "
                f"expects (..., S) with S from 1 to {directions.shape[2]}."
            )
        return shaped(points, directions, betas)

    def _rotations(self, pose: Any) -> Tensor:
        """Rotation matrices (..., 24, 3, 3) of a pose in either form."""
        pose = self._tensor(pose)
        if pose.shape[-2:] == (JOINT_COUNT, 3):
            return roma.rotvec_to_rotmat(pose)
        if pose.shape[-3:] == (JOINT_COUNT, 3, 3):
            return pose
        raise BadInput(
            f"a pose has the shape {tuple(pose.shape)}; expected (..., 24, 3) axis-angle "
            "or (..., 24, 3, 3) rotation matrices."
        )

    def _tensor(self, value: Any) -> Tensor:
        return torch.as_tensor(value, dtype=self.v_template.dtype, device=self.device)

    @cached_property
    def _template_joints(self) -> Tensor:
        return self.joint_regressor @ self.v_template

    @cached_property
    def joint_shapedirs(self) -> Float[Tensor, "24 3 shapes"]:
        """(24, 3, S): metres that the joints move per unit of each beta."""
        return torch.einsum("jv,vcs->jcs", self.joint_regressor, self.shapedirs)


def star_pose() -> Float[Tensor, "24 3"]:
    """The canonical pose (method.md 7): the T-pose with the hips at +30 and -30 degrees about z."""
    pose = torch.zeros(JOINT_COUNT, 3)
    pose[JOINT_NAMES.index("left_hip"), 2] = STAR_HIP_ANGLE
    pose[JOINT_NAMES.index("right_hip"), 2] = -STAR_HIP_ANGLE
    return pose


def star_body(body: BodyModel) -> PosedBody:
    """The canonical body: zero shape, star pose, in the file's own coordinates (method.md 7)."""
    return body.pose(star_pose())


def mirror_pose(
    pose: Float[Tensor, "*batch 24 3"] | Float[Tensor, "*batch 24 3 3"],
) -> Float[Tensor, "*batch 24 3"] | Float[Tensor, "*batch 24 3 3"]:
    """The pose seen in a mirror at x = 0: left and right exchanged, twists reversed (method.md 8).

    pose: (..., 24, 3) axis-angle, radians, or (..., 24, 3, 3) rotation matrices. Its own inverse.
    """
    pose = torch.as_tensor(pose)
    if pose.shape[-2:] == (JOINT_COUNT, 3):
        return pose[..., MIRROR, :] * pose.new_tensor([1.0, -1.0, -1.0])
    if pose.shape[-3:] == (JOINT_COUNT, 3, 3):
        sign = pose.new_tensor([-1.0, 1.0, 1.0])
        return pose[..., MIRROR, :, :] * sign[:, None] * sign
    raise BadInput(
        f"a pose has the shape {tuple(pose.shape)}; expected (..., 24, 3) axis-angle "
        "or (..., 24, 3, 3) rotation matrices."
    )


def check_pose(pose: Any, owner: str = "the pose") -> None:
    """Raise BadInput, naming the joints, if a pose (..., 24, 3[, 3]) is misshapen or not finite.

    owner: how the sentence calls the pose, e.g. `row 3 of humans.parquet`.
    """
    values = np.asarray(pose.detach().cpu() if isinstance(pose, Tensor) else pose)
    rows = 2 if values.shape[-3:] == (JOINT_COUNT, 3, 3) else 1
    if values.shape[-rows - 1 :] not in {(JOINT_COUNT, 3), (JOINT_COUNT, 3, 3)}:
        raise BadInput(
            f"{owner} has the shape {values.shape}; expected (..., 24, 3) axis-angle "
            "or (..., 24, 3, 3) rotation matrices."
        )
    try:
        finite = np.isfinite(values.astype(np.float64)).reshape(-1, JOINT_COUNT, 3**rows)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{owner} holds values that are not numbers: {error}.") from error
    bad = [
        name for name, good in zip(JOINT_NAMES, finite.all(axis=(0, 2)), strict=True) if not good
    ]
    if bad:
        raise BadInput(
            f"{owner} is not finite (NaN or infinity) at {', '.join(bad)}; "
            "drop the sample or predict its pose again."
        )

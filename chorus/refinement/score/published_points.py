"""The 44 points of SMPL's mesh that ScoreHMR's keypoints and its evaluation are about.

25 in OpenPose's order, of SMPL's joints and single vertices, then 19 that a matrix averages of all
posed vertices. Places are in SMPL's own coordinates, so a translation added to them is smplx's
`transl`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from chorus.body.joint_sets import MESH_VERTICES, ORDER, VERTICES
from chorus.body.kinematics import forward_kinematics, pose_feature, shaped, skinned
from chorus.body.model import BodyModel
from chorus.errors import BadInput
from chorus.refinement.score.denoiser import POSE_NUMBERS, pose_rotations

OPENPOSE = 25
AVERAGED = 19
PELVIS = 39
"""The point that errors are measured from: MPII's pelvis."""
JOINTS_14 = (*range(25, 38), 43)
"""Points of the errors on 3DPW and Human3.6M."""
JOINTS_17 = (*range(25, 38), 39, 41, 42, 43)
"""Points of the errors on Mannequin Challenge."""

_SINGLE = MESH_VERTICES[:11]  # face and feet, all that OpenPose's order has of single vertices
_PLACES = ORDER[:OPENPOSE]


@dataclass(frozen=True)
class ShapeRange:
    """Least and largest betas (10,), which a denoiser of the shape has as -1 and 1."""

    low: Float[Tensor, " 10"]
    high: Float[Tensor, " 10"]

    def numbers(self, betas: Float[Tensor, "B 10"]) -> Float[Tensor, "B 10"]:
        """Betas as the denoiser has them."""
        return 2 * (betas - self.low) / (self.high - self.low) - 1

    def betas(self, numbers: Float[Tensor, "B 10"]) -> Float[Tensor, "B 10"]:
        """The inverse of `numbers`."""
        return self.low + (numbers + 1) / 2 * (self.high - self.low)


class OpenPosePoints:
    """The 25 points (B, 25, 3) of poses (B, 144 or 154 numbers), without the rest of the mesh.

    betas (B, 10): the persons' shapes; shape_range: of the last ten of 154 numbers, which then
    count instead. BadInput for a body of another mesh than SMPL's.
    """

    def __init__(
        self,
        body: BodyModel,
        betas: Float[Tensor, "B 10"],
        shape_range: ShapeRange | None = None,
    ):
        require_smpl(body)
        chosen = list(_SINGLE)
        self._joints, self._joint_directions = body.rest()[1], body.joint_shapedirs
        self._vertices, self._directions = body.v_template[chosen], body.shapedirs[chosen]
        self._weights, self._parents = body.weights[chosen], body.parents
        self._corrections = None
        if body.posedirs is not None:
            self._corrections = body.posedirs.unflatten(1, (-1, 3))[:, chosen].flatten(1)
        self._betas, self._range = betas, shape_range

    def __call__(self, numbers: Float[Tensor, "B N"]) -> Float[Tensor, "B 25 3"]:
        """The points, metres; differentiable."""
        rotations = pose_rotations(numbers[..., :POSE_NUMBERS])
        betas = self._betas
        if self._range is not None and numbers.shape[-1] > POSE_NUMBERS:
            betas = self._range.betas(numbers[..., POSE_NUMBERS:])
        rest = shaped(self._joints, self._joint_directions, betas)
        transforms, joints = forward_kinematics(rotations, rest, self._parents)
        vertices = shaped(self._vertices, self._directions, betas)
        if self._corrections is not None:
            moved = pose_feature(rotations) @ self._corrections
            vertices = vertices + moved.unflatten(-1, (-1, 3))
        single = skinned(vertices, self._weights, transforms)
        return torch.cat([joints, single], -2)[..., _PLACES, :]


def all_points(
    body: BodyModel,
    averaging: Float[Tensor, "19 6890"],
    rotations: Float[Tensor, "B 24 3 3"],
    betas: Float[Tensor, "B 10"],
) -> Float[Tensor, "B 44 3"]:
    """All 44 points (B, 44, 3) of posed bodies, metres.

    averaging: the matrix of the last 19. BadInput for a body of another mesh than SMPL's.
    """
    require_smpl(body)
    posed = body.pose(rotations, betas)
    single = posed.vertices[..., list(_SINGLE), :]
    openpose = torch.cat([posed.joints, single], -2)[..., _PLACES, :]
    return torch.cat([openpose, averaging @ posed.vertices], -2)


def require_smpl(body: BodyModel) -> None:
    """BadInput unless the body has SMPL's mesh, whose vertices the points are."""
    if len(body.v_template) != VERTICES:
        raise BadInput(
            f"ScoreHMR's points are vertices of SMPL's mesh, {VERTICES} of them; the body "
            f"{body.name!r} has {len(body.v_template)}. Give SMPL's file with --body."
        )

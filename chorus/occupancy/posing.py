"""Backward posing: where in canonical space the places around a posed body come from.

See method.md 10.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from chorus.body.model import BodyModel, check_pose, star_body
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.presets import FieldSettings
from chorus.occupancy.skinning_field import blended_values


def canonical_points(
    body: BodyModel,
    pose: Float[Tensor, "24 3"],
    grid: VoxelGrid,
    settings: FieldSettings | None = None,
    threads: int = 1,
) -> Float[np.ndarray, "N3 3"]:
    """(N^3, 3) float64: the canonical place of every voxel centre of a posed-space grid, metres.

    The posed space is the body frame: zero shape, and the pose's global rotation (joint 0) counts
    as zero. Weights are found as for the canonical body but against the posed one; the blend of the
    forward transforms is inverted. Places where the blend cannot be inverted are NaN. BadInput if
    the pose has another shape or is not finite.
    """
    check_pose(pose)
    pose = torch.as_tensor(pose, dtype=body.v_template.dtype, device=body.device).clone()
    pose[0] = 0
    posed, star = body.pose(pose), star_body(body)
    transforms = posed.transforms.double() @ torch.linalg.inv(star.transforms.double())
    transforms = transforms[:, :3].flatten(1)
    near, blend = blended_values(
        posed.vertices.float(),
        body.weights.double() @ transforms,
        transforms[0],
        grid,
        settings or FieldSettings(),
        threads,
    )
    centres = torch.from_numpy(grid.centres()).to(transforms)
    # Where nothing is near, the identity bone's transform holds, a rigid one.
    identity = transforms[0].unflatten(0, (3, 4))
    places = torch.linalg.solve(identity[:, :3], (centres - identity[:, 3]).mT).mT.contiguous()
    places[near] = _inverse(blend.double(), centres[near])
    return places.cpu().numpy()


def _inverse(transforms: Tensor, points: Tensor) -> Tensor:
    """Points (P, 3) taken back through transforms (P, 12), rows of (3, 4); NaN if singular."""
    transforms = transforms.unflatten(1, (3, 4))
    # solve_ex reports singular blends instead of failing for all voxels because of one.
    solved, fault = torch.linalg.solve_ex(transforms[..., :3], points - transforms[..., 3])
    solved[fault != 0] = torch.nan
    return solved

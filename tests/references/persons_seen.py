"""Persons before a camera as a regressor and a detector answer, for tests of refinement."""

from __future__ import annotations

import math

import roma
import torch

from chorus.body.model import BodyModel
from chorus.geometry import cameras
from chorus.refinement.map_fit import Evidence, keypoint_skeleton

_SIZE = 512.0


def persons_seen(body: BodyModel, count: int, pose_error: float = 6.0, seed: int = 0) -> Evidence:
    """Evidence of `count` persons 3 m before the camera; pose_error: degrees about each axis."""
    draw = torch.Generator().manual_seed(seed)
    pose = 0.3 * torch.randn(count, 24, 3, generator=draw)
    pose[:, 0] = 0
    skeleton = keypoint_skeleton(body)
    R = roma.rotvec_to_rotmat(torch.tensor([math.pi, 0.0, 0.0])).expand(count, 3, 3)
    t = torch.tensor([[0.0, 0.0, 3.0]]).expand(count, 3)
    focal = torch.full((count,), 0.5 / math.tan(math.radians(23.2)))
    K = cameras.intrinsics(focal, _SIZE, _SIZE)
    points = (skeleton.posed(roma.rotvec_to_rotmat(pose).double())[2] + skeleton.rest[0]).float()
    places = cameras.project(points, R, t, K)[0]
    joints = cameras.project(body.posed_joints(pose), R, t, K)[0]
    extent = (joints.amax(1) - joints.amin(1)).amax(-1)
    places = places + 0.01 * extent[:, None, None] * torch.randn(places.shape, generator=draw)
    wrong = math.radians(pose_error) * torch.randn(count, 24, 3, generator=draw)
    rotations = roma.rotvec_to_rotmat(pose)
    rotations[:, 0] = R
    said = roma.rotmat_to_rotvec(rotations @ roma.rotvec_to_rotmat(wrong))
    upright = said.clone()
    upright[:, 0] = 0
    return Evidence(
        pose=said,
        joints3d=body.posed_joints(upright),
        joints2d=joints,
        keypoints=torch.cat([places, torch.full_like(places[..., :1], 0.95)], -1),
        extent=extent,
        image_size=torch.full((count, 2), _SIZE),
    )

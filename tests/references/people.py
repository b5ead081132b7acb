"""Persons with known cameras for the calibration's tests."""

from __future__ import annotations

import math
from typing import NamedTuple

import roma
import torch
from torch import Tensor

from chorus.geometry import cameras
from chorus.geometry.rotations import turn_to_ray

SIZE = 512.0


class People(NamedTuple):
    """joints3d (B, J, 3), the true R, t, K, true pixels, and what a regressor would say of them:
    joints2d (B, J, 2) by weak perspective under its rotation (B, 3, 3) and camera (B, 3)."""

    joints3d: Tensor
    R: Tensor
    t: Tensor
    K: Tensor
    pixels: Tensor
    joints2d: Tensor
    rotation: Tensor
    weak: Tensor

    @property
    def size(self) -> Tensor:
        return torch.full((len(self.joints3d), 2), SIZE).to(self.joints3d)


def random_joints(count: int, seed: int = 0) -> Tensor:
    """Person-sized clouds of 24 points, float64."""
    generator = torch.Generator().manual_seed(seed)
    cloud = torch.randn(count, 24, 3, generator=generator, dtype=torch.float64)
    return cloud * torch.tensor([0.25, 0.45, 0.2])


def photograph(joints3d: Tensor, view=(46.4, 46.4), rotation_error=0.0, seed: int = 0) -> People:
    """Cameras all around the persons, 2 to 5 m away for a usual field of view, off centre.

    view: range of their fields of view, rotation_error: the regressor's, degrees.
    """
    count = len(joints3d)
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    field = torch.deg2rad(view[0] + (view[1] - view[0]) * draw(count))
    focal = 0.5 / torch.tan(field / 2)
    direction = torch.nn.functional.normalize(normal(count, 3) * torch.tensor([1, 0.35, 1]), dim=-1)
    distance = (2 + 3 * draw(count, 1)) * (focal / 1.1666)[:, None]
    middle = joints3d.mean(1)
    target = middle + 0.35 * normal(count, 3)
    R, t = cameras.look_at(target + direction * distance, target)
    K = cameras.intrinsics(focal, SIZE, SIZE)
    pixels, _ = cameras.project(joints3d, R, t, K)

    ray = cameras.to_camera(middle[:, None], R, t)[:, 0]
    error = math.radians(rotation_error) / 3**0.5 * normal(count, 3)
    rotation = roma.rotvec_to_rotmat(error) @ turn_to_ray(ray).mT @ R
    flat = (joints3d @ rotation.mT)[..., :2]
    flat_middle, pixel_middle = flat.mean(1, keepdim=True), pixels.mean(1, keepdim=True)
    scale = ((flat - flat_middle) * (pixels - pixel_middle)).sum((1, 2))
    scale = (scale / (flat - flat_middle).square().sum((1, 2)))[:, None, None]
    joints2d = scale * (flat - flat_middle) + pixel_middle
    # The same camera in the whole image as its crop: coordinate = pixel / (SIZE / 2) - 1.
    shift = (pixel_middle - scale * flat_middle)[:, 0] / (SIZE / 2) - 1
    weak = torch.cat([scale[:, 0] / (SIZE / 2), shift], dim=-1)
    return People(joints3d, R, t, K, pixels, joints2d, rotation, weak)

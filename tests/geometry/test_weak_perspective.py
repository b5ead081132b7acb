"""Weak-perspective crops and cameras, and the 6D rotation form that comes with them."""

from __future__ import annotations

import torch

from chorus.geometry.rotations import six_d_to_matrix
from chorus.geometry.weak_perspective import (
    crop_to_image,
    image_to_crop,
    project_long,
    project_weak,
    square_crop,
)


def test_crop_by_hand():
    centre, side = square_crop(torch.tensor([[100.0, 100.0, 200.0, 300.0]]))
    assert centre.tolist() == [[150, 200]]
    assert torch.allclose(side, torch.tensor([240.0]))
    corners = crop_to_image(torch.tensor([[[-1.0, -1.0], [1.0, 1.0]]]), centre, side)
    assert torch.allclose(corners, torch.tensor([[[30.0, 80.0], [270.0, 320.0]]]))


def test_projection_follows_the_224_pixel_crop_of_the_regressor():
    centre, side = torch.tensor([150.0, 200.0]), torch.tensor(240.0)
    camera = torch.tensor([0.9, 0.1, -0.2])
    points = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    crop_pixels = 112 * (0.9 * points[:, :2] + torch.tensor([0.1, -0.2])) + 112
    expected = torch.tensor([30.0, 80.0]) + crop_pixels / (224 / 240)
    assert torch.allclose(project_weak(points, camera, centre, side), expected, atol=1e-3)


def test_a_long_pinhole_by_hand():
    centre, side = torch.tensor([150.0, 200.0]), torch.tensor(240.0)
    camera = torch.tensor([0.5, 0.1, -0.2])
    # 20 sides of focal length: 2 * 20 / 0.5 = 80 m away; 8 m further it is 10 percent smaller
    points = torch.tensor([[1.0, 0.5, 0.0], [1.0, 0.5, 8.0]])
    found = project_long(points, camera, centre, side, 20.0)
    assert torch.allclose(found[0], torch.tensor([150 + 120 * 0.6, 200 + 120 * 0.05]))
    assert torch.allclose(found[1], torch.tensor([150 + 120 * 0.6 / 1.1, 200 + 120 * 0.05 / 1.1]))


def test_the_longer_the_pinhole_the_weaker():
    points = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    crop = torch.tensor([[150.0, 200.0], [10.0, 20.0]]), torch.tensor([240.0, 100.0])
    camera = torch.tensor([[0.9, 0.1, -0.2], [0.5, 0.0, 0.3]])
    weak = project_weak(points, camera, *crop)
    far = project_long(points, camera, *crop, 1e6)
    assert torch.allclose(far, weak, atol=1e-2)


def test_image_and_crop_are_inverse_with_batches():
    generator = torch.Generator().manual_seed(0)
    pixels = 512 * torch.rand(2, 3, 24, 2, generator=generator)
    centre, side = square_crop(512 * torch.rand(2, 3, 4, generator=generator).sort(dim=-1).values)
    back = crop_to_image(image_to_crop(pixels, centre, side), centre, side)
    assert torch.allclose(back, pixels, atol=1e-2)


def test_six_d_is_the_first_two_columns():
    generator = torch.Generator().manual_seed(0)
    six_d = torch.randn(4, 24, 6, generator=generator)
    R = six_d_to_matrix(six_d)
    assert torch.allclose(R @ R.mT, torch.eye(3).expand_as(R), atol=1e-5)
    assert torch.allclose(torch.det(R), torch.ones(4, 24), atol=1e-5)
    # An already orthonormal pair, read row by row as (3, 2), comes back as it is.
    again = six_d_to_matrix(R[..., :2].flatten(-2))
    assert torch.allclose(again, R, atol=1e-5)

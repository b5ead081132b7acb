"""Pinhole cameras: hand cases, invariances, azimuth and mirror of the published release."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.geometry import cameras

ORIGIN = torch.zeros(3)


def camera_at(*eye: float):
    return cameras.look_at(torch.tensor(eye), ORIGIN)


def random_cameras(n: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    eye = 3 * torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=-1)
    target = 0.3 * torch.randn(n, 3, generator=generator)
    return (eye, target, *cameras.look_at(eye, target))


def test_pinhole_by_hand():
    R, t = camera_at(0.0, 0.0, 2.0)  # in front of a person who faces +z
    K = cameras.intrinsics(torch.tensor(0.5), 100, 80)
    points = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    pixels, depth = cameras.project(points, R, t, K)
    assert depth.tolist() == pytest.approx([2, 2, 2, -1])
    # The person's left is on the right of the picture, up is up.
    assert pixels[:3].tolist() == [[50, 40], [75, 40], [50, 15]]


def test_arrays_are_projected_as_tensors_are():
    _, _, R, t = (each.double() for each in random_cameras(6, seed=3))
    K = cameras.intrinsics(torch.full((6,), 1.2).double(), 640, 480)
    points = torch.randn(6, 9, 3, generator=torch.Generator().manual_seed(4)).double()
    tensors = cameras.project(points, R, t, K, nearest=0.1)
    arrays = cameras.project(*(each.numpy() for each in (points, R, t, K)), nearest=0.1)
    for tensor, array in zip(tensors, arrays, strict=True):
        assert isinstance(array, np.ndarray)
        np.testing.assert_allclose(array, tensor, rtol=1e-12)
    # One camera for all points, or none but the point itself.
    one = cameras.project(*(each[0].numpy() for each in (points, R, t, K)))
    np.testing.assert_allclose(one[0], tensors[0][0], rtol=1e-12)


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_what_lies_at_or_behind_the_eye_is_finite_if_asked(kind):
    homogeneous = kind([[2.0, 4.0, 2.0], [1.0, -1.0, 0.0], [1.0, 1.0, -3.0]])
    assert cameras.from_homogeneous(homogeneous, nearest=0.5).tolist() == [[1, 2], [2, -2], [2, 2]]
    with np.errstate(divide="ignore"):
        assert cameras.from_homogeneous(homogeneous)[1].tolist() == [math.inf, -math.inf]
    eye = kind([0.0, 0.0, 0.0])
    identity = kind(np.eye(3).tolist())
    _, depth = cameras.project(homogeneous, identity, eye, identity, nearest=0.5)
    assert depth.tolist() == [2, 0, -3]


def test_intrinsics_take_numbers_or_batches():
    K = cameras.intrinsics(torch.tensor([1.0, 2.0]), torch.tensor([100, 200]), 50)
    assert K.shape == (2, 3, 3)
    assert K[1].tolist() == [[400, 0, 100], [0, 400, 25], [0, 0, 1]]


def test_focal_of_view():
    assert cameras.focal_of_view(math.pi / 2) == pytest.approx(0.5)
    assert cameras.focal_of_view(math.radians(46.4)) == pytest.approx(1.16657, abs=1e-4)


def test_look_at_centres_its_target_and_stands_at_its_eye():
    eye, target, R, t = random_cameras(50)
    K = cameras.intrinsics(torch.ones(50), 512, 512)
    pixels, depth = cameras.project(target[:, None], R, t, K)
    assert torch.allclose(pixels, torch.full_like(pixels, 256.0), atol=1e-2)
    assert torch.allclose(depth[:, 0], (target - eye).norm(dim=-1), atol=1e-5)
    assert torch.allclose(cameras.camera_centre(R, t), eye, atol=1e-5)
    assert torch.allclose(R @ R.mT, torch.eye(3).expand(50, 3, 3), atol=1e-5)
    assert torch.allclose(torch.det(R), torch.ones(50), atol=1e-5)
    above, _ = cameras.project((target + torch.tensor([0, 0.1, 0]))[:, None], R, t, K)
    assert (above[..., 1] < pixels[..., 1]).all()


@pytest.mark.parametrize("height", [2.0, -2.0])
def test_looking_straight_up_or_down_is_defined(height):
    R, _ = camera_at(0.0, height, 0.0)
    assert torch.allclose(R @ R.T, torch.eye(3)) and torch.det(R) == pytest.approx(1)
    assert (-R[1]).tolist() == pytest.approx([0, 0, -1])


def test_azimuth_by_hand():
    for eye, degrees in [((2, 0, 0), 0), ((0, 1, 2), 90), ((-2, 0, 0), 180), ((0, 0, -2), 270)]:
        R, t = camera_at(*map(float, eye))
        assert cameras.azimuth_degrees(R, t).item() == pytest.approx(degrees, abs=1e-4)
        assert cameras.azimuth_bin(R, t).item() == degrees // 30
    assert cameras.azimuth_degrees(*camera_at(0.0, 2.0, 0.0)).item() == 0


@settings(deadline=None)
@given(st.floats(-10, 10, width=32), st.floats(-10, 10, width=32), st.sampled_from([1, 6, 12]))
def test_azimuth_stays_in_range(x, z, bins):
    R, t = torch.eye(3), -torch.tensor([x, 1.0, z])
    degrees = cameras.azimuth_degrees(R, t)
    assert 0 <= degrees < 360
    index = cameras.azimuth_bin(R, t, bins)
    assert index.dtype == torch.int64 and 0 <= index < bins
    # To a rounding error, the azimuth lies in its bin.
    assert -1e-4 <= degrees - index * 360 / bins <= 360 / bins + 1e-4


def test_azimuth_agrees_with_the_release(golden):
    data = golden("small_functions")
    x, z = torch.tensor(data["azimuth_xz"]).unbind(-1)
    R = torch.eye(3, dtype=torch.float64).expand(len(x), 3, 3)
    t = -torch.stack([x, torch.zeros_like(x), z], dim=-1)
    assert cameras.azimuth_degrees(R, t).numpy() == pytest.approx(data["azimuth_deg"], abs=1e-4)
    data = golden("aggregate_24")
    R, t = torch.tensor(data["R"]), torch.tensor(data["t"])
    assert (cameras.azimuth_bin(R, t).numpy() == data["azimuth_bin"]).all()


def test_mirrored_camera_sees_the_mirrored_point_in_the_mirrored_image():
    _, _, R, t = random_cameras(20, seed=1)
    K = cameras.intrinsics(torch.ones(20), 640, 480)
    points = torch.randn(20, 7, 3, generator=torch.Generator().manual_seed(2))
    pixels, depth = cameras.project(points, R, t, K)
    flipped = points * torch.tensor([-1.0, 1.0, 1.0])
    mirrored, mirrored_depth = cameras.project(flipped, *cameras.mirror_camera(R, t), K)
    seen = depth > 0.5
    assert torch.allclose(mirrored_depth, depth, atol=1e-5)
    assert torch.allclose(mirrored[seen][:, 0], 640 - pixels[seen][:, 0], atol=1e-1)
    assert torch.allclose(mirrored[seen][:, 1], pixels[seen][:, 1], atol=1e-1)
    back = cameras.mirror_camera(*cameras.mirror_camera(R, t))
    assert torch.equal(back[0], R) and torch.equal(back[1], t)


def test_mirror_agrees_with_the_release(golden):
    data = golden("symmetric")
    R, t = cameras.mirror_camera(torch.tensor(data["in_cam_R"]), torch.tensor(data["in_cam_t"]))
    assert np.allclose(R, data["out_cam_R"], atol=1e-6)
    assert np.allclose(t, data["out_cam_t"], atol=1e-6)
    assert (data["in_cam_K"] == data["out_cam_K"]).all()

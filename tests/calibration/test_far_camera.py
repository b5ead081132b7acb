"""The weak-perspective anchoring: a far camera sees what the regressor's projection does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from chorus.calibration.far_camera import DISTANCE, far_camera
from chorus.calibration.settings import PAPER, CalibrationSettings
from chorus.calibration.weak_to_perspective import calibrate
from chorus.errors import BadInput
from chorus.geometry import cameras
from chorus.geometry.weak_perspective import parallel_projection, project_weak
from references.people import photograph, random_joints

WEAK = replace(PAPER, anchoring="weak-perspective")


@pytest.fixture(scope="module")
def people():
    return photograph(random_joints(12), rotation_error=5.0)


def solve(people, **changes):
    given = (people.joints3d, people.joints2d, people.rotation, people.size)
    return calibrate(*given, settings=WEAK, **changes)


def test_any_point_near_the_body_lands_where_the_weak_camera_puts_it(people):
    found = solve(people)
    generator = torch.Generator().manual_seed(1)
    around = people.joints3d + 0.5 * torch.randn(12, 24, 3, generator=generator).double()
    pixels, depth = cameras.project(around, found.R, found.t, found.K)
    whole = torch.full((12, 2), 256.0).double(), torch.full((12,), 512.0).double()
    weak = project_weak(around @ people.rotation.mT, people.weak, *whole)
    assert (pixels - weak).abs().max() < 0.1
    assert (depth > 0).all() and found.residual.max() < 0.01
    assert found.converged.all() and set(found.failure) == {""}
    assert torch.equal(found.R, people.rotation)


def test_a_projection_worked_out_by_hand():
    # 200 px per metre, the body's origin at pixel (300, 100); image 400 x 240.
    t, focal = far_camera(
        torch.tensor([200.0]), torch.tensor([[300.0, 100.0]]), torch.tensor([[400.0, 240.0]])
    )
    assert t.tolist() == [[0.5, pytest.approx(-0.1), DISTANCE]]
    assert focal.tolist() == [200 * DISTANCE / 400]
    K = cameras.intrinsics(focal, 400, 240)
    point = torch.tensor([[[0.25, 0.5, 0.0]]])
    pixels, _ = cameras.project(point, torch.eye(3)[None], t, K)
    assert pixels[0, 0].tolist() == pytest.approx([350, 200], abs=0.1)


def test_joints_of_weight_zero_do_not_matter(people):
    joints2d, weights = people.joints2d.clone(), torch.ones(12, 24).double()
    joints2d[:, 3], weights[:, 3] = float("nan"), 0
    found = solve(people._replace(joints2d=joints2d), weights=weights)
    assert torch.allclose(found.t, solve(people).t, atol=1e-6)
    scale, shift = parallel_projection(
        people.joints3d, people.joints2d, people.rotation, torch.ones(12, 24).double()
    )
    assert torch.allclose(scale, people.weak[:, 0] * 256)
    assert torch.allclose(shift, (people.weak[:, 1:] + 1) * 256)


def test_bad_persons_fail_alone_with_their_reason(people):
    joints2d = people.joints2d.clone()
    joints2d[0, 0, 0] = float("nan")
    joints2d[1] = -joints2d[1]
    found = solve(people._replace(joints2d=joints2d))
    assert found.failure[:3] == ("not finite", "behind the camera", "")
    assert found.R[:2].isnan().all() and torch.allclose(found.t[2:], solve(people).t[2:])


def test_settings_are_recorded_as_before_unless_the_anchoring_changes():
    assert "anchoring" not in PAPER.recorded()
    assert WEAK.recorded() == {**PAPER.recorded(), "anchoring": "weak-perspective"}
    with pytest.raises(BadInput, match="did you mean 'weak-perspective'"):
        CalibrationSettings(anchoring="weak-perspectiv")

"""How well calibrated cameras agree with the true ones: bodies in random poses, true perspective
cameras, and a regressor that answers with a weak-perspective camera. The figures of the module's
table come from here (pytest -rP prints them)."""

from __future__ import annotations

import pytest
import roma
import torch

from chorus.calibration.settings import PAPER, CalibrationSettings
from chorus.calibration.weak_to_perspective import calibrate
from chorus.geometry import cameras
from references.people import photograph

HELD = CalibrationSettings(focal_prior=100.0, rotation_prior=1000.0)


@pytest.fixture(scope="module")
def bodies(golden):
    """Joints (200, 24, 3) of randomly posed bodies, zero global rotation."""
    data = golden("body")
    rest = torch.tensor(data["T_joints"], dtype=torch.float64)
    parents = data["kintree_table"][0]
    generator = torch.Generator().manual_seed(0)
    pose = 0.35 * torch.randn(200, 24, 3, generator=generator, dtype=torch.float64)
    pose[:, 0] = 0
    local = roma.rotvec_to_rotmat(pose)
    turned, joints = [local[:, 0]], [rest[0].expand(200, 3)]
    for j in range(1, 24):
        parent = int(parents[j])
        joints.append(joints[parent] + turned[parent] @ (rest[j] - rest[parent]))
        turned.append(turned[parent] @ local[:, j])
    return torch.stack(joints, dim=1)


def errors(people, settings):
    """Per person the error of the camera's direction seen from the body, degrees; per joint and
    person the error in pixels of the image of a point 0.5 m away from the joint."""
    found = calibrate(
        people.joints3d, people.joints2d, people.rotation, people.size, settings=settings
    )
    assert set(found.failure) == {""}
    middle = people.joints3d.mean(1)
    directions = [cameras.camera_centre(c.R, c.t) - middle for c in (people, found)]
    cosine = torch.nn.functional.cosine_similarity(*directions).clamp(-1, 1)
    generator = torch.Generator().manual_seed(5)
    away = torch.randn(people.joints3d.shape, generator=generator, dtype=torch.float64)
    points = people.joints3d + 0.5 * torch.nn.functional.normalize(away, dim=-1)
    (true, depth), (image, _) = (cameras.project(points, c.R, c.t, c.K) for c in (people, found))
    # Closer than 0.5 m a pixel means little.
    return torch.rad2deg(torch.arccos(cosine)), (true - image).norm(dim=-1)[depth > 0.5]


@pytest.mark.parametrize(
    ("settings", "rotation_error", "limits"),
    [
        (PAPER, 0.0, (3.5, 7.5, 5.0, 22.0)),
        (HELD, 0.0, (0.4, 1.0, 2.0, 9.0)),
        (PAPER, 8.0, (7.0, 13.0, 11.0, 34.0)),
        (HELD, 8.0, (6.5, 12.0, 10.0, 28.0)),
    ],
    ids=["paper", "held", "paper-noisy", "held-noisy"],
)
def test_cameras_agree_with_the_true_ones(bodies, settings, rotation_error, limits):
    people = photograph(bodies, view=(30.0, 60.0), rotation_error=rotation_error)
    quantiles = torch.tensor([0.5, 0.9], dtype=torch.float64)
    found = [value for error in errors(people, settings) for value in error.quantile(quantiles)]
    print("degrees (50 %, 90 %), pixels (50 %, 90 %):", [round(v.item(), 2) for v in found])
    assert all(value < limit for value, limit in zip(found, limits, strict=True))

"""Calibration: agreement with plain versions and the release, bad persons, batches, settings."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from chorus.calibration import weak_to_perspective as w2p
from chorus.calibration.settings import PAPER, CalibrationSettings
from chorus.calibration.weak_to_perspective import calibrate
from chorus.errors import BadInput
from chorus.geometry import cameras
from chorus.geometry.rotations import turn_to_ray
from references.adam import calibrate_one
from references.people import SIZE, photograph, random_joints

USUAL_FOCAL = 0.5 / math.tan(math.radians(23.2))

HELD = CalibrationSettings(focal_prior=100.0, rotation_prior=1000.0)


def solve(people, settings=PAPER, **changes):
    given = {
        "joints3d": people.joints3d,
        "joints2d": people.joints2d,
        "initial_rotation": people.rotation,
        "image_size": people.size,
    }
    return calibrate(**(given | changes), settings=settings)


def focal(found):
    return found.K[:, 0, 0] / SIZE


@pytest.fixture(scope="module")
def people():
    return photograph(random_joints(12), rotation_error=5.0)


def test_residual_is_what_the_camera_gives(people):
    found = solve(people)
    pixels, depth = cameras.project(people.joints3d, found.R, found.t, found.K)
    error = (pixels - people.joints2d).flatten(1).norm(dim=1) / 24
    assert torch.allclose(found.residual, error)
    assert (depth > 0).all() and found.converged.all() and set(found.failure) == {""}
    assert torch.allclose(found.R @ found.R.mT, torch.eye(3).to(found.R).expand(12, 3, 3))
    assert found.K[:, 0, 2].tolist() == [256] * 12


def test_exact_perspective_pixels_give_the_true_camera(people):
    settings = CalibrationSettings(stop_residual=0.0, focal_prior=0.0)
    found = solve(people, settings, joints2d=people.pixels)
    assert found.residual.max() < 1e-3
    assert roma.rotmat_geodesic_distance(found.R, people.R).max() < 1e-3
    assert torch.allclose(found.t, people.t, rtol=1e-3, atol=1e-3)
    assert torch.allclose(found.K, people.K, rtol=1e-3)


def test_the_usual_camera_stays_when_nothing_speaks_against_it():
    people = photograph(random_joints(8), view=(40.0, 53.0))
    found = solve(people, joints2d=people.pixels + 0.3)
    kept = focal(found) == focal(solve(people, replace(PAPER, focal_range=1.0)))
    assert kept.float().mean() > 0.5 and (found.residual <= PAPER.stop_residual).all()


def test_stops_at_the_focal_length_closest_to_the_start(people):
    loose = CalibrationSettings(focal_prior=0.0, focal_range=50.0)
    found = solve(people, loose)
    moved = (focal(found) / USUAL_FOCAL - 1).abs() > 1e-6
    assert moved.any()
    assert ((found.residual <= 0.7) & (found.residual > 0.69))[moved].all()
    # Closer to the start, no rotation and translation reach the residual.
    f = USUAL_FOCAL * (focal(found) / USUAL_FOCAL) ** 0.8
    for i in moved.nonzero().flatten().tolist():
        fixed = CalibrationSettings(
            field_of_view=math.degrees(2 * math.atan(0.5 / f[i].item())), focal_range=1.0
        )
        one = [x[i : i + 1] for x in (people.joints3d, people.joints2d, people.rotation)]
        assert calibrate(*one, people.size[:1], settings=fixed).residual.item() > 0.7


@pytest.mark.parametrize("settings", [PAPER, HELD], ids=["paper", "held"])
def test_agrees_with_a_plain_least_squares(people, settings):
    optimize = pytest.importorskip("scipy.optimize")
    # Without the stop both minimise the same cost.
    settings = replace(settings, stop_residual=0.0)
    found = solve(people, settings)

    def costs(i, R, t, f):
        pixels, _ = cameras.project(people.joints3d[i], R, t, cameras.intrinsics(f, SIZE, SIZE))
        middle = (people.joints2d[i].mean(0) - SIZE / 2) / (f * SIZE)
        expected = turn_to_ray(torch.cat([middle, torch.ones(1)])) @ people.rotation[i]
        return torch.cat(
            [
                (pixels - people.joints2d[i]).flatten(),
                settings.focal_prior * (f / USUAL_FOCAL).log()[None],
                settings.rotation_prior * roma.rotmat_to_rotvec(R @ expected.T),
            ]
        ).numpy()

    def unpack(x):
        x = torch.tensor(x)
        return roma.rotvec_to_rotmat(x[:3]), x[3:6], x[6].exp()

    for i in range(4):
        vector = roma.rotmat_to_rotvec(people.rotation[i]).numpy()
        start = np.concatenate([vector, people.t[i], [math.log(USUAL_FOCAL)]])
        plain = optimize.least_squares(lambda x, i=i: costs(i, *unpack(x)), start, x_scale="jac")
        mine = 0.5 * (costs(i, found.R[i], found.t[i], focal(found)[i]) ** 2).sum()
        assert mine == pytest.approx(plain.cost, rel=1e-4)


def test_never_worse_than_the_loop_of_adam_steps(people):
    found = solve(people)
    for i in range(2):
        R, t, K, residual = calibrate_one(
            *(x[i].float() for x in (people.joints3d, people.joints2d, people.rotation)),
            people.weak[i].float(),
            SIZE,
            SIZE,
        )
        assert found.residual[i] < max(residual, PAPER.stop_residual) + 1e-3
        mine = cameras.camera_centre(found.R[i], found.t[i])
        theirs = cameras.camera_centre(R, t).double()
        cosine = torch.nn.functional.cosine_similarity(mine, theirs, dim=0)
        assert math.degrees(math.acos(cosine)) < 3
        assert 0.6 < focal(found)[i] / (K[0, 0] / SIZE) < 1.7


def test_never_worse_than_the_release(golden):
    data = {k: torch.tensor(v) for k, v in golden("wp2p").items() if v.dtype.kind in "fi"}
    rotation = roma.rotvec_to_rotmat(data["pose"][:, :3])
    last = slice(25, 49)  # the release fits the last 24 of its 49 joints
    size = data["img_size"].flip(-1)  # recorded as height, width
    joints = data["joints3d"][:, last], data["joints2d"][:, last]
    found = calibrate(*joints, rotation, size)
    assert set(found.failure) == {""}
    assert (found.residual <= data["min_loss"] + 1e-3).all()
    assert torch.allclose(found.K[:, :2, 2], size / 2)
    # The definition of the residual: the recorded cameras give the recorded values.
    pixels, _ = cameras.project(joints[0], data["R"], data["t"], data["K"])
    recorded = (pixels - joints[1]).flatten(1).norm(dim=1) / 24
    assert torch.allclose(recorded.double(), data["min_loss"], atol=1e-3)


def test_a_bad_person_fails_alone(people):
    alone = solve(people)
    joints3d, joints2d, rotation = (
        x.clone() for x in (people.joints3d, people.joints2d, people.rotation)
    )
    size = people.size
    joints3d[1, 3, 2] = torch.nan
    joints2d[2] = torch.inf
    rotation[3] = torch.nan
    size[4] = 0
    weights = torch.ones(12, 24)
    weights[5, 3:] = 0
    weights[6] = torch.nan
    joints2d[7] = 256 + 1e4 * (joints2d[7] - 256)  # so large that it surrounds the camera
    found = calibrate(joints3d, joints2d, rotation, size, weights)
    reasons = ["", *[w2p.NOT_FINITE] * 4, w2p.TOO_FEW, w2p.NOT_FINITE, w2p.BEHIND, *[""] * 4]
    assert list(found.failure) == reasons and set(reasons) <= {"", *w2p.FAILURES}
    good = torch.tensor([not reason for reason in reasons])
    for name in ("R", "t", "K", "residual"):
        mine = getattr(found, name)
        assert mine[~good].isnan().any(-1).all()
        assert torch.allclose(mine[good], getattr(alone, name)[good], atol=1e-6)
    assert (found.converged == good).all()


def test_too_few_steps_are_reported(people):
    found = solve(people, CalibrationSettings(max_iterations=1))
    assert set(found.failure) == {w2p.NOT_CONVERGED} and not found.converged.any()
    assert found.R.isfinite().all() and (found.iterations <= 20).all()


def test_a_joint_of_weight_zero_is_not_looked_at(people):
    weights = torch.ones(12, 24)
    weights[:, :2] = 0
    joints2d, joints3d = people.joints2d.clone(), people.joints3d.clone()
    joints2d[:, 0], joints3d[:, 1] = 1e5, torch.nan
    found = solve(people, weights=weights, joints2d=joints2d, joints3d=joints3d)
    less = solve(people, joints3d=people.joints3d[:, 2:], joints2d=people.joints2d[:, 2:])
    assert torch.allclose(found.t, less.t) and torch.allclose(found.residual, less.residual)


def test_persons_do_not_depend_on_their_batch(people):
    given = (people.joints3d, people.joints2d, people.rotation, people.size)
    given = [one.float() for one in given]
    whole = calibrate(*given)
    for size in (1, 5, len(given[0]) - 1):
        parts = [calibrate(*some) for some in zip(*(x.split(size) for x in given), strict=True)]
        for name in ("R", "t", "K", "residual", "converged", "iterations"):
            joined = torch.cat([getattr(part, name) for part in parts])
            assert torch.equal(joined, getattr(whole, name)), (size, name)
    empty = calibrate(
        torch.zeros(0, 24, 3), torch.zeros(0, 24, 2), torch.zeros(0, 3, 3), torch.zeros(0, 2)
    )
    assert empty.R.shape == (0, 3, 3) and empty.failure == ()


def test_close_person_is_moved_off_until_all_of_it_is_in_front():
    people = photograph(random_joints(4))
    joints2d = 256 + 8 * (people.joints2d - 256)
    found = solve(people, joints2d=joints2d)
    _, depth = cameras.project(people.joints3d, found.R, found.t, found.K)
    assert set(found.failure) == {""} and (depth > 0).all()
    assert (focal(found) <= 4 * USUAL_FOCAL + 1e-6).all()


def test_degenerate_joints_do_not_crash():
    joints3d = random_joints(3)
    joints3d[0] = 0
    joints2d = torch.full((3, 24, 2), 200.0)
    joints2d[1, :, 0] += torch.arange(24.0)
    found = calibrate(joints3d, joints2d, torch.eye(3).expand(3, 3, 3), torch.full((3, 2), 512))
    assert found.R.shape == (3, 3, 3) and found.R.dtype == torch.float32
    assert all(reason in ("", *w2p.FAILURES) for reason in found.failure)


def test_wrong_shapes_and_settings_are_refused(people):
    with pytest.raises(BadInput, match="joints3d"):
        solve(people, joints3d=people.joints3d[:, :5])
    with pytest.raises(BadInput, match="image_size"):
        solve(people, image_size=torch.ones(12))
    with pytest.raises(BadInput, match="joints2d"):
        solve(people, joints2d=people.joints2d[0])
    with pytest.raises(BadInput, match="focal_range"):
        CalibrationSettings(focal_range=0.5)

"""Bodies from landmarks: derivatives, what is found again, hinges, bad persons, batches."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import roma
import torch

from chorus.body.landmarks import COCO, LANDMARKS, body_landmarks
from chorus.body.skeleton import JOINT_NAMES
from chorus.errors import BadInput
from chorus.geometry.rotations import turn_to_ray
from chorus.refinement.landmark_fit import LandmarkFitter, Landmarks, LandmarkSettings
from references.stick_body import shaped_stick_body

BODY = shaped_stick_body()
ON_BODY = body_landmarks(BODY)
FITTER = LandmarkFitter(BODY)
SIZE = torch.tensor([640.0, 480.0])
FOCAL = 640 * 0.5 / math.tan(math.radians(23.2))


def persons(count: int, seed: int = 0):
    """Ordinary poses, each before a camera, and their landmarks without error."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=draw)

    pose = 0.12 * normal(count, 24, 3)
    for side, sign in (("left", 1), ("right", -1)):
        pose[:, JOINT_NAMES.index(f"{side}_shoulder"), 2] -= sign * (0.8 + 0.4 * normal(count))
        pose[:, JOINT_NAMES.index(f"{side}_elbow"), 1] -= sign * (0.3 + normal(count).abs())
        pose[:, JOINT_NAMES.index(f"{side}_knee"), 0] += 0.3 + 0.5 * normal(count).abs()
    upside = torch.tensor([math.pi, 0.0, 0.0]).expand(count, 3)  # y up to y down
    about = roma.rotvec_to_rotmat(normal(count, 3) * torch.tensor([0.2, 1.0, 0.2]))
    straight = about @ roma.rotvec_to_rotmat(upside)
    pose[:, 0] = roma.rotmat_to_rotvec(straight)
    posed = posed_landmarks(pose)
    root = torch.tensor([0.4, -0.2, 4.0]) + 0.2 * normal(count, 3)
    turn = turn_to_ray(root)
    camera = posed @ turn.mT + root[:, None]
    pixels = FOCAL * camera[..., :2] / camera[..., 2:] + SIZE / 2
    metres = posed - posed[:, [23, 24]].mean(1, keepdim=True)
    given = Landmarks(pixels, metres, torch.ones(count, LANDMARKS), SIZE.expand(count, 2))
    return pose, root, given


def posed_landmarks(pose):
    """All 33 (B, 33, 3) from the pelvis; those that the body lacks lie at the pelvis."""
    transforms = BODY.skinning_transforms(pose)
    points = torch.zeros(len(pose), LANDMARKS, 3)
    at = transforms[:, ON_BODY.carrier]
    rest = ON_BODY.rest.float()
    points[:, list(ON_BODY.numbers)] = (at[..., :3, :3] @ rest[..., None])[..., 0] + at[..., :3, 3]
    return points - BODY.posed_joints(pose)[:, :1]


def test_a_body_has_the_landmarks_that_lie_on_it():
    place = dict(zip(ON_BODY.numbers, ON_BODY.rest, strict=True))
    joints = BODY.rest()[1].double()
    torch.testing.assert_close(place[13], joints[JOINT_NAMES.index("left_elbow")])
    foot = JOINT_NAMES.index("left_foot")
    assert place[31][2] == pytest.approx(float(joints[foot][2]) + 0.06)  # the front of its box
    assert place[29][2] < place[31][2] and place[29][0] > 0 > place[30][0]
    assert set(COCO) <= set(ON_BODY.numbers)


def test_ordinary_persons_are_found_again():
    pose, root, given = persons(6)
    found = FITTER(given)
    assert found.converged.all()
    joints = BODY.posed_joints(pose)
    again = BODY.posed_joints(found.pose, found.betas)
    error = (again - again[:, :1] - joints + joints[:, :1]).norm(dim=-1)
    assert error.mean() < 0.02 and error.max() < 0.1
    assert (found.error < 0.01).all() and (found.depth_error < 0.03).all()
    # How far away a person is and how long the lens is are one question, hence the ratio.
    torch.testing.assert_close(
        found.root[:, 2] / found.focal, root[:, 2] / FOCAL, rtol=0.05, atol=0
    )


def test_the_gradient_is_that_of_the_cost():
    given = persons(3, seed=1)[2]
    problem = FITTER._problem(Landmarks(**{n: v.double() for n, v in vars(given).items()}))[0]
    draw = torch.Generator().manual_seed(0)
    x = FITTER._start(problem)
    x = x + 0.05 * torch.randn(x.shape, generator=draw, dtype=x.dtype)
    knee = 3 * JOINT_NAMES.index("left_knee")
    x[0, knee] = -1.0  # bent the wrong way
    gradient = FITTER.normal_equations(problem, x)[1]
    for at in range(x.shape[1]):
        step = torch.zeros_like(x)
        step[:, at] = 1e-6
        numeric = (FITTER.cost(problem, x + step) - FITTER.cost(problem, x - step)) / 4e-6
        torch.testing.assert_close(numeric, gradient[:, at], rtol=1e-4, atol=1e-5)


def test_a_taller_person_is_a_taller_body():
    given = persons(2, seed=2)[2]
    taller = replace(given, metres=1.1 * given.metres)
    betas, ordinary = FITTER(taller).betas[:, 0], FITTER(given).betas[:, 0]
    assert (ordinary.abs() < 0.3).all() and (betas - ordinary > 0.6).all()


def test_a_straight_leg_does_not_bend_forward():
    pose, _, given = persons(1, seed=3)
    pose = pose.clone()
    pose[:, JOINT_NAMES.index("left_knee")] = torch.tensor([-0.4, 0.0, 0.0])
    posed = posed_landmarks(pose)
    metres = posed - posed[:, [23, 24]].mean(1, keepdim=True)
    found = FITTER(replace(given, metres=metres))
    assert found.pose[0, JOINT_NAMES.index("left_knee"), 0] > -0.2


def test_hidden_landmarks_say_little():
    _, _, given = persons(1, seed=4)
    wrong = replace(given, pixels=given.pixels.clone(), visibility=given.visibility.clone())
    wrong.pixels[0, 15] += 200
    wrong.visibility[0, 15] = 0.1
    torch.testing.assert_close(FITTER(wrong).pose, FITTER(given).pose, rtol=0, atol=0.1)


def test_persons_do_not_depend_on_each_other_and_one_that_is_not_finite_fails_alone():
    _, _, given = persons(4, seed=5)
    metres = given.metres.clone()
    metres[2, 11, 0] = math.nan
    every = FITTER(replace(given, metres=metres))
    assert every.pose[2].isnan().all() and not every.converged[2]
    alone = FITTER(Landmarks(**{name: value[3:] for name, value in vars(given).items()}))
    torch.testing.assert_close(every.pose[3:], alone.pose)
    none = FITTER(Landmarks(**{name: value[:0] for name, value in vars(given).items()}))
    assert none.pose.shape == (0, 24, 3)


def test_landmarks_on_one_spot_end_without_an_exception():
    _, _, given = persons(1, seed=6)
    spot = Landmarks(0 * given.pixels, 0 * given.metres, 0 * given.visibility, given.image_size)
    found = FITTER(spot)
    assert found.pose.isfinite().all() or found.pose.isnan().all()


def test_landmarks_of_another_shape_are_refused():
    _, _, given = persons(2)
    with pytest.raises(BadInput, match=r"metres must have shape \(2, 33, 3\), found \(2, 20, 3\)"):
        replace(given, metres=given.metres[:, :20])


def test_fewer_steps_give_no_better_fit():
    _, _, given = persons(2, seed=7)
    short = LandmarkFitter(BODY, LandmarkSettings(max_iterations=1))(given)
    assert (short.error >= FITTER(given).error - 1e-3).all()

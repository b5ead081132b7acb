"""Hands fitted to landmarks: those of a posed hand are found again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.hands.free_hand import load_hand
from chorus.hands.hand_model import HandModel, mirror_pose
from chorus.hands.joints import gather
from chorus.hands.landmark_fit import FittedHands, HandFitter, HandLandmarks
from references.hands import small_hand

IMPORTS = Path(__file__).resolve().parents[2] / "imports"
SIZE = (640, 480)
FOCAL = 746.7  # of 46.4 degrees along 640 pixels


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return load_hand(imports=IMPORTS)


@pytest.fixture(scope="module")
def fitter(hand) -> HandFitter:
    return HandFitter(hand)


def poses(seed: int, count: int) -> torch.Tensor:
    """Hands in any orientation with fingers bent toward the palm by up to 80 degrees."""
    generator = torch.Generator().manual_seed(seed)
    pose = 0.08 * torch.randn(count, 16, 3, generator=generator)
    pose[:, 1:13, 2] += 1.4 * torch.rand(count, 12, generator=generator)
    pose[:, 0] = torch.randn(count, 3, generator=generator)
    return pose


def seen(hand: HandModel, pose: torch.Tensor, betas: torch.Tensor, at: torch.Tensor):
    """The landmarks of hands, and the hands' joints in the camera."""
    wrist = hand.rest(betas)[1][:, 0]
    order = gather("ho3d", "freihand")
    joints = hand.pose(pose, betas, at - wrist).joints21[:, order]
    pixels = FOCAL * joints[..., :2] / joints[..., 2:] + torch.tensor(SIZE) / 2
    right = torch.full((len(pose),), hand.side == "right")
    size = torch.tensor([SIZE] * len(pose)).float()
    metres = joints - joints.mean(1, keepdim=True)
    return HandLandmarks(pixels, metres, right, size), joints


def joints_of(hand: HandModel, fits: FittedHands) -> torch.Tensor:
    wrist = hand.rest(fits.betas)[1][:, 0]
    order = gather("ho3d", "freihand")
    return hand.pose(fits.pose, fits.betas, fits.root - wrist).joints21[:, order]


@given(st.integers(0, 500))
@settings(max_examples=5, deadline=None)
def test_a_posed_hand_is_found_again(hand, fitter, seed):
    pose, betas = poses(seed, 4), torch.zeros(4, 10)
    given_landmarks, joints = seen(hand, pose, betas, torch.tensor([0.0, 0.0, 0.8]).expand(4, 3))
    fits = fitter(given_landmarks)
    found = joints_of(hand, fits)
    relative = (found - found[:, :1]) - (joints - joints[:, :1])
    assert relative.norm(dim=-1).mean() < 0.006
    assert fits.error.max() < 0.05 and fits.depth_error.max() < 0.01
    assert ((fits.root[:, 2] - 0.8).abs() < 0.12).all()
    assert (fits.focal - FOCAL).abs().max() < 1


def test_left_hands_are_the_mirror_images_of_right_ones(hand, fitter):
    pose, betas = poses(3, 4), torch.zeros(4, 10)
    at = torch.tensor([0.05, -0.02, 0.8]).expand(4, 3)
    right = fitter(seen(hand, pose, betas, at)[0])
    mirrored = at * torch.tensor([-1.0, 1, 1])
    left_landmarks, joints = seen(hand.mirrored(), mirror_pose(pose), betas, mirrored)
    left = fitter(left_landmarks)
    torch.testing.assert_close(left.betas, right.betas, atol=1e-3, rtol=0)
    torch.testing.assert_close(left.pose, mirror_pose(right.pose), atol=1e-3, rtol=0)
    found = joints_of(hand.mirrored(), left)
    off = (found - found[:, :1]) - (joints - joints[:, :1])
    assert off.norm(dim=-1).mean() < 0.009


def test_a_left_hand_given_as_right_fits_badly(hand, fitter):
    landmarks, _ = seen(hand, poses(4, 4), torch.zeros(4, 10), torch.tensor([[0.0, 0, 0.8]] * 4))
    wrong = HandLandmarks(landmarks.pixels, landmarks.metres, ~landmarks.right,
                          landmarks.image_size)  # fmt: skip
    badly, well = fitter(wrong), fitter(landmarks)
    assert (badly.depth_error > 1.5 * well.depth_error).all()
    assert (badly.error > 1.5 * well.error).all()


def test_the_size_of_a_hand_is_found(hand, fitter):
    betas = torch.zeros(2, 10)
    betas[:, 0] = torch.tensor([-1.5, 1.5])
    landmarks, _ = seen(hand, poses(5, 1).expand(2, 16, 3), betas, torch.tensor([[0, 0, 0.8]] * 2))
    found = fitter(landmarks).betas[:, 0]
    assert found[0] < -0.4 < 0.4 < found[1]


def test_gradient_and_curvature_are_those_of_the_cost(fitter, hand):
    landmarks, _ = seen(hand, poses(6, 2), torch.zeros(2, 10), torch.tensor([[0.02, 0, 0.8]] * 2))
    problem, _ = fitter._problem(landmarks.pixels.double(), landmarks.metres.double())
    x = fitter._start(problem)
    x = x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
    _, gradient = fitter.normal_equations(problem, x)
    step = 1e-6
    for at in range(0, x.shape[1], 7):
        high, low = x.clone(), x.clone()
        high[:, at] += step
        low[:, at] -= step
        slope = (fitter.cost(problem, high) - fitter.cost(problem, low)) / (4 * step)
        torch.testing.assert_close(gradient[:, at], slope, rtol=1e-3, atol=1e-3)


def test_a_hand_that_is_not_finite_fails_alone(hand, fitter):
    landmarks, _ = seen(hand, poses(7, 3), torch.zeros(3, 10), torch.tensor([[0.0, 0, 0.8]] * 3))
    alone = fitter(landmarks)
    landmarks.metres[1, 4] = torch.nan
    fits = fitter(landmarks)
    assert fits.pose[1].isnan().all() and not fits.converged[1]
    torch.testing.assert_close(fits.pose[[0, 2]], alone.pose[[0, 2]])


def test_no_hand_at_all(fitter):
    none = HandLandmarks(torch.zeros(0, 21, 2), torch.zeros(0, 21, 3), torch.zeros(0).bool(),
                         torch.zeros(0, 2))  # fmt: skip
    assert fitter(none).pose.shape == (0, 16, 3)


def test_wrong_shapes_and_a_left_model_are_named():
    with pytest.raises(BadInput, match=r"metres must have shape \(2, 21, 3\), found \(2, 33, 3\)"):
        HandLandmarks(torch.zeros(2, 21, 2), torch.zeros(2, 33, 3), torch.ones(2).bool(),
                      torch.zeros(2, 2))  # fmt: skip
    with pytest.raises(BadInput, match="is a left one"):
        HandFitter(small_hand().mirrored())

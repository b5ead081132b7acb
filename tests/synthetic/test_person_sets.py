"""Persons before cameras without pictures: what they hold, and that it is what a camera sees."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch

from chorus.body.keypoints import BODY_KEYPOINTS
from chorus.body.loading import load_body
from chorus.errors import BadInput
from chorus.synthetic.perceive.noise import OUTSIDE, VISIBLE
from chorus.synthetic.perceive.noise_settings import EXACT, NoiseSettings
from chorus.synthetic.person_sets import draw_persons, perceived, persons_of_poses


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def drawn(body):
    return draw_persons(body, ["skateboard", "tie"], 4, 3, seed=3)


def test_the_same_seed_gives_the_same_persons(body, drawn):
    again = draw_persons(body, ["skateboard", "tie"], 4, 3, seed=3)
    assert 4 <= len(drawn.pose) <= 12
    for field in fields(drawn):
        np.testing.assert_array_equal(getattr(drawn, field.name), getattr(again, field.name))
    other = draw_persons(body, ["skateboard", "tie"], 4, 3, seed=4)
    assert other.pose.shape != drawn.pose.shape or not np.allclose(other.pose, drawn.pose)


def test_what_is_seen_fits_together(drawn):
    inside = ((drawn.keypoints >= 0) & (drawn.keypoints < 512)).all(-1)
    assert (inside | (drawn.visibility == OUTSIDE)).all()
    assert (drawn.visibility == VISIBLE).any() and (drawn.visibility != VISIBLE).any()
    np.testing.assert_array_equal(drawn.keypoints[:, 5:], drawn.joints2d[:, BODY_KEYPOINTS])
    assert (drawn.visibility[:, 5:] == VISIBLE)[drawn.joint_visible[:, BODY_KEYPOINTS]].all()
    assert (drawn.box[:, 2:] > drawn.box[:, :2]).all()
    assert (drawn.box >= 0).all() and (drawn.box <= 512).all()


def test_exact_perception_says_the_truth(body, drawn):
    said = perceived(body, drawn, EXACT, np.random.default_rng(0))
    np.testing.assert_allclose(said.pose[:, 1:], drawn.pose[:, 1:], atol=1e-4)
    np.testing.assert_allclose(said.keypoints[..., :2], drawn.keypoints, atol=1e-3)
    np.testing.assert_allclose(said.box, drawn.box)


def test_perception_errs_as_the_error_model_says(body, drawn):
    rng = np.random.default_rng(0)
    said = [perceived(body, drawn, NoiseSettings(), rng) for _ in range(2)]
    assert not np.allclose(said[0].pose, said[1].pose)
    off = np.degrees(np.abs(said[0].pose[:, 1:] - drawn.pose[:, 1:]))
    assert 1 < np.median(off) < 8


def test_given_poses_stand_on_the_ground(body):
    pose = np.zeros((2, 24, 3), np.float32)
    pose[:, 16:18, 2] = [-1.2, 1.2]
    pose[1, 0] = [0, math.pi / 2, 0]
    found = persons_of_poses(body, pose, np.zeros((2, 10), np.float32), 2, seed=0)
    assert 2 <= len(found.pose) <= 4
    for row in range(len(found.pose)):
        joints = body.posed_joints(torch.from_numpy(found.pose[row]))
        camera = joints.numpy() @ found.R[row].T
        spread = np.ptp(camera[:, 1]) / np.ptp(found.joints2d[row, :, 1])
        assert spread > 0  # y runs down in camera and image alike
        assert found.pose[row, 1:].tolist() == pose[0, 1:].tolist()


def test_no_view_of_anyone_is_an_empty_set(body):
    none = persons_of_poses(body, np.zeros((0, 24, 3)), np.zeros((0, 10)), 2, seed=0)
    assert none.pose.shape == (0, 24, 3) and none.keypoints.shape == (0, 17, 2)


def test_unknown_categories_are_refused(body):
    with pytest.raises(BadInput, match="unknown category of the synthetic world 'ti'"):
        draw_persons(body, ["ti"], 1, 1, seed=0)

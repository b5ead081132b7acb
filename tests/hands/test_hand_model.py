"""Posing a hand: by hand-computed cases, against smplx, and in the mirror."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.hands.hand_model import mirror_pose
from chorus.hands.joints import JOINT_NAMES, ORDERS
from references.hands import mano_arrays, small_hand

J = {name: number for number, name in enumerate(JOINT_NAMES)}
J21 = {name: number for number, name in enumerate(ORDERS["ho3d"])}
FLIP = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)


def random_pose(seed: int, *batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.7 * torch.randn(*batch, 16, 3, generator=generator, dtype=torch.float64)


def test_a_finger_closes_by_hand():
    hand = small_hand()
    pose = torch.zeros(16, 3)
    pose[J["index2"], 2] = math.pi / 2  # about +z: the index finger, along -x, closes toward -y
    joints = hand.pose(pose).joints
    expected = hand.rest()[1][J["index2"]] + torch.tensor([0, -0.03, 0])
    torch.testing.assert_close(joints[J["index3"]], expected, atol=1e-8, rtol=0)
    still = [n for n in range(16) if n != J["index3"]]
    torch.testing.assert_close(joints[still], hand.rest()[1][still], atol=1e-8, rtol=0)


def test_the_hand_turns_about_its_wrist():
    hand = small_hand()
    pose = torch.zeros(16, 3)
    pose[0] = torch.tensor([0.3, -1.0, 0.5])
    posed = hand.pose(pose, translation=torch.tensor([0.0, 0.0, 0.6]))
    wrist = hand.rest()[1][0]
    torch.testing.assert_close(posed.joints[0], wrist + torch.tensor([0, 0, 0.6]))
    torch.testing.assert_close(
        (posed.joints - posed.joints[0]).norm(dim=-1), (hand.rest()[1] - wrist).norm(dim=-1)
    )


def test_fingertips_lie_on_their_triangles():
    hand = small_hand()
    posed = hand.pose(random_pose(1))
    corner = {"index": 1, "middle": 2, "pinky": 1, "ring": 2, "thumb": 0}
    for number, (finger, at) in enumerate(corner.items()):
        vertex = hand.faces[hand.tip_faces[number], at]
        torch.testing.assert_close(posed.joints21[J21[f"{finger}_tip"]], posed.vertices[vertex])


@pytest.mark.parametrize("flat_hand_mean", [True, False])
def test_smplx_poses_it_to_the_same_vertices(flat_hand_mean):
    smplx = pytest.importorskip("smplx")
    struct = smplx.utils.Struct(**mano_arrays())
    other = smplx.MANO(
        "",
        data_struct=struct,
        use_pca=False,
        flat_hand_mean=flat_hand_mean,
        batch_size=3,
        dtype=torch.float64,
    )
    pose, betas = random_pose(2, 3), torch.linspace(-2, 2, 30).double().view(3, 10)
    expected = other(betas=betas, global_orient=pose[:, 0], hand_pose=pose[:, 1:].flatten(1))
    hand = small_hand()
    posed = hand.pose(pose if flat_hand_mean else hand.from_mean(pose), betas)
    torch.testing.assert_close(posed.vertices, expected.vertices, atol=1e-7, rtol=0)
    torch.testing.assert_close(posed.joints, expected.joints[:, :16], atol=1e-7, rtol=0)


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_mirrored_hand_is_the_mirror_image(seed):
    hand = small_hand(seed % 3)
    pose = random_pose(seed, 2)
    betas = torch.linspace(-1, 1, 10).double()
    there = hand.mirrored().pose(mirror_pose(pose), betas)
    here = hand.pose(pose, betas)
    torch.testing.assert_close(there.vertices, here.vertices * FLIP, atol=1e-10, rtol=0)
    torch.testing.assert_close(there.joints21, here.joints21 * FLIP, atol=1e-10, rtol=0)


def test_mirroring_twice_is_the_identity():
    hand = small_hand()
    again = hand.mirrored().mirrored()
    assert again.side == "right" and hand.mirrored().side == "left"
    for name, value in vars(hand).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(again, name)), name
    pose = random_pose(4)
    assert torch.equal(mirror_pose(mirror_pose(pose)), pose)


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_poses_relative_to_the_mean_and_back(seed):
    hand, pose = small_hand(), random_pose(seed, 2)
    absolute = hand.from_mean(pose)
    torch.testing.assert_close(hand.to_mean(absolute), pose)
    assert torch.equal(absolute[:, 0], pose[:, 0])
    torch.testing.assert_close(absolute[:, 1:] - pose[:, 1:], hand.mean_pose.expand(2, 15, 3))


def test_freihands_joints_are_regressed_from_the_posed_surface():
    hand = small_hand()
    posed = hand.pose(random_pose(5))
    regressed = hand.regressed_joints(posed.vertices)
    torch.testing.assert_close(hand.regressed_joints(hand.rest()[0]), hand.rest()[1])
    assert 1e-4 < (regressed - posed.joints).norm(dim=-1).mean() < 0.02


def test_batches_do_not_mix():
    hand = small_hand()
    pose, betas = random_pose(6, 4), torch.randn(4, 10, dtype=torch.float64)
    together = hand.pose(pose, betas).vertices
    for at in range(4):
        torch.testing.assert_close(hand.pose(pose[at], betas[at]).vertices, together[at])


def test_wrong_shapes_are_named():
    hand = small_hand()
    with pytest.raises(BadInput, match=r"shape \(15, 3\); expected \(..., 16, 3\)"):
        hand.pose(torch.zeros(15, 3))
    with pytest.raises(BadInput, match=r"'small hand' expects \(..., S\) with S from 1 to 10"):
        hand.pose(torch.zeros(16, 3), torch.zeros(11))


def test_nan_propagates_to_its_own_hand_alone():
    hand, pose = small_hand(), random_pose(7, 2)
    pose[0, 3] = np.nan
    vertices = hand.pose(pose).vertices
    assert vertices[0].isnan().any() and vertices[1].isfinite().all()

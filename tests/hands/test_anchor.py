"""Distributions in a hand's frame: an object held by hands in many poses is found in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
import trimesh

from chorus.errors import BadInput
from chorus.hands.anchor import HAND_SETTINGS, PART, HandSpace, hand_space, hand_views
from chorus.hands.free_hand import load_hand
from chorus.hands.hand_model import HandModel
from chorus.hands.joints import JOINT_NAMES, ORDERS
from chorus.occupancy.accumulate import accumulate
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.evidence import estimate
from chorus.occupancy.presets import FieldSettings
from chorus.occupancy.views import Views
from chorus.rendering.raycast import cast

IMPORTS = Path(__file__).resolve().parents[2] / "imports"
K = np.array([[140.0, 0, 80], [0, 140, 80], [0, 0, 1]])  # the whole grid is seen
TIP = ORDERS["ho3d"].index("index_tip")
COUNT = 30
SETTINGS = replace(HAND_SETTINGS, resolution=32)


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return load_hand(imports=IMPORTS)


@pytest.fixture(scope="module")
def space(hand) -> HandSpace:
    return hand_space(hand, SETTINGS)


@pytest.fixture(scope="module")
def samples(hand) -> Views:
    """Hands with a bending index finger, on whose tip a ball of 2 cm sits, from all around."""
    generator = torch.Generator().manual_seed(0)
    pose = torch.zeros(COUNT, 16, 3)
    for name in ("index1", "index2"):
        bend = torch.rand(COUNT, generator=generator)
        pose[:, JOINT_NAMES.index(name), 2] = bend
    pose[:, 0] = 2 * torch.randn(COUNT, 3, generator=generator)
    root = torch.tensor([0.0, 0.0, 0.7]) + 0.02 * torch.randn(COUNT, 3, generator=generator)
    wrist = hand.rest()[1][0]
    ball = trimesh.creation.icosphere(2, radius=0.02)
    posed = hand.pose(pose, translation=root - wrist)
    masks = []
    for tip, vertices in zip(posed.joints21[:, TIP], posed.vertices, strict=True):
        meshes = [(ball.vertices + tip.numpy(), ball.faces), (vertices.numpy(), hand.faces.numpy())]
        masks.append(cast(meshes, np.eye(3), np.zeros(3), K, 160, 160).mesh_id == 0)
    return hand_views(hand, pose, root, torch.tensor(K).expand(COUNT, 3, 3), masks)


def test_the_object_is_where_the_flat_hand_has_it(hand, space, samples):
    counts = accumulate(space, samples).counts[PART]
    assert counts.samples.sum() == COUNT == counts.members.sum()
    for estimator in ("quotient", "evidence"):
        field = estimate(counts, replace(space, settings=replace(SETTINGS, estimator=estimator)))
        peak = space.centres[field.argmax()]
        tip = hand.pose(torch.zeros(16, 3)).joints21[TIP].numpy()
        assert np.linalg.norm(peak - tip) < 0.03
        away = np.linalg.norm(space.centres - tip, axis=1) > 0.08
        assert field.ravel()[away].max() < 0.6 * field.max()


def test_without_canonicalising_the_bent_finger_smears_it(hand, samples):
    settings = replace(SETTINGS, field=FieldSettings(reach=1e-4))  # nothing follows the fingers
    stiff = hand_space(hand, settings)
    tip = hand.pose(torch.zeros(16, 3)).joints21[TIP].numpy()
    follows = hand_space(hand, SETTINGS)
    peaks = [
        accumulate(each, samples).counts[PART].probability(SETTINGS.weighting)
        for each in (follows, stiff)
    ]
    near = np.linalg.norm(stiff.centres - tip, axis=1) < 0.02
    assert peaks[0].ravel()[near].mean() > 1.5 * peaks[1].ravel()[near].mean()


def test_the_kernels_agree_with_the_plain_path(space, samples):
    fused = accumulate(space, samples, path="fused").counts[PART]
    plain = accumulate(space, samples, path="plain").counts[PART]
    off = np.abs(fused.probability("total-uniform") - plain.probability("total-uniform"))
    assert np.mean(off > 1e-6) < 1e-3  # but for voxels on a pixel's edge


def test_a_hand_that_is_not_finite_is_refused_alone(space, samples):
    spoiled = samples.pose.clone()
    spoiled[3, 5] = torch.nan
    into = accumulate(space, samples._replace(pose=spoiled))
    assert into.refused[3] == "pose is not finite" and sum(map(bool, into.refused)) == 1
    assert into.counts[PART].samples.sum() == COUNT - 1


def test_cameras_map_the_hands_frame_to_the_image(hand, samples):
    pose = samples.pose[0].clone()
    R = roma.rotvec_to_rotmat(pose[0].double())
    pose[0] = 0
    in_frame = hand.pose(pose).joints.double()
    placed = in_frame @ samples.R[0].double().T + samples.t[0]
    wrist = hand.rest()[1][0].double()
    expected = (in_frame - wrist) @ R.T + (samples.R[0].double() @ wrist + samples.t[0])
    torch.testing.assert_close(placed, expected, atol=1e-6, rtol=0)


def test_a_distribution_is_saved_and_read(space, samples, tmp_path):
    counts = accumulate(space, samples).counts[PART]
    Distribution.from_counts(counts, category="ring", part=PART).save(tmp_path / "d.npz")
    again = Distribution.load(tmp_path / "d.npz")
    assert again.grid.side == 0.6 and again.part == PART
    np.testing.assert_array_equal(again.probability, counts.probability())


def test_settings_of_bodies_are_refused(hand, space):
    with pytest.raises(BadInput, match="mirrored in a hand's space"):
        hand_space(hand, replace(SETTINGS, symmetric=True))
    with pytest.raises(BadInput, match="cannot be parts of the body"):
        space.with_parts(())
    with pytest.raises(BadInput, match="as many poses, roots, cameras and masks"):
        hand_views(hand, torch.zeros(2, 16, 3), torch.zeros(1, 3), torch.zeros(2, 3, 3), [])

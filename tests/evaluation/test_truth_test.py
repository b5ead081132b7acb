"""The truth test: average precision by hand, and known scenes of boxes and balls."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.body.model import BodyModel, star_pose
from chorus.body.skeleton import PARENTS
from chorus.errors import BadInput
from chorus.evaluation.truth_scores import (
    KnownScene,
    TrueOccupancy,
    average_precision,
    body_scale,
    true_occupancy,
    truth_scores,
)
from chorus.occupancy.canonical import canonical_space
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.presets import AggregationSettings
from chorus.occupancy.regions import Part


@pytest.fixture(scope="module")
def space():
    """A sparse body: one vertex a joint, all along a few axes; its first beta makes it larger."""
    joints = np.zeros((24, 3))
    for joint, parent in enumerate(PARENTS[1:], start=1):
        step = np.eye(3)[joint % 3] * (0.15 if joint % 2 else -0.15)
        joints[joint] = joints[parent] + step
    joints += [0.02, -0.2, 0.01]
    shapes = torch.zeros(24, 3, 10)
    shapes[:, :, 0] = torch.from_numpy(joints)
    body = BodyModel(
        name="sparse",
        v_template=torch.from_numpy(joints).float(),
        shapedirs=shapes,
        posedirs=None,
        weights=torch.eye(24),
        joint_regressor=torch.eye(24),
        faces=torch.zeros(0, 3, dtype=torch.int64),
        parents=PARENTS,
    )
    return canonical_space(body, AggregationSettings(resolution=24), clusters=(Part("all"),))


def box_scene(centre, half, pose=None, betas=None) -> KnownScene:
    """A box around the origin of its own frame, put at `centre` of the body frame."""
    half = np.asarray(half, float)
    place = np.eye(4)
    place[:3, 3] = centre
    return KnownScene(
        pose=star_pose().numpy() if pose is None else pose,
        betas=np.zeros(10) if betas is None else betas,
        object_to_body=place,
        bounds=np.stack([-half, half]),
        contains=lambda points: (np.abs(points) < half).all(axis=1),
    )


def test_a_box_in_the_canonical_pose_is_itself(space):
    centre, half = np.array([0.25, 0.375, -0.125]), np.array([0.25, 0.125, 0.375])
    truth = true_occupancy(space, [box_scene(centre, half)])
    # The box's faces are voxel faces, so its voxels are whole.
    inside = (np.abs(space.grid.centres() - centre) < half).all(axis=1).reshape(space.grid.shape)
    assert np.array_equal(truth.probability, inside.astype(np.float32))
    assert np.array_equal(truth.region, inside) and truth.scenes == 1


def test_a_thin_board_counts_with_its_share(space):
    half = np.array([0.25, 0.03125, 0.25])  # half a voxel thick
    board = box_scene([0.25, 0.40625, 0.25], half)
    volume = true_occupancy(space, [board], 4).probability
    assert set(np.unique(volume)) == {0, 0.5}
    assert volume.sum() * space.grid.size**3 == pytest.approx(8 * half.prod(), rel=1e-6)


def test_scenes_are_averaged(space):
    half = np.full(3, 0.125)
    scenes = [box_scene([0.25, 0.25, 0.25], half)] * 3 + [box_scene([-0.5, 0.25, 0.25], half)]
    truth = true_occupancy(space, scenes)
    assert set(np.unique(truth.probability)) == {0, 0.25, 0.75}
    assert truth.region.sum() == 8 and truth.scenes == 4


def test_a_larger_person_scales_the_object_about_the_pelvis(space):
    betas = np.zeros(10)
    betas[0] = 0.25
    assert body_scale(space.body, betas) == pytest.approx(1.25)
    centre, half = np.array([0.25, 0.375, -0.125]), np.array([0.25, 0.125, 0.375])
    same = true_occupancy(space, [box_scene(centre, half)]).probability
    larger = true_occupancy(space, [box_scene(1.25 * centre, 1.25 * half, betas=betas)])
    # Shaping scales the joints about the origin, so scaled about its pelvis it is the same scene.
    assert np.abs(larger.probability - same).max() < 1e-6


def test_an_object_far_away_stays_where_the_body_moves(space):
    pose = np.random.default_rng(0).normal(0, 0.5, (24, 3))
    far = box_scene([1.3125, -1.3125, 1.3125], np.full(3, 0.1875), pose)
    volume = true_occupancy(space, [far]).probability
    assert volume.sum() * space.grid.size**3 == pytest.approx(0.375**3)


def test_spoiled_or_missing_scenes_are_refused(space):
    with pytest.raises(BadInput, match="at least one"):
        true_occupancy(space, [])
    scene = dataclasses.replace(
        box_scene([0, 0, 0], [1, 1, 1]), object_to_body=np.full((4, 4), np.nan)
    )
    with pytest.raises(BadInput, match="not finite"):
        true_occupancy(space, [scene])


def test_average_precision_by_hand():
    scores = np.array([0.9, 0.8, 0.8, 0.1])
    positives = np.array([1.0, 0.0, 1.0, 1.0])
    # Recall 1/3 at precision 1, then 2/3 at 2/3 (both 0.8 together), then 1 at 3/4.
    expected = (1 + 2 / 3 + 3 / 4) / 3
    assert average_precision(scores, positives, 1 - positives) == pytest.approx(expected)
    assert np.isnan(average_precision(scores, np.zeros(4), np.ones(4)))


def volume_truth(values) -> TrueOccupancy:
    probability = np.asarray(values, np.float32).reshape(2, 2, 2)
    return TrueOccupancy(probability, VoxelGrid(2), 5)


def test_scores_by_hand():
    truth = volume_truth([0.8, 0.4, 0.2, 0, 0, 0, 0, 0])
    learned = np.array([0.9, 0.2, 0.5, 0, 0, 0, 0, 0], np.float32).reshape(2, 2, 2)
    scores = truth_scores(learned, truth)
    recall = np.array([0.8, 0.2, 0.4]) / 1.4
    precision = np.array([0.8, 0.5, 1.4 / 3])
    assert scores.soft_ap == pytest.approx((recall * precision).sum(), rel=1e-6)
    assert scores.region_ap == pytest.approx((1 + 2 / 3) / 2)
    assert scores.best_iou == pytest.approx(2 / 3)
    assert scores.best_threshold == pytest.approx(0.2)
    perfect = truth_scores(truth.probability, truth)
    assert perfect.soft_ap == perfect.soft_ap_ceiling == scores.soft_ap_ceiling
    assert perfect.best_iou == perfect.region_ap == 1


def test_an_empty_truth_scores_nothing_and_other_sizes_are_refused():
    scores = truth_scores(np.ones((2, 2, 2)), volume_truth(np.zeros(8)))
    assert np.isnan([scores.soft_ap, scores.region_ap, scores.best_iou]).all()
    with pytest.raises(BadInput, match="resolution"):
        truth_scores(np.ones((3, 3, 3)), volume_truth(np.zeros(8)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0, 0.1, 0.25, 0.5, 1]), min_size=8, max_size=8),
    st.lists(st.sampled_from([0, 0.25, 0.5, 0.75]), min_size=8, max_size=8),
)
def test_no_ranking_beats_the_ceiling(true, learned):
    truth = volume_truth(true)
    scores = truth_scores(np.asarray(learned).reshape(2, 2, 2), truth)
    if not np.any(true):
        return
    assert scores.soft_ap <= scores.soft_ap_ceiling + 1e-9
    region = truth.region.reshape(-1)
    best = max(
        (region & (np.asarray(learned) >= t)).sum() / (region | (np.asarray(learned) >= t)).sum()
        for t in learned
    )
    assert scores.best_iou == pytest.approx(best)

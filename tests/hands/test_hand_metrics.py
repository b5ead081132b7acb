"""Errors of hands: by hand, against the official formulas written out plainly, and their check
values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

from chorus.hands import metrics
from chorus.hands.scoring import score_hands
from chorus.hands.truth_files import read_truth

IMPORTS = Path(__file__).resolve().parents[2] / "imports"


def points(seed: int, samples: int = 6, count: int = 21) -> np.ndarray:
    return np.random.default_rng(seed).normal([0.02, -0.01, 0.6], 0.04, (samples, count, 3))


def plain_alignment(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The official scripts' alignment of one sample."""
    a, b = truth - truth.mean(0), predicted - predicted.mean(0)
    size = np.linalg.norm(a) + 1e-8
    R, s = orthogonal_procrustes(a / size, b / (np.linalg.norm(b) + 1e-8))
    return b / (np.linalg.norm(b) + 1e-8) @ R.T * s * size + truth.mean(0)


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_alignment_with_reflections_is_the_official_one(seed):
    truth, predicted = points(seed), points(seed + 1)
    aligned = metrics.best_similarity(truth, predicted, reflections=True)(predicted)
    expected = [plain_alignment(a, b) for a, b in zip(truth, predicted, strict=True)]
    np.testing.assert_allclose(aligned, expected, atol=1e-7)


@given(st.integers(0, 1000), st.floats(0.2, 5))
@settings(max_examples=15, deadline=None)
def test_a_moved_turned_and_scaled_hand_has_no_error(seed, scale):
    truth = points(seed)
    turn = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    predicted = scale * truth @ turn + [1, 2, 3]
    for reflections in (False, True):
        aligned = metrics.best_similarity(truth, predicted, reflections)(predicted)
        np.testing.assert_allclose(aligned, truth, atol=1e-6)


def test_a_mirrored_hand_scores_zero_officially_and_not_otherwise():
    truth = points(1)
    mirrored = truth * [-1, 1, 1]
    officially = metrics.best_similarity(truth, mirrored, reflections=True)(mirrored)
    assert metrics.point_errors(truth, officially).max() < 1e-6
    corrected = metrics.best_similarity(truth, mirrored)(mirrored)
    assert metrics.point_errors(truth, corrected).mean() > 0.01


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_no_rotation_is_better_than_the_best(seed):
    truth, predicted = points(seed, 1), points(seed + 1, 1)
    best = metrics.best_similarity(truth, predicted)
    assert np.linalg.det(best.rotation[0]) == pytest.approx(1)
    least = np.square(best(predicted) - truth).sum()
    rng = np.random.default_rng(seed)
    for _ in range(10):
        near = Rotation.from_rotvec(0.2 * rng.normal(size=3)).as_matrix()
        other = best._replace(
            rotation=best.rotation @ near, scale=best.scale * rng.uniform(0.8, 1.2)
        )
        assert np.square(other(predicted) - truth).sum() >= least - 1e-12


def test_the_zero_predictor_scores_the_distance_from_the_middle():
    truth = points(2)
    zeros = np.zeros_like(truth)
    aligned = metrics.best_similarity(truth, zeros)(zeros)
    np.testing.assert_allclose(aligned, np.broadcast_to(truth.mean(1)[:, None], truth.shape))


def test_area_under_the_curve_by_hand():
    assert metrics.area_under_curve(np.zeros((3, 2))) == pytest.approx(1)
    assert metrics.area_under_curve(np.full((3, 2), 0.06)) == 0
    # one point always right, the other never
    assert metrics.area_under_curve(np.array([[0.0, 1.0]])) == pytest.approx(0.5)
    # right from 25 mm: half of the area, but for one step of a trapezoid
    assert metrics.area_under_curve(np.full((4, 1), 0.025)) == pytest.approx(0.5, abs=0.01)


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_area_under_the_curve_is_that_of_the_plain_count(seed):
    errors = np.random.default_rng(seed).gamma(2, 0.01, (7, 5))
    thresholds = np.linspace(0, 0.05, 100)
    shares = (errors[..., None] <= thresholds).mean(0)
    expected = np.mean([np.trapezoid(share, thresholds) / 0.05 for share in shares])
    assert metrics.area_under_curve(errors) == pytest.approx(expected)


def test_f_scores_by_hand():
    truth = np.array([[[0, 0, 0], [0.1, 0, 0]]])
    predicted = np.array([[[0.004, 0, 0], [0.11, 0, 0], [0.5, 0, 0]]])
    found = metrics.f_scores(truth, predicted)[0]
    # within 5 mm: 1 of 2 true, 1 of 3 predicted; within 15 mm: both true, 2 of 3 predicted
    assert found[0] == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert found[1] == pytest.approx(2 * 1 * (2 / 3) / (1 + 2 / 3))
    assert (metrics.f_scores(truth, truth + 1) == 0).all()
    assert (metrics.f_scores(truth, truth) == 1).all()


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_f_scores_are_those_of_all_pairs(seed):
    truth = 0.3 * points(seed, 3, 40)
    predicted = truth[:, :31] + np.random.default_rng(seed).normal(0, 0.004, (3, 31, 3))
    for a, b, found in zip(truth, predicted, metrics.f_scores(truth, predicted), strict=True):
        distance = np.linalg.norm(a[:, None] - b, axis=-1)
        for at, threshold in enumerate((0.005, 0.015)):
            recall = (distance.min(1) < threshold).mean()
            precision = (distance.min(0) < threshold).mean()
            assert found[at] == pytest.approx(2 * recall * precision / (recall + precision))


def test_scale_and_translation_by_hand():
    truth = points(3)
    predicted = 0.5 * (truth - truth[:, :1]) + [0, 0, 9]
    moved = metrics.scale_translation_aligned(truth, predicted, reference=4)
    np.testing.assert_allclose(moved, truth, atol=1e-12)


def test_other_meshes_are_carried_by_the_joints_as_officially():
    truth, predicted, mesh = points(4), points(5), points(6, count=50)
    similarity = metrics.best_similarity(truth, predicted, reflections=True)
    centred = predicted - predicted.mean(1, keepdims=True)
    size = np.linalg.norm(centred, axis=(1, 2))
    found = metrics.officially_carried(mesh, similarity, size)
    for at in range(len(truth)):
        a, b = truth[at] - truth[at].mean(0), centred[at]
        s1 = np.linalg.norm(a) + 1e-8
        R, s = orthogonal_procrustes(a / s1, b / (np.linalg.norm(b) + 1e-8))
        middle = mesh[at].mean(0)
        shift = truth[at].mean(0) - predicted[at].mean(0)
        expected = (mesh[at] - middle) @ R.T * s * s1 + shift + middle
        np.testing.assert_allclose(found[at], expected, atol=1e-7)


def test_acceleration_error_by_hand():
    truth = np.zeros((4, 2, 3))
    predicted = truth.copy()
    predicted[2, :, 0] = 0.01  # one frame jumps by 10 mm
    np.testing.assert_allclose(metrics.acceleration_error(truth, predicted), [0.01, 0.02])
    steady = truth + 0.01 * np.arange(4)[:, None, None]
    np.testing.assert_allclose(metrics.acceleration_error(truth, steady), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("folder", "joints", "aligned", "mesh", "mesh_aligned", "f5", "f15"),
    [
        ("freihand", 70.79, 4.73, 70.84, 5.07, 0.001, 0.031),
        ("HO3D_v2", 56.87, 5.19, 57.12, 5.47, 0.000, 0.017),
    ],
)
def test_check_values_of_the_zero_predictor(folder, joints, aligned, mesh, mesh_aligned, f5, f15):
    """The official scripts' own check, where the public ground truth lies in the imports folder."""
    if not (IMPORTS / folder / "evaluation_xyz.json").is_file():
        pytest.skip(f"the ground truth of {folder} is not in {IMPORTS}")
    truth = read_truth(IMPORTS / folder)
    zeros = np.zeros_like(truth.joints), np.zeros_like(truth.vertices)
    rows = {row.name: row.figures() for row in score_hands(truth, *zeros, "official")}
    assert rows["unaligned"]["mpjpe"] / 10 == pytest.approx(joints, abs=0.005)
    assert rows["unaligned"]["mpvpe"] / 10 == pytest.approx(mesh, abs=0.005)
    found = rows["procrustes"]
    assert found["mpjpe"] / 10 == pytest.approx(aligned, abs=0.005)
    assert found["mpvpe"] / 10 == pytest.approx(mesh_aligned, abs=0.005)
    assert (found["f5"], found["f15"]) == pytest.approx((f5, f15), abs=5e-4)

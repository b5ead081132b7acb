"""The four criteria: by hand, their invariances, and what cannot be told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.selection.criteria import (
    SIGMA,
    VISIBLE,
    detector_agreement,
    mean_confidence,
    reprojection_agreement,
    transform_consistency,
    visible_keypoints,
)

EXTENT = np.array([100.0])
SEEDS = st.integers(0, 2**32 - 1)


def people(*confidences: float) -> np.ndarray:
    """One sample (1, K, 3) of keypoints at (10 k, 20 k)."""
    number = np.arange(len(confidences))
    return np.column_stack([10 * number, 20 * number, confidences])[None].astype(float)


def random_people(seed: int, count: int = 5, keypoints: int = 17) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 100, (count, keypoints, 2))
    return np.concatenate([places, rng.uniform(0, 1, (count, keypoints, 1))], axis=-1)


def test_the_mean_confidence_counts_hidden_keypoints_too():
    samples = np.concatenate([people(1, 0.5, 0), people(1, np.nan, 1), people(*[np.nan] * 3)])
    np.testing.assert_allclose(mean_confidence(samples), [0.5, 2 / 3, np.nan])
    assert mean_confidence(np.full((1, 2, 3), 7.0)) == 1  # a heat map may rise above 1


def test_keypoints_are_visible_from_a_confidence_on():
    found = people(VISIBLE, VISIBLE - 1e-6, np.nan, 1)
    found[0, 3, 0] = np.inf
    assert visible_keypoints(found).tolist() == [[True, False, False, False]]


def test_a_displacement_of_one_sigma_gives_exp_of_minus_a_half():
    detected = people(0.9, 0.9)
    projected = detected[..., :2] + [3 * SIGMA * 100 / 5, 4 * SIGMA * 100 / 5]
    found = reprojection_agreement(detected, projected, EXTENT)
    np.testing.assert_allclose(found, np.exp(-0.5))


def test_hidden_keypoints_and_joints_that_are_not_there_do_not_count():
    detected = people(0.9, 0.1, 0.9)
    projected = detected[..., :2].copy()
    projected[0, 1] += 1000
    projected[0, 2] = np.nan
    assert reprojection_agreement(detected, projected, EXTENT) == 1
    detected[..., 2] = 0
    assert np.isnan(reprojection_agreement(detected, projected, EXTENT))


def test_consistency_is_of_the_mean_displacement():
    reference = people(0.9, 0.9)[..., :2]
    others = np.stack([reference + np.array([4, 0]), reference - np.array([0, 6])], 1)
    visible = np.ones((1, 2), bool)
    found = transform_consistency(reference, others, EXTENT, visible)
    np.testing.assert_allclose(found, np.exp(-0.5 * (5 / (SIGMA * 100)) ** 2))
    others[0, 1, 0] = np.nan  # one transform does not show the first keypoint
    distance = np.array([4, 5]) / (SIGMA * 100)
    found = transform_consistency(reference, others, EXTENT, visible)
    np.testing.assert_allclose(found, np.exp(-0.5 * distance**2).mean())
    others[0, :, 0] = np.nan  # none does
    found = transform_consistency(reference, others, EXTENT, visible)
    np.testing.assert_allclose(found, np.exp(-0.5 * distance[1] ** 2))
    assert np.isnan(transform_consistency(reference, others, EXTENT, ~visible))


def test_a_keypoint_that_one_detector_sees_alone_is_a_disagreement():
    a, b = people(0.9, 0.9, 0.1), people(0.9, 0.1, 0.1)
    assert detector_agreement(a, b, EXTENT) == 0.5 == detector_agreement(b, a, EXTENT)
    assert detector_agreement(a, a, EXTENT) == 1
    assert np.isnan(detector_agreement(people(0, 0), people(0.1, 0), EXTENT))


@given(SEEDS, st.floats(0.1, 10), st.floats(0, 2 * np.pi))
def test_qualities_lie_between_0_and_1_and_heed_neither_scale_nor_turn(seed, scale, angle):
    one, other = random_people(seed), random_people(seed + 1)
    extent = np.random.default_rng(seed).uniform(50, 100, len(one))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def moved(points):
        return np.concatenate([points[..., :2] @ turn.T + 5, points[..., 2:]], -1)

    for criterion in (
        lambda a, b, e: detector_agreement(a, b, e),
        lambda a, b, e: reprojection_agreement(a, b[..., :2], e),
        lambda a, b, e: transform_consistency(
            a[..., :2], b[:, None, :, :2], e, visible_keypoints(a)
        ),
    ):
        found = criterion(one, other, extent)
        assert ((found >= 0) & (found <= 1)).all()
        np.testing.assert_allclose(criterion(moved(one), moved(other), scale * extent), found)
        assert (criterion(one, one, extent) == 1).all()


@given(SEEDS, st.integers(1, 4))
def test_samples_are_judged_alone(seed, first):
    one, other = random_people(seed), random_people(seed + 1)
    extent = np.full(len(one), 80.0)
    together = detector_agreement(one, other, extent)
    alone = detector_agreement(one[:first], other[:first], extent[:first])
    np.testing.assert_array_equal(together[:first], alone)


@pytest.mark.parametrize("extent", [0, -1, np.nan, np.inf])
def test_without_an_extent_nothing_can_be_told(extent):
    found = people(0.9, 0.9)
    assert np.isnan(detector_agreement(found, found, np.array([extent])))


def test_no_samples_have_no_qualities():
    none = np.zeros((0, 17, 3))
    assert mean_confidence(none).shape == (0,)
    assert detector_agreement(none, none, np.zeros(0)).shape == (0,)


def test_other_shapes_are_refused():
    found = people(0.9, 0.9)
    with pytest.raises(BadInput, match=r"\(S, K, 3\), found \(2, 3\)"):
        mean_confidence(found[0])
    with pytest.raises(BadInput, match=r"\(S, K, 2\), found"):
        reprojection_agreement(found, found, EXTENT)
    with pytest.raises(BadInput, match="the same keypoints"):
        detector_agreement(found, found[:, :1], EXTENT)
    with pytest.raises(BadInput, match="one extent each"):
        detector_agreement(found, found, np.ones(2))
    with pytest.raises(BadInput, match="one extent each and a visibility"):
        transform_consistency(found[..., :2], found[:, None, :, :2], EXTENT, np.ones(2, bool))
    with pytest.raises(BadInput, match=r"\(S, T, K, 2\)"):
        transform_consistency(found[..., :2], found[..., :2], EXTENT, np.ones((1, 2), bool))
    with pytest.raises(BadInput, match="sigma above 0"):
        detector_agreement(found, found, EXTENT, sigma=0)

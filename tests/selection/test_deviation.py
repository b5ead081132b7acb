"""The published selection criteria, and the order by confirmed keypoints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.selection.deviation import (
    best_first,
    confirmed,
    mean_place,
    stretched_deviation,
    total_confidence,
)

BOX = np.array([[5.0, 5.0, 128.0, 64.0]])
ZERO = np.zeros((1, 2, 2))


def test_the_published_distance_by_hand():
    moved = np.array([[[3.0, 0.0], [0.0, 1.0]]])
    # 3 px along a width of 128 are 6 px, 1 px along a height of 64 is 4 px
    assert stretched_deviation(moved, ZERO, BOX).tolist() == [5]


def test_confidences_and_confirmed_keypoints_by_hand():
    assert total_confidence(np.array([[0.5, 1.0, 0.3]])).tolist() == [1.8]
    visible = np.array([[True, True, False], [False, True, False], [False] * 3])
    # two keypoints of which half agree are worth as much as one that does
    assert confirmed(np.array([0.5, 1.0, np.nan]), visible).tolist() == [1, 1, 0]


def test_the_published_consistency_compares_with_the_mean():
    others = np.stack([np.full((1, 2, 2), 2.0), np.full((1, 2, 2), 4.0)], axis=1)
    assert mean_place(others).tolist() == [[[3, 3], [3, 3]]]
    with pytest.raises(BadInput, match="one or more"):
        mean_place(np.zeros((1, 0, 2, 2)))


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, np.nan, np.inf]), min_size=1, max_size=12))
def test_orders_are_stable_and_unknown_comes_last(scores):
    scores = np.array(scores)
    for high in (False, True):
        order = best_first(scores, high)
        assert sorted(order) == list(range(len(scores)))
        sorted_scores = scores[order]
        unknown = np.isnan(sorted_scores)
        assert not unknown.any() or not (np.diff(unknown.astype(int)) < 0).any() or high is False
        for value in np.unique(scores[~np.isnan(scores) & np.isfinite(scores)]):
            assert (np.diff(order[sorted_scores == value]) > 0).all()


def test_swapped_sides_are_far_from_a_shape_that_knows_them():
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 100, (4, 16, 2))
    swapped = places.copy()
    swapped[2, [0, 1]] = places[2, [1, 0]]
    boxes = np.tile([0, 0, 100.0, 100.0], (4, 1))
    order = best_first(stretched_deviation(swapped, places, boxes), high_is_good=False)
    assert order[-1] == 2


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match="both sides"):
        stretched_deviation(ZERO, np.zeros((1, 3, 2)), BOX)
    with pytest.raises(BadInput, match="boxes"):
        stretched_deviation(ZERO, ZERO, BOX * 0)
    with pytest.raises(BadInput, match="visibility"):
        confirmed(np.ones(2), np.ones((1, 3), bool))

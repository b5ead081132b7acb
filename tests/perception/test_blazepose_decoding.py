"""What BlazePose's tensors mean, by cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.perception.blazepose_decoding import (
    Candidates,
    anchors,
    decode_candidates,
    decode_landmarks,
    merged,
    refined,
    sigmoid,
)


def test_anchors():
    centres = anchors()
    assert centres.shape == (2254, 2)
    # 28 x 28 cells of 8 pixels, two anchors each, row by row
    np.testing.assert_allclose(centres[0] * 224, [4, 4])
    np.testing.assert_allclose(centres[1] * 224, [4, 4])
    np.testing.assert_allclose(centres[2] * 224, [12, 4])
    np.testing.assert_allclose(centres[2 * 28] * 224, [4, 12])
    # 14 x 14 of 16 pixels
    np.testing.assert_allclose(centres[1568] * 224, [8, 8])
    np.testing.assert_allclose(centres[1568 + 2 * 15] * 224, [24, 24])
    # 7 x 7 of 32 pixels, two anchors of each of three layers
    np.testing.assert_allclose(centres[1960:1966] * 224, np.full((6, 2), 16))
    np.testing.assert_allclose(centres[1966] * 224, [48, 16])
    np.testing.assert_allclose(centres[-1] * 224, [208, 208])


def test_a_candidate_by_hand():
    boxes, logits = np.zeros((2254, 12), np.float32), np.full((2254, 1), -1000, np.float32)
    # the anchor at (24, 24) pixels
    boxes[1598] = [8, -4, 64, 32, 0, 10, 0, -20, 1, 1, 200, 2]
    logits[1598] = np.log(3)
    logits[7] = np.log(0.9)
    found = decode_candidates(boxes, logits, 0.5)
    np.testing.assert_allclose(found.scores, [0.75], atol=1e-6)
    np.testing.assert_allclose(found.boxes * 224, [[0, 4, 64, 36]], atol=1e-5)
    np.testing.assert_allclose(
        found.points * 224, [[[24, 34], [24, 4], [25, 25], [224, 26]]], atol=1e-4
    )
    assert len(decode_candidates(boxes, logits, 0.4).scores) == 2
    assert len(decode_candidates(boxes, logits, 0.8).scores) == 0


def candidates(boxes, scores):
    boxes = np.array(boxes, float).reshape(-1, 4)
    return Candidates(boxes, np.repeat(boxes[:, None, :2], 4, axis=1), np.array(scores, float))


def test_weighted_suppression_by_hand():
    # the second overlaps the first by 9 of 11, the third by none, the last only the second enough
    found = merged(candidates([[0, 0, 10, 1], [1, 0, 11, 1], [50, 0, 60, 1]], [0.3, 0.9, 0.5]))
    np.testing.assert_allclose(found.scores, [0.9, 0.5])
    np.testing.assert_allclose(found.boxes, [[0.75, 0, 10.75, 1], [50, 0, 60, 1]])
    np.testing.assert_allclose(found.points[0], [[0.75, 0]] * 4)


def test_suppression_is_not_passed_on():
    chain = candidates([[0, 0, 10, 1], [5, 0, 15, 1], [10, 0, 20, 1]], [0.9, 0.8, 0.7])
    np.testing.assert_allclose(merged(chain).boxes[:, 0], [5 * 0.8 / 1.7, 10])


def test_no_candidates():
    found = merged(candidates([], []))
    assert found.boxes.shape == (0, 4) and found.points.shape == (0, 4, 2)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1)), max_size=12))
def test_suppression_keeps_the_best_and_no_more_than_there_are(places):
    boxes = [[x, y, x + 0.2, y + 0.2] for x, y, _ in places]
    scores = [score for *_, score in places]
    found = merged(candidates(boxes, scores))
    assert len(found.scores) <= len(scores)
    assert max(found.scores, default=0) == max(scores, default=0)
    assert (np.diff(found.scores) <= 0).all()


def test_refinement_by_hand():
    heat = np.full((64, 64, 2), -1000.0)
    heat[10, 20, 0] = heat[10, 21, 0] = 1000.0  # two cells of probability 1
    heat[10, 20, 1] = -1.0  # none that reaches a half
    places = np.array([[22.5 / 64, 9.5 / 64], [22.5 / 64, 9.5 / 64]])
    moved = refined(places, heat)
    np.testing.assert_allclose(moved[0] * 64, [20.5, 10])
    np.testing.assert_array_equal(moved[1], places[1])


def test_refinement_looks_no_further_than_three_cells_and_stays_in_the_map():
    heat = np.full((64, 64, 3), -1000.0)
    heat[10, 24] = heat[0, 0] = 1000.0
    places = np.array([[20.5, 10.5], [0.5, 0.5], [64.0, 3.0]]) / 64
    moved = refined(places, heat)
    np.testing.assert_array_equal(moved[[0, 2]], places[[0, 2]])
    np.testing.assert_allclose(moved[1], [0, 0], atol=1e-9)


def test_landmarks_by_hand():
    values = np.zeros(195, np.float32)
    values[5:10] = [128, 64, -32, 0, np.log(3)]
    landmarks = decode_landmarks(values, np.full((64, 64, 39), -1000.0))
    assert landmarks.shape == (39, 5)
    np.testing.assert_allclose(landmarks[1], [0.5, 0.25, -0.125, 0.5, 0.75], atol=1e-6)


def test_sigmoid_of_huge_logits_is_finite():
    np.testing.assert_allclose(sigmoid(np.array([-1e9, 0, 1e9])), [0, 0.5, 1], atol=1e-9)
    assert sigmoid(np.float32(-np.inf)) == pytest.approx(0)

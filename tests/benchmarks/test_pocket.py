"""The figures of benchmarks/pocket.py, by hand."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks.pocket import Findings, aligned_error, area_under_roc, table


def test_a_similarity_costs_nothing_and_what_is_left_is_the_mean_distance():
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(24, 3))
    moved = 1.7 * Rotation.random(random_state=1).apply(joints) + [1, 2, 3]
    assert aligned_error(moved, joints) == pytest.approx(0, abs=1e-9)
    square = np.array([[1.0, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]])
    bent = square.copy()
    bent[:, 2] = [0.1, -0.1, -0.1, 0.1]
    assert aligned_error(bent, square) == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize(
    ("scores", "right", "expected"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 1.0),
        ([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], 0.0),
        ([0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1], 0.5),
        ([0.1, 0.6, 0.4, 0.9], [0, 0, 1, 1], 0.75),
    ],
)
def test_area_under_the_curve(scores, right, expected):
    assert area_under_roc(np.array(scores), np.array(right)) == pytest.approx(expected)
    assert math.isnan(area_under_roc(np.array(scores), np.ones(4)))


def test_the_table_tells_whole_and_cut_off_persons_apart():
    findings = Findings(
        images=2,
        persons=3,
        found=[0.9, 0.7],
        seconds=[1.0],
        keypoints=[(0.9, True), (0.8, False), (0.1, False)],
        bodies=[(0.05, 0.02, 24), (0.2, 0.1, 10)],
        refused=Counter({"body and mask disagree": 1}),
    )
    text = table(findings)
    assert "2 of 3" in text and "50 mm" in text and "200 mm" in text
    assert "50 %" in text and "refused: body and mask disagree" in text

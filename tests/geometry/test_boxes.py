"""Boxes: hand cases, properties, and the published release's ratios and clean-up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.geometry.boxes import (
    area,
    intersection,
    intersection_over_smaller,
    iou,
    suppress_overlaps,
)

coordinate = st.integers(0, 50)
box = st.tuples(coordinate, coordinate, coordinate, coordinate).map(
    lambda c: np.array([min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3])], float)
)


def test_hand_case():
    a, b = np.array([0, 0, 10, 10]), np.array([5, 0, 25, 5])
    assert area(a) == 100 and intersection(a, b) == 25
    assert iou(a, b) == 25 / 175 and intersection_over_smaller(a, b) == 0.25


def test_empty_and_inverted_boxes_share_nothing():
    empty, inverted, full = np.zeros(4), np.array([9, 9, 1, 1]), np.array([0, 0, 10, 10])
    for one in (empty, inverted):
        assert area(one) == 0 and iou(one, full) == 0 and intersection_over_smaller(one, full) == 0
    assert iou(empty, empty) == 0


def test_pairs_broadcast():
    boxes = np.array([[0, 0, 10, 10], [5, 5, 15, 15], [50, 50, 60, 60]], np.float32)
    table = iou(boxes[:, None], boxes[None])
    assert table.shape == (3, 3) and np.allclose(np.diag(table), 1) and table[0, 2] == 0


@settings(deadline=None)
@given(box, box)
def test_properties_and_agreement_with_counting_pixels(a, b):
    grid = np.arange(50) + 0.5
    inside = [
        ((grid > c[0]) & (grid < c[2]))[None] & ((grid > c[1]) & (grid < c[3]))[:, None]
        for c in (a, b)
    ]
    assert intersection(a, b) == (inside[0] & inside[1]).sum() == intersection(b, a)
    assert 0 <= iou(a, b) <= intersection_over_smaller(a, b) <= 1


def test_suppression_keeps_the_better_of_two_and_every_certain_one():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]], float)
    assert suppress_overlaps(boxes, np.array([0.9, 0.8, 0.8])).tolist() == [True, False, True]
    assert suppress_overlaps(boxes, np.array([0.99, 0.98, 0.8])).tolist() == [True, True, True]
    assert suppress_overlaps(np.zeros((0, 4)), np.zeros(0)).shape == (0,)


def test_a_dropped_box_no_longer_suppresses():
    # The second lies in the first and third; the first, only in the second, is visited later.
    boxes = np.array([[0, 0, 10, 10], [0, 0, 20, 10], [10, 0, 20, 10]], float)
    assert suppress_overlaps(boxes, np.array([0.9, 0.8, 0.95])).tolist() == [True, False, True]


@settings(deadline=None)
@given(st.lists(st.tuples(box, st.floats(0, 1)), max_size=8))
def test_survivors_do_not_overlap_unless_certain(items):
    boxes = np.array([b for b, _ in items]).reshape(-1, 4)
    scores = np.array([s for _, s in items])
    keep = suppress_overlaps(boxes, scores)
    assert keep[scores >= 0.98].all() and (not len(keep) or keep.any())
    for i in np.flatnonzero(keep & (scores < 0.98)):
        others = keep.copy()
        others[i] = False
        assert (intersection_over_smaller(boxes[i], boxes[others]) < 0.8).all()


def test_ratios_agree_with_the_release(golden):
    data = golden("small_functions")
    a, b = data["box1_xyxy"], data["box2_xyxy"]
    assert iou(a, b) == pytest.approx(data["iou"], abs=1e-6)
    assert intersection_over_smaller(a, b) == pytest.approx(data["iosbb"], abs=1e-6)


def test_suppression_agrees_with_the_release(golden):
    data = golden("small_functions")
    for n, xywh, scores, keep in zip(
        data["overlap_n"],
        data["overlap_boxes_xywh"],
        data["overlap_scores"],
        data["overlap_keep"],
        strict=True,
    ):
        xyxy = np.concatenate([xywh[:n, :2], xywh[:n, :2] + xywh[:n, 2:]], axis=1)
        found = suppress_overlaps(
            xyxy, scores[:n], float(data["overlap_minoverlap"]), float(data["overlap_exconf"])
        )
        assert found.tolist() == keep[:n].tolist()

"""Whether two looks agree, by cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from chorus.perception import blazepose_agreement as agreement
from chorus.perception.blazepose_agreement import Agreement


def landmarks(x=50.0, y=50.0):
    return np.tile([x, y, 0.0, 1.0, 1.0], (33, 1))


def test_the_same_twice():
    one = landmarks()
    np.testing.assert_array_equal(agreement.keypoint_similarities(one, one, 100), np.ones(17))
    assert agreement.similarity(one, one, 100) == 1


def test_similarity_by_hand():
    first, second = landmarks(), landmarks()
    second[24, 0] += 10  # COCO's right hip, sigma 0.107
    found = agreement.keypoint_similarities(first, second, 100)
    assert found[12] == pytest.approx(np.exp(-100 / (2 * 0.13 * 100**2 * (2 * 0.107) ** 2)))
    assert (np.delete(found, 12) == 1).all()
    second[24, 3] = 0  # not seen: it does not count
    assert agreement.similarity(first, second, 100) == pytest.approx(1)
    second[:, 4] = 0
    assert agreement.similarity(first, second, 100) == 0


def test_masks():
    full, half, none = np.ones((4, 4), bool), np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    half[:2] = True
    assert agreement.mask_iou(full, half) == 0.5
    assert agreement.mask_iou(none, none) == 0


def test_the_part_inside_by_hand():
    mask = np.zeros((100, 100), bool)
    mask[:, :40] = True
    points = landmarks(10)
    points[[23, 24, 25, 26], 0] = [41.5, 60, 60, 200]  # near enough, beside twice, not in the image
    assert agreement.part_inside(points, mask, 100) == pytest.approx(14 / 16)
    points[25, 3] = 0.4  # hardly seen
    assert agreement.part_inside(points, mask, 100) == pytest.approx(14 / 15)
    assert agreement.part_inside(points, ~mask & mask, 100) == 0
    assert agreement.part_inside(landmarks(-5), mask, 100) == 0


def test_doubts_are_named():
    assert Agreement(0.99, 0.98, 0.9, 1.0).doubt == ""
    said = Agreement(0.3, 0.5, 0.2, 0.4).doubt
    for reason in ("presence 0.30", "similarity 0.50", "IoU 0.20", "40% of the body"):
        assert reason in said
    assert Agreement(0.5, 0.5, 0.5, 0.5).product == 0.0625

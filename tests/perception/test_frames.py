"""Images of any size to frames that networks take, and back."""

from __future__ import annotations

import numpy as np
import pytest

from chorus.geometry import masks
from chorus.perception.frames import alike, detections, frame_of


def test_an_ordinary_image_is_its_own_frame():
    pixels = np.zeros((512, 512, 3), np.uint8)
    frame = frame_of(pixels)
    assert frame.pixels is pixels
    boxes = np.array([[-3.0, 2.0, 600.0, 30.0]])
    np.testing.assert_array_equal(frame.boxes(boxes), np.float32([[0, 2, 512, 30]]))


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 3), (31, 40), (4000, 5000)])
def test_frames_have_sides_that_networks_take(size):
    frame = frame_of(np.full((*size, 3), 255, np.uint8))
    assert min(frame.shape) >= 32 and max(frame.shape) <= 2048
    assert frame.pixels.dtype == np.uint8
    shows = frame.pixels[..., 0] == 255
    assert shows[: frame.inner[0], : frame.inner[1]].all()
    assert shows.sum() == frame.inner[0] * frame.inner[1]
    whole = frame.boxes(np.array([[0, 0, frame.inner[1], frame.inner[0]]]))
    np.testing.assert_allclose(whole, [[0, 0, size[1], size[0]]], rtol=1e-6)
    assert frame.mask(np.ones(frame.shape, bool)).shape == size


def test_a_square_found_in_a_large_image_comes_back_in_its_place():
    pixels = np.zeros((3000, 4000, 3), np.uint8)
    pixels[600:1200, 1000:3000] = 255
    frame = frame_of(pixels)
    seen = frame.pixels[..., 0] > 127
    (found,) = detections(frame, ["surfboard"], np.array([0.9]), [seen], masks.box_of(seen)[None])
    np.testing.assert_allclose(found.box, [1000, 600, 3000, 1200], atol=3)
    back = masks.decode(found.mask, 3000, 4000)
    assert (back != (pixels[..., 0] > 0)).mean() < 1e-3


def test_instances_without_area_are_dropped():
    frame = frame_of(np.zeros((40, 40, 3), np.uint8))
    full, empty = np.ones((40, 40), bool), np.zeros((40, 40), bool)
    boxes = np.array([[0, 0, 9, 9], [5, 5, 5, 9], [0, 0, 9, 9], [50, 0, 60, 9]])
    found = detections(frame, list("abcd"), np.full(4, 2.0), [full, full, empty, full], boxes)
    assert [(one.label, one.score) for one in found] == [("a", 1.0)]


def test_batches_hold_equal_keys_only():
    keys = ["a", "b", "a", "a", "b", "a"]
    assert list(alike(keys, 3)) == [[0, 2, 3], [5], [1, 4]]
    assert list(alike([], 3)) == []

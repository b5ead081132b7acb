"""Transforms of an image: points, boxes and pixels go to the same places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.geometry.image_transforms import about, inverse, move_box, move_image, move_points

SCALES, ANGLES = st.floats(0.5, 2), st.floats(-180, 180)


def test_by_hand():
    turned = about(np.array([10, 20]), degrees=90)
    np.testing.assert_allclose(move_points([[11, 20], [10, 20]], turned), [[10, 21], [10, 20]])
    np.testing.assert_allclose(move_box([9, 18, 11, 22], turned), [8, 19, 12, 21])
    larger = about(np.array([10, 20]), scale=2)
    np.testing.assert_allclose(move_points([11, 22], larger), [12, 24])
    np.testing.assert_allclose(move_box([9, 18, 11, 22], larger), [8, 16, 12, 24])


@given(SCALES, ANGLES, st.integers(0, 1000))
def test_there_and_back(scale, degrees, seed):
    rng = np.random.default_rng(seed)
    centre, points = rng.uniform(0, 100, 2), rng.uniform(-50, 150, (3, 4, 2))
    transform = about(centre, scale, degrees)
    moved = move_points(points, transform)
    np.testing.assert_allclose(move_points(moved, inverse(transform)), points, atol=1e-9)
    np.testing.assert_allclose(move_points(centre, transform), centre, atol=1e-9)
    far = np.linalg.norm(points - centre, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(moved - centre, axis=-1), scale * far, atol=1e-9)


@given(SCALES, ANGLES)
def test_a_moved_box_contains_what_the_box_did(scale, degrees):
    box = np.array([20.0, 30, 60, 90])
    transform = about(np.array([50, 50]), scale, degrees)
    left, top, right, bottom = move_box(box, transform)
    inside = np.random.default_rng(0).uniform(box[:2], box[2:], (50, 2))
    u, v = move_points(inside, transform).T
    assert ((u >= left) & (u <= right) & (v >= top) & (v <= bottom)).all()


@pytest.mark.parametrize(("scale", "degrees"), [(1.2, 0), (1, 20), (1, 90), (0.8, -135), (2, 10)])
def test_pixels_go_where_points_go(scale, degrees):
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[28:32, 66:70] = 255  # its middle is at (68, 30)
    transform = about(np.array([60, 40]), scale, degrees)
    moved = move_image(pixels, transform)
    assert moved.shape == pixels.shape and moved.dtype == np.uint8
    weight = moved[..., 0] / moved[..., 0].sum()
    rows, columns = np.mgrid[:80, :120] + 0.5
    found = (weight * columns).sum(), (weight * rows).sum()
    np.testing.assert_allclose(found, move_points([68, 30], transform), atol=0.05)


def test_the_identity_changes_nothing():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    np.testing.assert_array_equal(move_image(pixels, about(np.array([3, 4]))), pixels)


def test_a_scale_of_nothing_is_refused():
    with pytest.raises(BadInput, match="scale above 0, found 0"):
        about(np.zeros(2), scale=0)

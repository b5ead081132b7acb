"""Squares of an image, by hand and by random round trips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.perception.blazepose_squares import Square, cut, from_two_points, mask_in_image

squares = st.builds(
    Square, st.floats(-500, 500), st.floats(-500, 500), st.floats(1, 900), st.floats(-4, 4)
)


@settings(max_examples=50, deadline=None)
@given(squares, st.floats(-2, 2), st.floats(-2, 2))
def test_places_and_pixels_round_trip(square, x, y):
    place = np.array([x, y])
    np.testing.assert_allclose(square.to_places(square.to_image(place)), place, atol=1e-6)


def test_places_by_hand():
    square = Square(100, 50, 20)
    np.testing.assert_allclose(
        square.to_image([[0, 0], [1, 1], [0.5, 0]]), [[90, 40], [110, 60], [100, 40]]
    )
    # a quarter turn clockwise: its top edge is at the right
    np.testing.assert_allclose(
        Square(100, 50, 20, np.pi / 2).to_image([[0.5, 0], [0, 0.5]]), [[110, 50], [100, 40]]
    )
    np.testing.assert_allclose(square.scaled(0.5).to_image([0, 0]), [45, 20])
    np.testing.assert_allclose(square.box(), [90, 40, 110, 60])


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(st.floats(-99, 99), st.floats(-99, 99)),
    st.floats(1, 99),
    st.floats(-3, 3),
)
def test_the_second_point_is_above_the_first(centre, distance, angle):
    centre = np.array(centre)
    rim = centre + distance * np.array([np.sin(angle), -np.cos(angle)])
    square = from_two_points(centre, rim)
    assert square.side == pytest.approx(2.5 * distance)
    np.testing.assert_allclose(square.to_places(centre), [0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(square.to_places(rim), [0.5, 0.1], atol=1e-6)


def test_vectors_are_turned_and_keep_their_depth():
    turned = Square(0, 0, 7, np.pi / 2).turned(np.array([[0.0, -1.0, 3.0]]))
    np.testing.assert_allclose(turned, [[1, 0, 3]], atol=1e-12)


def test_two_points_in_one_place():
    assert from_two_points(np.ones(2), np.ones(2)) == Square(1, 1, 0, 0)


def test_a_whole_square_is_the_image_itself():
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(cut(image, Square(16, 16, 32), 32), image)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_squares_by_hand(quarters):
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    square = Square(16, 16, 32, quarters * np.pi / 2)
    # what is turned clockwise shows the image turned back
    np.testing.assert_array_equal(cut(image, square, 32), np.rot90(image, quarters))


def test_a_letterbox_is_black_beside_the_image_and_averages_where_it_shrinks():
    image = np.full((40, 80, 3), 200, np.uint8)
    image[:, ::2] = 100
    box = cut(image, Square(40, 20, 80), 20)
    assert (box[:5] == 0).all() and (box[15:] == 0).all()
    assert (box[6:14] == 150).all()


def test_a_mask_goes_back_where_it_came_from():
    rng = np.random.default_rng(1)
    blob = np.zeros((120, 90), bool)
    blob[30:80, 20:70] = rng.random((50, 50)) < 2
    for square in (Square(50, 60, 100), Square(40, 55, 110, 0.7), Square(45, 60, 150, -2.5)):
        pixels = np.repeat(blob[..., None], 3, axis=2).astype(np.uint8) * 255
        logits = cut(pixels, square, 256)[..., 0].astype(np.float32) - 127.5
        back = mask_in_image(logits, square, 90, 120)
        assert back.shape == blob.shape and back.dtype == bool
        assert (back != blob).mean() < 0.02


def test_a_mask_whose_square_is_outside():
    assert not mask_in_image(np.ones((8, 8)), Square(-50, -50, 20), 30, 30).any()
    assert mask_in_image(np.ones((8, 8)), Square(0, 0, 20), 30, 30).sum() == pytest.approx(100, 30)


def test_reach():
    assert Square(-5, 10, 20).reaches(50, 50) and not Square(-50, 10, 20).reaches(50, 50)

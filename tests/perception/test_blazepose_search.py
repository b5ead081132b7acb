"""Where BlazePose looks, and who is somebody twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.geometry.boxes import intersection
from chorus.perception import blazepose_search as search
from chorus.perception.blazepose_squares import Square


def test_tiles_by_hand():
    tiles = search.tiles(600, 300)
    assert tiles[0] == Square(300, 150, 600)
    halves = [tile for tile in tiles if tile.side == 300]
    assert [(tile.x, tile.y) for tile in halves] == [(150, 150), (300, 150), (450, 150)]
    thirds = [tile for tile in tiles if tile.side == 200]
    assert sorted({tile.x for tile in thirds}) == [100, 200, 300, 400, 500]
    assert sorted({tile.y for tile in thirds}) == [100, 200]
    assert len(tiles) == 1 + 3 + 10


@settings(max_examples=60, deadline=None)
@given(
    st.integers(60, 3000),
    st.floats(1, 12),
    st.floats(0.25, 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_every_sizeable_person_has_a_tile_it_fills_enough(short, aspect, part, x, y):
    """Of any square of a quarter of the short side or more, some tile shows at least three quarters
    of its area, and it is at least a fourth of that tile."""
    width, height = round(short * aspect), short
    side = part * short
    left, top = x * (width - side), y * (height - side)
    box = np.array([left, top, left + side, top + side])
    boxes = np.array([tile.box() for tile in search.tiles(width, height)])
    sides = boxes[:, 2] - boxes[:, 0]
    shown = intersection(boxes, box) / side**2
    assert ((shown >= 0.75) & (side / sides >= 0.24)).any()


@pytest.mark.parametrize("size", [(1, 1), (19, 5), (5000, 19)])
def test_no_tiles_where_nobody_fits(size):
    assert search.tiles(*size) == []


@pytest.mark.parametrize("size", [(100_000, 30), (30, 100_000), (8000, 500), (6000, 4000)])
def test_the_number_of_tiles_is_bounded(size):
    assert len(search.tiles(*size)) <= 160


def test_regions_that_nearly_coincide_are_one():
    regions = [Square(0, 0, 100), Square(5, 0, 100), Square(60, 0, 100), Square(0, 0, 60)]
    scores = np.array([0.5, 0.9, 0.6, 0.7])
    assert search.different_regions(regions, scores) == [1, 3, 2]
    assert search.different_regions([], np.array([])) == []


def test_masks_that_share_most_are_one_person():
    masks = np.zeros((4, 10, 10), bool)
    masks[0, :5] = True
    masks[1, 1:5] = True  # a part of the first
    masks[2, 3:8] = True  # shares two of its five rows
    scores = np.array([0.9, 0.95, 0.5, 0.99])  # the last is empty
    assert search.different_masks(masks, scores) == [1, 2]
    assert search.different_masks(masks[[0, 2]], scores[[0, 2]]) == [0, 1]
    assert search.different_masks([], np.array([])) == []


def test_a_box_gives_an_upright_region():
    assert search.region_of_box(np.array([10, 20, 50, 120])) == Square(30, 70, 125)

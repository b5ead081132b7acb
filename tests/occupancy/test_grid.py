"""Voxel centres, lookup and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.occupancy.grid import VoxelGrid


def test_centres_in_c_order():
    grid = VoxelGrid(2, 4.0)
    assert grid.size == 2 and grid.start == -2
    assert grid.centres().tolist()[:3] == [[-1, -1, -1], [-1, -1, 1], [-1, 1, -1]]


def test_agrees_with_the_reference_centres(golden):
    expected = golden("lbs_grid_24")["canon_grid"].reshape(3, -1).T
    assert np.abs(VoxelGrid(24).centres() - expected).max() < 1e-6


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.floats(0.1, 10))
def test_a_centre_lies_in_its_own_voxel(resolution, side):
    grid = VoxelGrid(resolution, side)
    assert np.array_equal(grid.index_of(grid.centres()), np.arange(grid.count))


def test_outside_faces_and_truncation():
    grid = VoxelGrid(4, 4.0)
    points = np.array(
        [[-2, -2, -2], [-2.5, -2, -2], [2, 0, 0], [np.nan, 0, 0], [-3, 0, 0], [1e30, 0, 0]]
    )
    assert grid.index_of(points).tolist() == [0, -1, -1, -1, -1, -1]
    assert grid.index_of(points, truncate=True).tolist() == [0, 0, -1, -1, -1, -1]
    assert grid.index_of(points.reshape(2, 3, 3)).shape == (2, 3)


@pytest.mark.parametrize(("resolution", "side"), [(0, 3.0), (2.0, 3.0), (4, 0.0), (4, np.nan)])
def test_impossible_grids_are_refused(resolution, side):
    with pytest.raises(BadInput, match="voxel grid"):
        VoxelGrid(resolution, side)

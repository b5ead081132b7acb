"""Points spread evenly over triangles."""

from __future__ import annotations

import numpy as np

from chorus.geometry.surfaces import evenly_spread

# Two triangles of a square of 2 x 2, and one a quarter as large as both together.
CORNERS = np.array(
    [
        [[0, 0, 0], [2, 0, 0], [2, 2, 0]],
        [[0, 0, 0], [2, 2, 0], [0, 2, 0]],
        [[5, 0, 0], [6, 0, 0], [5, 2, 0]],
    ],
    float,
)


def test_points_lie_in_their_faces_as_many_as_their_area():
    face, shares = evenly_spread(CORNERS, 1000)
    assert np.abs(np.bincount(face) - [400, 400, 200]).max() <= 1
    assert (shares >= 0).all() and np.allclose(shares.sum(1), 1)
    points = (shares[..., None] * CORNERS[face]).sum(1)
    assert np.abs(points[face < 2].mean(0) - [1, 1, 0]).max() < 0.05


def test_every_run_gives_the_same_points():
    for one, other in zip(evenly_spread(CORNERS, 50), evenly_spread(CORNERS, 50), strict=True):
        assert np.array_equal(one, other)

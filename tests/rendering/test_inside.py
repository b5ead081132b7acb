"""Depths inside of meshes whose depths are known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from chorus.errors import BadInput
from chorus.rendering.inside import _distances, body_depth_inside, near_surface


def test_a_sphere():
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.7)
    points = np.random.default_rng(0).uniform(-1, 1, (2000, 3))
    found = body_depth_inside(ball.vertices + 0.2, ball.faces, points)
    expected = 0.7 - np.linalg.norm(points - 0.2, axis=1)
    # The faceted ball lies within 0.2 % of its radius inside the true one.
    np.testing.assert_allclose(found, np.maximum(expected, 0), atol=2e-3)
    assert (found[expected < 0] == 0).all() and (found[expected > 2e-3] > 0).all()


def test_a_box_of_twelve_triangles():
    half = np.array([0.4, 0.25, 0.1])
    box = trimesh.creation.box(2 * half)
    axis = np.linspace(-0.5, 0.5, 21)  # hits corners, edges and faces' diagonals exactly
    points = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    found = body_depth_inside(box.vertices, box.faces, points)
    expected = np.maximum((half - np.abs(points)).min(axis=1), 0)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_parts_that_overlap_are_one_body():
    one = trimesh.creation.box((1, 1, 1))
    other = one.copy().apply_translation((0.5, 0, 0))
    both = trimesh.util.concatenate([one, other])
    points = np.array([[0.25, 0, 0], [-0.3, 0, 0], [0.9, 0.1, 0], [1.1, 0, 0]])
    found = body_depth_inside(both.vertices, both.faces, points)
    np.testing.assert_allclose(found, [0.25, 0.2, 0.1, 0], atol=1e-7)


def test_odd_input():
    box = trimesh.creation.box((1, 1, 1))
    points = np.array([[np.nan, 0, 0], [0, np.inf, 0], [0, 0, 0]])
    assert body_depth_inside(box.vertices, box.faces, points).tolist() == [0, 0, 0.5]
    assert body_depth_inside(box.vertices, box.faces, points[:0]).shape == (0,)
    none = np.zeros((0, 3), int)
    assert body_depth_inside(box.vertices, none, points).tolist() == [0, 0, 0]
    with pytest.raises(BadInput, match="8 vertices"):
        body_depth_inside(box.vertices, box.faces + 1, points)


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.float64, (4, 3), elements=st.integers(-3, 3).map(float)))
def test_distances_from_one_triangle(corners):
    point, triangle = corners[:1], corners[1:]
    found = _distances(point, triangle[None])[0]
    share = np.linspace(0, 1, 121)
    s, t = (grid[np.add.outer(share, share) <= 1 + 1e-9] for grid in np.meshgrid(share, share))
    surface = triangle[0] + np.outer(s, triangle[1] - triangle[0])
    surface = surface + np.outer(t, triangle[2] - triangle[0])
    sampled = np.linalg.norm(surface - point, axis=1).min()
    # 1e-7: the root of a squared distance that rounding leaves at 1e-16
    assert sampled - 0.1 < found < sampled + 1e-7


def test_near_a_surface_on_either_side():
    box = trimesh.creation.box((1, 1, 1))
    vertices, faces = np.array(box.vertices), np.array(box.faces)
    rng = np.random.default_rng(5)
    points = rng.uniform(-0.8, 0.8, (400, 3))
    outside = np.maximum(np.abs(points) - 0.5, 0)
    inner = 0.5 - np.abs(points).max(axis=1)
    distance = np.where(inner > 0, inner, np.linalg.norm(outside, axis=1))
    assert np.array_equal(near_surface(vertices, faces, points, 0.1), distance <= 0.1)
    odd = np.array([[np.nan, 0, 0], [9.0, 9, 9], [0.5, 0.2, 0.1]])
    assert near_surface(vertices, faces, odd, 0.1).tolist() == [False, False, True]
    assert not near_surface(vertices, faces[:0], points, 0.1).any()

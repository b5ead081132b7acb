"""The search for nearest vertices against all distances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.nearest import VertexGroups, nearest_blend


def plain_blend(points, vertices, values, k: int, reach: float):
    """Near points, distances and blends from all distances in float64."""
    distance = np.sqrt(((points[:, None].astype(float) - vertices[None]) ** 2).sum(axis=2))
    order = np.argsort(distance, axis=1)[:, :k]
    distance = np.take_along_axis(distance, order, axis=1)
    closeness = 1 / np.maximum(distance, 1e-12)
    closeness /= closeness.sum(axis=1, keepdims=True)
    near = np.flatnonzero(distance[:, 0] <= reach)
    return near, distance[near, 0], (closeness[..., None] * values[order]).sum(axis=1)[near]


def random_surface(rng: np.random.Generator, count: int) -> np.ndarray:
    """Vertices (count, 3) float32 on an ellipsoid."""
    points = rng.normal(size=(count, 3))
    return (points / np.linalg.norm(points, axis=1)[:, None] * [0.3, 0.8, 0.2]).astype(np.float32)


def check(found, expected):
    """Both alike but for the order in which float64 numbers were added."""
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-12)
    np.testing.assert_allclose(found[2], expected[2], atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 1500),
    places=st.integers(0, 300),
    neighbours=st.integers(1, 40),
    line=st.none() | st.integers(1, 50),
    threads=st.integers(1, 3),
    spread=st.floats(0.01, 3),
    reach=st.sampled_from([0.05, 0.5, math.inf]),
    seed=st.integers(0, 1000),
)
def test_finds_what_all_distances_say(
    count, places, neighbours, line, threads, spread, reach, seed
):
    rng = np.random.default_rng(seed)
    vertices = random_surface(rng, count)
    points = rng.normal(0, spread, (places, 3)).astype(np.float32)
    points[: places // 4] = vertices[rng.integers(0, count, places // 4)]  # exact hits
    values = rng.normal(size=(count, 3))
    k = min(neighbours, count)
    found = nearest_blend(VertexGroups.of(vertices, values), points, k, reach, line, threads)
    check(found, plain_blend(points, vertices, values, k, reach))


@pytest.mark.parametrize("line", [None, 1, 24])
def test_finds_what_a_tree_finds_in_a_grid(line):
    rng = np.random.default_rng(0)
    vertices, points = random_surface(rng, 6000), VoxelGrid(24).centres()
    values = rng.normal(size=(6000, 2))
    near, distance, blend = nearest_blend(VertexGroups.of(vertices, values), points, 30, 0.8, line)
    expected, index = cKDTree(vertices).query(points, k=30)
    within = expected[:, 0] <= 0.8
    closeness = 1 / expected[within]
    closeness /= closeness.sum(axis=1, keepdims=True)
    blended = (closeness[..., None] * values[index[within]]).sum(axis=1)
    check((near, distance, blend), (np.flatnonzero(within), expected[within, 0], blended))


def test_does_not_depend_on_threads_lines_or_order_also_among_equally_far_vertices():
    # The corners of a cube, many times over: hardly a distance occurs only once.
    corners = np.array(np.meshgrid([-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0])).reshape(3, 8).T
    vertices = np.tile(corners, (40, 1))
    values = np.random.default_rng(1).normal(size=(len(vertices), 3))
    groups, points = VertexGroups.of(vertices, values), VoxelGrid(7, 3.0).centres()
    first = nearest_blend(groups, points, 30, 0.9)
    assert 0 < len(first[0]) < len(points)
    for line, threads in ((None, 3), (1, 2), (7, 1), (49, 2)):
        for one, other in zip(
            first, nearest_blend(groups, points, 30, 0.9, line, threads), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    near, distance, blend = nearest_blend(groups, points[::-1], 30, 0.9)
    np.testing.assert_array_equal(len(points) - 1 - near[::-1], first[0])
    np.testing.assert_array_equal(distance[::-1], first[1])
    np.testing.assert_array_equal(blend[::-1], first[2])


def test_groups_hold_every_vertex_once_and_lie_in_their_boxes():
    vertices = random_surface(np.random.default_rng(2), 1003)
    groups = VertexGroups.of(vertices, vertices)
    places = groups.places.transpose(0, 2, 1).reshape(-1, 3)
    np.testing.assert_array_equal(places[groups.first], vertices)
    np.testing.assert_array_equal(groups.values[groups.first], vertices)
    assert np.isinf(places).all(axis=1).sum() == len(places) - 1003
    low, high = groups.boxes.transpose(1, 0, 3, 2).reshape(2, -1, 1, 3)
    inside = places.reshape(len(low), -1, 3)
    assert (((inside >= low) & (inside <= high)) | np.isinf(inside)).all()
    # Compact: groups are far smaller than the surface, which is 0.8 m long.
    assert np.linalg.norm(high - low, axis=2).mean() < 0.5


def test_a_vertex_exactly_at_the_reach_is_near():
    vertex, points = np.zeros((1, 3)), np.array([[0.5, 0, 0], [0.5000001, 0, 0]], np.float32)
    near, distance, _ = nearest_blend(VertexGroups.of(vertex, np.ones((1, 1))), points, 1, 0.5)
    assert near.tolist() == [0] and distance.tolist() == [0.5]

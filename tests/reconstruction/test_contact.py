"""Contacts read off a distribution: values by hand, properties, truth, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.body.model import star_body
from chorus.body.skeleton import SEGMENT_NAMES
from chorus.errors import BadInput
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.reconstruction.contact import (
    CONTACT_DISTANCE,
    agreement,
    contact_map,
    mean_direction,
    reachable_occupancy,
    true_contact,
    vertex_areas,
)
from references.stick_body import stick_body

BODY = stick_body()
GRID = VoxelGrid(30, 3.0)


def around(place: np.ndarray, radius: float = 0.15, peak: float = 0.8, **changes) -> Distribution:
    """An object in a ball around a place."""
    inside = np.linalg.norm(GRID.centres() - place, axis=1) < radius
    probability = (peak * inside).astype(np.float32).reshape(GRID.shape)
    return Distribution(probability, GRID, np.ones(GRID.shape, np.uint32), "ball", **changes)


def hand() -> np.ndarray:
    return star_body(BODY).joints[22].numpy()


def test_an_object_in_the_hand_touches_the_hand():
    contact = contact_map(around(hand()), BODY)
    parts = {part.segment: part for part in contact.parts}
    assert list(parts) == list(SEGMENT_NAMES)
    assert parts["leftHandIndex1"].touched and parts["leftHandIndex1"].probability > 0.6
    assert not parts["rightHandIndex1"].touched and parts["rightHandIndex1"].probability < 0.01
    own = contact.touched[BODY.part_of_vertex == SEGMENT_NAMES.index("leftHandIndex1")]
    assert own.all() and contact.touched.sum() < 40
    # From the right hand the ball lies to the left; from the feet mostly up.
    towards = parts["rightHandIndex1"].direction
    assert towards[0] > 0.98 and np.linalg.norm(towards) <= 1
    assert parts["rightToeBase"].direction[1] > 0.7
    assert 0 < parts["leftHandIndex1"].area < 6 * 0.12**2
    assert parts["leftHandIndex1"].share == pytest.approx(
        parts["leftHandIndex1"].area / (6 * 0.12**2), rel=1e-3
    )


def test_reach_by_hand():
    probability = np.zeros(GRID.shape, np.float32)
    probability[20, 15, 15] = 0.5  # centre at (0.55, 0.05, 0.05), edge 0.1
    field = Distribution(probability, GRID, np.ones(GRID.shape, np.uint32))
    distances = np.array([0.0, 0.07, 0.12, 0.169, 0.171])
    places = np.array([0.55, 0.05, 0.05]) + distances[:, None] * [0, 0, 1]
    found = reachable_occupancy(field, places)
    assert found == pytest.approx([0.5, 0.5, 0.25, 0.005, 0], abs=1e-6)


@pytest.mark.parametrize("resolution", [11, 30, 48])
def test_occupancy_in_reach_is_that_of_all_voxels(resolution):
    random = np.random.default_rng(resolution)
    grid = VoxelGrid(resolution, 2.0)
    volume = random.uniform(0, 1, grid.shape).astype(np.float32) * (random.random(grid.shape) < 0.3)
    places = random.uniform(-1.2, 1.2, (200, 3))  # some outside of the grid
    distance = np.linalg.norm(grid.centres().astype(float) - places[:, None], axis=2)
    weight = np.clip((CONTACT_DISTANCE + 1.5 * grid.size - distance) / grid.size, 0, 1)
    field = Distribution(volume, grid, np.ones(grid.shape, np.uint32))
    found = reachable_occupancy(field, places)
    assert found == pytest.approx((weight * volume.reshape(-1)).max(axis=1), abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.05, 1), st.floats(0.1, 1))
def test_a_likelier_object_is_touched_likelier(peak, fainter):
    low, high = (contact_map(around(hand(), peak=p), BODY) for p in (peak * fainter, peak))
    assert (high.probability >= low.probability - 1e-6).all()
    assert ((high.probability >= 0) & (high.probability <= 1)).all()
    assert np.array_equal(high.touched, low.touched)


def test_nothing_is_touched_by_nothing_or_from_afar():
    empty = Distribution(
        np.zeros(GRID.shape, np.float32), GRID, np.zeros(GRID.shape, np.uint32), "ball"
    )
    for field in (empty, around(np.array([1.4, 1.4, 1.4]), 0.08)):
        contact = contact_map(field, BODY)
        assert not contact.probability.any() and not contact.touched.any()
        assert not any(part.touched or part.probability for part in contact.parts)
        assert all(np.isfinite(part.direction).all() for part in contact.parts)


def test_areas_and_directions():
    box = trimesh.creation.box((1, 1, 1))
    assert vertex_areas(np.array(box.vertices), np.array(box.faces)).sum() == pytest.approx(6)
    field = around(np.array([0.0, 1.0, 0.0]), 0.2)
    assert mean_direction(field.probability, GRID, np.zeros(3))[1] > 0.95
    everywhere = np.ones(GRID.shape, np.float32)
    assert np.abs(mean_direction(everywhere, GRID, np.zeros(3))).max() < 1e-6


def test_true_contact_is_within_two_centimetres_or_inside():
    box = trimesh.creation.box((0.2, 0.2, 0.2))
    object_to_body = trimesh.transformations.rotation_matrix(np.pi / 2, [0, 0, 1], [1, 0, 0])
    object_to_body[:3, 3] += [0.5, 0, 0]
    middle = object_to_body[:3, 3]
    away = np.array([0.0, 0.1, 0.119, 0.121, 5])
    vertices = middle + away[:, None] * [0, 1, 0]
    found = true_contact(
        vertices,
        object_to_body,
        (np.array(box.vertices), np.array(box.faces)),
        lambda points: (np.abs(points) < 0.1).all(axis=1),
    )
    assert found.tolist() == [True, True, True, False, False] and CONTACT_DISTANCE == 0.02


def test_agreement_by_hand():
    found, true = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 1], bool)
    assert agreement(found, true) == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    weights = np.array([3.0, 1, 1, 1])
    assert agreement(found, true, weights) == pytest.approx((3 / 4, 3 / 5, 6 / 9))
    nothing = np.zeros(4, bool)
    assert agreement(nothing, nothing) == (1, 1, 1) and agreement(nothing, true) == (1, 0, 0)


def test_a_field_of_another_body_or_space_is_refused():
    with pytest.raises(BadInput, match="another body"):
        contact_map(around(hand(), body="0" * 64), BODY)
    with pytest.raises(BadInput, match="not canonicalised"):
        contact_map(around(hand(), metadata={"canonicalise": False}), BODY)
    with pytest.raises(BadInput, match="posed"):
        contact_map(around(hand()).pose(BODY, np.zeros((24, 3))), BODY)
    contact_map(around(hand(), body=BODY.fingerprint), BODY)

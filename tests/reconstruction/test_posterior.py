"""A mask's cone and the posterior: hand-computed cases, properties, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.reconstruction.baselines import mask_at_depth, nearest_depth, pelvis_depth
from chorus.reconstruction.cone import Cone, cone_of
from chorus.reconstruction.pairing import pair_probabilities
from chorus.reconstruction.posterior import (
    PosteriorSettings,
    completed,
    first_hits,
    log_likelihood,
    posterior,
    sharpened,
    shown,
)
from chorus.reconstruction.reconstruct import reconstruct
from chorus.records.rows import Camera
from references import stick_body

GRID = VoxelGrid(24, 2.4)
SIZE = 96
K = np.array([[160.0, 0, SIZE / 2], [0, 160, SIZE / 2], [0, 0, 1]])
CAMERA = Camera(np.diag([1.0, -1, -1]), np.array([0.0, 0, 4]), K)
"""In front of the person, 4 m away: right is the person's left, the depth is 4 - z."""


def column(*occupancies: float) -> tuple[np.ndarray, np.ndarray]:
    """Voxels one behind the other, the nearest first, and their centres."""
    depth = np.arange(len(occupancies), dtype=float)
    return np.array(occupancies), np.stack([0 * depth, 0 * depth, depth], axis=1)


def seen(visible: list[bool], coverage: float = 1.0) -> Cone:
    count = len(visible)
    return Cone(np.zeros(count, int), np.array(visible), np.array([coverage]))


def test_first_hits_share_a_cell_by_their_occupancy():
    occupancy, _ = column(0.2, 0.5, 0.4)
    cone = seen([True, True, False])
    # any of the two visible ones: 1 - 0.8 * 0.5
    np.testing.assert_allclose(shown(occupancy, cone), [0.6])
    np.testing.assert_allclose(first_hits(occupancy, cone), [0.2 / 0.6, 0.5 / 0.6, 0])
    assert log_likelihood(occupancy, cone) == pytest.approx(np.log(0.6))
    half = seen([True, True, False], 0.5)
    np.testing.assert_allclose(first_hits(occupancy, half), [0.1 / 0.6, 0.25 / 0.6, 0])
    assert log_likelihood(occupancy, half) == pytest.approx(0.5 * np.log(0.6) + 0.5 * np.log(0.4))


def test_what_is_hidden_is_completed_at_the_rate_of_what_is_in_sight():
    occupancy, centres = column(0.2, 0.2, 0.2, 0.2)
    cone = seen([True, True, False, False])
    in_sight = first_hits(occupancy, cone)
    whole = completed(occupancy, in_sight, cone, centres, reach=1e6)
    # one unit for 0.4 of occupancy: 2.5 for each of the hidden 0.2 + 0.2 in sight alike
    np.testing.assert_allclose(whole[2:], in_sight.sum() / 2)
    near = completed(occupancy, in_sight, cone, centres, reach=1.0)
    assert near[2] > near[3] and near[2:].sum() < whole[2:].sum()


def test_interactions_are_weighed_by_how_they_foretell_the_mask():
    likely, centres = column(0.8, 0.0)
    unlikely, _ = column(0.02, 0.5)
    cone = seen([True, False])
    settings_of = PosteriorSettings(temperature=1.0)
    found = posterior([likely, unlikely], cone, centres, settings_of)
    np.testing.assert_allclose(found.weights, [0.8 / 0.82, 0.02 / 0.82])
    assert found.mass.sum() == pytest.approx(1)
    assert found.log_evidence == pytest.approx(np.log(0.41))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 0.9), min_size=2, max_size=8), st.floats(0.05, 1), st.integers(1, 8))
def test_masses_are_not_negative_and_sum_to_one(values, coverage, visible):
    occupancy, centres = column(*values)
    cone = seen([at < visible for at in range(len(values))], coverage)
    hits = first_hits(occupancy, cone)
    assert (hits >= 0).all() and hits.sum() <= coverage * len(values) + 1e-9
    if hits.sum() > 1e-9:
        found = posterior([occupancy], cone, centres, PosteriorSettings())
        assert (found.mass >= 0).all() and found.mass.sum() == pytest.approx(1)


def test_sharpening_keeps_the_order_and_the_background_stays_near_the_body():
    probability, distance = np.array([0.0, 0.1, 0.2, 0.0]), np.array([0.0, 0.1, 0.1, np.inf])
    found = sharpened(probability, distance, PosteriorSettings(sharpness=2))
    assert found[2] > found[1] > found[0] > 0 == found[3] and found[2] <= 0.9
    with pytest.raises(BadInput, match="above 0; found sharpness 0"):
        PosteriorSettings(sharpness=0)


def test_a_mask_at_a_depth_is_a_sheet_there():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[40:56, 40:56] = True
    points = mask_at_depth(mask, CAMERA, 4.0)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.ptp(points, axis=0), (15 * 4 / 160, 15 * 4 / 160, 0), atol=1e-9)
    assert pelvis_depth(np.array([0, 0.2, 0.5]), CAMERA) == pytest.approx(3.5)
    vertices = np.array([[0.0, 0, 0.3], [1, 1, 0]])
    assert nearest_depth(mask, vertices, CAMERA) == pytest.approx(3.7)


def test_pairs_are_probabilities_of_each_object():
    evidence = np.array([[-0.2, -2.0, -np.inf], [-3.0, -0.3, -np.inf]])
    pairs = pair_probabilities(evidence)
    np.testing.assert_allclose(pairs.sum(axis=0), [1, 1, 0])
    assert pairs[0, 0] > 0.9 and pairs[1, 1] > 0.9


def field_at(place: np.ndarray, body_fingerprint: str, radius: float = 0.2) -> Distribution:
    near = np.linalg.norm(GRID.centres() - place, axis=1) < radius
    volume = (0.5 * near).astype(np.float32).reshape(GRID.shape)
    seen_in = np.ones(GRID.shape, np.uint32)
    return Distribution(
        volume, GRID, seen_in, "ball", "A person holds a ball", "", body_fingerprint
    )


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    from chorus.body.loading import load_body

    folder = tmp_path_factory.mktemp("body")
    np.savez(folder / "body.npz", **stick_body.arrays())
    return load_body(folder / "body.npz", folder)


@pytest.fixture(scope="module")
def standing(body):
    """The star pose, so that canonical and posed places are the same; where the left hand is."""
    from chorus.body.model import star_body, star_pose

    return star_pose(), star_body(body).joints[22].double().numpy()


def disc(pixel: np.ndarray, radius: float) -> np.ndarray:
    row, column = np.indices((SIZE, SIZE)) + 0.5
    return np.hypot(column - pixel[0], row - pixel[1]) < radius


def pixel_of(place: np.ndarray) -> np.ndarray:
    camera = np.asarray(CAMERA.R) @ place + CAMERA.t
    return (K @ camera)[:2] / camera[2]


def test_an_object_is_found_where_field_and_mask_meet(body, standing):
    pose, hand = standing
    field = field_at(hand, body.fingerprint)
    right = field_at(hand * (-1, 1, 1), body.fingerprint)
    found = reconstruct([right, field], body, pose, CAMERA, disc(pixel_of(hand), 6))
    assert np.linalg.norm(found.centroid - hand) < 0.1
    assert found.mass.sum() == pytest.approx(1) and found.region.any()
    assert (found.deviation > 0).all() and (np.diff(found.extent) <= 0).all()
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(3), atol=1e-9)
    surface = found.surface()
    assert np.linalg.norm(surface.vertices.mean(axis=0) - hand) < 0.2
    assert np.linalg.norm(found.points.mean(axis=0) - hand) < 0.2


def test_the_mask_decides_where_across_the_view(body, standing):
    pose, hand = standing
    field = field_at(hand, body.fingerprint, radius=0.35)
    left, right = (
        reconstruct(field, body, pose, CAMERA, disc(pixel_of(hand + shift), 4)).centroid
        for shift in (np.array([0.15, 0, 0]), np.array([-0.15, 0, 0]))
    )
    assert left[0] - right[0] > 0.2 and abs(left[1] - right[1]) < 0.05


def test_bad_input_is_refused_in_a_sentence(body, standing):
    pose, hand = standing
    field, mask = field_at(hand, body.fingerprint), disc(pixel_of(hand), 6)
    bad = Camera(CAMERA.R, np.array([0, np.nan, 4]), K)
    behind = Camera(CAMERA.R, np.array([0.0, 0, -4]), K)
    aside = Camera(CAMERA.R, np.array([0.9, -0.5, 4]), K)
    empty = Distribution(0 * field.probability, GRID, field.seen, "ball", body=body.fingerprint)
    coarse = VoxelGrid(12, 2.4)
    other_grid = Distribution(
        np.ones(coarse.shape, np.float32), coarse, np.ones(coarse.shape, np.uint32)
    )
    for arguments, words in (
        ((field, body, pose, CAMERA, 0 * mask > 0), "mask is empty"),
        ((field, body, pose, CAMERA, mask.astype(np.uint8)), "mask is bool"),
        ((field, body, pose, bad, mask), "camera's t must be finite"),
        ((field, body, pose, behind, mask), "in front of the camera"),
        ((field, body, pose, aside, disc(np.array([4.0, 4]), 3)), "far from the person"),
        ((field_at(hand, "another" * 9), body, pose, CAMERA, mask), "another body model"),
        ((empty, body, pose, CAMERA, mask), "zero everywhere"),
        (([field, other_grid], body, pose, CAMERA, mask), "different voxel grids"),
        (([], body, pose, CAMERA, mask), "at least one"),
        ((field, body, torch.full((24, 3), torch.nan), CAMERA, mask), "pose"),
    ):
        with pytest.raises(BadInput, match=words):
            reconstruct(*arguments)


def test_the_body_hides_what_is_behind_it(body, standing):
    pose, _ = standing
    from chorus.reconstruction.reconstruct import posed_body

    vertices = posed_body(body, pose).vertices.double().numpy()
    cone = cone_of(np.ones((SIZE, SIZE), bool), CAMERA, (vertices, body.faces.numpy()), GRID)
    assert cone.visible.any() and (cone.cell[cone.visible] >= 0).all()
    hidden = (cone.cell >= 0) & ~cone.visible
    assert (GRID.centres()[hidden, 2] < vertices[:, 2].max()).all()
    np.testing.assert_allclose(cone.covered[cone.visible], cone.coverage[cone.cell[cone.visible]])

"""Reconstruction metrics: hand-computed cases, symmetries, properties."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from chorus.evaluation.object_symmetry import Symmetry, rotation_error, symmetry_of
from chorus.evaluation.reconstruction_scores import (
    Estimate,
    centroid_error,
    chamfer_distance,
    reconstruction_scores,
    volumetric_iou,
    voxels_of,
)
from chorus.evaluation.true_objects import TrueObject, surface_points
from chorus.occupancy.grid import VoxelGrid


def box(extents=(1.0, 0.4, 0.2), object_to_body=None) -> TrueObject:
    mesh, half = trimesh.creation.box(extents), np.array(extents) / 2
    return TrueObject(
        "box",
        np.asarray(mesh.vertices),
        np.asarray(mesh.faces),
        np.eye(4) if object_to_body is None else object_to_body,
        lambda points: (np.abs(points) < half).all(axis=1),
    )


def turned(*degrees: float) -> np.ndarray:
    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


def test_distances_by_hand():
    assert centroid_error(np.array([3.0, 0, 4]), np.zeros(3)) == pytest.approx(5)
    found, true = np.array([[0.0, 0, 0], [1, 0, 0]]), np.array([[0.0, 0, 0], [0, 2, 0]])
    # found: 0 and 1 away; true: 0 and 2 away
    assert chamfer_distance(found, true) == pytest.approx((0.5 + 1) / 2)
    assert np.isnan(chamfer_distance(found[:0], true))


def test_volumes_by_hand():
    assert volumetric_iou(np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 0], bool)) == 1 / 3
    assert np.isnan(volumetric_iou(np.zeros(3, bool), np.zeros(3, bool)))
    grid = VoxelGrid(2, 2.0)
    occupied = voxels_of(np.array([[0.5, 0.5, 0.5], [0.6, 0.5, 0.5], [9, 9, 9]]), grid)
    assert np.flatnonzero(occupied).tolist() == [7]


def test_an_objects_place_size_and_centroid_follow_its_similarity():
    matrix = np.eye(4)
    matrix[:3, :3] = 0.5 * turned(0, 90, 0)
    matrix[:3, 3] = 1, 2, 3
    thing = box(object_to_body=matrix)
    assert thing.scale == pytest.approx(0.5) and thing.size == pytest.approx(0.5)
    np.testing.assert_allclose(thing.rotation, turned(0, 90, 0), atol=1e-9)
    np.testing.assert_allclose(thing.centroid, (1, 2, 3), atol=1e-9)
    # 1 along x becomes half a metre along -z
    np.testing.assert_allclose(np.ptp(thing.volume, axis=0), (0.1, 0.2, 0.5), atol=0.04)
    assert np.abs(thing.surface - (1, 2, 3)).max() <= 0.25 + 1e-9


def test_the_truth_itself_is_perfect_and_a_shifted_one_is_told_by_how_much():
    thing, grid = box(), VoxelGrid(48, 3.0)
    points = np.concatenate([thing.surface, thing.volume])
    perfect = reconstruction_scores(Estimate(thing.centroid, points, np.eye(3)), thing, grid)
    assert perfect.centroid == perfect.chamfer == 0 and perfect.iou == perfect.within == 1
    assert perfect.rotation == pytest.approx(0, abs=1e-6)
    shift = np.array([0, 0, 0.6])
    away = Estimate(thing.centroid + shift, points + shift)
    scores = reconstruction_scores(away, thing, grid)
    assert scores.centroid == pytest.approx(0.6) and scores.relative == pytest.approx(0.6)
    assert (scores.iou, scores.within) == (0, 0) and np.isnan(scores.rotation)
    assert 0.4 < scores.chamfer < 0.6


@pytest.mark.parametrize(
    ("mesh", "turns", "axis", "free"),
    [
        (trimesh.creation.box((1, 0.5, 0.25)), 4, None, False),
        (trimesh.creation.box((1, 0.5, 0.5)), 8, None, False),
        (trimesh.creation.icosphere(3), 24, None, True),
        (trimesh.creation.cylinder(0.2, 1.0, sections=64), 8, (0, 0, 1), False),
        (trimesh.creation.cone(0.4, 1.0, sections=64), 4, (0, 0, 1), False),
    ],
)
def test_symmetries_of_plain_shapes(mesh, turns, axis, free):
    found = symmetry_of(surface_points(mesh.vertices, mesh.faces, 4000))
    assert (len(found.rotations), found.round) == (turns, free)
    assert (found.axis is None) == (axis is None)
    if axis is not None:
        np.testing.assert_array_equal(found.axis, axis)


def test_rotation_errors_by_hand():
    plain = Symmetry(np.eye(3)[None])
    flip = Symmetry(np.stack([np.eye(3), turned(0, 180, 0)]))
    about_y = Symmetry(np.eye(3)[None], axis=np.array([0.0, 1, 0]))
    found = np.stack([turned(0, 170, 0), turned(30, 0, 0)])
    for symmetry, expected in ((plain, (170, 30)), (flip, (10, 30)), (about_y, (0, 30))):
        errors = np.degrees(rotation_error(found, np.eye(3), symmetry))
        np.testing.assert_allclose(errors, expected, atol=1e-4)
    assert (rotation_error(found, np.eye(3), Symmetry(np.eye(3)[None], round=True)) == 0).all()


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(-180, 180)] * 3), st.tuples(*[st.floats(-180, 180)] * 3))
def test_a_rotation_and_its_symmetric_twin_err_alike(first, second):
    flips = Symmetry(np.stack([np.eye(3), turned(180, 0, 0), turned(0, 180, 0), turned(0, 0, 180)]))
    found, true = turned(*first), turned(*second)
    errors = rotation_error(found @ flips.rotations, true, flips)
    np.testing.assert_allclose(errors, errors[0], atol=1e-5)
    # three flips about three axes leave no rotation more than 120 degrees away
    assert errors[0] <= np.radians(120.1)
    assert rotation_error(true, found, flips) == pytest.approx(errors[0], abs=1e-5)

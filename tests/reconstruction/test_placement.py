"""Objects placed around a person: terms by hand, search against plain loops, truth, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.body.model import star_body
from chorus.errors import BadInput
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.reconstruction import placement_search
from chorus.reconstruction.placement import Placements, PlacementSettings, place
from chorus.reconstruction.placement_search import (
    Similarities,
    correlate,
    distinct,
    spread_rotations,
    volume_distance,
)
from chorus.reconstruction.placement_terms import ObjectView, Silhouette, body_depth, sampled
from chorus.records.rows import Camera
from references.stick_body import stick_body

BODY = stick_body()
GRID = VoxelGrid(30, 3.0)
QUICK = PlacementSettings(rotations=96, starts=12, steps=30)
BOARD = trimesh.creation.box((0.2, 0.35, 1.3))
PINHOLE = np.array([[200.0, 0, 64], [0, 200, 64], [0, 0, 1]])
CAMERA = Camera(np.diag([1.0, -1, -1]), np.array([0, 0, 3.0]), PINHOLE)


def at(x: float, y: float, z: float, degrees: float = 0.0) -> np.ndarray:
    """A board turned about the vertical and moved."""
    turn = trimesh.transformations.rotation_matrix(np.radians(degrees), (0, 1, 0))
    turn[:3, 3] = x, y, z
    return turn


def field_of(*matrices: np.ndarray, peak: float = 0.8, **changes) -> Distribution:
    """Where boards lie at some places, each as probable as the others."""
    probability = np.zeros(GRID.count)
    for matrix in matrices:
        local = trimesh.transform_points(GRID.centres().astype(float), np.linalg.inv(matrix))
        inside = (np.abs(local) < np.array(BOARD.extents) / 2).all(axis=1)
        probability += peak / len(matrices) * inside
    values = probability.astype(np.float32).reshape(GRID.shape)
    changes = {"body": BODY.fingerprint, **changes}
    return Distribution(values, GRID, np.ones(GRID.shape, np.uint32), "board", **changes)


def middles(found: Placements) -> np.ndarray:
    return np.array([m.matrix[:3, :3] @ found.mesh.centre + m.matrix[:3, 3] for m in found.modes])


TRUE = at(-0.7, 0.3, 0.5, 35)


def test_a_board_is_found_where_its_field_is():
    found = place(BOARD, field_of(TRUE), BODY, unit="m", settings=QUICK)
    best = found.modes[0]
    assert np.linalg.norm(middles(found)[0] - TRUE[:3, 3]) < 0.05
    # a board turned by a symmetry of its own is the same board: its length points either way
    assert abs(best.matrix[:3, 2] @ TRUE[:3, 2]) > 0.98
    assert best.scale == pytest.approx(1) and best.probability > 0.9
    assert np.linalg.det(best.matrix[:3, :3]) == pytest.approx(1, abs=1e-4)
    assert found.unit == "m" and not found.notes


def test_two_places_are_two_modes_and_probabilities_sum_to_one():
    places = at(-0.9, -0.6, 0.6), at(0.9, -0.6, 0.6)
    found = place(BOARD, field_of(*places), BODY, unit="m", settings=QUICK)
    two = middles(found)[:2]
    for matrix in places:
        assert np.linalg.norm(two - matrix[:3, 3], axis=1).min() < 0.1
    assert sum(mode.probability for mode in found.modes) == pytest.approx(1)
    assert all(mode.probability > 0.1 for mode in found.modes[:2])


def test_a_mask_decides_between_two_places():
    left, right = at(0.7, 0.3, 0.2, 90), at(-0.7, 0.3, 0.2, 90)
    field = field_of(left, right)
    for matrix in (left, right):
        found = place(BOARD, field, BODY, None, seen(matrix), unit="m", settings=QUICK)
        assert np.linalg.norm(middles(found)[0] - matrix[:3, 3]) < 0.1
        assert found.modes[0].probability > 0.8 and found.modes[0].terms["silhouette"] < 0.05


def test_a_small_object_stays_at_the_depth_where_it_is_known_to_be():
    """Its mask is narrower than the cells that translations are tried by."""
    small, true = trimesh.creation.box((0.12, 0.12, 0.12)), at(0.45, 0.3, 0.3)
    field = field_of(true)
    found = place(small, field, BODY, None, seen(true, small), unit="m", settings=QUICK)
    assert np.linalg.norm(middles(found)[0] - true[:3, 3]) < 0.25
    assert found.modes[0].terms["occupancy"] > 0.5 and not found.notes


def seen(matrix: np.ndarray, thing: trimesh.Trimesh = BOARD) -> ObjectView:
    """An object's mask, the body before it left out."""
    from chorus.rendering.raycast import cast

    board = thing.copy().apply_transform(matrix)
    body = star_body(BODY).vertices.numpy(), BODY.faces.numpy()
    hits = cast([body, board], CAMERA.R, CAMERA.t, CAMERA.K, 128, 128)
    return ObjectView(hits.mesh_id == 1, CAMERA)


def test_a_mask_of_something_else_is_told():
    mask = np.zeros((128, 128), bool)
    mask[5:9, 5:9] = True
    found = place(
        BOARD, field_of(TRUE), BODY, None, ObjectView(mask, CAMERA), unit="m", settings=QUICK
    )
    assert any("agrees with the mask" in note for note in found.notes)


@pytest.mark.parametrize(("factor", "unit"), [(1000, "mm"), (100, "cm"), (1, "m")])
def test_a_unit_is_guessed_and_told(factor, unit):
    mesh = BOARD.copy().apply_scale(factor)
    found = place(mesh, field_of(TRUE), BODY, settings=QUICK)
    assert found.unit == unit and f"taken for {unit}" in found.notes[0]
    assert found.modes[0].scale == pytest.approx(1 / factor)
    assert np.linalg.norm(middles(found)[0] - TRUE[:3, 3]) < 0.06


def test_any_scale_is_found():
    mesh = BOARD.copy().apply_scale(0.01)
    found = place(mesh, field_of(TRUE), BODY, unit="any", settings=QUICK)
    assert 80 < found.modes[0].scale < 125
    assert np.linalg.norm(middles(found)[0] - TRUE[:3, 3]) < 0.1
    unfit = place(BOARD.copy().apply_scale(1e5), field_of(TRUE), BODY, settings=QUICK)
    assert unfit.unit == "any" and "fits no unit" in unfit.notes[0]


def test_an_object_keeps_out_of_the_body():
    low, high = BODY.v_template.min(dim=0).values, BODY.v_template.max(dim=0).values
    inside_body = at(*((low + high) / 2).tolist())
    found = {}
    for weight in (0.0, 25.0):
        choice = PlacementSettings(rotations=96, starts=12, steps=30, penetration=weight)
        found[weight] = place(BOARD, field_of(inside_body), BODY, unit="m", settings=choice)
    terms = {weight: each.modes[0].terms for weight, each in found.items()}
    assert terms[25.0]["penetration"] < terms[0.0]["penetration"]


def test_rotations_are_unit_and_spread():
    turns = spread_rotations(576)
    assert torch.allclose(turns.norm(dim=1), torch.ones(576))
    angles = 2 * (turns @ turns.T).abs().clamp(max=1).acos()
    nearest = torch.rad2deg(angles.fill_diagonal_(9).amin(dim=1))
    assert nearest.min() > 15 and nearest.max() < 35


def test_correlation_agrees_with_counting():
    rng = np.random.default_rng(0)
    volume = torch.zeros(24, 24, 24)
    volume[8:16, 8:16, 8:16] = torch.from_numpy(rng.uniform(size=(8, 8, 8))).float()
    points = torch.from_numpy(rng.uniform(-0.3, 0.3, (40, 3))).float()
    turns = spread_rotations(5)
    scores, placed = correlate(volume, 3.0, points, turns)
    plain = sampled(volume[None], 3.0, placed(points))[0].mean(dim=-1)
    assert torch.allclose(scores, plain, atol=1e-5)
    # the best of each rotation is the best of all shifts by whole cells
    size, steps = 3.0 / 24, range(-6, 7)
    shifts = torch.tensor([[i, j, k] for i in steps for j in steps for k in steps]) * size
    for number, turn in enumerate(roma.unitquat_to_rotmat(turns)):
        moved = (points @ turn.T)[None] + shifts[:, None]
        best = sampled(volume[None], 3.0, moved)[0].mean(dim=-1).max()
        kept = scores[number * placement_search._PER_ROTATION]
        assert kept == pytest.approx(float(best), abs=1e-5)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-1, 1), min_size=8, max_size=8), st.floats(0.3, 3))
def test_similarities_are_what_they_say(values, scale):
    quaternion = torch.tensor([values[:4]]) + torch.tensor([[0, 0, 0, 1e-3]])
    shift = torch.tensor([values[4:7]])
    placed = Similarities(quaternion, shift, torch.tensor([scale]).log())
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    there = placed(points)[0]
    assert torch.allclose(there[0], shift[0], atol=1e-5)
    assert torch.allclose((there[1:] - there[0]).norm(dim=1), torch.full((2,), scale), rtol=1e-4)


def test_distinct_placements_by_hand():
    cross = torch.tensor([[-1.0, 0, 0], [1, 0, 0], [0, 0.1, 0], [0, -0.1, 0]])
    turned = cross * torch.tensor([-1.0, -1, 1])  # a half turn: the same volume, other points
    placed = torch.stack([cross, turned, cross + 0.02, cross + 5])
    assert distinct(torch.tensor([1.0, 3, 2, 0]), placed, 2.0, 9) == [1, 3]
    assert distinct(torch.tensor([1.0, 3, 2, 0]), placed, 2.0, 1) == [1]
    assert float(volume_distance(cross, turned[None])) == 0
    with pytest.raises(BadInput, match="score"):
        distinct(torch.full((4,), torch.nan), placed, 2.0, 9)


def test_body_depth_by_hand():
    box = trimesh.creation.box((0.6, 0.6, 0.6)).subdivide().subdivide().subdivide()
    depth = body_depth(np.asarray(box.vertices), np.asarray(box.faces), GRID)
    middle = sampled(torch.from_numpy(depth)[None], 3.0, torch.zeros(1, 3))
    assert 0.2 < float(middle) < 0.3
    assert np.count_nonzero(depth) == 6**3 and depth[0, 0, 0] == 0


def test_silhouette_by_hand():
    nothing = np.full((3, 3), 50.0) + np.eye(3), np.array([[0, 1, 2]])
    mask = np.zeros((128, 128), bool)
    mask[54:74, 44:84] = True
    silhouette = Silhouette.of(ObjectView(mask, CAMERA), nothing)
    flat = torch.cartesian_prod(torch.arange(-7.0, 8), torch.arange(-4.0, 5), torch.zeros(1))
    flat = flat * torch.tensor([0.04, 0.0325, 0])
    good, shifted = silhouette(torch.stack([flat, flat + torch.tensor([0.3, 0, 0])]))
    assert float(good) < 0.05 < 0.2 < float(shifted)
    assert float(silhouette.outside(torch.tensor([[0.0, 0, 0]]))) == 0
    far = torch.tensor([[0.0, 0, 0], [40, 0, 0]])  # the second one is beyond the image
    assert silhouette.outside(far).tolist() == [0, 0]
    wall = np.array([[-9.0, -9, 1], [9, -9, 1], [0, 9, 1]]), np.array([[0, 1, 2]])
    hidden = Silhouette.of(ObjectView(mask, CAMERA), wall)
    assert float(hidden.outside(torch.tensor([[0.6, 0, 0]]))) == 0
    assert float(silhouette.outside(torch.tensor([[0.6, 0, 0]]))) > 0.1


def test_bad_input_in_a_sentence():
    field = field_of(TRUE)
    with pytest.raises(BadInput, match="another body"):
        place(BOARD, field_of(TRUE, body="0" * 64), BODY, settings=QUICK)
    with pytest.raises(BadInput, match="zero everywhere"):
        place(BOARD, field_of(TRUE, peak=0.0), BODY, settings=QUICK)
    with pytest.raises(BadInput, match="mask is empty"):
        place(BOARD, field, BODY, None, ObjectView(np.zeros((9, 9), bool), CAMERA))
    with pytest.raises(BadInput, match="pose"):
        place(BOARD, field, BODY, torch.zeros(23, 3), settings=QUICK)
    with pytest.raises(BadInput, match="one of m"):
        place(BOARD, field, BODY, unit="yard", settings=QUICK)
    with pytest.raises(BadInput, match="m large"):
        place(BOARD.copy().apply_scale(100), field, BODY, unit="m", settings=QUICK)
    with pytest.raises(BadInput, match="canonical"):
        place(BOARD, field.pose(BODY, torch.zeros(24, 3)), BODY, settings=QUICK)
    for wrong in ({"sharpness": 0}, {"silhouette": -1}, {"modes": 0}):
        with pytest.raises(BadInput, match=next(iter(wrong))):
            PlacementSettings(**wrong)

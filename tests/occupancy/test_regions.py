"""Parts, interaction regions and who joins."""

from __future__ import annotations

import json

import numpy as np
import pytest

from chorus.body.model import star_body
from chorus.body.skeleton import SEGMENT_NAMES
from chorus.errors import BadInput
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.regions import PARTS, Part, interaction_region, joins, parts


def test_regions_agree_exactly_with_the_reference(golden, golden_body):
    expected, body = golden("interaction_24"), golden_body()
    vertices = star_body(body).vertices.numpy()
    segment = body.part_of_vertex.numpy()
    lists = json.loads(expected["part_vertex_lists_json"].item())
    for part in (*PARTS["qual:demo"], *PARTS["quant"]):
        name = {"fullbody": "quant_fullbody"}.get(part.name, part.name)
        (segments,) = part.pass_sets
        region = interaction_region(vertices, segment, segments, VoxelGrid(24))
        voxels = np.stack(np.unravel_index(region, (24, 24, 24)), axis=1)
        assert np.array_equal(voxels, expected[f"voxels_{name}"])
        if name in lists:
            wanted = [SEGMENT_NAMES.index(one) for one in segments]
            assert np.flatnonzero(np.isin(segment, wanted)).tolist() == lists[name][0]


def test_region_agrees_with_all_distances(stick_body):
    grid = VoxelGrid(20, 2.0)
    vertices = stick_body.v_template.numpy()
    segment = stick_body.part_of_vertex.numpy()
    region = interaction_region(vertices, segment, ("head", "leftFoot"), grid, 0.2)
    chosen = vertices[(segment == 15) | (segment == 7)]
    distance = np.linalg.norm(grid.centres()[:, None] - chosen, axis=-1).min(axis=1)
    assert np.array_equal(region, np.flatnonzero(distance < 0.2))


def test_joining_needs_every_pass_set_and_no_block_set():
    touched = np.array([[1, 1, 0, 1], [1, 0, 1, 1], [0, 0, 0, 1]], bool)
    none = np.array([], int)
    assert joins(touched, np.array([0, 1]), np.array([2])).tolist() == [True, False, False, False]
    assert joins(touched, none, np.array([0])).tolist() == [False, False, True, False]
    assert joins(touched, none, none).all()


def test_unknown_names_are_refused_with_a_suggestion(stick_body):
    with pytest.raises(BadInput, match="did you mean 'qual:demo'"):
        parts("qual:dmo")
    with pytest.raises(BadInput, match="did you mean 'rightArm'"):
        Part("arm", (("rigthArm",),))
    with pytest.raises(BadInput, match="did you mean 'head'"):
        interaction_region(
            stick_body.v_template.numpy(), stick_body.part_of_vertex.numpy(), ("hed",), VoxelGrid(4)
        )
    with pytest.raises(BadInput, match="no vertex"):
        interaction_region(np.zeros((1, 3)), np.zeros(1), ("head",), VoxelGrid(4))

"""The free quadruped, its posing, and templates on disk."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.animals.articulation import (
    hinge_turns,
    part_transforms,
    pose_template,
    reshaped,
)
from chorus.animals.building import build_template
from chorus.animals.free_quadruped import free_quadruped
from chorus.animals.keypoints import CATEGORIES, KEYPOINTS, MIRROR
from chorus.animals.published_template import read_published_template
from chorus.animals.template import load_template, save_template
from chorus.errors import BadInput

COARSE = 40


@pytest.mark.parametrize("name", CATEGORIES)
def test_a_quadruped_is_closed_symmetric_and_whole(name):
    template = free_quadruped(name, COARSE)
    mesh = trimesh.Trimesh(template.vertices, template.faces, process=False)
    assert mesh.is_watertight and mesh.volume > 0 and mesh.body_count == 1
    flip = np.float32([-1, 1, 1])
    mirror = template.mirror_vertices
    assert np.array_equal(template.vertices[mirror] * flip, template.vertices)
    assert np.array_equal(mirror[mirror], np.arange(len(mirror)))
    mirrored = template.membership[mirror][:, template.mirror_parts]
    assert np.allclose(mirrored, template.membership, atol=1e-6)
    assert np.array_equal(
        mirror[template.keypoint_vertices], template.keypoint_vertices[list(MIRROR)]
    )
    assert template.vertices[:, 1].min() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", CATEGORIES)
def test_keypoints_are_where_their_names_say(name):
    template = free_quadruped(name, COARSE)
    at = dict(zip(KEYPOINTS, template.keypoints, strict=True))
    height = at["Withers"][1]
    assert at["L_eye"][0] > 0 > at["R_eye"][0]
    assert at["Nose"][2] > at["Throat"][2] > at["Withers"][2] > at["Tail"][2]
    for leg in ("L_F", "R_F", "L_B", "R_B"):
        assert at[f"{leg}_paw"][1] < 0.1 * height < at[f"{leg}_elbow"][1] < height
    part = template.parts[template.membership[template.keypoint_vertices[12]].argmax()]
    assert part == "LF_leg"


def test_memberships_are_smooth():
    template = free_quadruped("horse", COARSE)
    edges = np.concatenate([template.faces[:, [0, 1]], template.faces[:, [1, 2]]])
    steps = np.abs(np.diff(template.membership[edges], axis=1)).max()
    assert steps < 0.95
    assert ((template.membership > 0.1) & (template.membership < 0.9)).any(1).mean() > 0.1


def test_the_rest_pose_is_the_template_and_a_neck_turns_with_its_head():
    template = free_quadruped("horse", COARSE)
    assert np.allclose(pose_template(template, np.zeros(7)), template.vertices, atol=1e-5)
    angles = np.zeros(7)
    angles[1] = 0.5
    lowered = pose_template(template, angles)[template.keypoint_vertices]
    at, before = KEYPOINTS.index("Nose"), template.keypoints
    assert lowered[at, 1] < before[at, 1] - 0.2
    assert np.allclose(lowered[12], before[12], atol=1e-4)  # a front paw stays
    # the head is rigid: distances within it stay as they were
    eye, nose = KEYPOINTS.index("L_eye"), at
    was = np.linalg.norm(before[eye] - before[nose])
    assert np.linalg.norm(lowered[eye] - lowered[nose]) == pytest.approx(was, rel=0.02)


def test_orders_of_a_chain_by_hand():
    """A chain of three bones along x, each turned by 90 degrees about z."""
    centres = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [2.0, 0, 0]])
    turns = hinge_turns(torch.full((3,), torch.pi / 2), torch.tensor([[0.0, 0, 1]]).expand(3, 3))
    point = torch.tensor([3.0, 0, 0, 1])  # the end of the last bone
    right = part_transforms(turns, centres, (-1, 0, 1))
    # last bone: (3,0) -> (2,1); middle about (1,0): -> (0,1); root about (0,0): -> (-1,0)
    assert torch.allclose(right[2] @ point, torch.tensor([-1.0, 0, 0]), atol=1e-6)
    published = part_transforms(turns, centres, (-1, 0, 1), order="parent last")
    # last: (2,1); root: (-1,2); middle about (1,0): (1,0) + turned (-2,2) = (-1,-2)
    assert torch.allclose(published[2] @ point, torch.tensor([-1.0, -2, 0]), atol=1e-6)
    for part in (0, 1):
        assert torch.allclose(right[part], published[part], atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=7, max_size=7))
def test_posing_commutes_with_the_mirror(angles):
    template = free_quadruped("cow", COARSE)
    angles = np.array(angles)
    posed = pose_template(template, angles)
    mirrored = pose_template(template, angles[list(template.mirror_parts)])
    assert np.allclose(mirrored[template.mirror_vertices] * [-1, 1, 1], posed, atol=2e-5)


def test_reshaping_moves_children_along_and_stretches_parts():
    template = free_quadruped("horse", COARSE)
    assert np.allclose(reshaped(template, np.ones((7, 3))).vertices, template.vertices, atol=1e-5)
    scales = np.ones((7, 3))
    scales[1] = 1.5
    longer = reshaped(template, scales)
    grown = longer.centres[2] - longer.centres[1]
    assert np.allclose(grown, 1.5 * (template.centres[2] - template.centres[1]), atol=1e-6)
    with pytest.raises(BadInput, match="above 0"):
        reshaped(template, 0 * scales)


def test_normalised_has_length_two_and_moves_centres():
    template = free_quadruped("bear", COARSE)
    scaled = template.normalised()
    assert scaled.size == pytest.approx(2, rel=1e-4)
    assert np.allclose(scaled.vertices.mean(0), 0, atol=1e-5)
    ratio = 2 / template.size
    moved = scaled.centres[2] - scaled.centres[1]
    assert np.allclose(moved, ratio * (template.centres[2] - template.centres[1]), atol=1e-5)


def test_a_template_survives_its_file(tmp_path):
    template = free_quadruped("sheep", COARSE)
    save_template(template, tmp_path / "sheep.npz")
    back = load_template(tmp_path / "sheep.npz")
    assert back.parts == template.parts and back.parents == template.parents
    for name in ("vertices", "faces", "membership", "limits", "keypoint_vertices"):
        assert np.array_equal(getattr(back, name), getattr(template, name))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("membership", np.ones((3, 3)), "shape"),
        ("parents", (-1, -1, 0, 0, 0, 0, 0), "tree"),
        ("parents", (1, 0, 1, 0, 0, 0, 0), "tree"),
        ("mirror_parts", (0, 1, 2, 3, 4, 5, 5), "pair"),
        ("keypoint_vertices", np.full(16, 10**6), "outside"),
        ("vertices", np.full((4, 3), np.nan), "NaN"),
        ("limits", np.tile([1.0, -1.0], (7, 1)), "above the highest"),
    ],
)
def test_templates_that_do_not_fit_together_are_refused(field, value, says):
    with pytest.raises(BadInput, match=says):
        replace(free_quadruped("horse", COARSE), **{field: value})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nonsense", b"\x93NUMPY"])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(BadInput, match=r"x\.npz"):
        load_template(tmp_path / "x.npz")
    with pytest.raises(BadInput, match=r"none\.npz"):
        load_template(tmp_path / "none.npz")


def write_published(folder, **changed):
    """A published template of four vertices and two parts."""
    from scipy.io import savemat

    folder.mkdir(parents=True)
    vertices = np.array([[-1.0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]])
    faces = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    savemat(folder / "mean_shape.mat", {"verts": vertices, "faces": faces})
    nodes = [
        {"name": "neck", "id": 1, "is_main": False, "children": [], "rc": np.zeros(3) + 0.5},
        {"name": "body", "id": 0, "is_main": True, "children": [1], "rc": np.ones(3)},
    ]
    alpha = np.array([[1.0, 0], [1, 0], [0.5, 0.5], [0, 1]])
    stored = {"alpha": alpha, "nodes": nodes} | changed.get("parts", {})
    (folder / "parts.pkl").write_bytes(pickle.dumps(stored, protocol=2))
    keypoints = "".join(f"{name} {number % 4}\n" for number, name in enumerate(KEYPOINTS))
    (folder / "kp2vertex.txt").write_text(changed.get("keypoints", keypoints))
    mirror = changed.get("mirror", "body body\nneck neck\n")
    if mirror is not None:
        (folder / "mirror_transforms.txt").write_text(mirror)
    turning = folder.parent / "turning.txt"
    turning.write_text(changed.get("turning", "body True 1 0 0\nneck False 0 0 1\n"))
    return turning


def test_published_templates_are_read(tmp_path):
    turning = write_published(tmp_path / "horse")
    template = read_published_template(tmp_path / "horse", turning)
    assert template.parts == ("body", "neck") and template.parents == (-1, 0)
    assert np.array_equal(template.centres, [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert template.moving.tolist() == [True, False]
    assert template.mirror_vertices.tolist() == [1, 0, 2, 3]
    assert template.keypoint_vertices.tolist() == [0, 1, 2, 3] * 4


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"mirror": None}, "mirror_transforms"),
        ({"mirror": "body body\n"}, "mirrors neck"),
        ({"keypoints": "L_eye 0\n"}, "lacks the keypoints"),
        ({"keypoints": "L_eye x\n"}, "name vertex"),
        ({"turning": "body True 1 0 0\n"}, "lacks the parts neck"),
        ({"parts": {"nodes": []}}, "ids"),
        ({"parts": {"alpha": np.zeros((4, 2))}}, "sum to 1"),
    ],
)
def test_damaged_published_templates_are_refused(tmp_path, changed, says):
    turning = write_published(tmp_path / "horse", **changed)
    with pytest.raises(BadInput, match=says):
        read_published_template(tmp_path / "horse", turning)


def test_a_published_pickle_runs_nothing(tmp_path):
    turning = write_published(tmp_path / "horse")
    (tmp_path / "horse" / "parts.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(BadInput, match=r"os\.system"):
        read_published_template(tmp_path / "horse", turning)


def description(**changed) -> dict:
    ends = {"F": 0.5, "B": -0.5}
    parts = {
        "body": {"parent": None, "line": [[0, 1, -0.5], [0, 1, 0.5]], "mirror": "body"},
        **{
            f"{side}{end}": {
                "parent": "body",
                "line": [[x, 1, z], [x, 0, z]],
                "mirror": f"{other}{end}",
                "limits_degrees": [-30, 30],
            }
            for side, other, x in (("L", "R", 0.2), ("R", "L", -0.2))
            for end, z in ends.items()
        },
    }
    keypoints = {name: [0.2, 1.0, 0.5] for name in KEYPOINTS}
    return {"parts": parts, "keypoints": keypoints} | changed


def test_a_template_of_ones_own_mesh(tmp_path):
    trimesh.creation.box((0.6, 2.0, 1.4)).subdivide().subdivide().export(tmp_path / "box.ply")
    (tmp_path / "box.json").write_text(json.dumps(description()))
    template = build_template(tmp_path / "box.ply", tmp_path / "box.json")
    assert template.parts[0] == "body" and template.moving.tolist() == [False] + [True] * 4
    assert template.mirror_parts == (0, 3, 4, 1, 2)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"keypoints": {"L_eye": [0, 0, 0]}}, "lacks the keypoints"),
        ({"softness": 0}, "softness"),
        ({"parts": {"body": {"parent": None, "line": [[0, 0, 0]]}}}, "no mirror"),
        ({"parts": {"body": {"parent": "bodi", "line": [[0, 0, 0]], "mirror": "body"}}}, "parent"),
        ({"parts": {"body": {"parent": None, "line": [[0, 0]], "mirror": "body"}}}, "line"),
        ({"parts": {}}, "parts"),
    ],
)
def test_descriptions_that_lack_something_are_refused(tmp_path, changed, says):
    trimesh.creation.box((0.6, 2.0, 1.4)).export(tmp_path / "box.ply")
    (tmp_path / "box.json").write_text(json.dumps(description(**changed)))
    with pytest.raises(BadInput, match=says):
        build_template(tmp_path / "box.ply", tmp_path / "box.json")

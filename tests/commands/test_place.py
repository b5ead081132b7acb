"""`chorus place`: files, persons, bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from chorus.body.loading import load_body
from chorus.body.model import star_body
from chorus.cli import main
from chorus.commands.placing.persons import body_to_camera
from chorus.geometry.cameras import project
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.perception.recorded_poses import FREE_BODY, PinholeCamera, RecordedPose
from chorus.records import aggregations
from chorus.records.keys import TOTAL
from chorus.records.results_tree import ResultsTree
from references import stick_body

PROMPT = "A person carries a surfboard"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tree with surfboards beside the left hand, learned on `body.npz`; meshes and poses."""
    root = tmp_path_factory.mktemp("place")
    np.savez(root / "body.npz", **stick_body.arrays())
    body = load_body(root / "body.npz", root)
    grid = VoxelGrid(24, 3.0)
    away = np.abs(grid.centres() - star_body(body).joints[22].numpy() - (0.2, 0, 0))
    probability = (0.7 * (away < (0.15, 0.25, 0.65)).all(axis=1)).astype(np.float32)
    tree = ResultsTree(root / "results")
    name = aggregations.aggregation_name((3,), "quant:full")
    for prompt in (PROMPT, TOTAL):
        values = probability.reshape(grid.shape)
        seen = np.ones(grid.shape, np.uint32)
        field = Distribution(values, grid, seen, "surfboard", prompt, "all", body.fingerprint)
        where = tree.aggregation("synthetic-v1", "surfboard", prompt, name)
        where.mkdir(parents=True)
        aggregations.store(tree, where, {"all": field}, aggregations.record_of(name, {}, 5, ""))
    trimesh.creation.box((300, 500, 1300)).export(root / "board.glb")
    pose = np.zeros((2, 24, 3), np.float32)
    pose[1, 0] = np.pi, 0, 0
    np.savez(
        root / "poses.npz",
        pose=pose,
        translation=np.array([[0, 0, 3.0]] * 2),
        focal_length=np.array([100.0, 100]),
    )
    mask = np.zeros((100, 100), np.uint8)
    mask[30:50, 70:90] = 255
    Image.fromarray(mask).save(root / "mask.png")
    Image.fromarray(0 * mask).save(root / "nothing.png")
    return root


def run(folder, *arguments: str, mesh: str = "board.glb") -> int:
    where = ("--results_dir", folder / "results", "--imports_dir", folder / "imports")
    body = ("--body", folder / "body.npz")
    return main(["place", str(folder / mesh), *arguments, *map(str, (*where, *body))])


def test_a_picture_a_glb_and_json(folder, tmp_path, capsys):
    out = ("--out", str(tmp_path / "out"))
    assert run(folder, "--prompts", PROMPT, *out) == 0  # the tree has one category
    said = capsys.readouterr().out
    assert "taken for mm" in said and "mode 1" in said
    stem = str(tmp_path / "out" / f"board - surfboard - {PROMPT}")
    with Image.open(f"{stem}.png") as picture:
        assert picture.size[1] > 500
    with open(f"{stem}.json") as stream:
        record = json.load(stream)
    assert record["unit"] == "mm" and record["prompt"] == PROMPT and record["notes"]
    first = record["modes"][0]
    assert first["scale"] == pytest.approx(0.001)
    assert first["matrix"][0][3] > 0.5  # at the person's left
    assert sum(mode["probability"] for mode in record["modes"]) == pytest.approx(1)
    scene = trimesh.load(f"{stem}.glb")
    assert {"body", "mode 1"} <= set(scene.geometry)
    assert scene.geometry["mode 1"].extents.max() < 2


def test_a_person_of_a_file_and_a_mask(folder, tmp_path, capsys):
    files = ("--poses", str(folder / "poses.npz"), "--mask", str(folder / "mask.png"))
    chosen = ("--categories", "surfboard", "--person", "1", "--unit", "mm")
    assert run(folder, *chosen, *files, "--out", str(tmp_path)) == 0
    assert "off mask" in capsys.readouterr().out
    record = json.loads((tmp_path / "board - surfboard.json").read_text())
    assert record["person"] == "poses.npz, person 1"
    assert "silhouette" in record["modes"][0]["terms"]


def test_a_recorded_person_is_seen_where_the_zero_shape_body_is(folder):
    body = load_body(folder / "body.npz", folder)
    pose = np.zeros((24, 3), np.float32)
    pose[0], pose[16] = (0.3, 2.5, -0.4), (0, 0, 0.7)
    camera = PinholeCamera(np.array([0.2, -0.1, 4.0]), 500.0)
    recorded = RecordedPose("a", pose, np.zeros(10, np.float32), camera, FREE_BODY)
    camera_of_body = body_to_camera(recorded, body, (640, 480))
    R, t, K = camera_of_body.R, camera_of_body.t, camera_of_body.K
    there = body.pose(torch.from_numpy(pose)).vertices.double().numpy() + camera.translation
    pose[0] = 0
    here = body.pose(torch.from_numpy(pose)).vertices.double().numpy()
    seen, depth = project(here, R, t, K)
    true, true_depth = project(there, np.eye(3), np.zeros(3), K)
    assert np.allclose(seen, true, atol=1e-2) and np.allclose(depth, true_depth, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--categories", "surfboard", "tie"), "one mesh is of one category"),
        (("--categories", "surfbord"), "surfboard"),
        (("--categories", "surfboard", "--prompts", "A person eats a surfboard"), "carries"),
        (("--categories", "surfboard", "--part", "leftFoot"), "all"),
        (("--categories", "surfboard", "--poses", "POSES", "--person", "2"), "2 persons"),
        (("--categories", "surfboard", "--poses", "POSES", "--mask", "NOTHING"), "mask is empty"),
        (("--categories", "surfboard", "--poses", "POSES", "--mask", "POSES"), "no PNG"),
        (("--categories", "surfboard", "--mask", "NOTHING"), "give both"),
        (("--categories", "surfboard", "--sample", "1", "--poses", "POSES"), "leave out"),
        (("--categories", "surfboard", "--unit", "m"), "1.3e+03 m large"),
    ],
)
def test_bad_input_ends_in_a_sentence(folder, arguments, sentence, capsys, tmp_path):
    names = {"POSES": str(folder / "poses.npz"), "NOTHING": str(folder / "nothing.png")}
    given = [names.get(each, each) for each in arguments]
    assert run(folder, *given, "--out", str(tmp_path)) == 2
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said


def test_bad_meshes_end_in_a_sentence(folder, capsys):
    (folder / "no.glb").write_bytes(b"no")
    assert run(folder, "--categories", "surfboard", mesh="no.glb") == 2
    assert "cannot be read" in capsys.readouterr().err
    assert run(folder, "--categories", "surfboard", mesh="none.glb") == 2
    assert "not there" in capsys.readouterr().err

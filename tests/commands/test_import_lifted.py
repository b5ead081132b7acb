"""`chorus import --lifted` and what `chorus aggregate --evidence` makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
import trimesh
from PIL import Image

from chorus.body.loading import load_body
from chorus.cli import main
from chorus.commands.importing.lifted_meshes import camera_to_person
from chorus.perception.recorded_poses import PinholeCamera, RecordedPose
from chorus.records.aggregations import load, read_record
from chorus.records.keys import ShardKey
from chorus.records.lifted_objects import camera_to_body, read_mesh
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import Camera
from chorus.records.tables import read_table
from references.stick_body import arrays

SHARD = ShardKey("mine", "vase", "A person holds a vase", "original")
LOW, HIGH = np.array([0.5, -0.25, 0.25]), np.array([0.75, 0.25, 0.5])
"""Corners of the vase in the frame of the standing person, metres: corners of voxels, too."""


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("CHORUS_PROFILE", raising=False)
    np.savez(tmp_path / "body.npz", **arrays())
    trimesh.creation.box(bounds=[LOW, HIGH]).export(tmp_path / "vase.ply")
    return tmp_path


def star_in_camera(at=(0.3, 0.1, 4.0)) -> dict:
    """A person in the star pose, turned half around before a camera of OpenCV's axes, and the map
    from their frame (origin and axes of the body model) to the camera."""
    turn = np.diag([1.0, -1.0, -1.0])  # y down, facing the camera
    pose = np.zeros((24, 3))
    pose[0] = roma.rotmat_to_rotvec(torch.from_numpy(turn)).numpy()
    pose[1, 2], pose[2, 2] = np.radians(30), np.radians(-30)
    pelvis = np.array([0, -0.24, 0])  # about which bodies turn
    place = np.eye(4)
    place[:3, :3] = turn
    place[:3, 3] = pelvis - turn @ pelvis + at
    row = {"pose": pose.tolist(), "translation": list(at)}
    return {**row, "object_to_camera": place.tolist(), "mesh": "vase.ply"}


def write(root: Path, *rows: dict) -> Path:
    (root / "lifted.json").write_text(json.dumps(list(rows)))
    return root / "lifted.json"


def run(root: Path, command: str, *more: str) -> int:
    tree = ["--results_dir", str(root / "results"), "--model_key", "mine"]
    given = ["--body", str(root / "body.npz"), "--imports_dir", str(root / "imports")]
    return main([command, *tree, *given, *more])


def imported(root: Path, *more: str) -> int:
    given = ["--lifted", str(root / "lifted.json"), "--categories", "vase"]
    return run(root, "import", *given, "--prompt", SHARD.prompt, *more)


def rows(root: Path) -> dict:
    return read_table(ResultsTree(root / "results").table("lifted", SHARD), "lifted").rows


def test_lifted_objects_alone_become_a_distribution(root, capsys):
    write(root, star_in_camera() | {"image": "a.jpg"}, star_in_camera((0, 0, 3)) | {"image": 7})
    assert imported(root, "--dry_run") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[:3] == ["image", "category", "persons"] and "meshes" in shown[0]
    assert shown[2].split()[:2] == ["a.jpg", "vase"] and shown[2].split()[-1] == "1"
    assert not (root / "results").exists()
    assert imported(root) == 0
    assert "lifted 2 done" in capsys.readouterr().out
    assert [row["text"] for row in rows(root).values()] == ["a.jpg", "frame 7"]
    assert len(list((root / "results").rglob("*.npz"))) == 1  # one mesh for both
    assert run(root, "aggregate", "--evidence", "meshes", "--aggr_setting_names", "quant:full") == 0
    tree = ResultsTree(root / "results")
    folder = tree.aggregation(*SHARD[:3], "filter(3)-aggr(quant:full+meshes)")
    field = load(folder)["all"]
    centres = field.grid.centres().reshape(*field.grid.shape, 3)
    inside = ((centres > LOW) & (centres < HIGH)).all(-1)
    assert (field.probability[inside] == 1).all() and not field.probability[~inside].any()
    assert field.metadata["observed"] == {"masks": 0, "meshes": 2}
    assert read_record(folder)["samples"] == 2 and field.counts.meshes.tolist() == [2, 2]
    capsys.readouterr()
    assert run(root, "aggregate", "--evidence", "meshes", "--aggr_setting_names", "quant:full") == 0
    assert "0 aggregations done, 2 already there" in capsys.readouterr().out
    assert run(root, "aggregate", "--aggr_setting_names", "quant:full") == 2
    assert "no filtered in" in capsys.readouterr().err


def photographs(root: Path) -> list[str]:
    (root / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        pixels = np.random.default_rng(len(name) + ord(name[0])).integers(0, 255, (40, 60, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(root / "photos" / name)
    return ["--images", str(root / "photos")]


def test_objects_belong_to_images_by_name(root, capsys):
    photos = photographs(root)
    without = {"object_to_camera": star_in_camera()["object_to_camera"], "mesh": "vase.ply"}
    write(root, without | {"image": "b"}, without | {"image": "x.jpg"})
    assert imported(root, *photos, "--dry_run") == 0
    shown = capsys.readouterr()
    lines = [line.split(maxsplit=7) for line in shown.out.splitlines()]
    assert lines[2][0] == "a.jpg" and lines[2][6:] == ["-", "no lifted object of it"]
    assert lines[3][0] == "b.jpg" and lines[3][6] == "1"
    assert "not among the samples: 1 (x.jpg)" in shown.err
    assert imported(root, *photos) == 0
    assert [row["status"] for row in rows(root).values()] == ["skipped", "done"]
    row = rows(root)[1]
    assert row["body"] == "" and not np.any(row["K"]) and row["text"] == "b.jpg"
    capsys.readouterr()
    # nobody judged the image, and the object has no person of its own
    assert run(root, "aggregate", "--evidence", "meshes", "--aggr_setting_names", "quant:full") == 1
    assert "lifted without its person" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"translation": [0, 0, 400.0]}, "m from its person; both must be in metres"),
        ({"object_to_camera": np.diag([1.0, -1, -1, 1]).tolist()}, "lies behind the camera"),
    ],
)
def test_an_object_that_lies_elsewhere_fails_alone(root, capsys, change, said):
    write(root, star_in_camera() | {"image": "a"}, star_in_camera() | {"image": "b"} | change)
    assert imported(root) == 0
    assert said in capsys.readouterr().err
    assert [row["status"] for row in rows(root).values()] == ["done", "failed"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--categories", "vase", "--as", "test_set", "x"], "are evidence, no test images"),
        ([], "name their one category"),
        (["--categories", "vase", "cup"], "found vase cup"),
    ],
)
def test_options_that_do_not_go_together(root, capsys, arguments, said):
    path = write(root, star_in_camera())
    assert run(root, "import", "--lifted", str(path), *arguments) == 2
    assert said in capsys.readouterr().err
    assert run(root, "import", "--lifted_mesh", "x.obj", "--poses", "x.npz") == 2
    assert "--lifted_mesh belongs to --lifted" in capsys.readouterr().err


def test_evidence_that_is_not_there_is_named_with_its_cure(root, capsys):
    assert run(root, "aggregate", "--evidence", "both") == 2
    assert "run chorus import --lifted first" in capsys.readouterr().err
    write(root, star_in_camera())
    assert imported(root) == 0
    asked = ["--evidence", "meshes", "--aggr_setting_names", "quant:full", "--categories", "vas"]
    assert run(root, "aggregate", *asked) == 2
    assert "did you mean 'vase'" in capsys.readouterr().err
    contradictory = ["--evidence", "both", "--aggr_setting_names", "quant:full+meshes"]
    assert run(root, "aggregate", *contradictory) == 2
    assert "leave one of them out" in capsys.readouterr().err
    (mesh,) = (root / "results").rglob("*.npz")
    mesh.write_bytes(mesh.read_bytes()[:80])
    read_mesh.cache_clear()
    assert run(root, "aggregate", *asked[:-2]) == 1
    assert "mesh cannot be used" in capsys.readouterr().err


def test_objects_of_another_body_are_refused(root, capsys):
    write(root, star_in_camera())
    assert imported(root) == 0
    np.savez(root / "body.npz", **arrays(half=0.05))
    assert run(root, "aggregate", "--evidence", "meshes", "--aggr_setting_names", "quant:full") == 1
    assert "imported for another body" in capsys.readouterr().err


def test_a_recorded_person_takes_camera_to_body(root):
    """What a body's vertices are in the camera, they are in its own frame again."""
    body = load_body(str(root / "body.npz"), root)
    pose = np.random.default_rng(0).normal(0, 0.4, (24, 3)).astype(np.float32)
    place = np.array([0.2, -0.1, 3.0])
    person = RecordedPose("a", pose, np.zeros(10, np.float32), PinholeCamera(place))
    still = pose.copy()
    still[0] = 0
    seen = body.pose(torch.from_numpy(pose)).vertices.double().numpy() + place
    own = body.pose(torch.from_numpy(still)).vertices.double().numpy()
    matrix = camera_to_person(body, person)
    np.testing.assert_allclose(seen @ matrix[:3, :3].T + matrix[:3, 3], own, atol=1e-5)


def test_a_lifters_camera_of_another_focal_length_sees_the_person_elsewhere():
    R = roma.rotvec_to_rotmat(torch.tensor([0.1, 2.8, 0.2], dtype=torch.float64)).numpy()
    own = np.array([[600.0, 0, 300], [0, 600, 200], [0, 0, 1]])
    camera = Camera(R, np.array([0.3, 0.2, 3.0]), own)
    point = np.array([0.4, 0.1, -0.2])
    same = camera_to_body(camera, own) @ [*(R @ point + camera.t), 1]
    np.testing.assert_allclose(same[:3], point, atol=1e-9)
    unknown = camera_to_body(camera, np.zeros((3, 3)))
    np.testing.assert_allclose(unknown, camera_to_body(camera, own), atol=1e-9)
    K = np.array([[1200.0, 0, 310], [0, 1200, 190], [0, 0, 1]])
    moved = camera_to_body(camera, K)
    origin = np.linalg.inv(moved)[:3, 3]  # where the lifter's camera has the person's origin
    assert origin[2] == pytest.approx(6)
    pixels = [k @ p / p[2] for k, p in ((own, camera.t), (K, origin))]
    np.testing.assert_allclose(*pixels, atol=1e-9)

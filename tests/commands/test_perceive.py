"""`chorus perceive` on real photographs: what it writes, what reads it, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from chorus.cli import main
from chorus.commands.perceiving.results import Results
from chorus.errors import BadInput
from chorus.geometry import masks
from chorus.perception.coco_writing import CocoFile
from chorus.perception.poses_of_npz import read_npz
from chorus.perception.recorded_poses import FREE_BODY, PinholeCamera

IMPORTS = Path(__file__).resolve().parents[2] / "imports"


@pytest.fixture(scope="session")
def imports(blazepose_imports, tmp_path_factory):
    """The networks and the free body in one imports folder."""
    folder = tmp_path_factory.mktemp("perceive_imports")
    shutil.copytree(blazepose_imports / "blazepose", folder / "blazepose")
    if (IMPORTS / "free_body").is_dir():
        shutil.copytree(IMPORTS / "free_body", folder / "free_body")
    return folder


@pytest.fixture(scope="session")
def seen(imports, tmp_path_factory):
    """What is written of a portrait, a wall without anybody, and a file that is no image."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "space").mkdir()
    cv2.imwrite(str(folder / "space" / "a.b.png"), data.astronaut()[..., ::-1])
    cv2.imwrite(str(folder / "wall.jpg"), data.brick())
    (folder / "torn.jpg").write_bytes((folder / "wall.jpg").read_bytes()[:500])
    out = tmp_path_factory.mktemp("seen")
    status = main(["perceive", str(folder), "--out", str(out), "--imports_dir", str(imports)])
    return out, status


def test_a_person_is_found_with_a_body(seen):
    out, status = seen
    assert status == 1  # one file was no image
    record = json.loads((out / "space" / "a.b.png.json").read_text())
    assert (record["image"], record["width"], record["height"]) == ("space/a.b.png", 512, 512)
    (person,) = record["persons"]
    assert person["body"]["mask_agreement"] > 0.5 and person["doubt"] == ""
    mask = masks.decode(person["mask"]["counts"].encode(), *person["mask"]["size"])
    assert mask[250, 230] and not mask[10, 10]
    nose = person["keypoints"][0]
    assert np.hypot(nose[0] - 224, nose[1] - 113) < 15 and nose[2] > 0.5
    assert np.shape(person["landmarks"]) == (33, 5)
    assert np.shape(person["landmarks_metres"]) == (33, 3)


def test_arrays_and_picture_lie_beside(seen):
    out, _ = seen
    with np.load(out / "space" / "a.b.png.npz", allow_pickle=False) as arrays:
        assert arrays["vertices"].shape[0] == len(arrays["with_body"]) == len(arrays["pose"]) == 1
        assert arrays["vertices"][0, :, 2].min() > 0.2  # before the camera
        assert arrays["faces"].max() < arrays["vertices"].shape[1]
    picture = cv2.imread(str(out / "space" / "a.b.png.overlay.jpg"))
    assert picture.shape == (512, 512, 3)
    assert np.abs(picture.astype(int) - data.astronaut()[..., ::-1]).mean() > 5  # drawn upon


def test_nobody_is_an_answer_and_no_failure(seen, imports, capsys, tmp_path):
    out, _ = seen
    assert json.loads((out / "wall.jpg.json").read_text())["persons"] == []
    cv2.imwrite(str(tmp_path / "wall.jpg"), data.brick())
    given = ["perceive", str(tmp_path / "wall.jpg"), "--out", str(tmp_path / "o")]
    assert main([*given, "--imports_dir", str(imports)]) == 0
    assert "no person found in 1 photographs: wall.jpg" in capsys.readouterr().err
    assert not (tmp_path / "o" / "poses.npz").exists()


def test_all_photographs_together_are_what_import_reads(seen):
    out, _ = seen
    recording = read_npz(out / "poses.npz")
    assert not recording.faults
    (pose,) = recording.poses
    assert pose.image == "space/a.b.png" and pose.shape_of == FREE_BODY
    assert isinstance(pose.camera, PinholeCamera) and pose.camera.translation[2] > 0.5
    instances = json.loads((out / "instances.json").read_text())
    assert [image["file_name"] for image in instances["images"]] == ["space/a.b.png", "wall.jpg"]
    assert len(instances["annotations"]) == 1


def test_its_own_pictures_are_no_photographs(imports, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "wall.jpg"), data.brick())
    given = ["perceive", str(tmp_path), "--out", str(tmp_path), "--imports_dir", str(imports)]
    for _ in range(2):
        assert main(given) == 0
        assert "in 1 of 1 photographs" in capsys.readouterr().out


def test_photographs_that_cannot_be_told_apart_are_refused(tmp_path, capsys):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.jpg"), data.brick())
    assert main(["perceive", str(tmp_path / "one" / "a.jpg"), str(tmp_path / "two" / "a.jpg")]) == 2
    assert "have one name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["not-there.jpg"], "is not there"),
        (["."], "holds no photograph"),
        (["--out", "a-file", "x.jpg"], "is a file; give a folder"),
    ],
)
def test_bad_input_is_told_in_a_sentence(tmp_path, monkeypatch, capsys, given, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    assert main(["perceive", *given]) == 2
    assert expected in capsys.readouterr().err


def test_without_networks_the_download_is_named(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "wall.jpg"), data.brick())
    given = ["perceive", str(tmp_path / "wall.jpg"), "--imports_dir", str(tmp_path / "nothing")]
    assert main([*given, "--out", str(tmp_path / "o")]) == 2
    assert "blazepose" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_real_photographs(photographs, imports, tmp_path):
    """Bodies lie on their persons: of the five the worst covers two thirds of its mask."""
    given = ["perceive", str(photographs), "--out", str(tmp_path), "--imports_dir", str(imports)]
    assert main(given) == 0
    for path in photographs.glob("*.jpg"):
        person = json.loads((tmp_path / f"{path.name}.json").read_text())["persons"][0]
        assert person["body"]["mask_agreement"] > 0.66
        assert person["body"]["keypoint_error"] < 0.03


def test_a_name_at_the_file_systems_limit_has_results(imports, tmp_path):
    name = "a" * 251 + ".jpg"
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "wall.jpg"), data.brick())
    (tmp_path / "wall.jpg").rename(tmp_path / "in" / name)
    given = ["perceive", str(tmp_path / "in"), "--out", str(tmp_path / "o")]
    assert main([*given, "--imports_dir", str(imports)]) == 0
    (record,) = (path for path in (tmp_path / "o").glob("aaa*.json"))
    assert json.loads(record.read_text())["image"] == name
    assert len(list((tmp_path / "o").glob("aaa*.overlay.jpg"))) == 1


def test_annotations_of_others_are_not_replaced(tmp_path):
    (tmp_path / "instances.json").write_text('{"info": {"description": "mine"}}')
    with pytest.raises(BadInput, match="not of chorus perceive"):
        Results(tmp_path, None, ".jpg")
    assert "mine" in (tmp_path / "instances.json").read_text()
    (tmp_path / "instances.json").unlink()
    (tmp_path / "poses.npz").write_bytes(b"somebody's")
    with pytest.raises(BadInput, match=r"poses\.npz"):
        Results(tmp_path, None, ".jpg")
    (tmp_path / "instances.json").write_bytes(CocoFile().content())
    Results(tmp_path, None, ".jpg")

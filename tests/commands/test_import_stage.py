"""`chorus import` with files as people have them: whole, odd, and damaged."""

from __future__ import annotations

import json
import pickle
import types

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from chorus.cli import main
from chorus.commands.importing.sources import PoseIndex
from chorus.perception.coco_instances import EXPORTED
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import read_settings, read_table
from references.stick_body import arrays

W, H = 60, 40
CARRY = "A person carries a surfboard"
SHARD = ShardKey("mine", "surfboard", CARRY, "original")


def box_polygon(x: float, y: float, w: float, h: float) -> list[list[float]]:
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def annotated(number: int, image: int, category: int, box: list, **more) -> dict:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "segmentation": box_polygon(*box),
        **more,
    }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three photographs (one grey, one not annotated) and two images in the annotations' file."""
    monkeypatch.delenv("CHORUS_PROFILE", raising=False)
    photos = tmp_path / "photos"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (H, W, 3), np.uint8)
    Image.fromarray(pixels).save(photos / "b.jpg")
    Image.fromarray(pixels).convert("L").save(photos / "a.png")
    Image.fromarray(pixels).save(photos / "other.jpg")
    points = [10, 10, 2] * 17
    content = {
        "images": [
            {"id": 5, "file_name": "b.jpg", "width": W, "height": H},
            {"id": 6, "file_name": "a.png", "width": W, "height": H},
        ],
        "annotations": [
            annotated(1, 5, 1, [4, 2, 20, 36], keypoints=points),
            annotated(2, 5, 42, [20, 10, 30, 12]),
            annotated(3, 6, 42, [20, 10, 30, 12], score=0.85),
            annotated(4, 6, 42, [2, 10, 10, 12], score=0.3),
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 42, "name": "surfboard"}],
    }
    return tmp_path, content


def run(root, content, *extra: str, stage: str = "import") -> int:
    source = []
    if stage == "import":
        (root / "instances.json").write_text(json.dumps(content))
        source = ["--images", str(root / "photos"), "--annotations", str(root / "instances.json")]
        source += ["--prompt", CARRY]
    tree = ["--results_dir", str(root / "results"), "--model_key", "mine"]
    return main([stage, *source, *tree, *extra])


def rows(root, name: str) -> dict:
    return read_table(ResultsTree(root / "results").table(name, SHARD), name).rows


def test_tables_are_those_of_the_stages(folder, capsys):
    root, content = folder
    assert run(root, content) == 0
    shown = capsys.readouterr()
    assert "not annotated: 1 (other.jpg)" in shown.err and "images 2 done" in shown.out
    images = rows(root, "images")
    assert [row["text"] for row in images.values()] == ["a.png", "b.jpg"]
    stored = cv2.imread(
        str(ResultsTree(root / "results").table("images", SHARD).with_suffix("") / "000000.png"),
        cv2.IMREAD_UNCHANGED,
    )
    assert stored.shape == (H, W, 3)
    detections = [row["detections"] for row in rows(root, "segmentations").values()]
    assert [[one["label"] for one in found] for found in detections] == [
        ["surfboard"],
        ["person", "surfboard"],
    ]
    assert detections[0][0]["score"] == pytest.approx(0.85)
    persons = [row["persons"] for row in rows(root, "human_kps").values()]
    assert persons[0] == [] and persons[1][0]["keypoints"] == [10.0, 10.0, 1.0] * 17
    assert run(root, None, stage="filter") == 0
    verdicts = [row["verdicts"][2] for row in rows(root, "filtered").values()]
    assert verdicts == ["no human", "retained"]
    assert run(root, None, stage="verify") == 0


def test_without_keypoints_the_filter_says_so_and_rule_15_can_be_used(folder, capsys):
    root, content = folder
    del content["annotations"][0]["keypoints"]
    assert run(root, content) == 0
    assert "hold no keypoints" in capsys.readouterr().err
    assert run(root, None, stage="filter") == 1
    assert "no human_kps" in capsys.readouterr().err
    assert run(root, content, "--without_keypoints") == 0
    assert run(root, None, stage="filter") == 0
    (_, verdicts) = (row["verdicts"] for row in rows(root, "filtered").values())
    assert verdicts[14] == "retained" and verdicts[2] != "retained"


def test_other_annotations_make_the_tables_stale(folder, capsys):
    root, content = folder
    assert run(root, content) == 0
    before = read_settings(ResultsTree(root / "results").table("segmentations", SHARD))
    content["annotations"][1]["bbox"][2] = 31
    assert run(root, content) == 2
    assert "was made with other settings (annotations: " in capsys.readouterr().err
    assert run(root, content, "--overwrite") == 0
    after = read_settings(ResultsTree(root / "results").table("segmentations", SHARD))
    assert before["annotations"] != after["annotations"]


def test_crowds_are_counted_and_left_out(folder, capsys):
    root, content = folder
    crowd = {"size": [H, W], "counts": [0, 9, H * W - 9]}
    content["annotations"].append(
        annotated(9, 5, 1, [0, 0, 9, 9]) | {"iscrowd": 1, "segmentation": crowd}
    )
    assert run(root, content) == 0
    assert "crowd annotations (iscrowd), left out: 1" in capsys.readouterr().err
    assert len(rows(root, "human_kps")[1]["persons"]) == 1


def test_an_object_that_is_all_crowds_names_the_option_that_takes_them(folder, capsys):
    root, content = folder
    for annotation in content["annotations"][1:]:
        annotation["iscrowd"] = 1
    assert run(root, content, "--categories", "surfboard") == 2
    assert "--take_crowds takes each as one instance" in capsys.readouterr().err
    assert run(root, content, "--take_crowds") == 0
    labels = [
        [one["label"] for one in r["detections"]] for r in rows(root, "segmentations").values()
    ]
    assert labels == [["surfboard"], ["person", "surfboard"]]
    settings = read_settings(ResultsTree(root / "results").table("segmentations", SHARD))
    assert settings["crowds"] == "taken"


@pytest.mark.parametrize("missing", [True, False])
def test_an_image_that_cannot_be_read_fails_alone(folder, capsys, missing):
    root, content = folder
    path = root / "photos" / "b.jpg"
    whole = path.read_bytes()
    path.unlink()
    if not missing:
        path.write_bytes(whole[:-200])
    assert run(root, content) == 0
    shown = capsys.readouterr().err
    assert ("that are not in" if missing else "b.jpg: it is not a whole image") in shown
    assert [row["status"] for row in rows(root, "segmentations").values()] == ["done", "failed"]
    assert "b.jpg" in rows(root, "images")[1]["reason"] or missing


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"segmentation": []}, "no segmentation"),
        ({"bbox": [200, 10, 30, 12]}, "outside of the image"),
        ({"segmentation": {"size": [H, W], "counts": "zz"}}, "annotation 2"),
    ],
)
def test_a_damaged_annotation_fails_its_image_with_the_reason(folder, capsys, change, said):
    root, content = folder
    content["annotations"][1] |= change
    assert run(root, content) == 0
    assert said in capsys.readouterr().err
    found = rows(root, "segmentations")
    assert (
        found[0]["status"] == "done" and "annotation 2 (surfboard) of b.jpg" in found[1]["reason"]
    )


def test_unknown_categories_are_refused_with_near_names(folder, capsys):
    root, content = folder
    assert run(root, content, "--categories", "surfbord") == 2
    assert "did you mean 'surfboard'" in capsys.readouterr().err
    assert not (root / "results").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"annotations": []}, "hold no object"),
        ({"annotations": 5}, "is not COCO instances"),
        (
            {"images": [{"id": n, "file_name": "b.jpg", "width": W, "height": H} for n in (5, 6)]},
            "two images are called 'b.jpg'",
        ),
    ],
)
def test_files_that_cannot_be_imported_are_named(folder, capsys, change, said):
    root, content = folder
    assert run(root, content | change) == 2
    assert said in capsys.readouterr().err


def test_sources_that_are_not_there_or_damaged_are_named(folder, capsys):
    root, content = folder
    (root / "half.json").write_text(json.dumps(content)[:90])
    photos = ["--images", str(root / "photos")]
    for arguments, said in (
        ([], "give --images or --poses"),
        (photos, "name the one category"),
        (["--images", str(root / "no"), "--annotations", "x.json"], "is not a folder"),
        ([*photos, "--annotations", str(root / "no.json")], "cannot be read"),
        ([*photos, "--annotations", str(root / "half.json")], "is not whole JSON"),
        (["--poses", str(root / "no.npz")], "no segmentations in"),
    ):
        tree = ["--results_dir", str(root / "results"), "--model_key", "mine"]
        assert main(["import", *arguments, *tree]) == 2
        assert said in capsys.readouterr().err


@pytest.fixture
def body(tmp_path):
    """A file of a small body, as options name it."""
    np.savez(tmp_path / "sticks.npz", **arrays())
    return ["--body", str(tmp_path / "sticks.npz")]


def test_what_people_should_know_of_poses_is_shown(folder, body, capsys):
    root, content = folder
    still = {"body_pose": torch.zeros(1, 63), "global_orient": torch.tensor([[3.14, 0.0, 0.0]])}
    still |= {"betas": torch.zeros(1, 10), "transl": torch.tensor([[0.0, 0.0, 4.0]])}
    K = torch.tensor([[[60.0, 0, 30], [0, 60, 20], [0, 0, 1]]])
    names = ("smpl_params_incam", "smpl_params_global")
    torch.save(dict.fromkeys(names, still) | {"K_fullimg": K}, root / "hmr4d_results.pt")
    run(root, content, "--poses", str(root / "hmr4d_results.pt"), *body)
    assert "equal those in the world" in capsys.readouterr().err


def test_another_camera_beside_the_poses_is_another_import(folder, body, capsys):
    root, content = folder
    (root / "clip" / "hps").mkdir(parents=True)
    track = {"pred_rotmat": torch.eye(3).repeat(1, 24, 1, 1), "pred_shape": torch.zeros(1, 10)}
    track |= {"pred_trans": torch.tensor([[[0.0, 0.0, 4.0]]]), "frame": torch.zeros(1)}
    np.save(root / "clip" / "hps" / "hps_track_0.npy", track)
    poses = ["--poses", str(root / "clip"), *body]
    for focal, status in ((50.0, 0), (50.0, 0), (60.0, 2)):
        camera = {"img_focal": focal, "img_center": np.array([30.0, 20.0])}
        np.save(root / "clip" / "camera.npy", camera)
        assert run(root, content, *poses) == status
    assert "poses" in capsys.readouterr().err


class Harmful:
    def __reduce__(self):
        return (eval, ("print('harm')",))


def test_a_pickle_that_would_run_code_is_refused(folder, capsys):
    root, content = folder
    (root / "tracks.pkl").write_bytes(pickle.dumps({"f": Harmful()}))
    assert run(root, content, "--poses", str(root / "tracks.pkl")) == 2
    shown = capsys.readouterr()
    assert "asks for builtins.eval" in shown.err and "harm\n" not in shown.out
    assert rows(root, "segmentations")  # what was done before is kept


def test_a_dry_run_says_what_would_be_taken_and_writes_nothing(folder, capsys):
    root, content = folder
    content["annotations"][0]["segmentation"] = []
    assert run(root, content, "--dry_run") == 0
    shown = capsys.readouterr()
    lines = [line.split(maxsplit=6) for line in shown.out.splitlines()]
    assert lines[2] == ["a.png", "surfboard", "0", "1", "0", "-"]
    assert lines[3][:6] == ["b.jpg", "surfboard", "-", "-", "-", "-"]
    assert "annotation 1 (person) of b.jpg" in lines[3][6]
    assert "not annotated: 1 (other.jpg)" in shown.err
    assert shown.out.splitlines()[-1].startswith("would be import: images 2 done")
    assert "nothing was written" in shown.out and not (root / "results").exists()
    assert run(root, content) == 0
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    content["annotations"][1]["score"] = 0.9
    assert run(root, content, "--dry_run") == 2
    said = capsys.readouterr().err
    assert "was made with other settings" in said and str(root / "results") in said
    assert run(root, content, "--dry_run", "--overwrite") == 0
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert after == before | {root / "instances.json": after[root / "instances.json"]}


def test_an_import_of_which_nothing_came_is_no_success(folder, capsys):
    root, content = folder
    for name in ("a.png", "b.jpg"):
        (root / "photos" / name).write_bytes(b"no image")
    assert run(root, content) == 1
    shown = capsys.readouterr()
    assert "images 0 done, 2 failed" in shown.out and "2 x" not in shown.out


@pytest.mark.parametrize(
    ("pose", "names", "belongs"),
    [
        ("surf_jpg.rf.0a1b", ["surf_jpg.rf.0a1b.jpg", "surf_jpg.rf.9f.jpg"], 0),
        ("a.b.jpg", ["a.jpg", "a.b.jpg"], 1),
        ("a.b", ["a.jpg", "a.b.JPEG"], 1),
        ("a.b.png", ["a.jpg", "x/a.b.jpg"], 1),  # found in a film's frame of another kind
        ("day.1/a", ["day.1/a.jpg", "day.2/a.jpg"], 0),
        ("elsewhere/a.jpg", ["day.1/a.jpg", "day.2/a.jpg"], None),  # the file's is not unique
        ("a", ["a.b.jpg"], None),
        ("a.b", ["a.b.jpg", "a.b.png"], None),
        (12, ["clip.0000.jpg", "clip.0012.jpg", "clip.0013.jpg"], 1),
    ],
)
def test_poses_belong_to_images_by_whole_names(pose, names, belongs):
    recorded = types.SimpleNamespace(image=pose, frame=None)
    index = PoseIndex([recorded], names)
    assert [bool(index.of(name)) for name in names] == [n == belongs for n in range(len(names))]
    assert index.homeless == ([str(pose)] if belongs is None else [])


def test_a_scrap_of_a_polygon_is_told_and_a_box_of_another_form_names_its_cause(folder, capsys):
    root, content = folder
    content["annotations"][0]["segmentation"].append([1, 2, 3, 4])
    content["annotations"][2]["bbox"] = [20, 10, 50, 22]
    assert run(root, content) == 0
    told = capsys.readouterr().err
    assert "fewer than three points beside others, left out: 1" in told
    assert "annotation 3 (surfboard) of a.png: its box and its mask disagree" in told
    assert [row["status"] for row in rows(root, "segmentations").values()] == ["failed", "done"]


def test_annotations_of_a_low_score_are_told_but_not_of_files_that_we_wrote(folder, capsys):
    root, content = folder
    for each in content["annotations"]:
        each["score"] = 0.6
    assert run(root, content) == 0
    said = capsys.readouterr().err
    total = len(content["annotations"])
    assert f"annotations of a score below --threshold 0.8, left out: {total}" in said
    content["info"] = {"description": EXPORTED}
    assert run(root, content, "--overwrite") == 0
    assert "--threshold" not in capsys.readouterr().err

"""`chorus animals` from pictures to selected pseudo-labels, in a small pasture."""

from __future__ import annotations

import json

import pytest

from chorus.animals.annotations import read_ids, read_labels
from chorus.animals.template import load_template
from chorus.animals.tree import AnimalTree
from chorus.cli import main

SMALL = ("--input_res", "64", "--batch_size", "4", "--device", "cpu")


def animals(task: str, root, *more: str) -> int:
    return main(["animals", task, "--category", "horse", "--root", str(root), *more])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A pasture with a keypoint network that has hardly been trained."""
    root = tmp_path_factory.mktemp("animals")
    sizes = ("--labelled", "4", "--web", "4", "--test", "2", "--workers", "1")
    assert animals("pasture", root, *sizes) == 0
    for name, seed in (("horse", "1"), ("second", "2")):
        steps = ("--iter", "1", "--output_res", "16", "--seed", seed, "--name", name)
        assert animals("train_keypoints", root, *steps, *SMALL) == 0
    return root


def test_a_pasture_is_not_drawn_twice(root, capsys):
    assert animals("pasture", root, "--labelled", "4", "--web", "4", "--test", "2") == 0
    assert "0 of them new" in capsys.readouterr().out


def test_pseudo_labels_are_made_and_selected(root, capsys):
    tree = AnimalTree(root)
    broken = tree.web / "images" / read_labels(tree.boxes("horse"), False).records[1]["img_path"]
    broken.write_bytes(b"nothing")
    assert animals("generate_pl", root, *SMALL) == 0
    assert "cannot be read" in capsys.readouterr().err
    assert animals("generate_pl", root, *SMALL, "--is_aux", "--weights", "second") == 0
    assert animals("generate_pl_mt", root, *SMALL) == 0
    assert len(list(tree.transformed("horse").glob("augm_*.txt"))) == 7
    for criterion in ("kpconf", "cf_mt", "cf_cm"):
        asked = ("--filter", criterion, "--selection_num", "2")
        assert animals("select", root, *asked, "--visualize") == 0
        chosen = read_ids(tree.selected("horse", criterion, 2))
        assert len(chosen) == 2 and set(chosen) < set(read_ids(tree.all_web("horse")))
        drawn = tree.web / "visuals" / f"horse_{criterion}_2"
        assert {each.name for each in drawn.iterdir()} == {"best", "worst_best", "worst"}
        assert len(list((drawn / "best").glob("*.jpg"))) == 2


def test_the_network_is_evaluated(root, capsys):
    assert animals("evaluate_keypoints", root, *SMALL, "--flip_test") == 0
    assert "PCK, percent" in capsys.readouterr().out


def test_templates_are_written(tmp_path, capsys):
    assert animals("template", tmp_path) == 0
    assert len(load_template(tmp_path / "templates" / "horse.npz").parts) == 7
    assert animals("template", tmp_path, "--mesh", "x.ply") == 2
    assert "belong together" in capsys.readouterr().err


def test_boxes_of_any_detector(tmp_path, capsys):
    tree = AnimalTree(tmp_path)
    coco = {
        "images": [{"id": 1, "file_name": "a/b.jpg"}],
        "categories": [{"id": 17, "name": "horse"}, {"id": 18, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 17, "bbox": [1.5, 2, 30, 40], "score": 0.97},
            {"id": 2, "image_id": 1, "category_id": 17, "bbox": [1, 2, 30, 40], "score": 0.5},
            {"id": 3, "image_id": 1, "category_id": 18, "bbox": [1, 2, 30, 40]},
            {"id": 4, "image_id": 1, "category_id": 17, "bbox": [1, 2, 0, 40]},
        ],
    }
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(coco))
    assert animals("save_boxes", tmp_path, "--detections", str(path)) == 0
    boxes = read_labels(tree.boxes("horse"), with_joints=False)
    assert boxes.boxes.tolist() == [[1, 2, 30, 40]] and boxes.records[0]["box_score"] == 0.97
    coco["annotations"][0]["bbox"] = [1, 2]
    path.write_text(json.dumps(coco))
    assert animals("save_boxes", tmp_path, "--detections", str(path)) == 2
    assert "bbox" in capsys.readouterr().err
    path.write_text(json.dumps({**coco, "annotations": []}))
    assert animals("save_boxes", tmp_path, "--detections", str(path)) == 2
    assert "no box" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "more", "says"),
    [
        ("pasture", ("--web", "0"), "one picture"),
        ("train_keypoints", (), "horse_train.txt"),
        ("generate_pl", ("--name", "../x"), "one folder"),
        ("generate_pl", (), "horse_bbox.json"),
        ("select", ("--selection_num", "0"), "1 or more"),
        ("evaluate_keypoints", ("--dataset", "pascla"), "did you mean"),
    ],
)
def test_bad_input_ends_in_a_sentence(tmp_path, capsys, task, more, says):
    assert animals(task, tmp_path, *more) == 2
    assert says in capsys.readouterr().err


def test_shapes_from_training_to_selection(root, capsys, monkeypatch):
    monkeypatch.setattr("chorus.animals.shape.pictures._FRAMES", 3)
    tree, form = AnimalTree(root), ("--img_size", "64", "--nz_feat", "16", "--device", "cpu")
    assert animals("generate_pl", root, *SMALL) == 0
    steps = ("--num_iter", "2", "--batch_size", "2", "--warmup_deform_iter", "0")
    web = ("--use_web_images", "--filter", "all")
    assert animals("train_shape", root, *steps, *web, *form) == 0
    assert animals("evaluate_shape", root, *form) == 0
    assert "camera error, degrees" in capsys.readouterr().out
    assert animals("generate_pl_3d", root, *form) == 0
    assert animals("select", root, "--filter", "cf_cm_sq", "--selection_num", "2") == 0
    chosen = ("--use_web_images", "--filter", "cf_cm_sq", "--web_images_num", "2")
    assert animals("train_shape", root, *steps, *chosen, *form, "--name", "chosen") == 0
    assert animals("visualize", root, *form, "--vis_num", "1") == 0
    assert len(list((root / "demo" / "pascal_horse").iterdir())) == 3
    assert len(read_labels(tree.labels_3d("horse")).ids) >= 3
    missing = ("--use_web_images", "--filter", "kpconf", "--web_images_num", "77")
    assert animals("train_shape", root, *steps, *missing, *form, "--name", "none") == 2
    assert "horse_kpconf_77" in capsys.readouterr().err

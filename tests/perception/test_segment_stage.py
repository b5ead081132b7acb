"""`chorus segment` and `chorus keypoints` with networks of transformers, on images of all kinds."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

pytest.importorskip("transformers")

from tiny_models import (
    save_tiny_grounding_dino,
    save_tiny_mask2former,
    save_tiny_sam,
    save_tiny_vitpose,
)

from chorus.cli import main
from chorus.geometry import masks
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, Table, read_settings, read_table, write_table

KINDS = {
    "rgb": (60, 60, 3),
    "greyscale": (60, 60),
    "transparent": (60, 60, 4),
    "one pixel": (1, 1, 3),
    "wide": (4, 500, 3),
    "large": (2600, 2200, 3),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {
        "open": f"{save_tiny_grounding_dino(root / 'dino')}+{save_tiny_sam(root / 'sam')}",
        "mask2former": save_tiny_mask2former(root / "mask2former"),
        "vitpose": save_tiny_vitpose(root / "vitpose"),
    }


@pytest.fixture(autouse=True)
def _profile(monkeypatch):
    for name in [name for name in os.environ if name.startswith("CHORUS_")]:
        monkeypatch.delenv(name)


def shard(category):
    return ShardKey("mine", category, "A person uses it", "original")


@pytest.fixture
def tree(tmp_path):
    """Maker of a results tree with one image of every kind."""

    def make(category: str, kinds=tuple(KINDS)) -> ResultsTree:
        tree = ResultsTree(tmp_path / "results")
        path = tree.table("images", shard(category))
        folder = path.with_suffix("")
        folder.mkdir(parents=True)
        table = Table(shard(category), {})
        for index, kind in enumerate(kinds):
            pixels = np.random.default_rng(index).integers(0, 255, KINDS[kind], np.uint8)
            cv2.imwrite(str(folder / f"{index:06d}.png"), pixels)
            height, width = pixels.shape[:2]
            size = {"file": f"{index:06d}.png", "width": width, "height": height}
            row = {"index": index, "status": DONE, "reason": "", **size, "seed": 0, "text": ""}
            table.rows[index] = row
        write_table(path, "images", table)
        return tree

    return make


def run(tree: ResultsTree, stage: str, *arguments: str) -> int:
    common = ["--results_dir", str(tree.root), "--model_key", "mine", "--device", "cpu"]
    return main([stage, *common, *arguments])


def test_any_noun_and_any_image(tree, models, capsys):
    results = tree("garden gnome")
    segmenter = f"open-vocabulary:{models['open']}"
    assert run(results, "segment", "--segmenter", segmenter) == 0
    assert f"{len(KINDS)} done" in capsys.readouterr().out
    path = results.table("segmentations", shard("garden gnome"))
    settings = read_settings(path)
    assert settings["threshold"] == 0.35 and settings["mode"] == "open"
    assert settings["segmenter"] == segmenter
    rows = read_table(path, "segmentations").rows
    labels = {d["label"] for row in rows.values() for d in row["detections"]}
    assert labels <= {"person", "garden gnome"} and labels
    for row, size in zip(rows.values(), KINDS.values(), strict=True):
        assert (row["height"], row["width"]) == size[:2]
        for one in row["detections"]:
            assert one["score"] >= 0.35
            assert masks.decode(one["mask"], row["height"], row["width"]).any()
    assert run(results, "keypoints", "--keypoint_model", f"vitpose:{models['vitpose']}") == 0
    points = read_table(results.table("human_kps", shard("garden gnome")), "human_kps").rows
    for index, row in rows.items():
        persons = [d["box"] for d in row["detections"] if d["label"] == "person"]
        assert [p["box"] for p in points[index]["persons"]] == persons
        assert all(np.isfinite(p["keypoints"]).all() for p in points[index]["persons"])


def test_a_closed_vocabulary_names_the_ways_out(tree, models, capsys):
    results = tree("garden gnome", ["rgb"])
    segmenter = f"mask2former:{models['mask2former']}"
    assert run(results, "segment", "--segmenter", segmenter) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: unknown COCO category 'garden gnome'")
    assert "--mode lvis" in told and "--segmenter open-vocabulary" in told
    assert run(results, "segment", "--segmenter", segmenter, "--mode", "lvis") == 1
    (row,) = read_table(
        results.table("segmentations", shard("garden gnome")), "segmentations"
    ).rows.values()
    assert row["status"] == "failed" and "--segmenter open-vocabulary" in row["reason"]


def test_a_segmenter_of_persons_says_that_objects_must_come_from_elsewhere(
    tree, capsys, monkeypatch
):
    from chorus.perception import blazepose_segmenter

    monkeypatch.setattr(blazepose_segmenter, "check", lambda *_: None)
    results = tree("garden gnome", ["rgb"])
    assert run(results, "segment", "--profile", "pocket") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: --segmenter blazepose finds persons and no objects")
    assert "need objects: garden gnome / " in told and "chorus import --annotations" in told
    assert not results.table("segmentations", shard("garden gnome")).is_file()


def test_the_threshold_is_the_segmenters_own_unless_given(tree, models, capsys):
    results = tree("surfboard", ["rgb"])
    path = results.table("segmentations", shard("surfboard"))
    segmenter = ("--segmenter", f"mask2former:{models['mask2former']}")
    assert run(results, "segment", *segmenter) == 0
    assert read_settings(path)["threshold"] == 0.5 and read_settings(path)["mode"] == "coco"
    assert run(results, "segment", *segmenter, "--threshold", "0.1") == 2
    assert "threshold: 0.5, now 0.1" in capsys.readouterr().err
    assert run(results, "segment", *segmenter, "--threshold", "0.1", "--overwrite") == 0
    (row,) = read_table(path, "segmentations").rows.values()
    assert row["detections"] and min(d["score"] for d in row["detections"]) >= 0.1

"""Photographs of all kinds, imported and then seen by networks of the real libraries."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_tree import heeded

from chorus.cli import main
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, SKIPPED, read_table

SHARD = ShardKey("mine", "surfboard", "imported", "original")
CROWD = 50
SIZES = {  # width, height as people see the picture
    "crowd.jpg": (400, 300),
    "greyscale.jpg": (60, 40),
    "large.jpg": (5000, 4000),
    "one pixel.png": (1, 1),
    "transparent.png": (60, 40),
    "turned.jpg": (40, 60),
}


def instances() -> dict:
    """COCO annotations: a surfboard and a person as large as the picture, or a crowd of persons."""
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "person"}, {"id": 42, "name": "surfboard"}],
    }
    for number, (name, (width, height)) in enumerate(SIZES.items()):
        content["images"].append(
            {"id": number, "file_name": name, "width": width, "height": height}
        )
        boxes = [(42, 0, 0, width, height), (1, 0, 0, width, height)]
        if name == "crowd.jpg":
            boxes[1:] = [(1, 40 * (i % 10), 60 * (i // 10), 40, 60) for i in range(CROWD)]
        for category, x, y, w, h in boxes:
            outline = [x, y, x + w, y, x + w, y + h, x, y + h]
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": number,
                    "category_id": category,
                    "bbox": [x, y, w, h],
                    "segmentation": [outline],
                }
            )
    return content


def write_photographs(folder: Path) -> None:
    """The files of SIZES, each of the kind its name says."""
    folder.mkdir()
    for number, (name, (width, height)) in enumerate(SIZES.items()):
        coarse = np.random.default_rng(number).integers(0, 255, (9, 9, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((width, height))
        if name == "greyscale.jpg":
            picture = picture.convert("L")
        if name == "transparent.png":
            picture.putalpha(100)
        exif = Image.Exif()
        if name == "turned.jpg":  # as a camera held upright stores it
            picture = picture.rotate(90, expand=True)
            exif[0x0112] = 6
        picture.save(folder / name, exif=exif)


class Run:
    """Runs stages on a tree of the photographs."""

    def __init__(self, root: Path, imports: Path):
        self._tree = ResultsTree(root)
        self._imports = imports

    def __call__(self, stage: str, *extra: str) -> int:
        """The exit status of a stage."""
        common = {"results_dir": self._tree.root, "imports_dir": self._imports, "device": "cpu"}
        words = [stage, "--model_key", "mine"]
        for name in common.keys() & heeded(stage):
            words += [f"--{name}", str(common[name])]
        return main([*words, *extra])

    def rows(self, name: str) -> dict[str, dict]:
        """The rows of a table by photograph."""
        rows = read_table(self._tree.table(name, SHARD), name).rows
        return dict(zip(SIZES, rows.values(), strict=True))


@pytest.fixture(scope="module")
def imported(tmp_path_factory, imports) -> Path:
    """A results tree with the photographs imported."""
    root = tmp_path_factory.mktemp("photographs")
    write_photographs(root / "photos")
    (root / "instances.json").write_text(json.dumps(instances()))
    source = ["--images", str(root / "photos"), "--annotations", str(root / "instances.json")]
    assert Run(root / "results", imports)("import", *source) == 0
    return root / "results"


@pytest.fixture
def run(imported, imports, tmp_path) -> Run:
    """A copy of that tree that a test may change."""
    return Run(Path(shutil.copytree(imported, tmp_path / "results")), imports)


def test_every_kind_is_imported(run):
    rows = run.rows("images")
    assert {name: (row["width"], row["height"]) for name, row in rows.items()} == SIZES
    persons = {
        name: sum(d["label"] == "person" for d in row["detections"])
        for name, row in run.rows("segmentations").items()
    }
    assert persons == {name: CROWD if name == "crowd.jpg" else 1 for name in SIZES}


@pytest.mark.parametrize("model", ["frankmocap-eft:{spin}", "hmr2:{hmr2}"])
def test_bodies(run, checkpoints, model):
    model = model.format(spin=checkpoints("spin"), hmr2=checkpoints("hmr2"))
    assert run("humans", "--human_model", model) == 0
    for name, row in run.rows("humans").items():
        if name == "one pixel.png":
            assert row["status"] == SKIPPED and "too small" in row["reason"]
            continue
        assert row["status"] == DONE
        assert len(row["persons"]) == (CROWD if name == "crowd.jpg" else 1)
        width, height = SIZES[name]
        for person in row["persons"]:
            joints = np.reshape(person["joints"], (24, 2))
            assert np.isfinite(joints).all()
            assert np.abs(joints).max() < 3 * max(width, height)


def test_keypoints_and_the_filter(run, checkpoints):
    model = f"vitpose:{checkpoints('vitpose')}"
    assert run("keypoints", "--keypoint_model", model) == 0
    for name, row in run.rows("human_kps").items():
        assert row["status"] == DONE
        assert len(row["persons"]) == (CROWD if name == "crowd.jpg" else 1)
        assert np.isfinite([person["keypoints"] for person in row["persons"]]).all()
    assert run("filter") == 0
    verdicts = {name: row["verdicts"][2] for name, row in run.rows("filtered").items()}
    assert verdicts.pop("crowd.jpg") == "more than one human"
    assert set(verdicts.values()) == {"retained"}


@pytest.mark.parametrize("model", ["mask2former:{mask2former}", "open-vocabulary:{dino}+{sam}"])
def test_masks(run, checkpoints, model):
    kinds = ("mask2former", "dino", "sam")
    model = model.format(**{kind: checkpoints(kind) for kind in kinds})
    assert run("segment", "--segmenter", model, "--threshold", "0.2", "--overwrite") == 0
    for name, row in run.rows("segmentations").items():
        assert row["status"] == DONE
        assert (row["width"], row["height"]) == SIZES[name]
        assert {"person", "surfboard"} >= {d["label"] for d in row["detections"]} != set()

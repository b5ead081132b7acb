"""Photographs without annotations, or with masks of the objects, through every step, by networks of
the real libraries with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_tree import heeded

from chorus.cli import main
from chorus.filtering.verdicts import REASONS
from chorus.geometry import masks
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, read_table

PROMPT = "A person carries a surfboard"
SHARD = ShardKey("mine", "surfboard", PROMPT, "original")
SIZES = {"grey.png": (64, 64), "turned.jpg": (48, 80), "wide.1.jpg": (96, 56)}
CHAINS = {
    "paper": {
        "segment": "mask2former:{mask2former}",
        "humans": "frankmocap-eft:{spin}",
        "keypoints": "vitpose:{vitpose}",
    },
    "modern": {
        "segment": "open-vocabulary:{dino}+{sam}",
        "humans": "hmr2:{hmr2}",
        "keypoints": "vitpose:{vitpose}",
    },
}
OPTIONS = {"segment": "segmenter", "humans": "human_model", "keypoints": "keypoint_model"}
KINDS = ("mask2former", "spin", "vitpose", "dino", "sam", "hmr2")


@pytest.fixture
def photos(tmp_path) -> Path:
    """A grey photograph, one that a camera held upright took, and a wide one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, (name, size) in enumerate(SIZES.items()):
        coarse = np.random.default_rng(number).integers(0, 255, (9, 9, 3), np.uint8)
        picture = Image.fromarray(coarse).resize(size)
        exif = Image.Exif()
        if name == "grey.png":
            picture = picture.convert("L")
        if name == "turned.jpg":
            picture = picture.rotate(90, expand=True)
            exif[0x0112] = 6
        picture.save(folder / name, exif=exif)
    return folder


class Run:
    """Runs steps of a profile on a tree of photographs."""

    def __init__(self, root: Path, profile: str, imports: Path, checkpoints):
        self._results, self._profile, self._imports = root / "results", profile, imports
        self._models = {kind: checkpoints(kind) for kind in KINDS}

    def __call__(self, step: str, *extra: str) -> int:
        common = {"results_dir": self._results, "imports_dir": self._imports}
        common |= {"profile": self._profile, "device": "cpu", "workers": 1}
        words = [step, "--model_key", "mine"]
        for name in common.keys() & heeded(step):
            words += [f"--{name}", str(common[name])]
        if step in OPTIONS:
            model = CHAINS[self._profile][step].format(**self._models)
            words += [f"--{OPTIONS[step]}", model]
        if step == "segment":
            words += ["--threshold", "0.2"]
        if step == "aggregate":
            words += ["--aggr_setting_names", "quant:full"]
        return main([*words, *map(str, extra)])

    def rows(self, name: str) -> list[dict]:
        path = ResultsTree(self._results).table(name, SHARD)
        return list(read_table(path, name).rows.values())


@pytest.fixture
def run(tmp_path, imports, checkpoints):
    """Maker of a run of a profile."""
    return lambda profile: Run(tmp_path, profile, imports, checkpoints)


def given(photos: Path) -> tuple[str, ...]:
    return "--images", str(photos), "--categories", "surfboard", "--prompt", PROMPT


@pytest.mark.parametrize("profile", CHAINS)
def test_every_step_that_looks_at_images_runs_on_photographs_alone(run, photos, profile):
    run = run(profile)
    assert run("import", *given(photos)) == 0
    assert [(row["width"], row["height"]) for row in run.rows("images")] == list(SIZES.values())
    for step in ("segment", "humans", "keypoints", "filter"):
        assert run(step) == 0, step
    found = run.rows("segmentations")
    assert all(row["status"] == DONE and row["detections"] for row in found)
    assert {reason for row in run.rows("filtered") for reason in row["verdicts"]} <= {*REASONS}


def test_masks_of_objects_and_found_persons_become_a_distribution(run, photos, tmp_path):
    run = run("paper")
    folder = tmp_path / "masks"
    folder.mkdir()
    drawn = {}
    for name, (width, height) in SIZES.items():
        drawn[name] = np.zeros((height, width), bool)
        drawn[name][height // 4 : -height // 4, 4:-4] = True
        Image.fromarray(drawn[name]).save(folder / f"{name.rpartition('.')[0]}.png")
    assert run("import", *given(photos), "--masks", folder) == 0
    for step in ("segment", "humans", "keypoints", "filter", "refine", "calibrate", "aggregate"):
        assert run(step) == 0, step
    assert {row["verdicts"][2] for row in run.rows("filtered")} == {"retained"}
    for row, mask in zip(run.rows("segmentations"), drawn.values(), strict=True):
        (board,) = [d for d in row["detections"] if d["label"] == "surfboard"]
        np.testing.assert_array_equal(
            masks.decode(board["mask"], row["height"], row["width"]), mask
        )
    assert run("verify") == 0 and run("status") == 0
    made = tmp_path / "results/aggregations/mine/surfboard/total-aggregation"
    assert list(made.glob("filter*quant*/all.npz"))

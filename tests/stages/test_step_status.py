"""The status of steps that work on tables, and what `humans` and `keypoints` say of images that are
not segmented."""

from __future__ import annotations

import numpy as np
import pytest

from chorus.cli import main
from chorus.engine.command_result import CommandResult
from chorus.engine.loop import Outcome
from chorus.geometry import masks
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, FAILED, SKIPPED, Table, read_table, write_table
from chorus.stages import calibrate, filter, humans, keypoints, refine

SHARD = ShardKey("mine", "surfboard", "A person carries a surfboard", "original")
BOX = [1.0, 1.0, 9.0, 9.0]
WORKERS = {
    "filter": filter.FilterWorker,
    "refine": refine.RefinementWorker,
    "calibrate": calibrate.CalibrationWorker,
}


def row(index: int, **values) -> dict:
    return {"index": index, "status": DONE, "reason": "", **values}


def failed(index: int, name: str, columns: dict) -> dict:
    return {**dict.fromkeys(columns), **row(index), "status": FAILED, "reason": f"no {name}"}


def tables() -> dict[str, list[dict]]:
    """Four images of one person and one object each, before `filter`."""
    mask = np.zeros((16, 16), bool)
    mask[2:8, 2:8] = True
    found = [
        {"label": label, "score": 0.9, "box": BOX, "mask": masks.encode(mask)}
        for label in ("person", "surfboard")
    ]
    image = {"file": "0.png", "width": 16, "height": 16, "seed": 1, "text": "x"}
    person = {"pose": [0.0] * 72, "betas": [0.0] * 10, "camera": [1.0, 0.0, 0.0], "box": BOX}
    person |= {"crop_centre": [5.0, 5.0], "crop_side": 9.0, "joints": [5.0] * 48}
    points = {"box": BOX, "keypoints": [5.0, 5.0, 1.0] * 17}
    return {
        "images": [row(at, **image) for at in range(4)],
        "segmentations": [row(at, width=16, height=16, detections=found) for at in range(4)],
        "human_kps": [row(at, persons=[points]) for at in range(4)],
        "humans": [row(at, persons=[person]) for at in range(4)],
    }


def write(root, made: dict[str, list[dict]], shard: ShardKey = SHARD) -> None:
    tree = ResultsTree(root)
    for name, rows in made.items():
        settings = {"body": "free body v1"} if name == "humans" else {}
        by_index = {each["index"]: each for each in rows}
        write_table(tree.table(name, shard), name, Table(shard, settings, by_index))


def run(root, step: str, *more: str) -> int:
    return main([step, "--results_dir", str(root), "--model_key", "mine", *more])


def failing(step: str, monkeypatch) -> None:
    """Let the step's worker do well but for sample 1; values are of no importance here."""

    def process(self, samples):
        if any(sample.key.index == 1 for sample in samples):
            raise RuntimeError("out of luck")
        return [Outcome(skipped="left out") for _ in samples]

    monkeypatch.setattr(WORKERS[step], "process", process)
    if step != "filter":
        monkeypatch.setattr(WORKERS[step], "__init__", lambda self, *_: None)


@pytest.mark.parametrize("step", WORKERS)
def test_a_sample_that_fails_in_a_step_of_tables_is_told_by_the_status(
    step, tmp_path, monkeypatch, capsys
):
    write(tmp_path, tables())
    if step != "filter":
        assert run(tmp_path, "filter") == 0
    with monkeypatch.context() as patch:
        failing(step, patch)
        assert run(tmp_path, step) == 1
    shown = capsys.readouterr()
    assert "1 failed" in shown.out and "1 x RuntimeError: out of luck" in shown.err


def test_what_failed_before_is_no_failure_of_the_step(tmp_path, capsys):
    made = tables()
    columns = made["segmentations"][0].keys()
    made["segmentations"][2] = failed(2, "picture", columns)
    for name in ("human_kps", "humans"):
        reason = "segmentations failed: no picture"
        made[name][2] = {**failed(2, "", made[name][0].keys()), "reason": reason}
    write(tmp_path, made)
    assert run(tmp_path, "filter") == 0
    shown = capsys.readouterr()
    assert "3 done, 1 failed" in shown.out and "segmentations failed: no picture" in shown.err


def test_a_doubtful_or_refused_person_is_no_failure(tmp_path, monkeypatch):
    write(tmp_path, tables())
    assert run(tmp_path, "filter") == 0
    monkeypatch.setattr(WORKERS["calibrate"], "__init__", lambda self, *_: None)
    monkeypatch.setattr(
        WORKERS["calibrate"],
        "process",
        lambda self, samples: [Outcome(skipped="camera: no depth") for _ in samples],
    )
    assert run(tmp_path, "calibrate") == 0
    path = ResultsTree(tmp_path).table("filtered_cameras", SHARD)
    rows = read_table(path, "filtered_cameras").rows.values()
    assert {each["status"] for each in rows} == {SKIPPED}


@pytest.mark.parametrize("step", [humans, keypoints])
def test_images_without_segmentations_are_named(step, tmp_path, monkeypatch):
    write(tmp_path, tables())
    other = SHARD._replace(prompt="A person waxes a surfboard")
    write(tmp_path, {"images": tables()["images"]}, other)
    monkeypatch.setattr(step, "run_perception_stage", lambda *_: CommandResult(""))
    options = step.Options(results_dir=tmp_path, model_key="mine")
    (line,) = step.run(options).problems
    assert str(other) in line and "run chorus segment" in line
    of_one = step.Options(results_dir=tmp_path, model_key="mine", prompts=(SHARD.prompt,))
    assert step.run(of_one).problems == []

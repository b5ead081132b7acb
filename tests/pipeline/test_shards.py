"""The parts of an array job, and a Ray cluster, leave what one run leaves."""

from __future__ import annotations

import shutil

import pytest
from small_tree import AGGREGATION, STAGES, command, files

from chorus.cli import main


def empty_copy(base, tmp_path):
    for name in ("prompts", "imports"):
        shutil.copytree(base / name, tmp_path / name)
    shutil.copy(base / "augprompts.txt", tmp_path)
    return tmp_path


def test_parts_go_from_stage_to_stage_by_themselves_and_add_up(base, tmp_path):
    root = empty_copy(base, tmp_path)
    for part in ("2/2", "1/2"):
        for stage in STAGES[:-1]:
            assert main(command(root, stage, "--shard", part)) == 0, (stage, part)
        if part == "2/2":
            made = [name for name in files(root) if name.startswith("results/filtered_cameras")]
            assert 0 < len(made) < 6
    assert main(command(root, "aggregate")) == 0
    assert files(root) == files(base)


def test_a_part_without_a_category_is_well(base, capsys):
    assert main(command(base, "aggregate", "--shard", "2/2")) == 0
    assert "0 aggregations done" in capsys.readouterr().out


def test_aggregation_on_ray_is_the_same_to_the_bit(tree, monkeypatch):
    ray = pytest.importorskip("ray")
    expected = files(tree)
    for folder in tree.glob(f"results/aggregations/*/*/*/{AGGREGATION}"):
        shutil.rmtree(folder)
    monkeypatch.setattr("chorus.engine.sample_counting.BATCH", 2)  # several chunks to merge
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    try:
        assert main(command(tree, "aggregate", "--engine", "ray")) == 0
    finally:
        ray.shutdown()
    assert files(tree) == expected

"""Pruning images: nothing that later stages need goes, and nothing unseen."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from small_tree import command, files

from chorus.cli import main
from chorus.commands import prune
from chorus.records.image_files import read_what_is_kept
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import read_table

SHARD = ShardKey("synthetic-v1", "surfboard", "A person carries a surfboard", "original")


def images(root):
    return {path.name for path in root.glob("results/images/*/*/*/*/*.*")}


@pytest.mark.parametrize("keep", ["thumbnails", "none"])
def test_later_stages_and_checks_go_on(tree, capsys, keep):
    before = files(tree)
    assert main(command(tree, "prune", "--keep", keep)) == 0
    assert "18 images made" in capsys.readouterr().out
    suffixes = {name[6:] for name in images(tree)}
    assert suffixes == ({".thumbnail.jpg"} if keep == "thumbnails" else set())
    after = files(tree)
    assert {n for n in before if "/images/" not in n} == {n for n in after if "/images/" not in n}
    for stage in ("images", "segment", "humans", "keypoints", "filter", "calibrate"):
        assert main(command(tree, stage)) == 0
        assert "0 done, 18 already there" in capsys.readouterr().out
    assert main(command(tree, "aggregate")) == 0
    assert main(command(tree, "verify")) == 0
    assert files(tree) == after
    assert main(command(tree, "prune", "--keep", keep)) == 0
    assert "0 images made" in capsys.readouterr().out


def kept(root):
    tree = ResultsTree(root / "results")
    rows = read_table(tree.table("images", SHARD), "images").rows
    return read_what_is_kept(tree, SampleKey(*SHARD, 0), rows[0])


def test_a_thumbnail_stands_for_its_image(tree):
    before = kept(tree).pixels.astype(float)
    assert main(command(tree, "prune")) == 0
    after = kept(tree).pixels
    assert after.shape == before.shape
    assert np.abs(after - before).mean() < 12 < np.abs(before - before.mean()).mean()
    assert main(command(tree, "prune", "--keep", "none")) == 0
    assert kept(tree) is None


def test_a_network_that_needs_the_image_is_told(tree, capsys):
    assert main(command(tree, "prune")) == 0
    before = files(tree)
    for stage in ("segment", "humans", "keypoints"):
        assert main(command(tree, stage, "--overwrite")) == 1
        told = capsys.readouterr().err
        assert "3 of its 3 images were not kept (chorus prune); to overwrite, run images" in told
    assert files(tree) == before
    for path in (tree / "results/segmentations").rglob("*.parquet"):
        path.unlink()
    assert main(command(tree, "segment")) == 1, "nothing could be done"
    assert "18 x the image was not kept (chorus prune); run images" in capsys.readouterr().err


def test_unseen_images_stay(tree, capsys):
    shutil.rmtree(next(tree.glob("results/human_kps/*/*/A person carries a surfboard")))
    assert main(command(tree, "prune")) == 1
    printed = capsys.readouterr()
    assert "3 of 3 are not in human_kps yet; run keypoints first" in printed.err
    assert "9 images made thumbnails" in printed.out
    assert {name[6:] for name in images(tree)} == {".jpg", ".thumbnail.jpg"}


def test_a_killed_run_loses_nothing_and_is_finished_by_the_next(tree, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prune, "write_table", killed)
    assert main(command(tree, "prune")) == 130
    assert main(command(tree, "verify")) == 0
    monkeypatch.undo()
    assert main(command(tree, "prune")) == 0
    assert {name[6:] for name in images(tree)} == {".thumbnail.jpg"}
    assert main(command(tree, "verify")) == 0

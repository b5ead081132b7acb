"""Bytes per image of a results tree."""

from __future__ import annotations

import sys

import pytest

from benchmarks import disk
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import Table, write_table

SHARD = ShardKey("m", "chair", "A person sits on a chair", "original")


@pytest.fixture
def tree(tmp_path):
    tree, table = ResultsTree(tmp_path), Table(SHARD, {})
    for index in range(4):
        path = tree.image(SampleKey(*SHARD, index), ".jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
        values = {"file": path.name, "width": 4, "height": 3, "seed": 1, "text": "t"}
        table.rows[index] = {"index": index, "status": "done", "reason": "", **values}
    write_table(tree.table("images", SHARD), "images", table)
    for folder, size in (("humans", 800), ("aggregations", 10**6)):
        path = tmp_path / folder / "file"
        path.parent.mkdir()
        path.write_bytes(b"x" * size)
    return tmp_path


def test_sizes_are_those_of_the_files(tree, capsys, monkeypatch):
    count, found = disk.sizes(tree)
    assert count == 4 and (found["images"], found["humans"]) == (4000, 800)
    monkeypatch.setattr(sys, "argv", ["disk", str(tree), "--images", "2000000"])
    disk.main()
    printed = capsys.readouterr().out
    assert "| images | 1,000 | 2.0 |" in printed
    assert "| aggregations | (not per image) | 0.001 |" in printed
    assert "| tables of the seven stages after images | 200 | 0.4 |" in printed


def test_a_tree_without_images(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["disk", str(tmp_path)])
    with pytest.raises(SystemExit, match="run chorus images first"):
        disk.main()

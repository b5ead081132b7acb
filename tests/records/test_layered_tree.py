"""Results trees that lie on another one."""

from __future__ import annotations

import shutil

import pytest

from chorus.errors import BadInput, StaleResults
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree

SHARD = ShardKey("synthetic-v1", "surfboard", "A person carries a surfboard", "original")


@pytest.fixture
def base(tmp_path):
    return ResultsTree(tmp_path / "main")


def test_only_the_named_folders_are_its_own(base):
    tree = ResultsTree.on(base, base.root / "ablations" / "one", ["humans"])
    assert tree.table("humans", SHARD).is_relative_to(tree.root)
    assert tree.table("segmentations", SHARD) == base.table("segmentations", SHARD)
    assert ResultsTree(tree.root).folder("images") == base.folder("images")
    assert ResultsTree(tree.root).base == base and base.base is None


def test_images_elsewhere_stay_elsewhere(base, tmp_path):
    elsewhere = ResultsTree(base.root, tmp_path / "pictures")
    tree = ResultsTree.on(elsewhere, base.root / "one", [])
    assert tree.folder("images") == tmp_path / "pictures"


def test_both_trees_can_be_moved_together(base, tmp_path):
    ResultsTree.on(base, base.root / "ablations" / "one", [])
    shutil.move(base.root, tmp_path / "moved")
    moved = ResultsTree(tmp_path / "moved" / "ablations" / "one")
    assert moved.folder("humans") == tmp_path / "moved" / "humans"


def test_what_lies_below_is_not_written(base):
    tree = ResultsTree.on(base, base.root / "ablations" / "one", ["humans"])
    with tree.lock(tree.table("humans", SHARD)):
        pass
    with (
        pytest.raises(BadInput, match=f"--results_dir {base.root}"),
        tree.lock(tree.table("segmentations", SHARD)),
    ):
        pass


def test_another_division_is_refused(base):
    root = base.root / "one"
    ResultsTree.on(base, root, ["humans"])
    assert ResultsTree.on(base, root, ["humans"]).root == root
    with pytest.raises(StaleResults, match="delete the folder"):
        ResultsTree.on(base, root, ["filtered"])


@pytest.mark.parametrize("content", ["", "[]", '{"base": ".."}', '{"base": 1, "makes": []}'])
def test_a_damaged_description_is_named(base, content):
    ResultsTree.on(base, base.root / "one", [])
    (base.root / "one" / "base.json").write_text(content)
    with pytest.raises(BadInput, match=r"base\.json is damaged"):
        ResultsTree(base.root / "one").folder("humans")

"""Scenes of the synthetic test set, drawn again with their objects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chorus.body.loading import load_body
from chorus.commands import testset
from chorus.commands.reconstructing.true_scenes import true_scenes
from chorus.engine.loop import Sample
from chorus.errors import BadInput, StaleResults
from chorus.evaluation.labelled_sets import SYNTHETIC, shard_of
from chorus.geometry.cameras import project
from chorus.records.keys import SampleKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, Table, read_table, write_table
from chorus.synthetic.world.scene_settings import SceneSettings

SIZE = 96


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> ResultsTree:
    """Two test images of surfboards, 96 pixels wide."""
    root = tmp_path_factory.mktemp("scenes")
    worker = testset.TestImageWorker(testset.Options(results_dir=root))
    small = SceneSettings(width=SIZE, height=SIZE)
    worker._settings = replace(worker._settings, width=SIZE, height=SIZE)
    shard = shard_of(SYNTHETIC, "surfboard")
    rows = {}
    for index in range(2):
        (outcome,) = worker.process([Sample(SampleKey(*shard, index), {})])
        rows[index] = {**outcome.values, "index": index, "status": DONE, "reason": ""}
    made = {"seed": 42, "body": "free body v1", **small.recorded()}
    write_table(ResultsTree(root).table("test_set", shard), "test_set", Table(shard, made, rows))
    return ResultsTree(root)


def test_the_object_lies_where_its_mask_is(tree):
    scenes = list(true_scenes(tree, "surfboard", load_body()))
    assert len(scenes) == 2 and len({scene.prompt for scene in scenes}) == 2
    for scene in scenes:
        image = scene.image
        pixels, depth = project(scene.thing.surface, image.R, image.t, image.K)
        column, row = np.floor(pixels[(depth > 0)]).astype(int).T
        inside = (column >= 0) & (column < SIZE) & (row >= 0) & (row < SIZE)
        seen = np.zeros_like(image.mask)
        seen[row[inside], column[inside]] = True
        # the person hides some of the object, so the mask lies within; edges are half pixels
        assert np.count_nonzero(image.mask & ~seen) <= 0.15 * image.mask.sum()
        assert scene.thing.kind == "surfboard" and 1.5 < scene.thing.size < 3


def test_scenes_of_a_world_that_has_changed_are_stale(tree, tmp_path, monkeypatch):
    monkeypatch.setattr("chorus.synthetic.world.test_images.DRAWS", 3)
    shard = shard_of(SYNTHETIC, "surfboard")
    table = read_table(tree.table("test_set", shard), "test_set")
    rows = {0: {**table.rows[0], "pose": [9.0] * 72}}
    other = ResultsTree(tmp_path)
    write_table(other.table("test_set", shard), "test_set", Table(shard, table.settings, rows))
    with pytest.raises(StaleResults, match="cannot be drawn again"):
        list(true_scenes(other, "surfboard", load_body()))


def test_a_category_without_test_images_is_refused(tree, tmp_path):
    with pytest.raises(BadInput, match="no test images of it"):
        list(true_scenes(ResultsTree(Path(tmp_path)), "bench", load_body()))

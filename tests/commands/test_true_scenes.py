"""Scenes of the synthetic test set, drawn again with their objects."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chorus.body.loading import load_body
from chorus.cli import main
from chorus.commands import testset
from chorus.commands.reconstructing.true_scenes import true_scenes
from chorus.engine.loop import Sample
from chorus.errors import BadInput, StaleResults
from chorus.evaluation.labelled_sets import SYNTHETIC, shard_of
from chorus.evaluation.true_objects import TrueObject
from chorus.geometry.cameras import project
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.records import aggregations
from chorus.records.keys import SampleKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, Table, read_table, write_table
from chorus.synthetic.world.objects import build, contains
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


def test_evaluate_compares_methods_on_them_and_keeps_what_it_scored(tree, capsys):
    body, grid = load_body(), VoxelGrid(24, 3.0)
    name = aggregations.aggregation_name((3,), "quant:full")
    low = np.linalg.norm(grid.centres() - (0, -0.9, 0.2), axis=1) < 0.6
    field = Distribution(
        (0.5 * low).astype(np.float32).reshape(grid.shape),
        grid,
        np.ones(grid.shape, np.uint32),
        "surfboard",
        "A person balances on a surfboard",
        "all",
        body.fingerprint,
    )
    where = tree.aggregation("synthetic-v1", "surfboard", field.prompt, name)
    where.mkdir(parents=True)
    aggregations.store(tree, where, {"all": field}, aggregations.record_of(name, {}, 5, ""))
    command = ["evaluate", "--task", "reconstruction", "--results_dir", str(tree.root)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    path = tree.root / "reconstruction" / "synthetic-v1" / "surfboard.json"
    record = json.loads(path.read_text())
    assert path.with_suffix(".png").is_file() and len(record["images"]) == 2
    assert len(record["methods"]) == 6 and all(method in printed for method in record["methods"])
    assert all(
        0 <= value < 3 for value in record["methods"]["prior and mask, quant:full"]["centroid"]
    )
    before = path.stat().st_mtime_ns
    assert main(command) == 0 and path.stat().st_mtime_ns == before
    assert main([*command, "--test_set", "coco-eft-val"]) == 2
    assert "only the synthetic test set knows" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["tie", "skis", "frisbee", "cell phone"])
def test_thin_objects_have_the_centroid_of_their_volume(kind):
    mesh = build(kind)
    thing = TrueObject(
        kind,
        np.asarray(mesh.vertices),
        np.asarray(mesh.faces),
        np.eye(4),
        lambda points: contains(mesh, points),
    )
    # the mesh's own counts where parts overlap twice, which is little
    assert np.linalg.norm(thing.centroid - mesh.center_mass) < 0.03 * thing.size

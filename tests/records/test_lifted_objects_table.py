"""Lifted objects in the results tree: which samples they are of, and where they then lie."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from chorus.errors import BadInput
from chorus.filtering.rules import RULES
from chorus.filtering.verdicts import RETAINED
from chorus.geometry import masks
from chorus.occupancy.presets import preset
from chorus.records.keys import ShardKey
from chorus.records.lifted_objects import mesh_folder, read_mesh, store_mesh
from chorus.records.results_tree import ResultsTree
from chorus.records.soft_selection import chosen_samples
from chorus.records.tables import Table, write_table

SHARD = ShardKey("m", "vase", "A person holds a vase", "original")
OTHER = SHARD._replace(augprompt="other")
BOX = trimesh.creation.box()
R = np.diag([-1.0, -1.0, 1.0])
TRANSLATION = np.array([0.0, 0.5, 3.0])
_COMMON = {"status": "done", "reason": ""}


def mask() -> bytes:
    drawn = np.zeros((10, 10), bool)
    drawn[2:5, 3:7] = True
    return masks.encode(drawn)


@pytest.fixture
def tree(tmp_path):
    """Samples 0 and 1 retained, 2 not; 0 and 2 lifted with their person, 1 without; in the other
    shard, which nobody judged, 0 with and 1 without."""
    tree = ResultsTree(tmp_path)
    person = {
        "box": [0.0, 0, 9, 9],
        "pose": [0.25] * 72,
        "betas": [0.0] * 10,
        "camera": [1.0, 0, 0],
        "crop_centre": [5.0, 5],
        "crop_side": 9.0,
        "joints": [1.0] * 48,
    }
    K = [20.0, 0, 5, 0, 20, 5, 0, 0, 1]
    camera = {"R": R.ravel().tolist(), "t": TRANSLATION.tolist(), "K": K}
    found = {"label": "vase", "score": 1.0, "box": [3.0, 2, 7, 5], "mask": mask()}
    told = {"person": 0, "objects": [0]}
    verdicts = [[RETAINED] * len(RULES)] * 2 + [["no person"] * len(RULES)]
    tables = {
        "filtered": [{"verdicts": each, **told} for each in verdicts],
        "filtered_cameras": [camera | {"residual": 0.0, "converged": True, "iterations": 1}] * 3,
        "humans": [{"persons": [person]}] * 3,
        "segmentations": [{"width": 10, "height": 10, "detections": [found]}] * 3,
    }
    for name, rows in tables.items():
        _write(tree, name, SHARD, rows)
    for shard in (SHARD, OTHER):
        stored = store_mesh(mesh_folder(tree, shard), BOX.vertices, BOX.faces)
        things = [{"mesh": stored, "transform": np.eye(4).ravel().tolist()}]
        row = {"text": "x", "body": "b", "pose": [0.5] * 72, "K": [0.0] * 9, "objects": things}
        rows = [row, row | {"body": ""}, row]
        _write(tree, "lifted", shard, rows if shard == SHARD else rows[:2])
    return tree


def _write(tree: ResultsTree, name: str, shard: ShardKey, rows: list[dict]) -> None:
    full = {at: {"index": at, **_COMMON, **row} for at, row in enumerate(rows)}
    write_table(tree.table(name, shard), name, Table(shard, {}, full))


def chosen(tree: ResultsTree, name: str):
    return chosen_samples(tree, [SHARD, OTHER], (3,), preset(name))


def test_each_evidence_takes_its_samples(tree):
    masks_alone = chosen_samples(tree, [SHARD], (3,), preset("quant:full"))
    assert [key.index for key in masks_alone.keys] == [0, 1] and not masks_alone.lifted
    both, meshes = (chosen(tree, f"quant:full+{name}") for name in ("both", "meshes"))
    assert [key.index for key in both.keys] == [0, 1] and not meshes.keys
    for samples in (both, meshes):
        taken = [(sample.key.augprompt, sample.key.index) for sample in samples.lifted]
        assert taken == [("original", 0), ("original", 1), ("other", 0)]
        assert samples.dropped["lifted, but not retained"] == 1
        assert samples.dropped["lifted without its person, and not retained with a camera"] == 1
    assert (both.observed, meshes.observed, masks_alone.observed) == (5, 3, 2)
    assert len({both.digest(), meshes.digest(), masks_alone.digest()}) == 3


def test_a_sample_without_its_person_takes_the_trees(tree):
    own, placed, _ = chosen(tree, "quant:full+meshes").lifted
    assert (own.pose == 0.5).all() and (placed.pose == 0.25).all()
    ((path, to_body),) = placed.objects
    np.testing.assert_allclose(to_body[:3, :3], R.T)
    np.testing.assert_allclose(to_body[:3, :3] @ TRANSLATION + to_body[:3, 3], 0, atol=1e-6)
    assert np.array_equal(own.objects[0][1], np.eye(4))
    posed = placed.posed()
    assert posed.level == 1 and len(posed.objects[0].faces) == len(BOX.faces)
    assert own.digest() != placed.digest()
    path.unlink()
    read_mesh.cache_clear()
    with pytest.raises(BadInput, match=r"mesh cannot be used.*import the lifted objects again"):
        placed.posed()

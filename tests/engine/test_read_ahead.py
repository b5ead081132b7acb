"""Reading ahead: the next batch is decoded while this one is worked on, and nothing twice."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from chorus.engine import image_reader
from chorus.engine.image_reader import ImageReader
from chorus.engine.loop import Outcome, Stage, run
from chorus.errors import BadInput
from chorus.pipeline import Step
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import FAILED, Table, read_table, write_table

BOXES = Step("keypoints", reads=("images",), writes=("human_kps",))
SHARD = ShardKey("m", "chair", "A person sits on a chair", "original")


@pytest.fixture
def tree(tmp_path):
    tree = ResultsTree(tmp_path)
    table = Table(SHARD, {})
    folder = tree.table("images", SHARD).with_suffix("")
    folder.mkdir(parents=True)
    for index in range(7):
        name = f"{index:06d}.png"
        cv2.imwrite(str(folder / name), np.full((3, 4, 3), index, np.uint8))
        values = {"file": name, "width": 4, "height": 3, "seed": 1, "text": "t"}
        table.rows[index] = {"index": index, "status": "done", "reason": "", **values}
    write_table(tree.table("images", SHARD), "images", table)
    return tree


class LookingWorker:
    """Records what it is told and shown."""

    def __init__(self, tree):
        self.reader = ImageReader(tree)
        self.announced, self.shown = [], []

    def prefetch(self, samples):
        self.announced.append([sample.key.index for sample in samples])
        self.reader.prefetch(samples)

    def process(self, samples):
        images = self.reader.read(samples)
        self.shown.append([int(image.pixels[0, 0, 0]) for image in images])
        return [Outcome({"persons": []}) for _ in images]


def stage(worker):
    return Stage(BOXES, {}, lambda: worker, batch_size=3)


def test_the_next_batch_is_told_before_this_one_is_worked_on(tree, monkeypatch):
    decoded = []
    read = image_reader.read_image
    monkeypatch.setattr(
        image_reader,
        "read_image",
        lambda tree, key, row: decoded.append(key.index) or read(tree, key, row),
    )
    worker = LookingWorker(tree)
    assert run(stage(worker), tree, [SHARD]).done == 7
    assert worker.shown == [[0, 1, 2], [3, 4, 5], [6]]
    assert worker.announced[:2] == [[0, 1, 2], [3, 4, 5]] and [6] in worker.announced
    assert sorted(decoded) == list(range(7))


@pytest.mark.parametrize(
    ("most", "shown"),
    [
        (5, [[0], [1], [2], [3], [4], [5], [6]]),  # an image of 12 pixels goes alone
        (25, [[0, 1], [2, 3], [4, 5], [6]]),
        (1000, [[0, 1, 2], [3, 4, 5], [6]]),
    ],
)
def test_batches_of_large_images_are_smaller(tree, most, shown):
    worker = LookingWorker(tree)
    assert run(replace(stage(worker), batch_pixels=most), tree, [SHARD]).done == 7
    assert worker.shown == shown


def test_an_image_that_cannot_be_read_takes_no_other_with_it(tree):
    (tree.table("images", SHARD).with_suffix("") / "000004.png").write_bytes(b"no image")
    worker = LookingWorker(tree)
    summary = run(stage(worker), tree, [SHARD])
    assert (summary.done, summary.failed) == (6, 1)
    row = read_table(tree.table("human_kps", SHARD), "human_kps").rows[4]
    assert row["status"] == FAILED and "000004.png" in row["reason"]


def test_reading_raises_what_is_wrong_with_the_file(tree):
    from chorus.engine.loop import Sample
    from chorus.records.keys import SampleKey

    rows = read_table(tree.table("images", SHARD), "images").rows
    (tree.table("images", SHARD).with_suffix("") / "000000.png").unlink()
    with pytest.raises(BadInput, match=r"000000\.png cannot be read"):
        ImageReader(tree).read([Sample(SampleKey(*SHARD, 0), {"images": rows[0]})])

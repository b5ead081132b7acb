"""Selection of an animal's pseudo-labels by the published files and criteria."""

from __future__ import annotations

import json

import numpy as np
import pytest

from chorus.animals.annotations import Labels, write_records
from chorus.animals.keypoints import MIRROR
from chorus.animals.selecting import CRITERIA, score_labels, selection_gain
from chorus.animals.tree import AnimalTree
from chorus.errors import BadInput
from chorus.files import atomic_write

COUNT = 12
SWAPPED = (3, 7)
"""Images whose left and right the network exchanged."""


@pytest.fixture
def tree(tmp_path):
    """Pseudo-labels whose errors grow with the image's number, by all four kinds of files."""
    tree, rng = AnimalTree(tmp_path), np.random.default_rng(0)
    true = rng.uniform(10, 90, (COUNT, 16, 2))
    found = true + 0.2 * np.arange(COUNT)[:, None, None] * rng.choice([-1, 1], (COUNT, 16, 2))
    for number in SWAPPED:
        found[number] = found[number][list(MIRROR)]
    ids = [f"id{number}" for number in range(COUNT)]

    def records(places, confidence=None):
        return [
            {
                "img_id": ids[number],
                "img_path": f"{number}.jpg",
                "img_bbox": [0, 0, 100, 100],
                "joints": [
                    [*place, *([] if confidence is None else [confidence[number]])]
                    for place in places[number].tolist()
                ],
            }
            for number in range(COUNT)
        ]

    sure = np.linspace(1, 0.4, COUNT)
    write_records(tree.labels_2d("horse"), records(found, sure))
    write_records(tree.labels_2d("horse", aux=True), records(true, sure))
    write_records(tree.labels_3d("horse"), records(true))
    for number in range(3):
        moved = found if number == 0 else true
        lines = [
            f"{ids[image]} {keypoint} {x} {y} 1"
            for image in range(COUNT)
            for keypoint, (x, y) in enumerate(moved[image])
        ]
        path = tree.transformed("horse") / f"augm_{number}.txt"
        atomic_write(path, "\n".join(lines).encode())
    return tree


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("measure", ["published", "confirmed"])
def test_every_criterion_puts_good_labels_first(tree, criterion, measure):
    scored = score_labels(tree, "horse", "horse", criterion, measure)
    order = scored.order.tolist()
    assert scored.left_out == 0
    if criterion == "kpconf":  # the network is sure of its mistakes
        assert order == list(range(COUNT))
    else:
        good = [number for number in range(COUNT) if number not in SWAPPED]
        assert order[: len(good)] == good and set(order[len(good) :]) == set(SWAPPED)


def test_images_that_a_file_lacks_are_left_out(tree):
    path = tree.labels_3d("horse")
    path.write_text(json.dumps(json.loads(path.read_text())[2:]))
    scored = score_labels(tree, "horse", "horse", "cf_cm_sq")
    assert scored.left_out == 2 and "id0" not in scored.labels.ids
    path.write_text(json.dumps([dict(json.loads(path.read_text())[0], img_id="other")]))
    with pytest.raises(BadInput, match="same boxes"):
        score_labels(tree, "horse", "horse", "cf_cm_sq")


def test_what_is_missing_is_named(tree):
    with pytest.raises(BadInput, match="--filter"):
        score_labels(tree, "horse", "horse", "cf_xx")
    with pytest.raises(BadInput, match="other_pl_2d"):
        score_labels(tree, "horse", "other", "kpconf")
    tree.labels_2d("horse", aux=True).unlink()
    with pytest.raises(BadInput, match="horse_pl_2d_aux"):
        score_labels(tree, "horse", "horse", "cf_cm")
    for path in tree.transformed("horse").glob("*.txt"):
        path.unlink()
    with pytest.raises(BadInput, match="generate_pl_mt"):
        score_labels(tree, "horse", "horse", "cf_mt")


def test_the_gain_of_a_selection_by_hand():
    """Four images of one visible keypoint, two of which are right and come first."""
    truth = np.zeros((4, 16, 3))
    truth[:, 0, 2] = 1
    found = truth.copy()
    found[2:, 0, 0] = 50
    records = tuple({"img_id": str(number)} for number in range(4))
    boxes = np.tile([0, 0, 100.0, 100.0], (4, 1))
    labels, true = Labels(records, boxes, found), Labels(records, boxes, truth)
    gain = selection_gain(labels, np.arange(4), 2, true)
    assert (gain.selected, gain.everything) == (100, 50) and gain.low <= 50 <= gain.high
    worst = selection_gain(labels, np.arange(4)[::-1], 2, true)
    assert worst.selected == 0 and worst.high <= 0
    with pytest.raises(BadInput, match="visible keypoint"):
        selection_gain(labels, np.arange(4), 2, Labels(records, boxes, 0 * truth))

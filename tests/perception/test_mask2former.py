"""The Mask2Former adapter on small random networks in the real format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from tiny_models import save_tiny_mask2former

from chorus.errors import BadInput
from chorus.geometry import masks
from chorus.perception import mask2former
from chorus.perception.mask2former import Mask2FormerSegmenter, best_instances
from chorus.vocabulary import COCO_NAMES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_mask2former(tmp_path_factory.mktemp("mask2former"))


@pytest.fixture(scope="module")
def segmenter(folder):
    mask2former.check("mask2former", str(folder), Path())
    options = {"mode": "coco", "threshold": 0.1}
    return mask2former.load("mask2former", str(folder), Path(), "cpu", **options)


def test_the_score_is_the_classs_times_the_masks():
    classes = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 9.0]])
    drawn = torch.full((2, 4, 4), -5.0)
    drawn[0, :2] = 1.0
    drawn[0, 0, 0] = 3.0
    scores, found, logits = best_instances(classes, drawn, 0.05)
    chance = np.exp([2, 0]) / (np.exp(2) + 2)
    inside = [1 / (1 + np.exp(-3)), *[1 / (1 + np.exp(-1))] * 7]
    np.testing.assert_allclose(scores, chance * np.mean(inside), rtol=1e-6)
    assert found.tolist() == [0, 1]
    assert logits.shape == (2, 4, 4) and torch.equal(logits[0], drawn[0])


def test_no_instance_passes():
    scores, found, logits = best_instances(torch.zeros(3, 5), torch.full((3, 4, 4), -1.0), 0.5)
    assert scores.shape == (0,) and found.shape == (0,) and logits.shape == (0, 4, 4)


def test_agreement_with_the_librarys_own_reading(segmenter, image):
    one = image(64, 64)
    (found,) = segmenter.segment([one])
    pixels = segmenter._processor([one.pixels], return_tensors="pt")
    with torch.inference_mode():
        output = segmenter._model(**pixels)
    (expected,) = segmenter._processor.post_process_instance_segmentation(
        output, threshold=0.1, target_sizes=[(64, 64)], return_binary_maps=True
    )
    order = sorted(
        range(len(expected["segments_info"])),
        key=lambda number: -expected["segments_info"][number]["score"],
    )
    # theirs keeps as many candidates as there are queries (12 here), ours MOST_INSTANCES
    assert 3 < len(order) <= len(found)
    for own, number in zip(found, order, strict=False):
        info = expected["segments_info"][number]
        assert own.label == COCO_NAMES[info["label_id"]]
        # theirs averages over the upsampled mask, ours over the network's own
        assert own.score == pytest.approx(info["score"], abs=0.02)
        theirs = expected["segmentation"][number].numpy() > 0
        assert (masks.decode(own.mask, 64, 64) == theirs).mean() > 0.9


def test_instances_of_many_images_are_those_of_each_alone(
    segmenter, image, assert_detections, assert_same
):
    images = [image(64, 64), image(48, 90, 1), image(64, 64, 2), image(200, 50, 3)]
    together = segmenter.segment(images)
    assert all(len(found) > 2 for found in together)
    for one, found in zip(images, together, strict=True):
        assert_detections(found, one, COCO_NAMES)
        np.testing.assert_array_equal(
            found[0].box, masks.box_of(masks.decode(found[0].mask, *one.pixels.shape[:2]))
        )
        assert_same(segmenter.segment([one])[0], found, one)
    assert segmenter.segment([]) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (2, 2), (2100, 3000)])
def test_odd_images(folder, image, assert_detections, size):
    one = image(*size)
    (found,) = Mask2FormerSegmenter(str(folder), "cpu", 0.25).segment([one])
    assert_detections(found, one, COCO_NAMES)


def test_other_weights_give_other_instances(segmenter, image, tmp_path):
    other = Mask2FormerSegmenter(str(save_tiny_mask2former(tmp_path, seed=1)), "cpu", 0.1)
    one = image(64, 64)
    labels = [[d.label for d in each.segment([one])[0]] for each in (segmenter, other)]
    assert labels[0] != labels[1]


def test_a_category_outside_the_networks_classes(segmenter, image):
    with pytest.raises(BadInput, match=r"did you mean 'surfboard'.*--segmenter open-vocabulary"):
        segmenter.segment([image(20, 20), image(20, 20, category="surfbord-demo")])


def test_a_network_that_knows_no_persons(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"]["0"] = "cat"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match="has no class 'person'"):
        Mask2FormerSegmenter(str(tmp_path), "cpu", 0.5)

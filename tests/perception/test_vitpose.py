"""The ViTPose adapter on small random networks in the real format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from tiny_models import save_tiny_vitpose

from chorus.errors import BadInput
from chorus.perception import vitpose
from chorus.perception.vitpose import VitPoseDetector


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_vitpose(tmp_path_factory.mktemp("vitpose"))


@pytest.fixture(scope="module")
def detector(folder):
    vitpose.check("vitpose", str(folder), Path())
    return vitpose.load("vitpose", str(folder), Path(), "cpu")


def test_keypoints_of_many_images_are_those_of_each_alone(detector, image):
    images = [image(64, 64), image(48, 90, 1), image(64, 64, 2)]
    boxes = [
        np.array([[5, 5, 40, 60], [0, 0, 64, 64], [30, 3, 60, 50]], np.float32),
        np.zeros((0, 4), np.float32),
        np.array([[10, 10, 50, 60]], np.float32),
    ]
    together = detector.detect(images, boxes)
    assert [found.shape for found in together] == [(3, 17, 3), (0, 17, 3), (1, 17, 3)]
    assert all(found.dtype == np.float32 for found in together)
    for one, box, found in zip(images, boxes, together, strict=True):
        np.testing.assert_allclose(detector.detect([one], [box])[0], found, atol=0.1)
    assert np.ptp(together[0][..., :2], axis=(0, 1)).min() > 5


def test_keypoints_follow_the_person(detector, image):
    one = image(60, 80)
    far = type(one)(one.key, np.zeros((200, 300, 3), np.uint8))
    far.pixels[100:160, 150:230] = one.pixels
    near = type(one)(one.key, np.zeros((200, 300, 3), np.uint8))
    near.pixels[20:80, 40:120] = one.pixels
    box = np.array([[50, 30, 110, 70]], np.float32)
    shift = np.float32([110, 80])
    moved = box + np.tile(shift, 2)
    found, other = detector.detect([near, far], [box, moved])
    np.testing.assert_allclose(found[..., :2] + shift, other[..., :2], atol=0.2)
    np.testing.assert_allclose(found[..., 2], other[..., 2], atol=0.01)


def test_no_persons_and_no_images(detector, image):
    (found,) = detector.detect([image(20, 20)], [np.zeros((0, 4))])
    assert found.shape == (0, 17, 3)
    assert detector.detect([], []) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (3, 7), (3000, 2500)])
def test_odd_images(detector, image, size):
    box = np.array([[0, 0, size[1], size[0]]], np.float32)
    (found,) = detector.detect([image(*size)], [box])
    assert np.isfinite(found).all()


def test_fifty_persons_and_boxes_of_no_size(detector, image):
    boxes = np.repeat([[3.0, 3, 30, 30]], 100, axis=0)
    boxes[::7] = [4, 4, 4, 4]
    (found,) = detector.detect([image(40, 40)], [boxes])
    assert found.shape == (100, 17, 3) and np.isfinite(found).all()


def test_other_weights_give_other_keypoints(detector, image, tmp_path):
    other = VitPoseDetector(str(save_tiny_vitpose(tmp_path, seed=1)), "cpu")
    arguments = [image(64, 64)], [np.array([[5, 5, 40, 60]])]
    assert np.abs(other.detect(*arguments)[0] - detector.detect(*arguments)[0]).max() > 1


def test_a_mixture_of_experts_uses_cocos(image, tmp_path):
    plus = VitPoseDetector(str(save_tiny_vitpose(tmp_path, experts=3)), "cpu")
    boxes = np.array([[5, 5, 40, 60], [0, 0, 60, 60]])
    (found,) = plus.detect([image(64, 64)], [boxes])
    assert found.shape == (2, 17, 3)
    experts = plus._model.backbone.encoder.layer[0].mlp.experts
    with torch.no_grad():
        experts[1].weight.add_(1.0)
    np.testing.assert_array_equal(plus.detect([image(64, 64)], [boxes])[0], found)
    with torch.no_grad():
        experts[0].weight[0].add_(1.0)
    assert np.abs(plus.detect([image(64, 64)], [boxes])[0] - found).max() > 0.01


def test_other_keypoints_than_cocos_are_refused(tmp_path):
    save_tiny_vitpose(tmp_path, keypoints=21)
    with pytest.raises(BadInput, match="predicts 21 keypoints"):
        VitPoseDetector(str(tmp_path), "cpu")

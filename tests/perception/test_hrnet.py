"""The mmpose adapter against recorded shapes: mmpose itself needs a build step."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from chorus.errors import BadInput, Unavailable
from chorus.perception import hrnet
from chorus.perception.hrnet import HrnetDetector, load_weights, to_keypoints


def pose(keypoints, scores):
    """A PoseDataSample: what mmpose returns for one person."""
    return SimpleNamespace(
        pred_instances=SimpleNamespace(
            keypoints=keypoints, keypoint_scores=scores, bboxes=np.zeros((1, 4), np.float32)
        )
    )


class Forward:
    """Stands for mmpose: answers with the box's corner and the image's first blue value."""

    def __init__(self):
        self.sizes = []

    def __call__(self, persons):
        self.sizes.append(len(persons))
        samples = []
        for pixels, box in persons:
            assert pixels.dtype == np.uint8 and box.shape == (4,) and box.dtype == np.float32
            keypoints = np.tile(box[:2], (1, 17, 1)) + np.arange(17)[None, :, None]
            scores = np.full((1, 17), pixels[0, 0, 0] / 255, np.float32)
            samples.append(pose(keypoints.astype(np.float32), scores))
        return samples


def test_a_sample_becomes_keypoints():
    keypoints = np.random.default_rng(0).random((1, 17, 2), np.float32)
    scores = np.linspace(0, 1, 17, dtype=np.float32)[None]
    found = to_keypoints(pose(keypoints, scores))
    assert found.shape == (17, 3) and found.dtype == np.float32
    np.testing.assert_array_equal(found[:, :2], keypoints[0])
    np.testing.assert_array_equal(found[:, 2], scores[0])


def test_another_number_of_keypoints_is_refused():
    with pytest.raises(BadInput, match=r"keypoints \(1, 133, 2\)"):
        to_keypoints(pose(np.zeros((1, 133, 2)), np.zeros((1, 133))))


def test_persons_of_all_images_go_in_together(image):
    forward = Forward()
    images = [image(30, 40), image(20, 20, 1), image(25, 35, 2)]
    boxes = [np.array([[1, 2, 9, 9], [3, 4, 9, 9]]), np.zeros((0, 4)), np.array([[5, 6, 9, 9.0]])]
    found = HrnetDetector(forward).detect(images, boxes)
    assert forward.sizes == [3]
    assert [one.shape for one in found] == [(2, 17, 3), (0, 17, 3), (1, 17, 3)]
    np.testing.assert_array_equal(found[0][1, 3, :2], [6, 7])
    np.testing.assert_array_equal(found[2][0, 0, :2], [5, 6])
    np.testing.assert_allclose(found[2][0, :, 2], images[2].pixels[0, 0, 2] / 255)  # BGR


def test_mmpose_is_never_asked_about_nobody(image):
    forward = Forward()
    detector = HrnetDetector(forward)
    (found,) = detector.detect([image(20, 20)], [np.zeros((0, 4))])
    assert found.shape == (0, 17, 3) and detector.detect([], []) == [] and not forward.sizes


def test_many_persons_go_in_by_portions(image):
    forward = Forward()
    (found,) = HrnetDetector(forward).detect([image(20, 20)], [np.ones((50, 4))])
    assert found.shape == (50, 17, 3) and sum(forward.sizes) == 50 and max(forward.sizes) < 50


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = torch.nn.Linear(2, 3)
        self.head = torch.nn.Linear(3, 17)


def published(path: Path, monkeypatch, **changes) -> Path:
    """A checkpoint as mmpose's trainer writes it: with its logs, which are objects of its own."""
    module = ModuleType("mmengine.logging.history_buffer")

    class HistoryBuffer:
        def __init__(self):
            self.log_history = np.zeros(3)
            self.statistics = {"mean": HistoryBuffer.mean}

        def mean(self):
            return self.log_history.mean()

    for name, own in (("HistoryBuffer", HistoryBuffer), ("HistoryBuffer.mean", HistoryBuffer.mean)):
        own.__module__, own.__qualname__ = module.__name__, name
    module.HistoryBuffer = HistoryBuffer
    parts = module.__name__.split(".")
    with monkeypatch.context() as patch:
        for length in range(1, len(parts)):
            patch.setitem(sys.modules, ".".join(parts[:length]), ModuleType(parts[length - 1]))
        patch.setitem(sys.modules, module.__name__, module)
        state = {**Net().state_dict(), **changes}
        torch.save(
            {
                "meta": {
                    "epoch": 210,
                    "seed": np.int64(3),
                    "dataset_meta": {
                        "dataset_name": "coco",
                        "keypoint_colors": np.zeros((17, 3), np.uint8),
                        "sigmas": np.zeros(17, np.float32),
                        "flip_indices": [0, 2, 1],
                    },
                },
                "message_hub": {"loss": HistoryBuffer()},
                "state_dict": {name: value for name, value in state.items() if value is not None},
            },
            path,
        )
    return path


def test_published_checkpoints_load_without_mmengine(tmp_path, monkeypatch):
    weight = torch.rand(17, 3)
    path = published(tmp_path / "hrnet.pth", monkeypatch, **{"head.weight": weight})
    assert "mmengine" not in sys.modules
    net = Net()
    load_weights(net, path)
    torch.testing.assert_close(net.head.weight.detach(), weight)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"backbone.bias": None, "head.bias": None}, "backbone.bias is missing"),
        ({"head.weight": torch.zeros(21, 3)}, r"head.weight has the shape \(21, 3\)"),
        ({"backbone.stem.weight": torch.zeros(2)}, "backbone.stem.weight is one too many"),
    ],
)
def test_weights_of_another_network(tmp_path, monkeypatch, changes, sentence):
    path = published(tmp_path / "hrnet.pth", monkeypatch, **changes)
    with pytest.raises(BadInput, match=f"is not HRNet-w48 with DARK of mmpose: {sentence}"):
        load_weights(Net(), path)


class Evil:
    def __reduce__(self):
        return (eval, ("open('executed', 'w')",))


def test_nothing_in_a_checkpoint_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"head.bias": Evil()}}, "evil.pth")
    with pytest.raises(BadInput, match="is refused"):
        load_weights(Net(), Path("evil.pth"))
    assert not Path("executed").exists()


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"package mmpose.*INSTALL\.md, 'The published"):
        hrnet.check("hrnet-w48-dark", "", tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(Unavailable, match="no such file; give a file of weights"):
        hrnet.check("hrnet-w48-dark", str(tmp_path / "nowhere.pth"), tmp_path)

"""`hrnet-w48-dark`: the paper's COCO keypoints, on mmpose (method.md 4, profile `paper`).

HRNet-w48 with DARK, 384 x 288, top-down, in mmpose's own configuration. SOURCE is another file of
its weights.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from chorus.errors import BadInput, Unavailable
from chorus.models import registry
from chorus.models.checkpoints import fill, read_state_dict
from chorus.records.rows import Image

_CONFIG = Path(
    ".mim/configs/body_2d_keypoint/topdown_heatmap/coco",
    "td-hm_hrnet-w48_dark-8xb32-210e_coco-384x288.py",
)
_KEYPOINTS = 17
_PERSONS_AT_ONCE = 32

Forward = Callable[[Sequence[tuple[np.ndarray, np.ndarray]]], Sequence[Any]]
"""From N pairs of a BGR image (H, W, 3) uint8 and a box (4,) xyxy to N PoseDataSamples."""


def check(name: str, source: str, imports_dir: Path) -> None:
    """Raise Unavailable if mmpose or the weights are missing."""
    for package in ("mmpose", "mmcv", "mmdet", "torchvision"):
        if importlib.util.find_spec(package) is None:
            raise Unavailable(
                f"{name} needs the package {package}, which is not installed: see INSTALL.md, 'The "
                "published networks: detectron2 and mmpose'."
            )
    _weights(source, imports_dir)


def load(name: str, source: str, imports_dir: Path, device: str) -> HrnetDetector:
    """The keypoint detector with mmpose's network."""
    import mmpose
    from mmpose.apis import init_model

    config = Path(mmpose.__file__).parent / _CONFIG
    # Without a checkpoint: mmpose would unpickle it without any restriction.
    options = {"model.backbone.init_cfg": None}
    model = init_model(str(config), None, device=device, cfg_options=options)
    load_weights(model, _weights(source, imports_dir))
    return HrnetDetector(_forward(model))


class HrnetDetector:
    """Top-down keypoints: the crops of all persons of all images go in together."""

    def __init__(self, forward: Forward):
        self._forward = forward

    def detect(self, images: Sequence[Image], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each image and its person boxes (P, 4) xyxy, (P, 17, 3) float32: COCO x, y, and the
        heat map's height as confidence."""
        boxes = [np.asarray(image_boxes, np.float32).reshape(-1, 4) for image_boxes in boxes]
        reversed_channels = [
            np.ascontiguousarray(image.pixels[..., ::-1]) if len(image_boxes) else image.pixels
            for image, image_boxes in zip(images, boxes, strict=True)
        ]
        persons = [
            (pixels, box)
            for pixels, image_boxes in zip(reversed_channels, boxes, strict=True)
            for box in image_boxes
        ]
        keypoints = np.zeros((len(persons), _KEYPOINTS, 3), np.float32)
        for start in range(0, len(persons), _PERSONS_AT_ONCE):
            samples = self._forward(persons[start : start + _PERSONS_AT_ONCE])
            for place, sample in enumerate(samples, start):
                keypoints[place] = to_keypoints(sample)
        ends = np.cumsum([len(image_boxes) for image_boxes in boxes], dtype=int)
        return [
            keypoints[end - len(image_boxes) : end]
            for end, image_boxes in zip(ends, boxes, strict=True)
        ]


def to_keypoints(sample: Any) -> np.ndarray:
    """(17, 3) float32: x, y, confidence of mmpose's PoseDataSample of one person.

    sample.pred_instances has keypoints (1, 17, 2) and keypoint_scores (1, 17), numpy.
    """
    instances = sample.pred_instances
    places, scores = np.asarray(instances.keypoints), np.asarray(instances.keypoint_scores)
    if places.shape != (1, _KEYPOINTS, 2) or scores.shape != (1, _KEYPOINTS):
        raise BadInput(
            f"mmpose answered with keypoints {places.shape} and scores {scores.shape}; expected "
            f"one person with {_KEYPOINTS}."
        )
    return np.column_stack([places[0], scores[0]]).astype(np.float32)


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill mmpose's network from a checkpoint as published (.pth) or from a .safetensors file.

    Nothing in the file is executed. BadInput names the first parameter that does not fit.
    """
    state = read_state_dict(path, "state_dict")
    fill(model, state, ("backbone.", "head."), path, "HRNet-w48 with DARK of mmpose")


def _weights(source: str, imports_dir: Path) -> Path:
    return registry.given_or_published(source, "hrnet-w48-dark", imports_dir, "a file of weights")


def _forward(model: nn.Module) -> Forward:
    """mmpose's steps of `inference_topdown`, for persons of several images in one batch."""
    from mmengine.dataset import Compose, pseudo_collate
    from mmengine.registry import init_default_scope

    init_default_scope(model.cfg.get("default_scope", "mmpose"))
    prepare = Compose(model.cfg.test_dataloader.dataset.pipeline)

    def forward(persons: Sequence[tuple[np.ndarray, np.ndarray]]) -> Sequence[Any]:
        batch = [
            prepare(
                {
                    "img": pixels,
                    "bbox": box[None],
                    "bbox_score": np.ones(1, np.float32),
                    **model.dataset_meta,
                }
            )
            for pixels, box in persons
        ]
        with torch.inference_mode():
            return model.test_step(pseudo_collate(batch))

    return forward

"""`vitpose`: COCO keypoints by ViTPose of transformers (method.md 4, profile `modern`).

SOURCE is a folder or a hub repository of a ViTPose network with COCO's 17 keypoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from chorus.errors import BadInput
from chorus.models.registry import WEIGHTS
from chorus.perception import pretrained
from chorus.records.rows import Image

DEFAULT = WEIGHTS["vitpose"].repository

_KEYPOINTS = 17
_PERSONS_AT_ONCE = 64
_COCO_EXPERT = 0  # of the mixture-of-experts variants, which know several data sets
_SMALLEST_SIDE = 4  # below it the image processor takes rows for colours


def check(name: str, source: str, imports_dir: Path) -> None:
    """Raise Unavailable if a package is missing."""
    pretrained.require_transformers(name)


def load(name: str, source: str, imports_dir: Path, device: str) -> VitPoseDetector:
    """The keypoint detector with the weights of `source`, or of DEFAULT."""
    return VitPoseDetector(source or DEFAULT, device)


class VitPoseDetector:
    """Top-down keypoints: every person is cropped, and the crops of all images go in together."""

    def __init__(self, source: str, device: str):
        from transformers import VitPoseForPoseEstimation

        self._processor = pretrained.image_processor(source)
        self._model = pretrained.network(VitPoseForPoseEstimation, source, device)
        self._device = device
        config = self._model.config
        if config.num_labels != _KEYPOINTS:
            raise BadInput(
                f"{source} predicts {config.num_labels} keypoints; the filter needs COCO's "
                f"{_KEYPOINTS}."
            )
        self._experts = config.backbone_config.num_experts

    def detect(self, images: Sequence[Image], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each image and its person boxes (P, 4) xyxy, (P, 17, 3) float32: COCO x, y, and the
        heat map's height as confidence."""
        boxes = [np.asarray(image_boxes, np.float32).reshape(-1, 4) for image_boxes in boxes]
        persons = [(at, box) for at, image_boxes in enumerate(boxes) for box in image_boxes]
        keypoints = np.zeros((len(persons), _KEYPOINTS, 3), np.float32)
        for start in range(0, len(persons), _PERSONS_AT_ONCE):
            chunk = persons[start : start + _PERSONS_AT_ONCE]
            keypoints[start : start + len(chunk)] = self._keypoints(images, chunk)
        ends = np.cumsum([len(image_boxes) for image_boxes in boxes], dtype=int)
        return [
            keypoints[end - len(image_boxes) : end]
            for end, image_boxes in zip(ends, boxes, strict=True)
        ]

    def _keypoints(
        self, images: Sequence[Image], persons: Sequence[tuple[int, np.ndarray]]
    ) -> np.ndarray:
        """(N, 17, 3) of N persons, each the place of its image and its box."""
        places = sorted({at for at, _ in persons})
        boxes = [[_corner_and_size(box) for own, box in persons if own == at] for at in places]
        inputs = self._processor(
            [_padded(images[at].pixels) for at in places],
            boxes=boxes,
            input_data_format="channels_last",
            return_tensors="pt",
        ).to(self._device)
        if self._experts > 1:
            inputs["dataset_index"] = torch.full((len(persons),), _COCO_EXPERT, device=self._device)
        with torch.inference_mode():
            output = self._model(**inputs)
        poses = self._processor.post_process_pose_estimation(output, boxes=boxes)
        return np.stack(
            [
                np.column_stack([pose["keypoints"].numpy(), pose["scores"].numpy()])
                for image in poses
                for pose in image
            ]
        )


def _corner_and_size(box: np.ndarray) -> list[float]:
    """x, y, width, height of a box xyxy; at least a pixel wide and high."""
    return [float(box[0]), float(box[1]), *np.maximum(box[2:] - box[:2], 1).tolist()]


def _padded(pixels: np.ndarray) -> np.ndarray:
    height, width = (max(0, _SMALLEST_SIDE - side) for side in pixels.shape[:2])
    return np.pad(pixels, ((0, height), (0, width), (0, 0))) if height or width else pixels

"""`blazepose`: COCO's keypoints among BlazePose's landmarks (method.md 4, profile `pocket`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from chorus.perception.blazepose import Blazepose, check
from chorus.perception.blazepose_agreement import COCO_LANDMARKS, certainty
from chorus.perception.blazepose_found import Found
from chorus.records.rows import Image

__all__ = ["BlazeposeKeypoints", "check", "keypoints_of", "load"]


def load(name: str, source: str, imports_dir: Path, device: str) -> BlazeposeKeypoints:
    """The keypoint detector, on the CPU whatever the device."""
    return BlazeposeKeypoints(Blazepose(imports_dir))


class BlazeposeKeypoints:
    """Top-down keypoints: two looks at the person of every box."""

    def __init__(self, networks: Blazepose):
        self._networks = networks

    def detect(self, images: Sequence[Image], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each image and its person boxes (P, 4) xyxy, (P, 17, 3) float32 (`keypoints_of`)."""
        return [
            self._keypoints(image.pixels, np.asarray(of_image, np.float64).reshape(-1, 4))
            for image, of_image in zip(images, boxes, strict=True)
        ]

    def _keypoints(self, pixels: np.ndarray, boxes: np.ndarray) -> Float[np.ndarray, "P 17 3"]:
        persons = self._networks.look_at(pixels, boxes)
        pairs = zip(persons, boxes, strict=True)
        found = [keypoints_of(person, box) for person, box in pairs]
        return np.array(found, np.float32).reshape(-1, len(COCO_LANDMARKS), 3)


def keypoints_of(found: Found | None, box: Float[np.ndarray, " 4"]) -> Float[np.ndarray, "17 3"]:
    """COCO's keypoints (17, 3) x, y, confidence of a found person; without one, the middle of the
    box (4,) with confidence 0.

    The confidence is the landmark's visibility times presence, times how far the two looks agree on
    it and on the whole body (presence, similarity, the part inside the mask): the network's own
    numbers alone stay high where it fails. It is 0 outside of the image, where the network guesses.
    """
    if found is None:
        middle = (np.asarray(box, np.float64).reshape(2, 2) / 2).sum(0)
        middle = np.nan_to_num(middle, nan=0.0, posinf=0.0, neginf=0.0)
        return np.tile([*middle, 0.0], (len(COCO_LANDMARKS), 1))
    whole = found.agreement.presence * found.agreement.similarity * found.agreement.inside
    confidence = certainty(found.landmarks) * found.similarities * whole
    places = found.landmarks[list(COCO_LANDMARKS), :2]
    height, width = found.size
    within = ((places >= 0) & (places < [width, height])).all(1)
    return np.column_stack([places, np.where(within, confidence, 0.0)])

"""What the steps ask of a network: three small protocols; the records exchanged are `records.rows`.

An adapter is any object with the one method of its protocol; one file per third-party model. Boxes
are xyxy in pixels, masks COCO run-length counts (`chorus.geometry.masks`), see docs/conventions.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from chorus.records.rows import Detection, Image, Person


class Segmenter(Protocol):
    """Instance segmentation of persons and of the image's category."""

    def segment(self, images: Sequence[Image]) -> list[list[Detection]]:
        """Instances per image, any order; label "person" for persons. Of an image whose category is
        "person", persons alone are asked for."""


class HumanRegressor(Protocol):
    """Monocular body regression, top-down on person boxes."""

    def regress(
        self, images: Sequence[Image], boxes: Sequence[np.ndarray]
    ) -> list[list[Person | str]]:
        """For each image and its person boxes (P, 4), P persons in the same order; for one that
        cannot be regressed the reason, for people."""


class KeypointDetector(Protocol):
    """2D keypoints, top-down on person boxes."""

    def detect(self, images: Sequence[Image], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each image and its person boxes (P, 4), (P, 17, 3): COCO x, y, confidence."""

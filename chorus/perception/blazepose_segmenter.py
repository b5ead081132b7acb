"""`blazepose`: the persons of an image, with masks, by BlazePose (method.md 3, profile `pocket`).

It knows no objects: those must have been imported, and persons are what is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chorus.errors import BadInput
from chorus.geometry import masks as mask_geometry
from chorus.perception.blazepose import Blazepose, check
from chorus.perception.blazepose_found import Found
from chorus.perception.frames import MOST_INSTANCES
from chorus.records.rows import Detection, Image
from chorus.vocabulary import PERSON

__all__ = ["BlazeposeSegmenter", "check", "load"]


def load(
    name: str, source: str, imports_dir: Path, device: str, *, mode: str, threshold: float
) -> BlazeposeSegmenter:
    """The segmenter, on the CPU whatever the device; mode is about objects, it has none."""
    return BlazeposeSegmenter(Blazepose(imports_dir), threshold)


class BlazeposeSegmenter:
    """Persons alone."""

    def __init__(self, networks: Blazepose, threshold: float):
        self._networks = networks
        self._threshold = threshold

    def segment(self, images: Sequence[Image]) -> list[list[Detection]]:
        """Persons per image of score >= threshold, best first. BadInput for an image whose
        category is not "person", since its objects would be missing."""
        for image in images:
            if image.key.category != PERSON:
                raise BadInput(
                    f"blazepose finds persons and no objects, and {image.key.category!r} asks for "
                    "some: import them, or take another segmenter."
                )
        return [self._persons(image) for image in images]

    def _persons(self, image: Image) -> list[Detection]:
        found = self._networks.find_persons(image.pixels, self._threshold)
        detections = (_detection(one) for one in found[:MOST_INSTANCES])
        return [detection for detection in detections if detection.box.any()]


def _detection(found: Found) -> Detection:
    mask = found.mask
    score = float(np.clip(found.score, 0, 1))
    return Detection(PERSON, score, mask_geometry.box_of(mask), mask_geometry.encode(mask))

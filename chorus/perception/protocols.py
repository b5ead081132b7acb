"""What the stages ask of a network: three small protocols and the plain records they exchange.

An adapter is any object with the one method of its protocol; one file per third-party model. Boxes
are xyxy in pixels, masks COCO run-length counts (`chorus.geometry.masks`), see docs/conventions.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from chorus.records.keys import SampleKey


@dataclass(frozen=True)
class Image:
    """A decoded image: its sample and RGB pixels, uint8 (H, W, 3)."""

    key: SampleKey
    pixels: np.ndarray


@dataclass(frozen=True)
class Detection:
    """One instance: class name, score in [0, 1], box (4,) float32 xyxy, mask as RLE counts."""

    label: str
    score: float
    box: np.ndarray
    mask: bytes


@dataclass(frozen=True)
class Person:
    """One regressed person (SPEC 4).

    box (4,) xyxy of the detection it was regressed on; pose (24, 3) axis-angle, the first row the
    global rotation in the camera's orientation; betas (10,); camera (3,) weak perspective s, tx, ty
    in the square crop of centre crop_centre (2,) and side crop_side, pixels; joints (24, 2) 24
    joints (`body.joint_sets`) in image pixels under that camera. All float32.
    """

    box: np.ndarray
    pose: np.ndarray
    betas: np.ndarray
    camera: np.ndarray
    crop_centre: np.ndarray
    crop_side: float
    joints: np.ndarray


class Segmenter(Protocol):
    """Instance segmentation of persons and of the image's category."""

    def segment(self, images: Sequence[Image]) -> list[list[Detection]]:
        """Instances per image, any order; label "person" for persons."""


class HumanRegressor(Protocol):
    """Monocular body regression, top-down on person boxes."""

    def regress(
        self, images: Sequence[Image], boxes: Sequence[np.ndarray]
    ) -> list[list[Person | None]]:
        """For each image and its person boxes (P, 4), P persons in the same order; None for one
        that is too small to regress."""


class KeypointDetector(Protocol):
    """2D keypoints, top-down on person boxes."""

    def detect(self, images: Sequence[Image], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each image and its person boxes (P, 4), (P, 17, 3): COCO x, y, confidence."""

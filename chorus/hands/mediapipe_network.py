"""MediaPipe's two networks of hands on a CPU: squares of an image in, decoded tensors out.

Sizes, orders and scales are facts of the published networks and of the graph that mediapipe 0.10.14
runs them in (Zhang et al. 2020, "MediaPipe Hands: On-device Real-time Hand Tracking").
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from chorus.models.registry import HAND_MODEL
from chorus.perception.blazepose_decoding import Candidates, decode_candidates, merged
from chorus.perception.blazepose_squares import Square, cut
from chorus.perception.litert_network import LitertNetwork

PALM_SIDE, LANDMARK_SIDE = 192, 224
LANDMARKS = 21

_PALM_LAYERS = ((8, 2), (16, 6))  # stride, anchors a cell: the last three layers are one grid
_PALM_SHAPES = ((1, 2016, 18), (1, 2016, 1))
_LANDMARK_SHAPES = ((1, 63), (1, 1), (1, 1), (1, 63))


@dataclass(frozen=True, eq=False)
class HandLook:
    """What the landmark network says of a square.

    landmarks (21, 3): x, y in sides of the square from its top-left corner, z in sides, away from
    the camera, from the wrist; FreiHAND's order. presence: that there is a hand at all, in [0, 1].
    right: that it is a right one. world (21, 3): metres, about the hand's middle, in the square's
    orientation, y down, z away from the camera.
    """

    landmarks: Float[np.ndarray, "21 3"]
    presence: float
    right: float
    world: Float[np.ndarray, "21 3"]


class PalmDetector:
    """Palms in a square of an image: seven points each, the first the wrist, the third the middle
    finger's knuckle."""

    def __init__(self, path: Path):
        self._network = LitertNetwork(path, PALM_SIDE, _PALM_SHAPES, HAND_MODEL)

    def __call__(
        self, image: UInt8[np.ndarray, "H W 3"], square: Square, least: float
    ) -> Candidates:
        """Palms of at least that score, merged; in places of the square."""
        pixels = cut(image, square, PALM_SIDE).astype(np.float32)
        boxes, logits = self._network(pixels / 255)
        return merged(decode_candidates(boxes, logits, least, PALM_SIDE, _PALM_LAYERS))


class HandLandmarkNetwork:
    """The hand that a square is about."""

    def __init__(self, path: Path):
        self._network = LitertNetwork(path, LANDMARK_SIDE, _LANDMARK_SHAPES, HAND_MODEL)

    def __call__(self, image: UInt8[np.ndarray, "H W 3"], square: Square) -> HandLook:
        """What the network sees in a square of an image (H, W, 3)."""
        pixels = cut(image, square, LANDMARK_SIDE).astype(np.float32)
        values, presence, right, world = self._network(pixels / 255)
        return HandLook(
            values.astype(np.float64).reshape(LANDMARKS, 3) / LANDMARK_SIDE,
            float(presence[0]),
            # the network's class is named after a mirrored image, as a front camera shows it
            float(right[0]),
            world.astype(np.float64).reshape(LANDMARKS, 3),
        )

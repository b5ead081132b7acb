"""BlazePose's two networks on a CPU, by LiteRT: squares of an image in, decoded tensors out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from chorus.perception.blazepose_decoding import (
    DETECTOR_SIDE,
    LANDMARK_SIDE,
    Candidates,
    decode_candidates,
    decode_landmarks,
    merged,
)
from chorus.perception.blazepose_squares import Square, cut
from chorus.perception.litert_network import LitertNetwork

_DETECTOR_SHAPES = ((1, 2254, 12), (1, 2254, 1))
_LANDMARK_SHAPES = ((1, 195), (1, 1), (1, 256, 256, 1), (1, 64, 64, 39), (1, 117))


@dataclass(frozen=True, eq=False)
class Look:
    """What the landmark network says of a square.

    landmarks (39, 5): x, y, z in sides of the square, visibility, presence in [0, 1]; 33 of the
    body and 6 others, of which 33 and 34 are the middle of the hips and the rim of the next region.
    presence: that there is a person at all. mask (256, 256): logits. world (39, 3): metres,
    about the middle of the hips, in the square's orientation, y down.
    """

    landmarks: Float[np.ndarray, "39 5"]
    presence: float
    mask: Float[np.ndarray, "256 256"]
    world: Float[np.ndarray, "39 3"]


class Detector:
    """Persons in a square of an image."""

    def __init__(self, path: Path):
        self._network = LitertNetwork(path, DETECTOR_SIDE, _DETECTOR_SHAPES, "blazepose")

    def __call__(
        self, image: UInt8[np.ndarray, "H W 3"], square: Square, least: float
    ) -> Candidates:
        """Persons of at least that score, merged; in places of the square."""
        pixels = cut(image, square, DETECTOR_SIDE).astype(np.float32)
        boxes, logits = self._network(pixels / 127.5 - 1)
        return merged(decode_candidates(boxes, logits, least))


class LandmarkNetwork:
    """The body of the person that a square is about."""

    def __init__(self, path: Path):
        self._network = LitertNetwork(path, LANDMARK_SIDE, _LANDMARK_SHAPES, "blazepose")

    def __call__(self, image: UInt8[np.ndarray, "H W 3"], square: Square) -> Look:
        """What the network sees in a square of an image (H, W, 3)."""
        pixels = cut(image, square, LANDMARK_SIDE).astype(np.float32)
        values, flag, mask, heat_maps, world = self._network(pixels / 255)
        return Look(
            decode_landmarks(values, heat_maps),
            float(flag[0]),
            mask[..., 0],
            world.astype(np.float64).reshape(-1, 3),
        )

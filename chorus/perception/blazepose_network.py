"""BlazePose's two networks on a CPU, by LiteRT: squares of an image in, decoded tensors out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from chorus.errors import BadInput, Unavailable
from chorus.models import registry
from chorus.native_output import without_lines
from chorus.perception.blazepose_decoding import (
    DETECTOR_SIDE,
    LANDMARK_SIDE,
    Candidates,
    decode_candidates,
    decode_landmarks,
    merged,
)
from chorus.perception.blazepose_squares import Square, cut

_DETECTOR_SHAPES = ((1, 2254, 12), (1, 2254, 1))
_LANDMARK_SHAPES = ((1, 195), (1, 1), (1, 256, 256, 1), (1, 64, 64, 39), (1, 117))
_STARTED = b"INFO: Created TensorFlow Lite XNNPACK delegate"
_THREADS = min(4, os.cpu_count() or 1)


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
        self._network = _Network(path, DETECTOR_SIDE, _DETECTOR_SHAPES)

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
        self._network = _Network(path, LANDMARK_SIDE, _LANDMARK_SHAPES)

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


class _Network:
    """One .tflite file: an input (1, side, side, 3), outputs of known shapes."""

    def __init__(self, path: Path, side: int, shapes: tuple[tuple[int, ...], ...]):
        interpreter_class = _interpreter_class()
        try:
            self._interpreter = interpreter_class(str(path), num_threads=_THREADS)
            with without_lines(_STARTED):  # LiteRT's Python has no level of logging
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BadInput(
                f"{path} is not a network that LiteRT reads ({str(error).splitlines()[0]}); "
                f"{registry.how_to_replace(path)}."
            ) from error
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        found = [tuple(int(n) for n in each["shape"]) for each in (*inputs, *outputs)]
        expected = [(1, side, side, 3), *shapes]
        if found != expected:
            raise BadInput(
                f"{path} is not BlazePose's network: its tensors have shapes {found}, expected "
                f"{expected}; {registry.how_to_replace(path)}."
            )
        self._input = inputs[0]["index"]
        self._outputs = [each["index"] for each in outputs]

    def __call__(self, pixels: Float[np.ndarray, "S S 3"]) -> list[np.ndarray]:
        """Its outputs, without the batch of one."""
        self._interpreter.set_tensor(self._input, pixels[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


def _interpreter_class() -> type:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise Unavailable(
            "blazepose needs the package ai-edge-litert: "
            "pip install -c constraints.txt -e '.[pocket]'"
        ) from error
    return Interpreter

"""Small networks of MediaPipe's on a CPU, by LiteRT."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput, Unavailable
from chorus.models import registry
from chorus.native_output import without_lines

_STARTED = b"INFO: Created TensorFlow Lite XNNPACK delegate"
_THREADS = min(4, os.cpu_count() or 1)


class LitertNetwork:
    """One .tflite file: an input (1, side, side, 3), outputs of known shapes.

    model: how sentences call it. BadInput for a file that is not it; Unavailable without LiteRT.
    """

    def __init__(self, path: Path, side: int, shapes: tuple[tuple[int, ...], ...], model: str):
        interpreter_class = _interpreter_class(model)
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
                f"{path} is not the network of {model}: its tensors have shapes {found}, expected "
                f"{expected}; {registry.how_to_replace(path)}."
            )
        self._input = inputs[0]["index"]
        self._outputs = [each["index"] for each in outputs]

    def __call__(self, pixels: Float[np.ndarray, "S S 3"]) -> list[np.ndarray]:
        """Its outputs, without the batch of one."""
        self._interpreter.set_tensor(self._input, pixels[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


def _interpreter_class(model: str) -> type:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise Unavailable(
            f"{model} needs the package ai-edge-litert: "
            "pip install -c constraints.txt -e '.[pocket]'"
        ) from error
    return Interpreter

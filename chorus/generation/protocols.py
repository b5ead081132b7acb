"""What the image stage asks of a text-to-image model, and the plain records they exchange."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from chorus.records.keys import SampleKey


@dataclass(frozen=True)
class ImageRequest:
    """One image to make: its sample, the full text (prompt and augprompt), its own seed."""

    key: SampleKey
    text: str
    seed: int


@dataclass(frozen=True)
class GeneratedImage:
    """RGB pixels, uint8 (H, W, 3), or None and in `refused` the reason why there is no image.

    `truth` is a row of `synthetic_truth`, None for a real model; `sampling` is how the image was
    made (sampler, steps, ...), plain values that go into its file.
    """

    pixels: np.ndarray | None
    truth: dict | None = None
    refused: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)


class ImageModel(Protocol):
    """Text to image."""

    def generate(self, requests: Sequence[ImageRequest]) -> Iterable[GeneratedImage]:
        """One image per request in the same order; each depends only on its own request."""

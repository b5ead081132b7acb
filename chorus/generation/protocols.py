"""What the image stage asks of a text-to-image model, and the plain records they exchange."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from chorus.samples import SampleKey


@dataclass(frozen=True)
class ImageRequest:
    """One image to make: its sample, the full text (prompt and augprompt), its own seed."""

    key: SampleKey
    text: str
    seed: int


@dataclass(frozen=True)
class GeneratedImage:
    """RGB pixels, uint8 (H, W, 3); `truth` is a row of `synthetic_truth`, None for a real model."""

    pixels: np.ndarray
    truth: dict | None = None


class ImageModel(Protocol):
    """Text to image."""

    def generate(self, requests: Sequence[ImageRequest]) -> Iterable[GeneratedImage]:
        """One image per request in the same order; each depends only on its own request."""

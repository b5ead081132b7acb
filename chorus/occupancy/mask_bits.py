"""Masks as bits (`geometry.masks`): the form that the counting kernels look pixels up in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt32

from chorus.geometry import masks
from chorus.geometry.run_lengths import words_of


@dataclass(frozen=True, eq=False)
class MaskBits:
    """One mask: pixel (row, column) is bit column * height + row, counted from the lowest."""

    height: int
    width: int
    words: UInt32[np.ndarray, " W"]
    """ceil(height * width / 32) words; bits beyond the last pixel are 0."""

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    def dense(self) -> Bool[np.ndarray, "H W"]:
        """(height, width) bool, in column-major order."""
        return masks.dense(self.words, self.height, self.width)


def of_mask(mask: Bool[np.ndarray, "H W"]) -> MaskBits:
    """The bits of a mask (H, W) bool."""
    return MaskBits(*mask.shape, masks.packed(mask))


def of_counts(counts: Iterable[bytes], height: int, width: int) -> MaskBits:
    """The union of masks of one size (height, width) from their compressed COCO counts.

    Raises BadInput, as `masks.decode` does, for counts that are damaged or fill another size.
    """
    return MaskBits(height, width, words_of(counts, height, width))

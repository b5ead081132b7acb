"""Binary masks, numpy: bool (H, W) in memory, COCO compressed run-length counts at rest.

Between the two lie bits in the order of COCO's runs: pixel (row, column) of a mask is bit
column * height + row, counted from the lowest, of 32-bit words. A run of ones is a run of bits, so
reading a mask takes a few microseconds, and bits take an eighth of the memory of bool.

pycocotools writes the counts. They are read by `run_lengths`, because they come from files: a C
decoder trusts its input, that one sees to it that the runs fill the image exactly.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, UInt32

Mask = Bool[np.ndarray, "H W"]
Words = UInt32[np.ndarray, " W"]


def encode(mask: Mask) -> bytes:
    """COCO compressed counts of a mask (H, W), bool. The size is not part of the counts."""
    from pycocotools import mask as coco

    return coco.encode(np.asfortranarray(mask, bool).view(np.uint8))["counts"]


def decode(counts: bytes, height: int, width: int) -> Mask:
    """Mask (height, width) bool of compressed counts; BadInput if they do not fill that size."""
    return union([counts], height, width)


def union(counts: Iterable[bytes], height: int, width: int) -> Mask:
    """Pixels (height, width) that any of several compressed masks covers; all False for none.

    BadInput for counts that do not fill that size.
    """
    from chorus.geometry.run_lengths import words_of  # compiled: loaded where masks are read

    return dense(words_of(counts, height, width), height, width)


def dense(words: Words, height: int, width: int) -> Mask:
    """Mask (height, width) bool, in column-major order, of bits."""
    bits = np.unpackbits(words.astype("<u4", copy=False).view(np.uint8), bitorder="little")
    return bits[: height * width].view(bool).reshape(width, height).T


def packed(mask: Mask) -> Words:
    """The bits of a mask (H, W) bool."""
    octets = np.packbits(mask.T, bitorder="little")
    return np.pad(octets, (0, -octets.size % 4)).view("<u4").astype(np.uint32)


def box_of(mask: Mask) -> Float[np.ndarray, " 4"]:
    """Tight xyxy box (4,) float32 of a mask, right and bottom exclusive; zeros if it is empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not columns.size:
        return np.zeros(4, np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)

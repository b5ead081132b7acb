"""Binary masks, numpy: bool (H, W) in memory, COCO compressed run-length counts at rest.

Between the two lie bits in the order of COCO's runs: pixel (row, column) of a mask is bit
column * height + row, counted from the lowest, of 32-bit words. A run of ones is a run of bits, so
reading a mask takes a few microseconds, and bits take an eighth of the memory of bool.

pycocotools writes the counts. They are read here (`run_lengths`), because they come from files: a C
decoder trusts its input, this one sees to it that the runs fill the image exactly.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, UInt32

from chorus.errors import BadInput

Mask = Bool[np.ndarray, "H W"]
Words = UInt32[np.ndarray, " W"]


def encode(mask: Mask) -> bytes:
    """COCO compressed counts of a mask (H, W), bool. The size is not part of the counts."""
    from pycocotools import mask as coco

    return coco.encode(np.asfortranarray(mask, np.uint8))["counts"]


def decode(counts: bytes, height: int, width: int) -> Mask:
    """Mask (height, width) bool of compressed counts; BadInput if they do not fill that size."""
    return union([counts], height, width)


def union(counts: Iterable[bytes], height: int, width: int) -> Mask:
    """Pixels (height, width) that any of several compressed masks covers; all False for none.

    BadInput for counts that do not fill that size.
    """
    return dense(words_of(counts, height, width), height, width)


def words_of(counts: Iterable[bytes], height: int, width: int) -> Words:
    """`union` as bits: ceil(height * width / 32) words, of which bits beyond the last pixel are 0.

    BadInput for counts that do not fill that size.
    """
    from chorus.geometry.run_lengths import set_runs  # compiled: loaded where masks are read

    size = height * width
    words = np.zeros(-(-size // 32), np.uint32)
    for each in counts:
        if not isinstance(each, bytes):
            raise BadInput(
                f"mask counts must be bytes, found {type(each).__name__}; COCO's text counts "
                "become bytes by counts.encode()."
            )
        negative, total = set_runs(np.frombuffer(each, np.uint8), size, words)
        if negative or total != size:
            raise BadInput(_fault(negative, total, height, width))
    return words


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


def _fault(negative: int, total: int, height: int, width: int) -> str:
    """What is wrong with counts of which `set_runs` says this."""
    if negative:
        return (
            f"mask counts must be run lengths of at least 0, found {negative}: the mask is "
            "damaged; rerun the segmentation of its sample."
        )
    if total < 0:
        return (
            "mask counts must be COCO's compressed run lengths, found other or truncated bytes; "
            "rerun the segmentation of this sample."
        )
    return (
        f"mask counts must cover {height} x {width} = {height * width} pixels, found {total}: "
        "the mask is damaged or belongs to an image of another size; rerun its segmentation."
    )

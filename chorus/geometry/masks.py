"""Binary masks, numpy: bool (H, W) in memory, COCO compressed run-length counts at rest.

The codec is written here rather than borrowed because counts come from files: a C decoder trusts
its input, this one checks that the runs fill the image exactly before it allocates anything.

Format: pixels in column-major order as alternating run lengths, the first of zeros (so 0 if the
mask starts with a one). From the fourth run on, the difference to the run two before is stored.
Each number is little-endian base 32, one byte a digit: 48 + five bits, plus 32 when more digits
follow; the 16-bit of the last digit is the sign.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, Int

from chorus.errors import BadInput

Mask = Bool[np.ndarray, "H W"]

_OFFSET, _DIGIT, _SIGN, _MORE = 48, 5, 0x10, 0x20
_MAX_DIGITS = 8  # 40 bits: more than any image has pixels


def encode(mask: Mask) -> bytes:
    """COCO compressed counts of a mask (H, W), bool. The size is not part of the counts."""
    flat = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0] if flat.size and flat[0] else [], [0], changes, [flat.size]])
    return _write_numbers(_differences(np.diff(edges.astype(np.int64))))


def decode(counts: bytes, height: int, width: int) -> Mask:
    """Mask (height, width) bool of compressed counts; BadInput if they do not fill that size."""
    runs = _runs(counts)
    if runs.size and runs.min() < 0:
        raise BadInput(
            f"mask counts must be run lengths of at least 0, found {runs.min()}: the mask is "
            "damaged; rerun the segmentation of its sample."
        )
    total = int(runs.sum())
    if total != height * width:
        raise BadInput(
            f"mask counts must cover {height} x {width} = {height * width} pixels, found {total}: "
            "the mask is damaged or belongs to an image of another size; rerun its segmentation."
        )
    values = np.arange(runs.size) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def union(counts: Iterable[bytes], height: int, width: int) -> Mask:
    """Pixels (height, width) that any of several compressed masks covers; all False for none."""
    total = np.zeros((height, width), bool)
    for one in counts:
        total |= decode(one, height, width)
    return total


def box_of(mask: Mask) -> Float[np.ndarray, " 4"]:
    """Tight xyxy box (4,) float32 of a mask, right and bottom exclusive; zeros if it is empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not columns.size:
        return np.zeros(4, np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def mirror(mask: Bool[np.ndarray, "*batch H W"]) -> Bool[np.ndarray, "*batch H W"]:
    """Masks (..., H, W) flipped left to right, a view (method.md 8, symmetric augmentation)."""
    return mask[..., ::-1]


def _differences(runs: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """Runs as stored: from the fourth on, minus the run two before."""
    stored = runs.copy()
    stored[3:] -= runs[1:-2]
    return stored


def _runs(counts: bytes) -> Int[np.ndarray, " N"]:
    """Inverse of `_differences` after reading the numbers: two interleaved running sums."""
    runs = _read_numbers(counts)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _write_numbers(numbers: Int[np.ndarray, " N"]) -> bytes:
    """Signed integers in base 32, all digits at once."""
    shifts = _DIGIT * np.arange(_MAX_DIGITS)
    rest = numbers[:, None] >> shifts  # what is left before each digit is taken
    digits = rest & 0x1F
    # A number ends at the first digit whose sign bit alone explains everything above it.
    last = np.argmax((rest >> _DIGIT) == np.where(digits & _SIGN, -1, 0), axis=1)[:, None]
    position = np.arange(_MAX_DIGITS)
    digits = digits + np.where(position < last, _MORE, 0) + _OFFSET
    return digits[position <= last].astype(np.uint8).tobytes()


def _read_numbers(counts: bytes) -> Int[np.ndarray, " N"]:
    """Inverse of `_write_numbers`; BadInput where the bytes are no such numbers."""
    if not isinstance(counts, bytes):
        raise BadInput(
            f"mask counts must be bytes, found {type(counts).__name__}; COCO's text counts "
            "become bytes by counts.encode()."
        )
    digits = np.frombuffer(counts, np.uint8).astype(np.int64) - _OFFSET
    ends = np.flatnonzero((digits & _MORE) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
    lengths = ends - starts[: ends.size] + 1
    damaged = digits.size and (
        digits.min() < 0
        or digits.max() >= 64
        or not ends.size
        or ends[-1] != digits.size - 1
        or lengths.max() > _MAX_DIGITS
    )
    if damaged:
        raise BadInput(
            "mask counts must be COCO's compressed run lengths, found other or truncated bytes; "
            "rerun the segmentation of this sample."
        )
    if not digits.size:
        return np.zeros(0, np.int64)
    place = _DIGIT * (np.arange(digits.size) - np.repeat(starts, lengths))
    numbers = np.add.reduceat((digits & 0x1F) << place, starts)
    negative = (digits[ends] & _SIGN) != 0
    return np.where(negative, numbers - (np.int64(1) << (_DIGIT * lengths)), numbers)

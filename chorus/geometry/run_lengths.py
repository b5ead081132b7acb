"""COCO's compressed counts to bits: the one decoder, compiled (`masks` says what the bits are).

Counts are alternating run lengths, the first of zeros (so 0 if the mask starts with a one). From
the fourth run on, the difference to the run two before is stored. Each number is little-endian base
32, one byte a digit: 48 + five bits, plus 32 when more digits follow; the 16-bit of the last digit
is the sign.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt32

from chorus.errors import BadInput
from chorus.geometry.compiled import compiled

_MOST_BITS = 40  # of a number: more than any image has pixels
_TOO_MANY = 1 << 50  # pixels: adding more would only overflow


def words_of(counts: Iterable[bytes], height: int, width: int) -> UInt32[np.ndarray, " W"]:
    """The union of masks of one size (height, width) from their compressed counts, as bits.

    ceil(height * width / 32) words, of which bits beyond the last pixel are 0. BadInput for counts
    that do not fill that size.
    """
    size = height * width
    words = np.zeros(max(0, -(-size // 32)), np.uint32)
    for each in counts:
        if not isinstance(each, bytes):
            raise BadInput(
                f"mask counts must be bytes, found {type(each).__name__}; COCO's text counts "
                "become bytes by counts.encode()."
            )
        negative, total = _set_runs(np.frombuffer(each, np.uint8), size, words)
        if negative or total != size:
            raise BadInput(_fault(negative, total, height, width))
    return words


def _fault(negative: int, total: int, height: int, width: int) -> str:
    """What is wrong with counts of which `_set_runs` says this."""
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


@compiled
def _set_runs(text, size, words):
    """Set the bits of the ones of counts `text` (B,) uint8 among the `size` bits of `words`.

    (0, sum of the runs), which is `size` if the counts are whole; (the first run below 0, 0); or
    (0, -1) for bytes that are no counts. The bits are of use only if the counts are whole.
    """
    at, place, number = np.int64(0), np.int64(0), np.int64(0)
    before = two_before = np.int64(0)
    while at < text.size and place < _TOO_MANY:
        run, shift = np.int64(0), np.int64(0)
        while True:
            if at == text.size or shift == _MOST_BITS:
                return np.int64(0), np.int64(-1)
            digit = np.int64(text[at]) - 48
            at += 1
            if digit < 0 or digit >= 64:
                return np.int64(0), np.int64(-1)
            run |= (digit & 31) << shift
            shift += 5
            if not digit & 32:
                break
        if digit & 16:
            run -= np.int64(1) << shift
        if number >= 3:
            run += two_before
        if run < 0:
            return run, np.int64(0)
        if number & 1 and run > 0 and place + run <= size:
            _set_bits(words, place, place + run)
        place += run
        two_before, before = before, run
        number += 1
    return np.int64(0), place


@compiled
def _set_bits(words, start, stop):
    """Set the bits start..stop-1, at least one."""
    first, last = start >> 5, (stop - 1) >> 5
    head = np.uint32(0xFFFFFFFF) << np.uint32(start & 31)
    tail = np.uint32(0xFFFFFFFF) >> np.uint32(31 - ((stop - 1) & 31))
    if first == last:
        words[first] |= np.uint32(head & tail)
        return
    words[first] |= np.uint32(head)
    for word in range(first + 1, last):
        words[word] = np.uint32(0xFFFFFFFF)
    words[last] |= np.uint32(tail)

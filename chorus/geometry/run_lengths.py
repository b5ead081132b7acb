"""COCO's compressed counts to bits: the one decoder, compiled (`masks` says what the bits are).

Counts are alternating run lengths, the first of zeros (so 0 if the mask starts with a one). From
the fourth run on, the difference to the run two before is stored. Each number is little-endian base
32, one byte a digit: 48 + five bits, plus 32 when more digits follow; the 16-bit of the last digit
is the sign.
"""

from __future__ import annotations

import numpy as np

from chorus.geometry.compiled import compiled

_MOST_BITS = 40  # of a number: more than any image has pixels
_TOO_MANY = 1 << 50  # pixels: adding more would only overflow


@compiled
def set_runs(text, size, words):
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

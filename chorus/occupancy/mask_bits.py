"""Masks as bits in the order of COCO's runs, so that a run-length mask needs no decoding first.

A run of ones becomes a run of bits: a few microseconds for a mask of 512 x 512 pixels, an eighth of
the memory of bool, and the form that the counting kernels look pixels up in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt32

from chorus.geometry import masks
from chorus.occupancy.compiled import compiled


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
        bits = np.unpackbits(self.words.astype("<u4").view(np.uint8), bitorder="little")
        return bits[: self.size].view(bool).reshape(self.width, self.height).T


def of_mask(mask: Bool[np.ndarray, "H W"]) -> MaskBits:
    """The bits of a mask (H, W) bool."""
    packed = np.packbits(mask.T, bitorder="little")
    words = np.pad(packed, (0, -packed.size % 4)).view("<u4").astype(np.uint32)
    return MaskBits(*mask.shape, words)


def of_counts(counts: Iterable[bytes], height: int, width: int) -> MaskBits:
    """The union of masks of one size (height, width) from their compressed COCO counts.

    Raises BadInput, as `masks.decode` does, for counts that are damaged or fill another size.
    """
    words = np.zeros(-(-height * width // 32), np.uint32)
    for one in counts:
        if not _set_runs(np.frombuffer(one, np.uint8), height * width, words):
            masks.decode(one, height, width)  # says what is wrong
            raise AssertionError("counts that the plain decoder takes were refused")
    return MaskBits(height, width, words)


@compiled
def _set_runs(text, size, words):
    """Set the bits of the ones of compressed counts (`masks`); False if they do not fill `size`."""
    at, place, number = np.int64(0), np.int64(0), np.int64(0)
    before = two_before = np.int64(0)
    while at < text.size:
        run, shift = np.int64(0), np.int64(0)
        while True:
            if at == text.size or shift == 40:
                return False
            digit = np.int64(text[at]) - 48
            at += 1
            if digit < 0 or digit >= 64:
                return False
            run |= (digit & 31) << shift
            shift += 5
            if not digit & 32:
                break
        if digit & 16:
            run -= np.int64(1) << shift
        if number >= 3:
            run += two_before
        if run < 0 or place + run > size:
            return False
        if number & 1 and run > 0:
            _set_bits(words, place, place + run)
        place += run
        two_before, before = before, run
        number += 1
    return place == size


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

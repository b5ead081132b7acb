"""Run-length masks: agreement with COCO's own codec, hand cases, damaged input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chorus.errors import BadInput
from chorus.geometry.masks import box_of, decode, dense, encode, packed, union
from chorus.geometry.run_lengths import words_of

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))


def test_hand_case_is_column_major():
    mask = np.zeros((2, 3), bool)
    mask[1, 0] = mask[0, 1] = True  # neighbours in column-major order: one run of two
    assert encode(mask) == b"123"
    assert (decode(b"123", 2, 3) == mask).all()
    assert encode(np.ones((2, 3), bool)) == b"06"
    assert encode(np.zeros((2, 3), bool)) == b"6"


def test_bits_by_hand():
    mask = np.array([[0, 1], [0, 1], [1, 0]], bool)  # columns: 001, 110 → bits 2, 3, 4
    assert packed(mask).tolist() == words_of([encode(mask)], 3, 2).tolist() == [0b011100]


@settings(deadline=None)
@given(masks)
def test_round_trip(mask):
    assert (decode(encode(mask), *mask.shape) == mask).all()
    assert (dense(packed(mask), *mask.shape) == mask).all()


@settings(deadline=None)
@given(masks, st.integers(1, 60))
def test_bytes_are_those_of_pycocotools(mask, magnification):
    coco = pytest.importorskip("pycocotools.mask")
    # Larger runs need numbers of several digits, and negative differences.
    mask = np.repeat(mask, magnification, axis=0)
    theirs = coco.encode(np.asfortranarray(mask, np.uint8))["counts"]
    assert encode(mask) == theirs
    assert (decode(theirs, *mask.shape) == mask).all()
    assert (words_of([theirs], *mask.shape) == packed(mask)).all()


def test_empty_image():
    assert decode(encode(np.zeros((0, 5), bool)), 0, 5).shape == (0, 5)
    assert packed(np.zeros((0, 5), bool)).size == 0


@settings(deadline=None)
@given(st.binary(max_size=30))
def test_damaged_bytes_never_do_more_than_complain(counts):
    try:
        mask = decode(counts, 6, 7)
    except BadInput:
        return
    assert mask.shape == (6, 7)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (b"", "found 0"),
        (b"5", "found 5"),
        (b"7", "found 7"),
        (b"1231", "found 9"),
        (b"22I", "must be run lengths of at least 0, found -7:"),
        (b"1510N", "must be run lengths of at least 0, found -1:"),
        (b"o", "other or truncated bytes"),
        (b"123\x00", "other or truncated bytes"),
        (b"ooooooooooooo1", "other or truncated bytes"),
        (b"ooooooo?" * 9000, "must cover"),  # sums that would overflow 64 bits
        ("123", "must be bytes, found str"),
        (b"1_", "mask counts"),
    ],
)
def test_damaged_masks(counts, said):
    with pytest.raises(BadInput, match=said):
        decode(counts, 2, 3)


def test_a_damaged_size_is_refused():
    with pytest.raises(BadInput, match="must cover -2 x 3"):
        decode(b"6", -2, 3)


def test_truncated_counts_of_a_real_mask():
    mask = np.random.default_rng(0).random((64, 64)) > 0.5
    counts = encode(mask)
    for cut in (1, 10, len(counts) - 1):
        with pytest.raises(BadInput, match="rerun"):
            decode(counts[:cut], 64, 64)
    with pytest.raises(BadInput, match="another size"):
        decode(counts, 64, 63)


def test_union():
    a, b = np.random.default_rng(1).random((2, 20, 30)) > 0.8
    assert (union([encode(a), encode(b)], 20, 30) == a | b).all()
    assert not union([], 20, 30).any()


def test_box_is_tight_and_exclusive():
    mask = np.zeros((20, 30), bool)
    mask[5:9, 7:8] = True
    assert box_of(mask).tolist() == [7, 5, 8, 9] and box_of(mask).dtype == np.float32
    assert box_of(np.zeros((3, 3), bool)).tolist() == [0, 0, 0, 0]

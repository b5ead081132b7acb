"""Masks as bits: the same pixels as COCO's own decoder, and the refusals of `masks`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from chorus.errors import BadInput
from chorus.geometry import masks
from chorus.occupancy import mask_bits


def random_masks(seed: int, count: int, height: int, width: int, share: float):
    rng = np.random.default_rng(seed)
    return rng.random((count, height, width)) < share


def test_a_mask_by_hand():
    mask = np.array([[0, 1], [0, 1], [1, 0]], bool)  # columns: 001, 110 → bits 2, 3, 4
    for bits in (mask_bits.of_mask(mask), mask_bits.of_counts([masks.encode(mask)], 3, 2)):
        assert bits.words.tolist() == [0b011100]
        assert np.array_equal(bits.dense(), mask)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:pycocotools")
@given(
    st.integers(0, 1 << 30),
    st.integers(0, 3),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]),
)
def test_agrees_with_the_decoder_of_coco(seed, count, height, width, share):
    drawn = random_masks(seed, count, height, width, share)
    counts = [coco.encode(np.asfortranarray(mask, np.uint8))["counts"] for mask in drawn]
    bits = mask_bits.of_counts(counts, height, width)
    decoded = [coco.decode({"size": [height, width], "counts": each}) for each in counts]
    expected = sum(decoded, start=np.zeros((height, width), np.uint8)) > 0
    assert np.array_equal(bits.dense(), expected)
    assert np.array_equal(bits.words, mask_bits.of_mask(expected).words)


def test_damage_to_a_real_mask_is_said():
    counts = masks.encode(random_masks(0, 1, 30, 40, 0.3)[0])
    for damaged in (counts[:-1], counts + b"0", counts.replace(counts[5:6], b"!")):
        with pytest.raises(BadInput, match="rerun"):
            mask_bits.of_counts([damaged], 30, 40)

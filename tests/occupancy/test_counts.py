"""Counts: weights, merging, arrays for files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.occupancy.counts import BinCounts, bin_weights
from chorus.occupancy.grid import VoxelGrid

GRID = VoxelGrid(3, 1.5)


def random_counts(seed: int, top: int = 300, hidden: bool = False) -> BinCounts:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, top, (12, 3, 3, 3)).astype(np.uint32)
    mask = rng.integers(0, image + 1).astype(np.uint32)
    members = rng.integers(0, top, 12)
    behind = rng.integers(0, image - mask + 1).astype(np.uint32) if hidden else None
    return BinCounts(GRID, image, mask, members + rng.integers(0, 9, 12), members, behind)


def test_weights_by_hand():
    samples = np.array([4, 0, 1, 1, 0, 0, 2, 0, 0, 0, 5, 0])
    assert bin_weights(samples, "total-uniform").tolist() == [1] * 12
    assert bin_weights(samples, "azimuth-uniform-fine").tolist() == [
        1 / 4, 0, 1, 1, 0, 0, 1 / 2, 0, 0, 0, 1 / 5, 0,
    ]  # fmt: skip
    # Sectors 0-60 and 180-240 degrees: 6 samples; 60-120 and 240-300: 2; the rest: 5.
    assert bin_weights(samples, "azimuth-uniform").tolist() == [
        1 / 6, 1 / 6, 1 / 2, 1 / 2, 1 / 5, 1 / 5, 1 / 6, 1 / 6, 1 / 2, 1 / 2, 1 / 5, 1 / 5,
    ]  # fmt: skip
    with pytest.raises(BadInput, match="did you mean 'total-uniform'"):
        bin_weights(samples, "total-unifrom")


def test_probability_by_hand_with_an_empty_bin_and_an_unseen_voxel():
    counts = BinCounts.empty(GRID)
    counts.samples[[0, 5]] = 4, 1
    counts.image[0, 0, 0, 0], counts.mask[0, 0, 0, 0] = 4, 1
    counts.image[5, 0, 0, 0], counts.mask[5, 0, 0, 0] = 1, 1
    assert counts.probability("azimuth-uniform-fine")[0, 0, 0] == np.float32((1 / 4 + 1) / 2)
    assert counts.probability("total-uniform")[0, 0, 0] == np.float32(2 / 5)
    assert counts.probability("azimuth-uniform")[0, 0, 0] == np.float32((1 / 4 + 1) / 2)
    assert np.count_nonzero(counts.probability()) == 1
    assert counts.seen()[0, 0, 0] == 5


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=5), st.integers(2, 100_000), st.booleans()
)
def test_arrays_and_sums_are_exact(seeds, top, hidden):
    shards = [random_counts(seed, top, hidden) for seed in seeds]
    total = sum(shards[1:], start=shards[0])
    again = BinCounts.empty(GRID, hidden)
    for shard in reversed(shards):
        again.merge(BinCounts.from_arrays(GRID, shard.arrays(), "a file"))
    assert (total.hidden is not None) == (again.hidden is not None) == hidden
    for name in ("image", "mask", "samples", "members") + ("hidden",) * hidden:
        assert np.array_equal(getattr(again, name), getattr(total, name))
        assert getattr(again, name).dtype == getattr(total, name).dtype
    assert (total.probability() <= 1).all() and (total.probability() >= 0).all()


def test_other_grids_and_arrays_are_refused():
    counts = random_counts(0)
    for other in (VoxelGrid(4, 1.5), VoxelGrid(3, 2.0)):
        with pytest.raises(BadInput, match="different grids"):
            counts + BinCounts.empty(other)
        with pytest.raises(BadInput, match="different grids"):
            counts.merge(BinCounts.empty(other))
    both = random_counts(0, hidden=True)
    for one, other in ((counts, both), (both, counts)):
        with pytest.raises(BadInput, match="with and without hidden voxels"):
            one + other
        with pytest.raises(BadInput, match="with and without hidden voxels"):
            one.merge(other)
    whole = both.arrays()
    assert set(whole) - set(counts.arrays()) == {"hidden_count"}
    for arrays in (
        {**whole, "image_count": counts.image.astype(float)},
        {**whole, "mask_count": counts.mask[:11]},
        {**whole, "hidden_count": counts.mask.astype(float)},
        {name: array for name, array in whole.items() if name != "samples"},
    ):
        with pytest.raises(BadInput, match=r"counts\.npz: expected whole numbers"):
            BinCounts.from_arrays(GRID, arrays, "counts.npz")


def with_levels(seed: int) -> BinCounts:
    counts = random_counts(seed)
    return replace(counts, once=np.stack([counts.samples, counts.members]) // 2)


def test_samples_counted_once_add_up_and_are_stored():
    first, second = with_levels(1), with_levels(2)
    expected = first.once + second.once
    again = BinCounts.from_arrays(GRID, (first + second).arrays(), "a file")
    assert np.array_equal(again.once, expected)
    begun = BinCounts.empty(GRID, levels=True)
    assert np.array_equal(begun.merge(first).merge(second).once, expected)
    assert "once" not in random_counts(1).arrays()


def test_where_one_side_does_not_know_samples_counted_once_the_sum_does_not():
    known, unknown = with_levels(1), random_counts(2)
    for total in (known + unknown, unknown + known, with_levels(1).merge(unknown)):
        assert total.once is None
        assert np.array_equal(total.members, known.members + unknown.members)
    with pytest.raises(BadInput, match=r"whole numbers of shape \(2, 12\) as 'once'"):
        BinCounts.from_arrays(GRID, known.arrays() | {"once": known.samples}, "a file")

"""The evidence estimator: by hand, its bounds, and what it must never do."""

from __future__ import annotations

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.occupancy.counts import BINS, BinCounts
from chorus.occupancy.evidence import calibrated, estimate, evidence_probability, strength
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.presets import AggregationSettings, EvidenceSettings, preset

GRID = VoxelGrid(6, 3.0)
PLAIN = EvidenceSettings(widths=(0.0,), own_width=0.0, inside=math.inf, slope=1, offset=0)


def counts_of(image, mask, hidden=None) -> BinCounts:
    """Counts of arrays that broadcast to (12, N, N, N)."""
    shape = (BINS, *GRID.shape)
    image, mask = (np.broadcast_to(a, shape).astype(np.uint32) for a in (image, mask))
    hidden = np.zeros(shape) if hidden is None else np.broadcast_to(hidden, shape)
    samples = image.reshape(BINS, -1).max(axis=1).astype(np.int64)
    return BinCounts(GRID, image, mask, samples, samples.copy(), hidden.astype(np.uint32))


def random_counts(seed: int, most: int) -> BinCounts:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, most + 1, (BINS, *GRID.shape))
    mask = rng.binomial(image, rng.uniform(0, 1, GRID.shape))
    return counts_of(image, mask, rng.binomial(image - mask, 0.3))


def in_bin(values: dict[int, float]) -> np.ndarray:
    """(12, 1, 1, 1): a number for some bins, 0 for the others."""
    array = np.zeros((BINS, 1, 1, 1))
    for number, value in values.items():
        array[number] = value
    return array


def test_strength_by_hand():
    # Twenty voxels of ten visits, half of them always hit: nothing but clusters, rho is 1 and more.
    clustered = np.repeat([0.0, 10.0], 10)
    assert strength(clustered, np.full(20, 10.0), np.float64(0.5)) == 0.5
    # Less scatter than a binomial draw has: the prior is worth as much as may be.
    assert strength(np.full(20, 5.0), np.full(20, 10.0), np.float64(0.5)) == 64.0
    # hits 2 and 8 of 10 about 0.5: variance 9, of which 2.5 are binomial; rho = 6.5 / (2.5 * 9).
    hits = np.repeat([2.0, 8.0], 10)
    rho = 6.5 / 22.5
    assert strength(hits, np.full(20, 10.0), np.float64(0.5)) == pytest.approx(1 / rho - 1)
    assert strength(np.zeros(3), np.zeros(3), np.float64(0.0)) == 64.0


def test_strength_finds_that_of_a_beta_binomial_draw():
    rng = np.random.default_rng(3)
    rate = rng.beta(6 * 0.3, 6 * 0.7, 200_000)
    hits = rng.binomial(12, rate).astype(float)
    assert strength(hits, np.full(hits.shape, 12.0), np.float64(0.3)) == pytest.approx(6, rel=0.05)


def test_calibration_by_hand():
    rate = np.array([0.0, 0.2, 0.5, 1.0])
    assert calibrated(rate, 1.0, 0.0) is rate
    assert not np.isnan(calibrated(rate, 300.0, 800.0)).any()
    mapped = calibrated(rate, 2.0, math.log(3))
    assert mapped == pytest.approx([0, 3 / 16 / (1 + 3 / 16), 0.75, 1], abs=1e-6)


@given(st.integers(0, 1000), st.sampled_from([1, 4, 40]))
@settings(max_examples=30, deadline=None)
def test_probabilities_are_probabilities(seed, most):
    counts = random_counts(seed, most)
    inside = np.random.default_rng(seed).random(GRID.shape) < 0.2
    for chosen in (EvidenceSettings(), PLAIN, dataclasses.replace(PLAIN, bound=False)):
        found = evidence_probability(counts, chosen, inside)
        assert found.dtype == np.float32 and found.shape == GRID.shape
        assert ((found >= 0) & (found <= 1)).all()
        assert not found[inside].any()
        visits = counts.image.astype(int).sum(axis=0) - counts.hidden.sum(axis=0)
        assert not found[visits == 0].any()


def test_no_sample_is_no_probability():
    empty = BinCounts.empty(GRID, hidden=True)
    assert not evidence_probability(empty, EvidenceSettings()).any()


def test_hidden_visits_say_nothing():
    """Ten visits of which five are hidden are five visits."""
    image, mask = in_bin({0: 10}), in_bin({0: 5})
    hidden = counts_of(image, mask, in_bin({0: 5}))
    fewer = counts_of(in_bin({0: 5}), mask)
    assert np.array_equal(evidence_probability(hidden, PLAIN), evidence_probability(fewer, PLAIN))
    seen = dataclasses.replace(PLAIN, hidden=False)
    assert (evidence_probability(hidden, seen) < evidence_probability(hidden, PLAIN)).all()


def test_a_low_rate_bounds_high_ones():
    """Two views say always, one says never: the truth is nearer to never than the mean is."""
    image = np.broadcast_to(in_bin({0: 50, 3: 50, 6: 50}), (BINS, *GRID.shape)).copy()
    mask = np.broadcast_to(in_bin({0: 50, 3: 50, 6: 0}), image.shape).copy()
    mask[:, :3] = 0  # elsewhere nothing is, so that the counts have something to tell apart
    counts = counts_of(image, mask)
    bound = evidence_probability(counts, PLAIN)[4, 3, 3]
    pooled = evidence_probability(counts, dataclasses.replace(PLAIN, bound=False))[4, 3, 3]
    assert bound < 0.35 < 0.6 < pooled


def test_few_visits_take_what_is_around_them():
    """One voxel with a single visit in a neighbourhood that is never hit, and one of many."""
    image, mask = np.full((BINS, *GRID.shape), 0), np.zeros((BINS, *GRID.shape))
    image[0], mask[0, 0] = 100, 60  # a plane at x = 0 is hit often
    image[0, 4, 3, 3], mask[0, 4, 3, 3] = 1, 1
    image[0, 4, 1, 1], mask[0, 4, 1, 1] = 100, 100
    settings = EvidenceSettings(bound=False, widths=(0.6, 0.0))  # the voxels are 0.5 m large
    found = evidence_probability(counts_of(image, mask), settings)
    assert found[4, 3, 3] < 0.5 < found[4, 1, 1]


def test_counts_without_hidden_voxels_are_refused():
    counts = BinCounts.empty(GRID)
    with pytest.raises(BadInput, match="hidden"):
        evidence_probability(counts, EvidenceSettings())
    assert not evidence_probability(counts, EvidenceSettings(hidden=False)).any()


def test_estimate_follows_the_settings():
    counts = random_counts(5, 20)
    inside = np.zeros(GRID.shape)
    inside[2, 2, 2] = 0.5
    space = SimpleNamespace(settings=AggregationSettings(), depth_inside=inside)
    assert np.array_equal(estimate(counts, space), counts.probability("azimuth-uniform-fine"))
    space.settings = preset("quant:evidence")
    found = estimate(counts, space)
    assert found[2, 2, 2] == 0
    assert np.array_equal(
        found, evidence_probability(counts, space.settings.evidence, inside > 0.1)
    )


def test_what_cannot_be_estimated_is_not_counted_first():
    with pytest.raises(BadInput, match="hidden=True"):
        AggregationSettings(estimator="evidence")
    assert json.dumps(preset("quant:evidence-no-inside").recorded(), allow_nan=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"widths": (0.03, 0.1)},
        {"widths": (-1.0,)},
        {"own_width": math.nan},
        {"inside": -0.1},
        {"slope": 0.0},
        {"offset": math.inf},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(BadInput, match="found"):
        EvidenceSettings(**wrong)

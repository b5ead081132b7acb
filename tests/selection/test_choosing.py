"""Shares and levels of samples by their quality."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.selection.choosing import combined, levels, top_share

NAN = np.nan
QUALITIES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, NAN]), min_size=1, max_size=30)


def test_the_best_are_chosen_and_ties_broken_by_the_order():
    quality, order = np.array([0.2, 0.9, NAN, 0.9]), np.array([0, 3, 1, 2])
    assert top_share(quality, 0.25, order).tolist() == [False, False, False, True]
    assert top_share(quality, 0.5, order).tolist() == [False, True, False, True]
    assert top_share(quality, 0.75, order).tolist() == [True, True, False, True]
    assert top_share(quality, 1, order).all()
    assert top_share(quality, 1e-9, order).sum() == 1
    assert top_share(np.array([]), 0.5, np.array([])).shape == (0,)


@given(QUALITIES, st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 1000))
def test_a_smaller_share_lies_within_a_larger_one(quality, one, other, seed):
    quality = np.array(quality)
    order = np.random.default_rng(seed).permutation(len(quality))
    few, many = (top_share(quality, share, order) for share in sorted((one, other)))
    assert few.any() and (many | ~few).all()
    known = np.nan_to_num(quality, nan=-1)
    assert known[few].min() >= known[~few].max(initial=-1)


def test_levels_are_quantiles():
    assert levels(np.array([0.4, 0.1, 0.3, 0.2]), 2).tolist() == [2, 1, 2, 1]
    assert levels(np.array([0.4, 0.1, 0.3, 0.2]), 4).tolist() == [4, 1, 3, 2]
    assert levels(np.array([0.5, 0.5, 0.5]), 3).tolist() == [1, 1, 1]
    assert levels(np.array([NAN, 0.1, 0.9]), 3).tolist() == [1, 2, 3]
    assert levels(np.array([0.7]), 5).tolist() == [1] and levels(np.array([]), 5).size == 0


@given(QUALITIES, st.integers(1, 6))
def test_levels_rise_with_the_quality(quality, count):
    quality = np.array(quality)
    found = levels(quality, count)
    assert found.min() >= 1 and found.max() <= count and found.dtype.kind == "i"
    known = np.nan_to_num(quality, nan=-1)
    assert (np.diff(found[np.argsort(known, kind="stable")]) >= 0).all()
    assert all(len(set(found[known == value])) == 1 for value in known)


def test_combined_is_the_mean_of_ranks():
    given_ = {"a": np.array([0.1, 0.2, 0.3]), "b": np.array([9.0, 7.0, 8.0])}
    np.testing.assert_allclose(combined(given_, ("a", "b")), [0.5, 0.25, 0.75])
    np.testing.assert_allclose(combined(given_, ("a",)), [0, 0.5, 1])
    given_["b"] = np.array([5.0, 5.0, NAN])
    np.testing.assert_allclose(combined(given_, ("b",)), [0.75, 0.75, NAN])
    np.testing.assert_allclose(combined(given_, ("a", "b")), [0.375, 0.625, 0.5])


@given(st.lists(st.integers(0, 5), min_size=2, max_size=20))
def test_combined_does_not_heed_a_criterions_scale(values):
    quality = np.array(values, float)
    other = np.sin(np.arange(len(values)))
    expected = combined({"a": quality, "b": other}, ("a", "b"))
    found = combined({"a": np.exp(quality), "b": 7 * other}, ("a", "b"))
    np.testing.assert_array_equal(found, expected)


def test_what_cannot_be_is_refused():
    quality = np.array([0.1, 0.2])
    for share in (0, -1, 1.1, NAN):
        with pytest.raises(BadInput, match="above 0 and at most 1"):
            top_share(quality, share, quality)
    with pytest.raises(BadInput, match="1 or more levels, found 0"):
        levels(quality, 0)
    with pytest.raises(BadInput, match="did you mean 'confidence'"):
        combined({"confidence": quality}, ("confidenc",))
    with pytest.raises(BadInput, match="no criterion to combine; name some of a"):
        combined({"a": quality}, ())

"""Which samples to count, and how often, by their quality (method.md 5c).

A quality that cannot be told (NaN) counts as the worst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from chorus.errors import BadInput, unknown_name

CRITERIA = ("confidence", "consistency", "agreement", "reprojection")
"""The names of the criteria."""
COMBINED = "combined"
"""The name of all criteria that were computed together."""


def combined(
    qualities: Mapping[str, Float[np.ndarray, " S"]], names: Sequence[str]
) -> Float[np.ndarray, " S"]:
    """(S,) in [0, 1]: the mean of the samples' ranks under the named criteria.

    A rank is the share of the other samples that are worse, ties counting half. The criteria have
    different scales and spreads, so that in a product the one of widest spread would decide alone;
    ranks weigh them alike. NaN for a sample of which no criterion can be told. BadInput for an
    unknown name or for none.
    """
    if not names:
        raise BadInput(f"no criterion to combine; name some of {', '.join(qualities)}.")
    for name in names:
        if name not in qualities:
            raise unknown_name("criterion", name, qualities)
    values = np.stack([np.asarray(qualities[name], float) for name in names])
    ranks = np.stack([_ranks(each) for each in values])
    return np.where(np.isnan(values).all(0), np.nan, ranks.mean(0))


def top_share(
    quality: Float[np.ndarray, " S"], share: float, order: Shaped[np.ndarray, " S"]
) -> Bool[np.ndarray, " S"]:
    """(S,): the given part of the samples, those of best quality, and at least one.

    order (S,): of equal qualities the one that comes first in this order is the better, so that a
    smaller share lies within a larger one. BadInput for a share that is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise BadInput(f"a share of samples must be above 0 and at most 1, found {share}.")
    quality = _worst_if_unknown(quality)
    count = min(len(quality), max(1, round(share * len(quality))))
    best = np.lexsort((np.asarray(order), -quality))[:count]
    chosen = np.zeros(len(quality), bool)
    chosen[best] = True
    return chosen


def levels(quality: Float[np.ndarray, " S"], count: int) -> Int[np.ndarray, " S"]:
    """(S,) whole numbers 1 to count: the quantile that each sample's quality lies in.

    1 + floor(count * worse / S), where `worse` is how many samples have a lower quality: equal
    qualities have equal levels. Whole numbers, so that weighted counts stay whole numbers, too.
    BadInput for a count below 1.
    """
    if count < 1:
        raise BadInput(f"samples need 1 or more levels, found {count}.")
    quality = _worst_if_unknown(quality)
    worse = np.searchsorted(np.sort(quality), quality, side="left")
    return 1 + count * worse // max(1, len(quality))


def _ranks(quality: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
    """(S,): share of the other samples that are worse, ties counting half."""
    quality = _worst_if_unknown(quality)
    ordered = np.sort(quality)
    worse = np.searchsorted(ordered, quality, side="left")
    not_better = np.searchsorted(ordered, quality, side="right")
    return (worse + not_better - 1) / 2 / max(1, len(quality) - 1)


def _worst_if_unknown(quality: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
    quality = np.asarray(quality, float)
    return np.where(np.isnan(quality), -np.inf, quality)

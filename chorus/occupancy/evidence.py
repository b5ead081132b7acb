"""From counts to probabilities that know what was seen (method.md 8, "The evidence estimator").

Let h_b(v) be the samples of azimuth bin b whose mask holds voxel v, and e_b(v) those that could
have seen it: inside the image and not hidden behind the body. The published estimate is a weighted
quotient of the two. Here

1. rates borrow from their neighbourhood as far as they need to: rates pooled over all bins, from
   coarse to fine widths of a Gaussian kernel, each shrunk towards the one before,
       r_k = (h_k + s r_{k-1}) / (e_k + s),
   and at last each bin's own, shrunk towards the pooled one. So the width of smoothing follows the
   evidence: many visits speak for themselves, few take what is around them;
2. the strengths s, in visits, are estimated from the counts by the method of moments: how much more
   the hits of a voxel scatter around the coarser rate than a binomial draw would (Kleinman 1973);
3. an object that occupies a voxel is seen there from every side, so each bin's rate bounds the
   truth from above, and a low rate that many visits support outweighs high ones: the bins'
   geometric mean, weighted by e / (e + s);
4. nothing is deep inside the body;
5. a logistic map makes the numbers mean shares (docs/evaluation.md, "Reliability").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter
from scipy.special import expit, logit

from chorus.errors import BadInput

if TYPE_CHECKING:
    from chorus.occupancy.canonical import CanonicalSpace
    from chorus.occupancy.counts import BinCounts
    from chorus.occupancy.presets import EvidenceSettings

_LEAST_RATE = 1e-3
"""Keeps a bin that never saw the object from ruling out a voxel by itself."""
_STRENGTHS = (0.5, 64.0)
"""Range of estimated strengths, visits; the ends are taken where counts cannot tell."""


def estimate(counts: BinCounts, space: CanonicalSpace) -> Float[np.ndarray, "N N N"]:
    """(N, N, N) float32: the probabilities that the settings of a space make of counts over it."""
    settings = space.settings
    if settings.estimator == "quotient":
        return counts.probability(settings.weighting)
    inside = space.depth_inside > settings.evidence.inside
    return evidence_probability(counts, settings.evidence, inside)


def evidence_probability(
    counts: BinCounts,
    settings: EvidenceSettings,
    inside: Bool[np.ndarray, "N N N"] | None = None,
) -> Float[np.ndarray, "N N N"]:
    """(N, N, N) float32: the probability that the object occupies each voxel.

    inside: voxels where no object can be (deep inside the body); None: anywhere may be. 0 where
    nobody could have looked. BadInput if hidden voxels are wanted and were not counted.
    """
    hits, visits = _evidence(counts, settings)
    size, seen = counts.grid.size, visits.sum(axis=0)
    pooled = _pooled_rate(hits.sum(axis=0), seen, size, settings.widths)
    rate = pooled
    if settings.bound:
        rate = _combined(hits, visits, pooled, settings.own_width / size)
    rate = calibrated(rate, settings.slope, settings.offset)
    rate[seen == 0] = 0
    if inside is not None:
        rate[inside] = 0
    return rate.astype(np.float32)


def _evidence(
    counts: BinCounts, settings: EvidenceSettings
) -> tuple[Float[np.ndarray, "12 N N N"], Float[np.ndarray, "12 N N N"]]:
    """Hits and visits per bin, float32: the samples whose mask holds a voxel, and all that could
    have seen the object there; posed meshes are among both (`BinCounts.observed`)."""
    hits, visits = (each.astype(np.float32) for each in counts.observed())
    if settings.hidden:
        if counts.hidden is None:
            raise BadInput(
                "the evidence estimator needs counts of hidden voxels, which these lack; aggregate "
                "again with the setting `hidden`, or estimate without them."
            )
        visits -= counts.hidden
    return hits, visits


def _pooled_rate(
    hits: Float[np.ndarray, "N N N"],
    visits: Float[np.ndarray, "N N N"],
    size: float,
    widths: Sequence[float],
) -> Float[np.ndarray, "N N N"]:
    """Rates over all bins, each width's shrunk towards the wider one's, the first towards the mean
    of all voxels; every voxel's own rate comes last."""
    rate = np.full_like(hits, hits.sum() / max(visits.sum(), 1.0))
    for width in widths:
        prior = strength(hits, visits, rate)
        near_hits, near_visits = (_smooth(of, width / size) for of in (hits, visits))
        rate = (near_hits + prior * rate) / (near_visits + prior)
    return rate


def _combined(
    hits: Float[np.ndarray, "12 N N N"],
    visits: Float[np.ndarray, "12 N N N"],
    pooled: Float[np.ndarray, "N N N"],
    width: float,
) -> Float[np.ndarray, "N N N"]:
    """The bins' geometric mean, each bin's rate shrunk towards the pooled one; width in voxels."""
    prior = strength(hits, visits, pooled)
    logs, weights = np.zeros_like(pooled), np.zeros_like(pooled)
    for bin_hits, bin_visits in zip(hits, visits, strict=True):
        if not bin_visits.any():
            continue
        near_hits, near_visits = _smooth(bin_hits, width), _smooth(bin_visits, width)
        rate = (near_hits + prior * pooled) / (near_visits + prior)
        weight = near_visits / (near_visits + prior)
        logs += weight * np.log(rate + _LEAST_RATE)
        weights += weight
    mean = np.exp(logs / np.maximum(weights, 1e-6)) - _LEAST_RATE
    return np.where(weights > 1e-6, np.maximum(mean, 0), pooled)


def _smooth(volume: Float[np.ndarray, "N N N"], width: float) -> Float[np.ndarray, "N N N"]:
    """A volume under a Gaussian kernel of a width in voxels; nothing lies beyond the grid."""
    return gaussian_filter(volume, width, mode="constant") if width else volume


def strength(
    hits: Float[np.ndarray, ...], visits: Float[np.ndarray, ...], mean: Float[np.ndarray, ...]
) -> float:
    """How many visits a prior rate is worth, by the method of moments.

    hits of visits scatter around visits * mean with the variance n m (1 - m) (1 + (n - 1) rho) of a
    beta-binomial draw, rho = 1 / (strength + 1) (Kleinman 1973; each count weighed alike). Arrays
    broadcast. Within `_STRENGTHS`.
    """
    binomial = visits * mean * (1 - mean)
    excess = float(((hits - visits * mean) ** 2 - binomial).sum(dtype=np.float64))
    most = float((binomial * np.maximum(visits - 1, 0)).sum(dtype=np.float64))
    rho = excess / most if most > 0 else 0.0
    return float(np.clip(1 / rho - 1, *_STRENGTHS)) if rho > 0 else _STRENGTHS[1]


def calibrated(rate: Float[np.ndarray, ...], slope: float, offset: float) -> Float[np.ndarray, ...]:
    """Rates from 0 to 1 whose log odds are multiplied by a slope above 0 and moved by an offset."""
    if (slope, offset) == (1.0, 0.0):
        return rate
    return expit(slope * logit(rate) + offset)

"""Precision and recall over thresholds, and the area that PAP takes from them (method.md 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from chorus.errors import BadInput


@dataclass(frozen=True, eq=False)
class Curve:
    """What is on at each of T rising thresholds, in cells, against one target or several pooled."""

    thresholds: Float[np.ndarray, " T"]
    """The thresholds; a cell is on where its value is at least the threshold."""
    predicted: Int[np.ndarray, " T"]
    """Cells that are on."""
    hits: Int[np.ndarray, " T"]
    """Cells that are on and in the target."""
    target: int
    """Cells of the target."""

    @property
    def precision(self) -> Float[np.ndarray, " T"]:
        """(T,) float64: hits / predicted, 0 where nothing is predicted."""
        return self.hits / np.maximum(self.predicted, 1)

    @property
    def recall(self) -> Float[np.ndarray, " T"]:
        """(T,) float64: hits / target, 0 for an empty target."""
        return self.hits / max(self.target, 1)


def precision_recall(
    values: Float[np.ndarray, "h w"],
    target: Bool[np.ndarray, "h w"],
    thresholds: Float[np.ndarray, " T"],
    ignored: Bool[np.ndarray, "h w"] | None = None,
) -> Curve:
    """The curve of one image, all thresholds from two histograms.

    values (h, w): the likelihood per cell; target (h, w); ignored (h, w): cells that count neither
    as predicted nor as target; thresholds (T,): rising.
    """
    # How many thresholds a cell reaches: it is on at that many of the first ones.
    reached = np.searchsorted(thresholds, values, side="right")
    counted = np.ones_like(target) if ignored is None else ~ignored
    counted_target = target & counted

    def on(cells: np.ndarray) -> np.ndarray:
        histogram = np.bincount(reached[cells], minlength=len(thresholds) + 1)
        return histogram[::-1].cumsum()[::-1][1:]

    return Curve(thresholds, on(counted), on(counted_target), int(counted_target.sum()))


def area(curve: Curve, closed: bool, strict: bool = False) -> float:
    """Sum over rising thresholds of (drop of recall) x (best precision before it).

    NaN if the target is empty. closed: the recall still alive at the last threshold counts as one
    more drop, to 0 (`pap/v2`). strict: a drop to a threshold at which nothing is predicted counts
    nothing.
    """
    if not curve.target:
        return float("nan")
    best = np.maximum.accumulate(curve.precision)
    drops = -np.diff(curve.recall)
    if strict:
        drops = np.where(curve.predicted[1:] > 0, drops, 0)
    total = float(drops @ best[:-1])
    return total + float(curve.recall[-1] * best[-1]) if closed else total


def pooled(curves: Sequence[Curve]) -> Curve:
    """One curve of several images: their cells counted together, so large objects weigh more.

    BadInput for no curves or for curves over different thresholds.
    """
    if not curves:
        raise BadInput("there are no curves to pool: no test image of the category has a target.")
    thresholds = curves[0].thresholds
    if not all(np.array_equal(curve.thresholds, thresholds) for curve in curves):
        raise BadInput("curves over different thresholds cannot be pooled; score all images alike.")
    return Curve(
        thresholds,
        np.sum([curve.predicted for curve in curves], axis=0),
        np.sum([curve.hits for curve in curves], axis=0),
        sum(curve.target for curve in curves),
    )

"""Whether probabilities mean something: predicted probability against the truly occupied share.

A reliability diagram (DeGroot and Fienberg 1983) sorts voxels by the probability that is predicted
for them and compares, group by group, the mean prediction with the mean truth. The expected
calibration error (Naeini et al. 2015) is the groups' mean distance, weighted by their voxels.
Nearly all voxels of a grid are empty and rightly called so, which would make any error tiny; so
only those count that are predicted or truly occupied with `LEAST` or more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

LEAST = 0.02
"""Probability from which a voxel counts, predicted or true."""
GROUPS = 10
"""Groups of equal width from 0 to 1."""


@dataclass(frozen=True)
class Reliability:
    """Sums over the voxels of each group of predicted probability: those of several distributions
    add up."""

    predicted: Float[np.ndarray, " G"]
    """Of the predicted probabilities."""
    occupied: Float[np.ndarray, " G"]
    """Of the truly occupied shares."""
    voxels: Int[np.ndarray, " G"]
    """How many voxels."""

    def __add__(self, other: Reliability) -> Reliability:
        """Both together."""
        return Reliability(
            self.predicted + other.predicted,
            self.occupied + other.occupied,
            self.voxels + other.voxels,
        )

    @property
    def means(self) -> tuple[Float[np.ndarray, " G"], Float[np.ndarray, " G"]]:
        """Mean prediction and mean truth of each group, NaN for one without voxels."""
        count = np.where(self.voxels > 0, self.voxels, np.nan)
        return self.predicted / count, self.occupied / count

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance of prediction and truth over groups, weighted by voxels; 0 is perfect, NaN
        if no voxel counts."""
        if not self.voxels.any():
            return float("nan")
        return float(np.abs(self.predicted - self.occupied).sum() / self.voxels.sum())


def reliability(
    probability: Float[np.ndarray, "N N N"], truth: Float[np.ndarray, "N N N"]
) -> Reliability:
    """The groups of one distribution against the true occupancy, both (N, N, N) in [0, 1]."""
    counts = np.maximum(probability, truth) >= LEAST
    predicted, true = probability[counts].astype(float), truth[counts].astype(float)
    group = np.minimum((predicted * GROUPS).astype(int), GROUPS - 1)
    return Reliability(
        np.bincount(group, predicted, GROUPS),
        np.bincount(group, true, GROUPS),
        np.bincount(group, minlength=GROUPS),
    )

"""How good keypoints and cameras are: PCK, the area under its curve, angles between cameras."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from chorus.animals.keypoints import VISIBLE

POSE_THRESHOLDS = tuple(round(0.02 + 0.01 * step, 2) for step in range(9))
"""Shares of the box at which `pose/evaluate.py` prints the PCK."""
AREA_THRESHOLDS = (0.06, 0.07, 0.08, 0.09, 0.10)
"""Those whose mean PCK is the published area under the curve."""
_NEAREST = 1 - 1e-6


def errors(
    found: Float[np.ndarray, "N K 2"],
    joints: Float[np.ndarray, "N K 3"],
    boxes: Float[np.ndarray, "N 4"],
) -> tuple[Float[np.ndarray, "N K"], Bool[np.ndarray, "N K"]]:
    """Distances (N, K) of keypoints from their labels, as shares of the box's longer side, and
    which labels count."""
    distance = np.linalg.norm(found - joints[..., :2], axis=-1)
    return distance / boxes[:, None, 2:].max(-1), joints[..., 2] >= VISIBLE


def pck(
    error: Float[np.ndarray, "*batch K"],
    counted: Bool[np.ndarray, "*batch K"],
    threshold: float,
    strict: bool = False,
) -> float:
    """Share of the counted keypoints within a threshold, in percent; NaN if none counts.

    strict: below the threshold, as the release's `acsm/evaluate.py` has it, not at it, as its
    `pose/evaluate.py`.
    """
    near = error < threshold if strict else error <= threshold
    return float(100 * near[counted].mean()) if counted.any() else float("nan")


def area_under_curve(
    error: Float[np.ndarray, "*batch K"], counted: Bool[np.ndarray, "*batch K"]
) -> float:
    """The mean of the strict PCK at .06 to .10, percent."""
    return float(np.mean([pck(error, counted, each, strict=True) for each in AREA_THRESHOLDS]))


def camera_errors(
    predicted: Float[np.ndarray, "N 3 3"], true: Float[np.ndarray, "N 3 3"]
) -> Float[np.ndarray, " N"]:
    """Angles (N,) between rotations, degrees, 0.16 at least, as published."""
    trace = np.einsum("nij,nij->n", predicted, true)
    half = np.sqrt(np.clip((1 + trace) / 4, 0, 1))  # |w| of the relative quaternion
    return np.degrees(2 * np.arccos(np.minimum(half, _NEAREST)))


def interval(
    values: Float[np.ndarray, " N"], rounds: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The 95 percent interval of the mean of values by resampling them."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(rounds, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)

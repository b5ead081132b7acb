"""How far two answers to the same keypoints lie apart, and orders by it (docs/animals.md).

The published criteria of animals3d, and `confirmed`, which makes an order of the criteria of soft
selection: those measure alike in both directions and look at visible keypoints alone. Keypoints are
pixels of an image, boxes [x, y, w, h]. Every score is one number per sample; `best_first` puts the
best ones in front.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from chorus.errors import BadInput

REFERENCE = 256.0
"""Side, pixels, that the published distance stretches both sides of a box to."""

Places = Float[np.ndarray, "S K 2"]
Boxes = Float[np.ndarray, "S 4"]
PerSample = Float[np.ndarray, " S"]


def total_confidence(confidence: Float[np.ndarray, "S K"]) -> PerSample:
    """(S,): the sum of the keypoints' confidences, as published. High is good."""
    return np.asarray(confidence, float).sum(1)


def stretched_deviation(a: Places, b: Places, boxes: Boxes) -> PerSample:
    """(S,): the published distance, the mean over keypoints of the distance of their two places
    in the box stretched to a square of 256 pixels. Low is good.

    A pixel counts more along the box's shorter side, and hidden keypoints count like others.
    """
    a, b, boxes = _checked(a, b, boxes)
    stretch = REFERENCE / boxes[:, None, 2:]
    return np.linalg.norm(stretch * (a - b), axis=-1).mean(1)


def confirmed(quality: PerSample, visible: Bool[np.ndarray, "S K"]) -> PerSample:
    """(S,): about how many keypoints another answer confirms: a mean quality over the visible ones
    (`criteria`), in [0, 1], times their number; 0 where none is visible. High is good.

    A mean alone would prefer samples of which little is seen to agree on.
    """
    quality, visible = np.asarray(quality, float), np.asarray(visible, bool)
    if visible.ndim != 2 or quality.shape != visible.shape[:1]:
        raise BadInput(
            f"one quality per sample and a visibility per keypoint were expected, found the shapes "
            f"{quality.shape} and {visible.shape}."
        )
    count = visible.sum(1)
    return np.where(count > 0, quality, 0) * count


def mean_place(
    others: Float[np.ndarray, "S T K 2"],
) -> Places:
    """(S, K, 2): the mean of the places found in T transformed images. BadInput for none."""
    others = np.asarray(others, float)
    if others.ndim != 4 or not others.shape[1]:
        raise BadInput(
            f"places in one or more transformed images (S, T, K, 2) were expected, found the "
            f"shape {others.shape}."
        )
    return others.mean(1)


def best_first(score: PerSample, high_is_good: bool) -> Int[np.ndarray, " S"]:
    """(S,): the samples' numbers from the best on; equal scores stay in order, NaN comes last."""
    score = np.asarray(score, float)
    score = np.where(np.isnan(score), -np.inf if high_is_good else np.inf, score)
    return np.argsort(-score if high_is_good else score, kind="stable")


def _checked(a: Places, b: Places, boxes: Boxes) -> tuple[Places, Places, Boxes]:
    a, b, boxes = (np.asarray(each, float) for each in (a, b, boxes))
    if a.ndim != 3 or a.shape[-1] != 2 or a.shape != b.shape:
        raise BadInput(
            f"both sides must be places (S, K, 2) of the same keypoints; found {a.shape} and "
            f"{b.shape}."
        )
    if boxes.shape != (len(a), 4) or not (boxes[:, 2:] > 0).all():
        raise BadInput(
            f"{len(a)} samples need as many boxes [x, y, w, h] of a width and height above 0; "
            f"found the shape {boxes.shape}."
        )
    return a, b, boxes

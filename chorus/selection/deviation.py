"""How far two answers to the same keypoints lie apart, and orders by it (docs/animals.md).

The published criteria of animals3d, and beside them versions that measure alike in both directions
and look at visible keypoints alone. Keypoints are pixels of an image, boxes [x, y, w, h]. Every
score is one number per sample; `best_first` puts the best ones in front.
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


def total_confidence(
    confidence: Float[np.ndarray, "S K"], visible: Bool[np.ndarray, "S K"] | None = None
) -> PerSample:
    """(S,): the sum of the keypoints' confidences, as published; or, with `visible`, the mean of
    those of visible keypoints, 0 where there is none. High is good."""
    confidence = np.asarray(confidence, float)
    if visible is None:
        return confidence.sum(1)
    return _mean(confidence, visible, otherwise=0.0)


def stretched_deviation(a: Places, b: Places, boxes: Boxes) -> PerSample:
    """(S,): the published distance, the mean over keypoints of the distance of their two places
    in the box stretched to a square of 256 pixels. Low is good.

    A pixel counts more along the box's shorter side, and hidden keypoints count like others.
    """
    a, b, boxes = _checked(a, b, boxes)
    stretch = REFERENCE / boxes[:, None, 2:]
    return np.linalg.norm(stretch * (a - b), axis=-1).mean(1)


def deviation(a: Places, b: Places, boxes: Boxes, visible: Bool[np.ndarray, "S K"]) -> PerSample:
    """(S,): the mean distance of the two places of visible keypoints, as a share of the box's
    longer side; infinity where none is visible. Low is good."""
    a, b, boxes = _checked(a, b, boxes)
    distance = np.linalg.norm(a - b, axis=-1) / boxes[:, None, 2:].max(-1)
    return _mean(distance, visible, otherwise=np.inf)


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


def _mean(
    values: Float[np.ndarray, "S K"], told: Bool[np.ndarray, "S K"], otherwise: float
) -> PerSample:
    told = np.asarray(told, bool)
    if told.shape != values.shape:
        raise BadInput(
            f"visibilities of the shape {values.shape} were expected, found {told.shape}."
        )
    count = told.sum(1)
    total = np.where(told, values, 0).sum(1)
    return np.divide(total, count, out=np.full(len(count), otherwise), where=count > 0)


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

"""Axis-aligned boxes, numpy: (..., 4) as left, top, right, bottom in pixels, right and bottom
exclusive. The two inputs of a pairwise function broadcast against each other."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

Boxes = Float[np.ndarray, "... 4"]
Values = Float[np.ndarray, "..."]


def area(boxes: Boxes) -> Values:
    """Areas (...) in square pixels of boxes (..., 4); 0 where right <= left or bottom <= top."""
    boxes = np.asarray(boxes)
    sides = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None)
    return sides[..., 0] * sides[..., 1]


def intersection(a: Boxes, b: Boxes) -> Values:
    """Area (...) in square pixels that boxes a (..., 4) and b (..., 4) share."""
    a, b = np.asarray(a), np.asarray(b)
    top_left = np.maximum(a[..., :2], b[..., :2])
    bottom_right = np.minimum(a[..., 2:], b[..., 2:])
    return area(np.concatenate([top_left, bottom_right], axis=-1))


def iou(a: Boxes, b: Boxes) -> Values:
    """Intersection over union (...) in [0, 1] of a (..., 4) and b (..., 4); 0 for empty boxes."""
    shared = intersection(a, b)
    return _ratio(shared, area(a) + area(b) - shared)


def intersection_over_smaller(a: Boxes, b: Boxes) -> Values:
    """Intersection over the smaller area (...), in [0, 1] (method.md 11); 0 for empty boxes."""
    return _ratio(intersection(a, b), np.minimum(area(a), area(b)))


def suppress_overlaps(
    boxes: Float[np.ndarray, "N 4"],
    scores: Float[np.ndarray, " N"],
    min_overlap: float = 0.8,
    always_keep: float = 0.98,
) -> Bool[np.ndarray, " N"]:
    """Which of one class's boxes survive the clean-up of method.md 3.

    boxes (N, 4), scores (N,) in [0, 1]; returns keep (N,) bool. Boxes are visited from the lowest
    score (ties: in the given order). A score of at least `always_keep` stays; another box is
    dropped when its intersection with any box not yet dropped is at least `min_overlap` of the
    smaller of the two areas.
    """
    boxes, scores = np.asarray(boxes), np.asarray(scores)
    overlaps = intersection_over_smaller(boxes[:, None], boxes[None]) >= min_overlap
    np.fill_diagonal(overlaps, False)
    keep = np.ones(len(boxes), bool)
    # Sequential by definition: whether a box goes depends on which ones went before it.
    for i in np.argsort(scores, kind="stable"):
        if scores[i] < always_keep and (overlaps[i] & keep).any():
            keep[i] = False
    return keep


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where whole is 0."""
    whole = np.asarray(whole)
    positive = whole > 0
    return np.where(positive, part / np.where(positive, whole, 1), 0)

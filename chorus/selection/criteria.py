"""Four criteria of a sample's quality, each in [0, 1], NaN where it cannot be told (method.md 5c).

All but the confidence compare two answers to one question by the same measure: per keypoint
exp(-d^2 / (2 (sigma e)^2)), where d is the distance of its two places and e the sample's extent,
both in pixels. It is the object keypoint similarity of COCO with one sigma for all keypoints and
the longer side of the box for the root of the area. A sample's quality is the mean over the
keypoints that are visible and have both places.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from chorus.errors import BadInput

SIGMA = 0.08
"""Distance, as a share of the extent, at which the similarity is exp(-1/2)."""
VISIBLE = 0.3
"""Confidence from which a keypoint counts as visible."""

Keypoints = Float[np.ndarray, "S K 3"]
Places = Float[np.ndarray, "S K 2"]
PerSample = Float[np.ndarray, " S"]


def visible_keypoints(keypoints: Keypoints) -> Bool[np.ndarray, "S K"]:
    """(S, K): which keypoints (S, K, 3) are finite and of a confidence of at least VISIBLE."""
    keypoints = np.asarray(keypoints, float)
    return np.isfinite(keypoints).all(-1) & (keypoints[..., 2] >= VISIBLE)


def mean_confidence(keypoints: Keypoints) -> PerSample:
    """(S,): the mean confidence of all keypoints (S, K, 3), hidden ones too.

    A keypoint whose confidence is no number counts 0, since the detector did not find it. NaN for a
    sample of which no keypoint has a confidence.
    """
    confidence = np.clip(_checked(keypoints, "keypoints", 3)[..., 2], 0, 1)
    told = np.isfinite(confidence)
    return _mean(np.where(told, confidence, 0), np.broadcast_to(told.any(-1)[:, None], told.shape))


def transform_consistency(
    reference: Places,
    others: Float[np.ndarray, "S T K 2"],
    extent: PerSample,
    visible: Bool[np.ndarray, "S K"],
    sigma: float = SIGMA,
) -> PerSample:
    """(S,): how little keypoints move when the image is transformed.

    reference (S, K, 2) pixels in the image; others (S, T, K, 2) pixels found in T transformed
    images and mapped back, NaN where a transformed image does not show the keypoint; extent (S,)
    pixels; visible (S, K). d is the mean displacement over the transforms that show the keypoint.
    """
    reference, others = _checked(reference, "reference", 2), np.asarray(others, float)
    if others.ndim != 4 or (others.shape[0], *others.shape[2:]) != reference.shape:
        raise BadInput(
            "keypoints of transformed images must have shape (S, T, K, 2) for a reference of shape "
            f"{reference.shape}; found {others.shape}."
        )
    moved = np.linalg.norm(others - reference[:, None], axis=-1)
    shown = np.isfinite(moved)
    total, count = np.where(shown, moved, 0).sum(1), shown.sum(1)
    distance = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return _similarity(distance, extent, visible, sigma)


def detector_agreement(
    a: Keypoints, b: Keypoints, extent: PerSample, sigma: float = SIGMA
) -> PerSample:
    """(S,): how near two detectors' keypoints (S, K, 3) are; extent (S,) pixels.

    A keypoint that only one of them sees counts 0, one that neither sees is left out.
    """
    a, b = _checked(a, "keypoints", 3), _checked(b, "keypoints", 3)
    _check_same(a[..., :2], b[..., :2])
    seen_a, seen_b = visible_keypoints(a), visible_keypoints(b)
    distance = np.linalg.norm(a[..., :2] - b[..., :2], axis=-1)
    distance = np.where(seen_a & seen_b, distance, np.inf)
    return _similarity(distance, extent, seen_a | seen_b, sigma)


def reprojection_agreement(
    keypoints: Keypoints, projected: Places, extent: PerSample, sigma: float = SIGMA
) -> PerSample:
    """(S,): how near visible keypoints (S, K, 3) are to where the body has them in the image.

    projected (S, K, 2) pixels, NaN for keypoints that the body lacks; extent (S,) pixels.
    """
    keypoints, projected = _checked(keypoints, "keypoints", 3), _checked(projected, "projected", 2)
    _check_same(keypoints[..., :2], projected)
    distance = np.linalg.norm(keypoints[..., :2] - projected, axis=-1)
    return _similarity(distance, extent, visible_keypoints(keypoints), sigma)


def _similarity(
    distance: Float[np.ndarray, "S K"],
    extent: PerSample,
    visible: Bool[np.ndarray, "S K"],
    sigma: float,
) -> PerSample:
    """The mean similarity of the visible keypoints whose distance, pixels, can be told."""
    extent = np.asarray(extent, float)
    if extent.shape != distance.shape[:1] or np.shape(visible) != distance.shape:
        raise BadInput(
            f"{distance.shape[0]} samples of {distance.shape[1]} keypoints need one extent each "
            f"and a visibility per keypoint; found shapes {extent.shape} and {np.shape(visible)}."
        )
    if not sigma > 0:
        raise BadInput(f"a similarity needs a sigma above 0, found {sigma}; the usual is {SIGMA}.")
    known = np.isfinite(extent) & (extent > 0)
    scale = sigma * np.where(known, extent, 1)[:, None]
    told = np.asarray(visible, bool) & ~np.isnan(distance) & known[:, None]
    return _mean(np.exp(-0.5 * np.square(np.where(told, distance, 0) / scale)), told)


def _mean(values: Float[np.ndarray, "S K"], told: Bool[np.ndarray, "S K"]) -> PerSample:
    """Means over the values that can be told, NaN where there is none."""
    count = told.sum(-1)
    total = np.where(told, values, 0).sum(-1)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _checked(values: np.ndarray, name: str, width: int) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim != 3 or values.shape[-1] != width:
        raise BadInput(f"{name} must have shape (S, K, {width}), found {values.shape}.")
    return values


def _check_same(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise BadInput(f"both sides must have the same keypoints; found {a.shape} and {b.shape}.")

"""Errors of hands as the official scripts of FreiHAND and HO-3D define them, and corrected.

Points are N samples of P points, metres. Everything is batched numpy, float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

AUC_LIMIT = 0.05
"""Metres up to which curves of correct keypoints go."""
AUC_THRESHOLDS = 100
F_THRESHOLDS = (0.005, 0.015)
"""Metres within which a point counts as near, for F@5 and F@15."""

_TINY = 1e-8  # added to norms, as the official scripts do

Points = Float[np.ndarray, "N P 3"]


class Similarity(NamedTuple):
    """Maps of N samples from predicted to true points: scale * (x - source) @ rotation + target."""

    scale: Float[np.ndarray, " N"]
    rotation: Float[np.ndarray, "N 3 3"]
    source: Float[np.ndarray, "N 3"]
    target: Float[np.ndarray, "N 3"]

    def __call__(self, points: Points) -> Points:
        """Points mapped."""
        turned = (points - self.source[:, None]) @ self.rotation
        return self.scale[:, None, None] * turned + self.target[:, None]


def best_similarity(truth: Points, predicted: Points, reflections: bool = False) -> Similarity:
    """Procrustes: the similarity of each sample that brings predicted points closest to true ones.

    reflections: allow mirroring, as the official scripts do, so that a mirror image has no error.
    """
    target, source = truth.mean(axis=1), predicted.mean(axis=1)
    a, b = truth - target[:, None], predicted - source[:, None]
    size, own = (np.linalg.norm(each, axis=(1, 2)) + _TINY for each in (a, b))
    u, s, vt = np.linalg.svd(b.swapaxes(1, 2) @ a / (size * own)[:, None, None])
    if not reflections:
        sign = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
        s[:, 2] *= sign
        u[:, :, 2] *= sign[:, None]
    return Similarity(s.sum(axis=1) * size / own, u @ vt, source, target)


def officially_carried(
    points: Points, joints: Similarity, own_size: Float[np.ndarray, " N"]
) -> Points:
    """Points moved as the official scripts carry the joints' alignment over to meshes of another
    number of vertices: about the points' own centre, and without the division by the predicted
    joints' size, the Frobenius norm (N,) of their distances from their mean."""
    middle = points.mean(axis=1)
    scale = joints.scale * (own_size + _TINY)
    turned = (points - middle[:, None]) @ joints.rotation * scale[:, None, None]
    return turned + (joints.target - joints.source + middle)[:, None]


def scale_translation_aligned(truth: Points, predicted: Points, reference: int) -> Points:
    """HO-3D's alignment of joints: scaled so that the bone from the wrist, joint 0, to the joint
    `reference` is as long as in truth, and the wrist put onto the true one."""
    bones = [np.linalg.norm(p[:, reference] - p[:, 0], axis=1) for p in (truth, predicted)]
    scale = bones[0] / np.maximum(bones[1], _TINY)
    return (predicted - predicted[:, :1]) * scale[:, None, None] + truth[:, :1]


def point_errors(truth: Points, predicted: Points) -> Float[np.ndarray, "N P"]:
    """Distances (N, P) of corresponding points, metres."""
    return np.linalg.norm(truth - predicted, axis=2)


def area_under_curve(errors: Float[np.ndarray, "N P"]) -> float:
    """Mean over points of the area under the share of samples whose error is at most t, for t from
    0 to 50 mm in 100 steps (trapezoids), as a share of the whole."""
    thresholds = np.linspace(0, AUC_LIMIT, AUC_THRESHOLDS)
    # sorted, so that no (N, P, 100) array is needed
    ranks = np.stack([np.searchsorted(e, thresholds, side="right") for e in np.sort(errors, 0).T])
    shares = ranks / len(errors)
    return float((np.trapezoid(shares, thresholds, axis=1) / AUC_LIMIT).mean())


def f_scores(truth: Points, predicted: Points) -> Float[np.ndarray, "N 2"]:
    """F@5 and F@15 of each sample: the harmonic mean of the shares of true points with a predicted
    one within the threshold, and of predicted ones with a true one. Numbers of points may differ.
    """
    from scipy.spatial import cKDTree

    scores = np.zeros((len(truth), len(F_THRESHOLDS)))
    for number, (a, b) in enumerate(zip(truth, predicted, strict=True)):
        # a point further away than the largest threshold counts as far, however far
        reach = max(F_THRESHOLDS)
        there = cKDTree(b).query(a, distance_upper_bound=reach)[0]
        back = cKDTree(a).query(b, distance_upper_bound=reach)[0]
        for at, threshold in enumerate(F_THRESHOLDS):
            recall, precision = (there < threshold).mean(), (back < threshold).mean()
            if recall + precision > 0:
                scores[number, at] = 2 * recall * precision / (recall + precision)
    return scores


def acceleration_error(truth: Points, predicted: Points) -> Float[np.ndarray, " M"]:
    """Of a clip of N frames, for the N - 2 inner ones the mean distance of the second differences
    of predicted and true points, metres per frame squared."""
    second = [p[2:] - 2 * p[1:-1] + p[:-2] for p in (truth, predicted)]
    return np.linalg.norm(second[1] - second[0], axis=2).mean(axis=1)

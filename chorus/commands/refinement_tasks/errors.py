"""Errors of bodies as ScoreHMR's evaluation defines them, millimetres."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int

from chorus.geometry.alignment import aligned_distances
from chorus.hands.metrics import acceleration_error
from chorus.refinement.score.published_points import PELVIS

_MM = 1000.0

Points = Float[np.ndarray, "N 44 3"]


def position_errors(
    found: Points, truth: Points, joints: tuple[int, ...]
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """MPJPE (N,) of points 44, metres, with the pelvis put onto the true one, and PA-MPJPE (N,)
    after the best rotation, scale and shift; means over some of the points."""
    found, truth = _rooted(found), _rooted(truth)
    chosen = list(joints)
    found, truth = found[:, chosen], truth[:, chosen]
    plain = np.linalg.norm(found - truth, axis=2).mean(1)
    aligned = aligned_distances(torch.from_numpy(found), torch.from_numpy(truth)).mean(1)
    return _MM * plain, _MM * aligned.numpy()


def acceleration_errors(
    found: Points, truth: Points, joints: tuple[int, ...], group: Int[np.ndarray, " N"]
) -> dict[int, Float[np.ndarray, " M"]]:
    """Of every group (a track), the errors (M,) of its M inner frames, mm per frame squared: the
    mean distance of the points' second differences, relative to the pelvis."""
    found, truth = _rooted(found), _rooted(truth)
    chosen = list(joints)
    return {
        int(each): _MM
        * acceleration_error(truth[group == each][:, chosen], found[group == each][:, chosen])
        for each in np.unique(group)
    }


def _rooted(points: Points) -> Points:
    points = points.astype(np.float64)
    return points - points[:, PELVIS : PELVIS + 1]

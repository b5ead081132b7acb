"""Point sets compared after the similarity that brings them closest (Procrustes)."""

from __future__ import annotations

import roma
from jaxtyping import Float
from torch import Tensor


def aligned_distances(
    points: Float[Tensor, "B P 3"], others: Float[Tensor, "B P 3"]
) -> Float[Tensor, "B P"]:
    """Distances (B, P) of points from others after their best rotation, scale and shift.

    Their mean is PA-MPJPE where the points are a body's joints.
    """
    R, t, scale = roma.rigid_points_registration(points, others, compute_scaling=True)
    moved = scale[:, None, None] * points @ R.mT + t[:, None]
    return (moved - others).norm(dim=-1)

"""An occupancy field as a density of the object's points, differentiable (docs/reconstruction.md).

The field says per voxel how probable it is that the object fills it. Divided by its integral it is
the density of a point picked at random from the object. Between voxel centres it is trilinear. It
is zero where the object was never seen, which would leave an optimiser without a direction; so a
small share of the density is a normal distribution with the field's own mean and spread (a
defensive mixture, Hesterberg 1995), which is nowhere zero and draws distant points near.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from chorus.errors import BadInput
from chorus.occupancy.grid import VoxelGrid

_BACKGROUND = 0.01
"""Share of the density that is the normal distribution."""


@dataclass(frozen=True, eq=False)
class PointDensity:
    """The density of a random point of the object. It integrates to one."""

    values: Float[Tensor, "N N N"]
    """(N, N, N) float64: the field divided by its integral, per cubic metre, at voxel centres."""
    side: float
    """Edge of the grid's cube, metres, centred at the origin."""
    mean: Float[Tensor, " 3"]
    """(3,) float64: the mean point, metres."""
    deviation: float
    """Standard deviation of a point along an axis, all axes taken together, metres."""

    @classmethod
    def of(cls, probability: Float[np.ndarray, "N N N"], grid: VoxelGrid) -> PointDensity:
        """The density of occupancy probabilities over a grid. BadInput if none is above 0."""
        weight = torch.from_numpy(probability.astype(np.float64))
        total = float(weight.sum())
        if not total > 0:
            raise BadInput(
                "a distribution that is zero everywhere has no density; aggregate samples that "
                "were retained."
            )
        axis = torch.from_numpy(grid.axis()).double()
        margins = torch.stack([weight.sum(dim=[d for d in range(3) if d != k]) for k in range(3)])
        mean = margins @ axis / total
        variance = (margins * (axis - mean[:, None]) ** 2).sum() / (3 * total)
        # A field of one voxel still spreads over it.
        deviation = max(math.sqrt(float(variance)), grid.size)
        return cls(weight / (total * grid.size**3), grid.side, mean, deviation)

    def log(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Natural log of the density per cubic metre (...) at points (..., 3) in metres.

        Of the points' dtype and device, finite wherever the points are, with gradients towards
        them; NaN at NaN. BadInput for another shape.
        """
        if points.shape[-1:] != (3,) or not points.is_floating_point():
            raise BadInput(
                "points must be floating and of the shape (..., 3), metres; found "
                f"{tuple(points.shape)} of {points.dtype}."
            )
        offset = (points - self.mean.to(points)) / self.deviation
        normal = -0.5 * (offset**2).sum(-1) - 3 * math.log(math.sqrt(2 * math.pi) * self.deviation)
        field = self._interpolated(points)
        seen = field > 0  # the inner `where` keeps the logarithm's slope finite where unseen
        log_field = torch.where(seen, torch.where(seen, field, 1).log(), -math.inf)
        return torch.logaddexp(
            math.log(1 - _BACKGROUND) + log_field, math.log(_BACKGROUND) + normal
        )

    def _interpolated(self, points: Tensor) -> Tensor:
        """The field (...) at points (..., 3), trilinear, falling to 0 beyond the grid."""
        # grid_sample wants the last axis first, and -1 and 1 at the outer faces of the cube.
        places = (points / (self.side / 2)).flip(-1).reshape(1, -1, 1, 1, 3)
        volume = self.values.to(points)[None, None]
        found = grid_sample(volume, places, padding_mode="zeros", align_corners=False)
        return found.reshape(points.shape[:-1])

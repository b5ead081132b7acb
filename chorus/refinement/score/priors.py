"""Priors of poses that guidance can follow: one function says which noise is in a noised pose.

Any other prior fits in the same way: from its score s(x, t) = d log p / dx the noise is
-sqrt(1 - abar_t) s(x, t), and from a log density the score is its derivative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from chorus.refinement.score.denoiser import Denoiser
from chorus.refinement.score.schedule import Schedule


class Prior(Protocol):
    """A diffusion prior over vectors x of D numbers, which stand for poses."""

    schedule: Schedule

    def noise(self, x: Float[Tensor, "B D"], t: int) -> Float[Tensor, "B D"]:
        """The noise that is in x at level t, without derivatives."""

    def numbers(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B N"]:
        """The pose's 144 (or, with the shape, 154) numbers of a clean x; differentiable."""

    def of_numbers(self, numbers: Float[Tensor, "B N"]) -> Float[Tensor, "B D"]:
        """The inverse of `numbers`."""


@dataclass(frozen=True)
class PublishedPrior:
    """ScoreHMR's denoiser under its condition (B, C): x are the pose's numbers themselves."""

    network: Denoiser
    condition: Float[Tensor, "B C"]
    schedule: Schedule

    def noise(self, x: Tensor, t: int) -> Tensor:
        """As the network says it."""
        with torch.no_grad():
            return self.network(x, torch.full((len(x),), t, device=x.device), self.condition)

    def numbers(self, x: Tensor) -> Tensor:
        """x itself."""
        return x

    def of_numbers(self, numbers: Tensor) -> Tensor:
        """The numbers themselves."""
        return numbers


@dataclass(frozen=True)
class GaussianPrior:
    """A normal distribution of every number about `mean` (B, D), of standard deviation `sd`."""

    mean: Float[Tensor, "B D"]
    sd: float
    schedule: Schedule

    def noise(self, x: Tensor, t: int) -> Tensor:
        """Exact: the expected noise given x."""
        signal, noise = self.schedule.signal(t)
        return noise * (x - signal * self.mean) / ((signal * self.sd) ** 2 + noise**2)

    def numbers(self, x: Tensor) -> Tensor:
        """x itself."""
        return x

    def of_numbers(self, numbers: Tensor) -> Tensor:
        """The numbers themselves."""
        return numbers


def standardised(
    features: Float[Tensor, "B C"], mean: Float[Tensor, " C"], std: Float[Tensor, " C"]
) -> Float[Tensor, "B C"]:
    """Cached features as the published denoiser takes them: (f - mean) / std."""
    return (features - mean) / std

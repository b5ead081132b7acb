"""Noise schedules of diffusion models, and the deterministic step between two of their levels.

At level t of T a clean vector x0 has become sqrt(abar_t) x0 + sqrt(1 - abar_t) eps with standard
normal eps (Ho et al. 2020). Steps are those of DDIM with eta 0 (Song et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from chorus.errors import BadInput, unknown_name

LEVELS = 1000
"""The levels T of the published model."""

_OFFSET = 0.008  # keeps the first levels of the cosine schedule from being too small
_MOST = 0.999
_LINEAR = (1e-4, 0.02)


@dataclass(frozen=True)
class Schedule:
    """A noise schedule by name: `cosine` (Nichol and Dhariwal 2021) or `linear`, of T levels."""

    name: str = "cosine"
    levels: int = LEVELS

    def __post_init__(self) -> None:
        if self.name not in ("cosine", "linear"):
            raise unknown_name("noise schedule", self.name, ("cosine", "linear"))
        if self.levels < 1:
            raise BadInput(f"a noise schedule has at least 1 level, found {self.levels}.")

    @cached_property
    def betas(self) -> np.ndarray:
        """(T,) float64: variances that each level adds."""
        if self.name == "linear":
            return np.linspace(*_LINEAR, self.levels)
        u = np.arange(self.levels + 1) / self.levels
        f = np.cos((u + _OFFSET) / (1 + _OFFSET) * np.pi / 2) ** 2
        return np.clip(1 - f[1:] / f[:-1], 0, _MOST)

    @cached_property
    def alphas_cumprod(self) -> np.ndarray:
        """(T,) float64: abar_t, the share of the clean vector's variance that is left."""
        return np.cumprod(1 - self.betas)

    def signal(self, t: int) -> tuple[float, float]:
        """sqrt(abar_t) and sqrt(1 - abar_t)."""
        left = float(self.alphas_cumprod[t])
        return left**0.5, (1 - left) ** 0.5

    def noised(
        self, x0: Float[Tensor, "B D"], t: Int[Tensor, " B"], eps: Float[Tensor, "B D"]
    ) -> Float[Tensor, "B D"]:
        """Vectors x0 (B, D) at levels t (B,) with the noise eps (B, D)."""
        left = torch.as_tensor(self.alphas_cumprod, dtype=x0.dtype, device=x0.device)[t, None]
        return left.sqrt() * x0 + (1 - left).sqrt() * eps

    def clean(self, x: Tensor, t: int, eps: Tensor) -> Tensor:
        """The clean vector that x at level t comes from if its noise is eps."""
        signal, noise = self.signal(t)
        return (x - noise * eps) / signal

    def placed(self, x0: Tensor, t: int, eps: Tensor) -> Tensor:
        """The vector at level t of a clean one and its noise."""
        signal, noise = self.signal(t)
        return signal * x0 + noise * eps

    def buffers(self) -> dict[str, np.ndarray]:
        """The 13 arrays (T,) that the published checkpoint holds beside its weights, float64."""
        betas, left = self.betas, self.alphas_cumprod
        before = np.concatenate([[1.0], left[:-1]])
        variance = betas * (1 - before) / (1 - left)
        return {
            "betas": betas,
            "alphas_cumprod": left,
            "alphas_cumprod_prev": before,
            "sqrt_alphas_cumprod": np.sqrt(left),
            "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - left),
            "log_one_minus_alphas_cumprod": np.log(1 - left),
            "sqrt_recip_alphas_cumprod": np.sqrt(1 / left),
            "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / left - 1),
            "posterior_variance": variance,
            "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
            "posterior_mean_coef1": betas * np.sqrt(before) / (1 - left),
            "posterior_mean_coef2": (1 - before) * np.sqrt(1 - betas) / (1 - left),
            "p2_loss_weight": np.ones(self.levels),
        }


def levels_between(end: int, step: int) -> list[tuple[int, int]]:
    """The pairs (0, d), (d, 2d), ... up to `end` of an inversion; sampling takes them backwards.

    BadInput if `end` is no positive multiple of `step`, or they are not in the schedule.
    """
    if step < 1 or end < step or end % step:
        raise BadInput(
            f"the noise level {end} must be a positive multiple of the step, found the step {step}."
        )
    return [(t, t + step) for t in range(0, end, step)]

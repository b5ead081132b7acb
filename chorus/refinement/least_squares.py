"""Batched Levenberg-Marquardt: many small least-squares problems of one kind at once.

Damping, acceptance and convergence belong to each; no operation mixes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_DAMPING = (1e-3, 1e-9, 1e12)  # start, least, most
_LEFT = 0.5  # part of the persons still active below which the others are left out of the work


class Batch(Protocol):
    """What is given, for B persons."""

    def take(self, persons: Int[Tensor, " P"]) -> Any:
        """The same for some of the persons."""


class LeastSquares(Protocol):
    """A kind of problem: what its unknowns cost, and the normal equations around them."""

    def cost(self, problem: Any, x: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """The cost (B,); infinite where the unknowns are impossible."""

    def normal_equations(
        self, problem: Any, x: Float[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B D D"], Float[Tensor, "B D"]]:
        """Half of the cost's second derivatives, as Gauss and Newton have them, and of its
        first."""


@dataclass(frozen=True)
class Solution:
    """x (B, D) unknowns; cost (B,); converged (B,); iterations (B,) used, accepted or not."""

    x: Float[Tensor, "B D"]
    cost: Float[Tensor, " B"]
    converged: Bool[Tensor, " B"]
    iterations: Int[Tensor, " B"]


def minimise(
    model: LeastSquares,
    problem: Batch,
    start: Float[Tensor, "B D"],
    active: Bool[Tensor, " B"],
    max_iterations: int,
    tolerance: float,
) -> Solution:
    """Minimise the cost of the active persons from a start; the others stay there.

    A person has converged when the next step promises to lower its cost by no more than
    `tolerance` of it. The cost never rises; a person whose start is infinitely bad stays
    there, not converged.
    """
    cost = model.cost(problem, start)
    none = torch.zeros_like(active)
    whole = Solution(start, cost, none, none.long())
    persons = (active & cost.isfinite()).nonzero()[:, 0]
    problem, now = problem.take(persons), _take(whole, persons)
    active = torch.ones_like(now.converged)
    damping = torch.full_like(now.cost, _DAMPING[0])
    growth = torch.full_like(now.cost, 2.0)
    for _ in range(max_iterations):
        left = int(active.sum())
        if left <= _LEFT * len(active):
            whole = _put(whole, persons, now)
            keep = active.nonzero()[:, 0]
            persons, problem, now = persons[keep], problem.take(keep), _take(now, keep)
            damping, growth, active = damping[keep], growth[keep], active[keep]
        if not left:
            break
        step, promised = _damped_step(*model.normal_equations(problem, now.x), damping)
        trial = now.x + step
        cost = model.cost(problem, trial)
        better = active & (cost < now.cost)  # False for NaN and infinity
        gain = ((now.cost - cost) / promised.clamp(min=1e-30)).clamp(-1, 1).nan_to_num(-1.0)
        eased = damping * (1 - (2 * gain - 1) ** 3).clamp(min=1 / 3)
        damping = torch.where(better, eased, damping * growth).clamp(*_DAMPING[1:])
        growth = torch.where(better, torch.full_like(growth, 2.0), (2 * growth).clamp(max=1e6))
        done = active & (promised <= tolerance * now.cost)
        now = Solution(
            x=torch.where(better[:, None], trial, now.x),
            cost=torch.where(better, cost, now.cost),
            converged=now.converged | done,
            iterations=now.iterations + active,
        )
        active = active & ~done
    return _put(whole, persons, now)


def _take(solution: Solution, persons: Int[Tensor, " P"]) -> Solution:
    return Solution(**{name: value[persons] for name, value in vars(solution).items()})


def _put(solution: Solution, persons: Int[Tensor, " P"], others: Solution) -> Solution:
    new = vars(others)
    return Solution(**{n: v.index_copy(0, persons, new[n]) for n, v in vars(solution).items()})


def _damped_step(H: Tensor, g: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
    """Step (B, D) of the damped normal equations and the gain (B,) that it promises."""
    scaled = damping[:, None] * H.diagonal(dim1=-2, dim2=-1)
    factor, _ = torch.linalg.cholesky_ex(H + torch.diag_embed(scaled))
    step = -torch.cholesky_solve(g[..., None], factor)[..., 0]
    return step, -(2 * (g * step).sum(-1) + (step * (H @ step[..., None])[..., 0]).sum(-1))

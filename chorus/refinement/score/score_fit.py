"""Persons refined by our own learned prior of poses: the learned half beside `map_fit`.

The most probable body under map's Gaussian prior is fitted first. The learned prior then says which
pose is expected, given that fit, the regressor and the keypoints (or samples are drawn of it, whose
mean is taken). Last, body and camera are fitted to the keypoints around that pose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from chorus.body.model import BodyModel
from chorus.errors import BadInput
from chorus.geometry.rotations import turn_to_ray
from chorus.refinement.map_fit import Evidence, Refinement, Refiner
from chorus.refinement.score.condition import Told, told
from chorus.refinement.score.denoiser import POSE_NUMBERS, pose_rotations
from chorus.refinement.score.guidance import drawn
from chorus.refinement.score.learned import LearnedDenoiser, LearnedPrior
from chorus.refinement.score.settings import ScoreSettings
from chorus.refinement.settings import RefinementSettings


@dataclass(frozen=True)
class Scored:
    """What became of B persons: the fit; spread (B, 24): root mean squared distance of the samples'
    joints from their mean, metres, 0 for one sample; kept_start (B,) of those that keep it."""

    fitted: Refinement
    spread: Float[Tensor, "B 24"]
    kept_start: Tensor


class ScoreRefiner:
    """Refines any number of persons with one body and one learned prior."""

    def __init__(
        self,
        body: BodyModel,
        network: LearnedDenoiser,
        fit: RefinementSettings | None = None,
        settings: ScoreSettings | None = None,
    ):
        self._settings = settings or ScoreSettings()
        self._fit = fit or RefinementSettings()
        self._body, self._network = body, network
        self._map = Refiner(body, self._fit)
        near = replace(
            self._fit,
            joint_sd=self._settings.joint_sd,
            rotation_sd=self._settings.rotation_sd,
        )
        self._last = Refiner(body, near)

    def __call__(
        self, evidence: Evidence, betas: Float[Tensor, "B 10"], seeds: list[int] | None = None
    ) -> Scored:
        """Refine every person; seeds: of their samples, needed where there are several.

        No one ends with keypoints that are explained worse than at the start: who would keeps it.
        """
        fitted = self._map(evidence)
        start = self._map(evidence, 0) if self._settings.start == "regressor" else fitted
        if not len(betas):
            return Scored(start, betas.new_zeros(0, 24), betas.new_zeros(0, dtype=torch.bool))
        known = told(self._body, evidence, betas, fitted, self._fit.least_confidence)
        finite = known.condition.isfinite().all(-1)
        known = Told(
            torch.where(finite[:, None], known.condition, torch.zeros_like(known.condition)),
            torch.where(finite[:, None], known.centre, torch.ones_like(known.centre)),
        )
        numbers, spread = self._expected(known, seeds)
        refined = self._last(self._around(evidence, fitted, pose_rotations(numbers)))
        better = finite & (refined.residual <= start.residual)  # False for NaN
        return Scored(_chosen(better, refined, start, fitted), spread, ~better)

    def _expected(
        self, known: Told, seeds: list[int] | None
    ) -> tuple[Float[Tensor, "B 144"], Float[Tensor, "B 24"]]:
        """The poses' numbers, and the spread of their joints."""
        settings = self._settings
        prior = LearnedPrior.of(self._network, known)
        if settings.samples == 1:
            return prior.expected(), torch.zeros_like(known.centre[:, :24])
        if seeds is None or len(seeds) != len(known.centre):
            raise BadInput(
                f"{settings.samples} samples a person need a seed for each of the "
                f"{len(known.centre)} persons, found {0 if seeds is None else len(seeds)}."
            )
        noise = torch.cat(
            [
                torch.randn(
                    settings.samples, POSE_NUMBERS, generator=torch.Generator().manual_seed(seed)
                )
                for seed in seeds
            ]
        ).to(known.centre)
        prior = LearnedPrior.of(self._network, known, settings.samples)
        x = drawn(prior, noise, settings.steps)
        numbers = prior.numbers(x).unflatten(0, (-1, settings.samples))
        joints = self._body.posed_joints(pose_rotations(numbers))
        away = (joints - joints.mean(1, keepdim=True)).square().sum(-1)
        return numbers.mean(1), away.mean(1).sqrt()

    def _around(
        self, evidence: Evidence, fitted: Refinement, rotations: Float[Tensor, "B 24 3 3"]
    ) -> Evidence:
        """The evidence with another pose: what a regressor would have said of it in its crop."""
        middle = evidence.joints2d.mean(1) - evidence.image_size / 2
        ray = torch.cat([middle / fitted.K[:, :1, 0], torch.ones_like(middle[:, :1])], -1)
        turned = rotations.to(evidence.pose).clone()
        turned[:, 0] = turn_to_ray(ray).mT.to(turned) @ turned[:, 0]
        pose = roma.rotmat_to_rotvec(turned)
        return replace(evidence, pose=torch.where(evidence.pose.isfinite(), pose, evidence.pose))


def _chosen(
    better: Tensor, refined: Refinement, start: Refinement, fitted: Refinement
) -> Refinement:
    """Of every person the refined or the start's numbers."""
    values = {}
    for name in ("pose", "R", "t", "K", "residual", "converged"):
        one, other = getattr(refined, name), getattr(start, name)
        values[name] = torch.where(better.view(-1, *[1] * (one.ndim - 1)), one, other)
    return Refinement(
        **values,
        residual_before=fitted.residual_before,
        iterations=fitted.iterations + refined.iterations,
        failure=tuple(
            one if good else other
            for one, other, good in zip(
                refined.failure, start.failure, better.tolist(), strict=True
            )
        ),
    )

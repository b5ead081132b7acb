"""DDIM inversion and guided sampling of ScoreHMR (Stathopoulos et al., CVPR 2024), batched.

A round raises clean poses to a noise level without guidance and brings them back under it: the
prior's noise eps gets sqrt(1 - abar_t) times the gradient of the losses at the clean poses that eps
implies. The prior itself is not differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.errors import BadInput
from chorus.refinement.score.losses import (
    Observed,
    consistency_loss,
    keypoint_loss,
    smoothness_loss,
)
from chorus.refinement.score.priors import Prior
from chorus.refinement.score.schedule import levels_between
from chorus.refinement.score.settings import GuidanceSettings

Points = Callable[[Float[Tensor, "B N"]], Float[Tensor, "B K 3"]]
"""The points, from the root's place, that keypoints are compared with."""


@dataclass(frozen=True)
class Guided:
    """B persons: numbers (B, 144 or 154) of the pose, translation (B, 3) of the root before the
    camera, metres; loss_before and loss (B,): the weighted losses at the start and, never larger,
    at the end; stopped (B,): whether the person was finished early."""

    numbers: Float[Tensor, "B N"]
    translation: Float[Tensor, "B 3"]
    loss_before: Float[Tensor, " B"]
    loss: Float[Tensor, " B"]
    stopped: Bool[Tensor, " B"]


def inverted(prior: Prior, x: Float[Tensor, "B D"], settings: GuidanceSettings) -> Tensor:
    """Clean vectors x raised to the settings' level, deterministically (B, D)."""
    schedule = prior.schedule
    for t, above in levels_between(settings.level, settings.step):
        eps = prior.noise(x, t)
        x = schedule.placed(schedule.clean(x, t, eps), above, eps)
    return x


def sampled(prior: Prior, x: Float[Tensor, "B D"], settings: GuidanceSettings) -> Tensor:
    """Vectors x at the settings' level brought back to level 0 without guidance (B, D)."""
    schedule = prior.schedule
    for below, t in reversed(levels_between(settings.level, settings.step)):
        eps = prior.noise(x, t)
        x = schedule.placed(schedule.clean(x, t, eps), below, eps)
    return x


def drawn(prior: Prior, x: Float[Tensor, "B D"], steps: int) -> Float[Tensor, "B D"]:
    """Samples of the prior from pure noise x, standard normal, in so many deterministic steps."""
    schedule = prior.schedule
    levels = torch.linspace(schedule.levels - 1, 0, steps + 1).round().long().tolist()
    for t, below in pairwise(levels):
        eps = prior.noise(x, t)
        x = schedule.placed(schedule.clean(x, t, eps), below, eps)
    return schedule.clean(x, 0, prior.noise(x, 0))


class Guidance:
    """Refines the poses of B persons by a prior and what is observed of them."""

    def __init__(
        self, prior: Prior, points: Points, observed: Observed, settings: GuidanceSettings
    ):
        for name, of in (("consistency", observed.person), ("smoothness", observed.track)):
            if getattr(settings, name) and of is None:
                what = "person" if name == "consistency" else "track"
                raise BadInput(
                    f"guidance by {name} needs `{what}` (B,), which says whose rows belong "
                    f"together, found none; give it, or set {name} to 0."
                )
        self._prior, self._points = prior, points
        self._observed, self._settings = observed, settings

    def __call__(self, numbers: Float[Tensor, "B N"], translation: Float[Tensor, "B 3"]) -> Guided:
        """Refine from poses (B, 144 or 154 numbers) and translations (B, 3); neither is changed.

        Who ends with a larger loss, or is not finite there, keeps the start.
        """
        settings = self._settings
        start = self._prior.of_numbers(numbers)
        before = self._weighted(numbers, translation)
        state = _State(start.clone(), translation.clone(), settings.translation_rate)
        for _ in range(settings.rounds):
            x = inverted(self._prior, state.x, settings)
            for below, t in reversed(levels_between(settings.level, settings.step)):
                x = self._step(state, x, t, below)
        found, moved = state.result()
        found = self._prior.numbers(found)
        after = self._weighted(found, moved)
        linked = self._linked(len(after))
        sums = [torch.zeros_like(before).index_add(0, linked, loss) for loss in (after, before)]
        better = (sums[0] <= sums[1])[linked]  # False for NaN
        return Guided(
            numbers=torch.where(better[:, None], found, numbers),
            translation=torch.where(better[:, None], moved, translation),
            loss_before=before,
            loss=torch.where(better, after, before),
            stopped=state.stopped,
        )

    def _linked(self, count: int) -> Int[Tensor, " B"]:
        """A number (B,) that rows share whose losses depend on each other."""
        observed, settings = self._observed, self._settings
        linked = torch.arange(count, device=observed.focal.device)
        groups = [
            torch.unique(of, return_inverse=True)[1]
            for weight, of in (
                (settings.consistency, observed.person),
                (settings.smoothness, observed.track),
            )
            if weight and of is not None
        ]
        while groups:
            before = linked
            for group in groups:
                least = torch.full_like(linked, count).scatter_reduce(0, group, linked, "amin")
                linked = least[group]
            if torch.equal(linked, before):
                break
        return linked

    def _step(self, state: _State, x: Tensor, t: int, below: int) -> Tensor:
        """One guided step from level t; what is clean at it goes to the state."""
        schedule, settings = self._prior.schedule, self._settings
        eps = self._prior.noise(x, t)
        with torch.enable_grad():
            clean = schedule.clean(x, t, eps).detach().requires_grad_()
            numbers = self._prior.numbers(clean)
            if settings.keypoints:
                points = self._points(numbers)
                self._move(state, points.detach())
                now = self._keypoint_loss(points, state.translation)
                loss = settings.keypoints * now
                state.judge(now.detach(), settings.stop)
            else:
                loss = torch.zeros_like(clean[:, 0])
            loss = loss + self._among_rows(numbers)
            (gradient,) = torch.autograd.grad(loss.sum(), clean)
        signal, noise = schedule.signal(t)
        gradient = torch.where(state.stopped[:, None], torch.zeros_like(gradient), gradient)
        eps = eps + noise * settings.strength * gradient / signal
        clean = schedule.clean(x, t, eps)
        state.put(schedule.placed(clean, below, eps), clean)
        return state.x

    def _move(self, state: _State, points: Float[Tensor, "B K 3"]) -> None:
        """One step of the cameras' translations by the unweighted loss of the keypoints."""
        translation = state.translation.detach().requires_grad_()
        loss = self._keypoint_loss(points, translation).sum()
        state.move(torch.autograd.grad(loss, translation)[0])

    def _keypoint_loss(self, points: Tensor, translation: Tensor) -> Float[Tensor, " B"]:
        return keypoint_loss(points, translation, self._observed, self._settings.robust)

    def _among_rows(self, numbers: Float[Tensor, "B N"]) -> Float[Tensor, " B"]:
        """The weighted losses that compare rows with each other."""
        settings, observed = self._settings, self._observed
        loss = torch.zeros_like(numbers[:, 0])
        if settings.consistency:
            loss = loss + settings.consistency * consistency_loss(numbers, observed.person)
        if settings.smoothness:
            loss = loss + settings.smoothness * smoothness_loss(numbers, observed.track)
        return loss

    def _weighted(self, numbers: Tensor, translation: Tensor) -> Float[Tensor, " B"]:
        """All weighted losses of poses and translations."""
        loss = self._among_rows(numbers)
        if self._settings.keypoints:
            points = self._points(numbers)
            loss = loss + self._settings.keypoints * self._keypoint_loss(points, translation)
        return loss


class _State:
    """Where B persons are between two steps, and what was kept of those that are finished."""

    def __init__(self, x: Tensor, translation: Tensor, rate: float):
        self.x = x
        self.translation = translation
        self.stopped = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self._clean, self._kept = x, (x, translation)
        self._last = torch.full_like(x[:, 0], torch.inf)
        self._just = self.stopped
        self._adam = torch.optim.Adam([self.translation], lr=rate)

    def move(self, gradient: Float[Tensor, "B 3"]) -> None:
        """One step of Adam against the gradient of the translations."""
        self.translation.grad = gradient
        self._adam.step()

    def judge(self, loss: Float[Tensor, " B"], part: float) -> None:
        """Finish those whose loss changed by less than a part of it."""
        scale = torch.maximum(self._last, loss).clamp(min=1)
        done = (self._last - loss).abs() / scale < part
        self._just = done & ~self.stopped
        self.stopped = self.stopped | done
        self._last = loss

    def put(self, x: Float[Tensor, "B D"], clean: Float[Tensor, "B D"]) -> None:
        """Take the next step's start, and keep what is clean of those just finished."""
        self.x, self._clean = x, clean
        just = self._just[:, None]
        kept, moved = self._kept
        self._kept = torch.where(just, clean, kept), torch.where(just, self.translation, moved)
        self._just = torch.zeros_like(self.stopped)

    def result(self) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B 3"]]:
        """The clean vectors and translations in the end."""
        stopped = self.stopped[:, None]
        kept, moved = self._kept
        return (
            torch.where(stopped, kept, self._clean),
            torch.where(stopped, moved, self.translation),
        )

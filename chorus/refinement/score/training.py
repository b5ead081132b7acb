"""Training of denoisers: averaged weights, and a state from which a killed training goes on as if
it had not been, to the bit.

Every step draws from a generator of its own, seeded by the settings' seed and the step's number.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chorus.errors import BadInput, StaleResults
from chorus.files import replacing
from chorus.models.checkpoints import read_recorded
from chorus.refinement.score.denoiser import POSE_NUMBERS, Denoiser
from chorus.refinement.score.learned import LearnedDenoiser
from chorus.refinement.score.schedule import Schedule
from chorus.refinement.score.training_settings import TrainingSettings

_RISE = 0.03  # share of the steps in which an annealed rate rises
_WARM_UP_POWER = -2 / 3

Loss = Callable[[nn.Module, torch.Generator], Tensor]
"""The loss of one step's batch, drawn with a generator."""


@dataclass(frozen=True)
class Reached:
    """Where a training is: step, the mean loss since the last report, the averaged network."""

    step: int
    loss: float
    network: nn.Module


def average_decay(step: int, settings: TrainingSettings) -> float:
    """How much of the averaged weights is kept at a step: 0 until average_from, then rising."""
    since = step - settings.average_from - 1
    if since <= 0:
        return 0.0
    return min(settings.average, max(0.0, 1 - (1 + since) ** _WARM_UP_POWER))


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """The rate of a step, counted from 0."""
    if settings.anneal == "none":
        return settings.rate
    rise = max(1, round(_RISE * settings.steps))
    if step < rise:
        return settings.rate * (step + 1) / rise
    return settings.rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / (settings.steps - rise)))


def step_generator(seed: int, step: int) -> torch.Generator:
    """The generator of one step's draws."""
    return torch.Generator().manual_seed((seed << 32) + step)


class Training:
    """A network's training, whose state lies in a file.

    data: what tells the training data from others; a state of other settings or data is refused.
    """

    def __init__(self, network: nn.Module, settings: TrainingSettings, state: Path, data: str):
        self._network, self._settings = network.train(), settings
        self._averaged = copy.deepcopy(network).eval()
        self._state, self._data = state, data
        self._step, self._losses = 0, 0.0
        self._optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=settings.rate,
            betas=(0.9, settings.second_beta),
            weight_decay=settings.weight_decay,
        )
        if state.exists():
            self._resume()

    @property
    def step(self) -> int:
        """Steps done."""
        return self._step

    def run(self, loss: Loss) -> Iterator[Reached]:
        """Train to the end; gives where it is at every report, after the state was saved."""
        settings = self._settings
        while self._step < settings.steps:
            self._losses += self._one_step(loss)
            self._step += 1
            if self._step % settings.average_every == 0:
                self._average()
            reports = self._step % settings.report_every == 0 or self._step == settings.steps
            if reports:
                since = (self._step - 1) % settings.report_every + 1
                mean, self._losses = self._losses / since, 0.0
                self._save()
                yield Reached(self._step, mean, self._averaged)

    @property
    def network(self) -> nn.Module:
        """The network as trained last."""
        return self._network

    @property
    def averaged(self) -> nn.Module:
        """The network with averaged weights."""
        return self._averaged

    def _one_step(self, loss: Loss) -> float:
        settings = self._settings
        generator = step_generator(settings.seed, self._step)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self._step, settings)
        with torch.random.fork_rng():
            torch.manual_seed(generator.initial_seed())  # of dropout
            value = loss(self._network, generator)
            self._optimiser.zero_grad()
            value.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), settings.clip)
        self._optimiser.step()
        return float(value.detach())

    def _average(self) -> None:
        decay = average_decay(self._step, self._settings)
        with torch.no_grad():
            for mean, now in zip(
                self._averaged.parameters(), self._network.parameters(), strict=True
            ):
                mean.copy_(now + decay * (mean - now))

    def _save(self) -> None:
        content = {
            "step": self._step,
            "settings": self._settings.recorded(),
            "data": self._data,
            "network": self._network.state_dict(),
            "averaged": self._averaged.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        with replacing(self._state) as temporary:
            torch.save(content, temporary)

    def _resume(self) -> None:
        stored = read_recorded(self._state)
        needed = {"step", "settings", "data", "network", "averaged", "optimiser"}
        if not isinstance(stored, dict) or not needed <= stored.keys():
            raise BadInput(
                f"{self._state} is not the state of a training; remove it, or train in another "
                "folder with --out."
            )
        for name, mine in (("data", self._data), ("settings", self._settings.recorded())):
            if stored[name] != mine:
                raise StaleResults(
                    f"{self._state} belongs to a training with other {name}: {stored[name]}, asked "
                    f"for is {mine}. Train in another folder with --out, or remove that file."
                )
        self._network.load_state_dict(_tensors(stored["network"]))
        self._averaged.load_state_dict(_tensors(stored["averaged"]))
        self._optimiser.load_state_dict(_tensors(stored["optimiser"]))
        self._step = int(stored["step"])


def _tensors(value):
    """Arrays as tensors again, in the containers they lie in."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, dict):
        return {name: _tensors(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_tensors(each) for each in value]
    return value


@dataclass(frozen=True)
class Examples:
    """N examples of our own prior: condition (N, C), centre (N, 144) and true numbers (N, 144)."""

    condition: Float[Tensor, "N C"]
    centre: Float[Tensor, "N 144"]
    truth: Float[Tensor, "N 144"]

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """Several sets, one after the other."""
        names = ("condition", "centre", "truth")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def take(self, which: Tensor | slice) -> Examples:
        """Some of the examples."""
        return Examples(self.condition[which], self.centre[which], self.truth[which])


def learned_loss(examples: Examples, batch: int, schedule: Schedule) -> Loss:
    """Our own prior's: squared error of v at a random level, and of the mean of all x."""

    def loss(network: LearnedDenoiser, generator: torch.Generator) -> Tensor:
        which = torch.randint(len(examples.truth), (batch,), generator=generator)
        some = examples.take(which)
        clean = (some.truth - some.centre) / network.unit
        t = torch.randint(schedule.levels, (batch,), generator=generator)
        eps = torch.randn(clean.shape, generator=generator)
        encoded = network.encode(some.condition)
        left = torch.as_tensor(schedule.alphas_cumprod, dtype=clean.dtype)[t, None]
        signal, noise = left.sqrt(), (1 - left).sqrt()
        found = network(signal * clean + noise * eps, t, encoded, noise)
        v = signal * eps - noise * clean
        mean = network.mean(encoded)
        return (found - v).square().mean() + (mean - clean).square().mean()

    return loss


def published_loss(
    condition: Float[Tensor, "N C"],
    numbers: Float[Tensor, "N D"],
    has_shape: Tensor,
    chance: Float[Tensor, " N"],
    batch: int,
    schedule: Schedule,
) -> Loss:
    """ScoreHMR's: squared error of the noise at a random level, the pose's mean plus, with betas,
    that of the rows whose shape is known (has_shape (N,) bool). chance (N,): how often each row is
    drawn."""

    def loss(network: Denoiser, generator: torch.Generator) -> Tensor:
        which = torch.multinomial(chance, batch, replacement=True, generator=generator)
        clean = numbers[which]
        t = torch.randint(schedule.levels, (batch,), generator=generator)
        eps = torch.randn(clean.shape, generator=generator)
        found = network(schedule.noised(clean, t, eps), t, condition[which])
        squared = (found - eps).square()
        value = squared[:, :POSE_NUMBERS].mean()
        known = has_shape[which]
        if network.widths.shape and known.any():
            value = value + squared[known][:, POSE_NUMBERS:].mean()
        return value

    return loss

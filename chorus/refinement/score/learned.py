"""Our own prior: a small denoiser of what a fitted pose lacks, given `condition.Told`.

It is about x, the difference of the true pose's 144 numbers from the fit's in units of what that
usually is, so all noise levels matter. The condition is encoded once a person; what is called at
every step is small. It says v = sqrt(abar_t) eps - sqrt(1 - abar_t) x0 (Salimans and Ho 2022),
which is of unit size at every level, and at once the mean of all x.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chorus.models.checkpoints import fill, read_state_dict
from chorus.refinement.score.checkpoint import save_network
from chorus.refinement.score.condition import CONDITION_NUMBERS, Told
from chorus.refinement.score.denoiser import POSE_NUMBERS, LevelEmbedding
from chorus.refinement.score.schedule import Schedule

_ENCODER, _DENOISER, _LEVEL = 384, 256, 64
_DROPOUT = 0.1
_USUAL = 0.05  # added to the deviations of the condition's numbers, which some hardly have


class _Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(_DROPOUT),
            nn.Linear(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _head(width: int) -> nn.Sequential:
    """The last layer, which says 0 before any training."""
    last = nn.Linear(width, POSE_NUMBERS)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.LayerNorm(width), last)


class LearnedDenoiser(nn.Module):
    """encode(condition (B, C)) → (B, 384); mean(encoded) → (B, 144); forward(x, t, encoded) → v.

    Buffers, from the training data: mean and deviation of the condition's numbers, and the usual
    size `unit` (144,) of the difference that x stands for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("condition_mean", torch.zeros(CONDITION_NUMBERS))
        self.register_buffer("condition_deviation", torch.ones(CONDITION_NUMBERS))
        self.register_buffer("unit", torch.ones(POSE_NUMBERS))
        self.encoder = nn.Sequential(
            nn.Linear(CONDITION_NUMBERS, _ENCODER), *(_Residual(_ENCODER) for _ in range(3))
        )
        self.mean_head = _head(_ENCODER)
        self.level = LevelEmbedding(_LEVEL)
        self.denoiser = nn.Sequential(
            nn.Linear(POSE_NUMBERS + _LEVEL + _ENCODER, _DENOISER),
            *(_Residual(_DENOISER) for _ in range(2)),
        )
        self.head = _head(_DENOISER)

    def measure(self, condition: Tensor, difference: Float[Tensor, "N 144"]) -> None:
        """Take the buffers from training data: conditions (N, C) and differences of poses."""
        self.condition_mean.copy_(condition.mean(0))
        self.condition_deviation.copy_(condition.std(0) + _USUAL)
        self.unit.copy_(difference.std(0) + 1e-3)

    def encode(self, condition: Float[Tensor, "B C"]) -> Float[Tensor, "B E"]:
        """What the condition says, for the other two."""
        return self.encoder((condition - self.condition_mean) / self.condition_deviation)

    def mean(self, encoded: Float[Tensor, "B E"]) -> Float[Tensor, "B 144"]:
        """The expected x."""
        return self.mean_head(encoded)

    def forward(
        self, x: Tensor, t: Tensor, encoded: Tensor, noise: Float[Tensor, "B 1"] | float
    ) -> Float[Tensor, "B 144"]:
        """v of x (B, 144) at levels t (B,); noise: sqrt(1 - abar_t) of these levels."""
        hidden = self.denoiser(torch.cat([x, self.level(t), encoded], -1))
        return self.head(hidden) - noise * self.mean(encoded)


@dataclass(frozen=True)
class LearnedPrior:
    """The prior of B persons: the network, the encoded condition (B, E), the fits (B, 144)."""

    network: LearnedDenoiser
    encoded: Float[Tensor, "B E"]
    centre: Float[Tensor, "B 144"]
    schedule: Schedule

    @classmethod
    def of(cls, network: LearnedDenoiser, told: Told, samples: int = 1) -> LearnedPrior:
        """The prior of persons, each as often as samples are to be drawn of it."""
        with torch.no_grad():
            encoded = network.encode(told.condition)
        repeated = (each.repeat_interleave(samples, 0) for each in (encoded, told.centre))
        return cls(network, *repeated, Schedule())

    def noise(self, x: Tensor, t: int) -> Tensor:
        """As the network's v implies it: sqrt(1 - abar_t) x + sqrt(abar_t) v."""
        signal, noise = self.schedule.signal(t)
        with torch.no_grad():
            levels = torch.full((len(x),), t, device=x.device)
            v = self.network(x, levels, self.encoded, noise)
        return noise * x + signal * v

    def numbers(self, x: Tensor) -> Tensor:
        """The pose's numbers of x."""
        return self.centre + self.network.unit * x

    def of_numbers(self, numbers: Tensor) -> Tensor:
        """x of a pose's numbers."""
        return (numbers - self.centre) / self.network.unit

    def expected(self) -> Float[Tensor, "B 144"]:
        """The pose's numbers that are expected of every person."""
        with torch.no_grad():
            return self.numbers(self.network.mean(self.encoded))


def load_learned(path: Path) -> LearnedDenoiser:
    """Our own denoiser from safetensors; BadInput, naming the first difference, for another."""
    network = LearnedDenoiser()
    fill(network, read_state_dict(path, "model"), _NAMES, path, "a prior of chorus train score")
    return network.eval()


_NAMES = ("encoder", "mean_head", "denoiser", "head", "condition_", "unit")


def save_learned(path: Path, network: LearnedDenoiser, about: Mapping[str, str]) -> None:
    """Write it, whole or not at all; about: text for the file's header."""
    save_network(path, network, {}, about)

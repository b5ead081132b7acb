"""The denoiser of ScoreHMR (Stathopoulos et al., CVPR 2024), with the names of its checkpoint.

An MLP that says which noise is in a pose at a noise level, given a condition. A pose is 24
rotations in the continuous 6D form (`pose_numbers`): the first column of each matrix, then the
second. The shape, if modelled, follows as 10 more numbers, denoised by a branch of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from chorus.errors import BadInput
from chorus.geometry.rotations import six_d_to_matrix

POSE_NUMBERS = 144
SHAPE_NUMBERS = 10

PARE_FEATURES = 3072
"""Numbers of PARE's pose features; its shape features are the last SHAPE_FEATURES of the input."""
SHAPE_FEATURES = 1536
PROHMR_FEATURES = 2048


def pose_numbers(rotations: Float[Tensor, "*batch 24 3 3"]) -> Float[Tensor, "*batch 144"]:
    """Rotations (..., 24, 3, 3) as 144 numbers: of each matrix column 1, then column 2."""
    return rotations[..., :2].mT.flatten(-3)


def pose_rotations(numbers: Float[Tensor, "*batch 144"]) -> Float[Tensor, "*batch 24 3 3"]:
    """Rotations (..., 24, 3, 3) of 144 numbers, made orthonormal column by column."""
    columns = numbers.unflatten(-1, (24, 2, 3))
    return six_d_to_matrix(columns.mT.flatten(-2))


def axis_angle_numbers(pose: Float[Tensor, "*batch 24 3"]) -> Float[Tensor, "*batch 144"]:
    """The same of a pose (..., 24, 3) axis-angle, radians."""
    return pose_numbers(roma.rotvec_to_rotmat(pose))


@dataclass(frozen=True)
class Widths:
    """Sizes of a denoiser; the defaults are the published model's with PARE's features.

    condition: numbers of the condition. shape_condition: how many of its last ones the shape branch
    sees, 0 for all; only where `shape` is true. hidden: width inside a block.
    """

    condition: int = PARE_FEATURES
    hidden: int = 1024
    shape: bool = False
    shape_condition: int = 0

    def __post_init__(self) -> None:
        for name in ("condition", "hidden"):
            if getattr(self, name) < 1:
                raise BadInput(f"a denoiser's {name} is at least 1, found {getattr(self, name)}.")
        if not 0 <= self.shape_condition <= self.condition:
            raise BadInput(
                f"shape_condition lies between 0 and the condition's {self.condition} numbers, "
                f"found {self.shape_condition}."
            )

    @property
    def numbers(self) -> int:
        """How many numbers are denoised: 144, or 154 with the shape."""
        return POSE_NUMBERS + SHAPE_NUMBERS * self.shape

    @property
    def given(self) -> int:
        """Numbers of the whole condition as the network takes it.

        PARE gives pose features and then shape features; ProHMR the same for both branches.
        """
        return self.condition + (self.shape_condition if self.shape else 0)


class LevelEmbedding(nn.Module):
    """Integer levels (B,) as (B, width): sines of rising wavelengths, then their cosines."""

    def __init__(self, width: int):
        super().__init__()
        half = width // 2
        self._rates = [math.exp(-k * math.log(10000) / (half - 1)) for k in range(half)]

    def forward(self, t: Int[Tensor, " B"]) -> Float[Tensor, "B width"]:
        angles = t[:, None].float() * torch.tensor(self._rates, device=t.device)
        return torch.cat([angles.sin(), angles.cos()], -1)


class _Layers(nn.Module):
    def __init__(self, width: int, condition: int, hidden: int):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width + condition)
        self.linear_layer1 = nn.Linear(width + condition, hidden)
        self.layer_norm2 = nn.LayerNorm(hidden)
        self.linear_layer2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        gelu = nn.functional.gelu
        x = gelu(self.linear_layer1(self.layer_norm1(x)))
        return gelu(self.linear_layer2(self.layer_norm2(x)))


class _Block(nn.Module):
    def __init__(self, width: int, condition: int, hidden: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(4 * width, 2 * width))
        self.block = _Layers(width, condition, hidden)

    def forward(self, x: Tensor, condition: Tensor, level: Tensor) -> Tensor:
        scale, shift = self.mlp(level).chunk(2, -1)
        x = x * (1 + scale) + shift
        return x + self.block(torch.cat([x, condition], -1))


def _level_mlp(width: int) -> nn.Sequential:
    wide = 4 * width
    return nn.Sequential(
        LevelEmbedding(width), nn.Linear(width, wide), nn.GELU(), nn.Linear(wide, wide)
    )


def _blocks(count: int, width: int, condition: int, hidden: int) -> nn.ModuleList:
    return nn.ModuleList(_Block(width, condition, hidden) for _ in range(count))


class Denoiser(nn.Module):
    """forward(x (B, 144 or 154), t (B,) integer levels, condition (B, C)) → noise, like x."""

    def __init__(self, widths: Widths | None = None):
        super().__init__()
        self.widths = widths = widths or Widths()
        hidden = widths.hidden
        self.time_mlp = _level_mlp(POSE_NUMBERS)
        self.init_mlp = nn.Linear(POSE_NUMBERS, POSE_NUMBERS)
        self.blocks = _blocks(3, POSE_NUMBERS, widths.condition, hidden)
        self.final_mlp = nn.Linear(POSE_NUMBERS, POSE_NUMBERS)
        if widths.shape:
            seen = widths.shape_condition or widths.condition
            self.time_mlp_betas = _level_mlp(SHAPE_NUMBERS)
            self.init_mlp_betas = nn.Linear(SHAPE_NUMBERS, SHAPE_NUMBERS)
            self.blocks_betas = _blocks(2, SHAPE_NUMBERS, seen, hidden)
            self.final_mlp_betas = nn.Linear(SHAPE_NUMBERS, SHAPE_NUMBERS)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """The noise; BadInput if the numbers of x or of the condition are others than its own."""
        for name, value, count in (
            ("pose", x, self.widths.numbers),
            ("condition", condition, self.widths.given),
        ):
            if value.shape[-1] != count:
                raise BadInput(
                    f"the denoiser takes a {name} of {count} numbers, found {value.shape[-1]}; "
                    "give it the features and parameters that its checkpoint was trained with."
                )
        branches = [self._pose(x[..., :POSE_NUMBERS], t, condition[..., : self.widths.condition])]
        if self.widths.shape:
            seen = self.widths.shape_condition or self.widths.condition
            branches.append(self._shape(x[..., POSE_NUMBERS:], t, condition[..., -seen:]))
        return torch.cat(branches, -1)

    def _pose(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        level, x = self.time_mlp(t), self.init_mlp(x)
        for block in self.blocks:
            x = block(x, condition, level)
        return self.final_mlp(x)

    def _shape(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        level, x = self.time_mlp_betas(t), self.init_mlp_betas(x)
        for block in self.blocks_betas:
            x = block(x, condition, level)
        return self.final_mlp_betas(x)

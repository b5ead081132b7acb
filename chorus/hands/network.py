"""TempCLR's network: a residual network and an iterative MLP, crops of right hands to MANO.

Ziani et al. 2022, "TempCLR: Reconstructing Hands via Time-Coherent Contrastive Learning"; names and
shapes of the weights are those of its published checkpoints.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from chorus.errors import unknown_name
from chorus.geometry.rotations import six_d_to_matrix
from chorus.hands.backbone_names import BACKBONES
from chorus.hands.joints import JOINT_COUNT
from chorus.perception.resnet import BasicBlock, Bottleneck, ResidualNetwork

CROP_SIDE = 256
"""Pixels of a crop's side."""
OWN_PREFIXES = ("backbone.", "regressor.")
"""What the names of the weights begin with; what else a checkpoint holds is no weight."""

STAGES = 3
HIDDEN = 1024
PARAMETERS = 6 * JOINT_COUNT + 10 + 3
"""wrist 6 | fingers 90 | betas 10 | camera 3: 109 numbers."""

_BLOCKS: dict[str, tuple[type, tuple[int, ...]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
}
_MEAN_SCALE = 0.9


class HandPrediction(NamedTuple):
    """What the network answers for B crops.

    rotations (B, 16, 3, 3), absolute (zero is the flat hand), the first one global, in the camera's
    orientation; betas (B, 10); camera (B, 3) = (s, tx, ty): crop coordinate in [-1, 1] =
    s * ((X, Y) + (tx, ty)), X right and Y down.
    """

    rotations: Float[Tensor, "B 16 3 3"]
    betas: Float[Tensor, "B 10"]
    camera: Float[Tensor, "B 3"]


class HandNetwork(nn.Module):
    """Normalised crops of right hands to MANO's parameters and a camera.

    hidden: units of the two hidden layers, 1024 as published; width: channels of the backbone's
    first convolution, 64 as published.
    """

    def __init__(self, backbone: str = "resnet50", width: int = 64, hidden: int = HIDDEN):
        super().__init__()
        if backbone not in _BLOCKS:
            raise unknown_name("backbone", backbone, BACKBONES)
        self.backbone = ResidualNetwork(*_BLOCKS[backbone], width)
        self.regressor = _IterativeRegressor(self.backbone.features, hidden)

    def forward(self, crops: Float[Tensor, "B 3 256 256"]) -> HandPrediction:
        """The hands that crops (B, 3, 256, 256) show; only the last stage is decoded."""
        return decode(self.regressor(self.backbone(crops))[-1])


def decode(parameters: Float[Tensor, "*batch 109"]) -> HandPrediction:
    """Rotations, betas and camera of parameter vectors (..., 109); the camera's scale is the
    softplus of its number."""
    turns, betas, camera = parameters.split([6 * JOINT_COUNT, 10, 3], dim=-1)
    scale = softplus(camera[..., :1])
    return HandPrediction(
        six_d_to_matrix(turns.unflatten(-1, (JOINT_COUNT, 6))),
        betas,
        torch.cat([scale, camera[..., 1:]], dim=-1),
    )


def flat_parameters() -> Float[Tensor, " 109"]:
    """The parameters of a flat hand of mean shape before a camera of scale 0.9: where training
    starts without mean values of its own."""
    turns = torch.eye(3)[:, :2].flatten().repeat(JOINT_COUNT)
    camera = torch.tensor([math.log(math.expm1(_MEAN_SCALE)), 0.0, 0.0])
    return torch.cat([turns, torch.zeros(10), camera])


class _IterativeRegressor(nn.Module):
    """Adds to the parameters, three times, what features and current parameters ask for."""

    def __init__(self, features: int, hidden: int):
        super().__init__()
        self.module = _Mlp(features + PARAMETERS, hidden)
        self.register_buffer("mean_param", flat_parameters()[None])

    def forward(self, features: Float[Tensor, "B F"]) -> list[Float[Tensor, "B 109"]]:
        """The parameters after each stage."""
        stages = [self.mean_param.expand(len(features), -1)]
        for _ in range(STAGES):
            stages.append(stages[-1] + self.module(torch.cat([features, stages[-1]], dim=1)))
        return stages[1:]


class _Mlp(nn.Module):
    """Two hidden layers with ReLU and a linear output, nearly zero at first."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.layer_000 = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU())
        self.layer_001 = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU())
        self.output_layer = nn.Linear(hidden, PARAMETERS)
        nn.init.xavier_uniform_(self.output_layer.weight, gain=0.01)

    def forward(self, x: Float[Tensor, "B I"]) -> Float[Tensor, "B 109"]:
        return self.output_layer(self.layer_001(self.layer_000(x)))

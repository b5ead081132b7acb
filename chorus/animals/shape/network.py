"""ACSM's network: from a crop to cameras and the turns of the template's parts.

Weights are named as in the published files: 245 tensors for one camera and 7 parts. Some of them
(the residual network's fc, the parts' scale and probability, the membership) are kept for the files
alone. With several cameras each has a start of its own around the animal, its own parts, and a
probability.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from chorus.animals.resnet import ResNet
from chorus.animals.weights import read_weights
from chorus.errors import BadInput
from chorus.models.checkpoints import fill

_SCALE_STEP, _SHIFT_STEP = 0.05, 0.1
_RANGES_DEGREES = (60.0, 60.0, 30.0)
"""How far roll, elevation and azimuth of one of several cameras reach."""


@dataclass(frozen=True)
class ShapeForm:
    """What the network's form depends on."""

    parts: int = 7
    """Parts of the template."""
    vertices: int = 642
    """Vertices of the template."""
    cameras: int = 1
    """Cameras that are tried."""
    features: int = 200
    """Width of the hidden layers."""
    image_size: int = 256
    """Side of a crop, pixels."""
    published_angles: bool = False
    """Read the angles of several cameras as the release does: not from their layer, which then
    learns nothing."""

    def __post_init__(self) -> None:
        if min(self.parts, self.vertices, self.cameras, self.features) < 1:
            raise BadInput("parts, vertices, cameras and features must be 1 or more.")
        if self.image_size < 64 or self.image_size % 64:
            raise BadInput(f"the side of a crop must be a multiple of 64, found {self.image_size}.")


class Prediction(NamedTuple):
    """C cameras and their parts for each of B images.

    scale (B, C), shift (B, C, 2), rotation (B, C, 3, 3): a point of the posed template goes to
    scale (R X)_xy + shift, -1 to 1 in the crop, y down. angles (B, C, P) radians and axes (C, P, 3)
    of the hinges; shifts (B, C, P, 3) of the parts. log_probability (B, C) of the cameras.
    """

    scale: Float[Tensor, "B C"]
    shift: Float[Tensor, "B C 2"]
    rotation: Float[Tensor, "B C 3 3"]
    angles: Float[Tensor, "B C P"]
    axes: Float[Tensor, "C P 3"]
    shifts: Float[Tensor, "B C P 3"]
    log_probability: Float[Tensor, "B C"]


class ShapeNetwork(nn.Module):
    """Crops (B, 3, S, S), normalised as ImageNet's images, to a `Prediction`."""

    def __init__(self, form: ShapeForm):
        super().__init__()
        self.form = form
        self.img_encoder = _Encoder(form)
        self.cam_predictor = _Cameras(form)
        self.part_membership = nn.Module()
        self.part_membership.membership = nn.Parameter(
            0.01 * torch.randn(form.vertices, form.parts)
        )

    def forward(self, images: Float[Tensor, "B 3 S S"]) -> Prediction:
        """All cameras and their parts."""
        return self.cam_predictor(self.img_encoder(images))


def _hidden(inputs: int, width: int) -> nn.Sequential:
    """Two layers of `width`, each a linear one and its slope, as the files number them."""
    return nn.Sequential(
        *(nn.Sequential(nn.Linear(size, width), nn.LeakyReLU(0.1)) for size in (inputs, width))
    )


class _Encoder(nn.Module):
    def __init__(self, form: ShapeForm):
        super().__init__()
        self.resnet_conv = nn.Module()
        self.resnet_conv.resnet = ResNet("resnet18")
        self.enc_conv1 = nn.Sequential(
            nn.Conv2d(512, 256, 4, 2, 1), nn.BatchNorm2d(256), nn.LeakyReLU(0.2)
        )
        self.enc_fc = _hidden(256 * (form.image_size // 64) ** 2, form.features)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to (B, features)."""
        return self.enc_fc(self.enc_conv1(self.resnet_conv.resnet(images)).flatten(1))


class _Layer(nn.Module):
    """One linear layer under the name that the files have for it."""

    def __init__(self, inputs: int, outputs: int, start: tuple[float, ...] | None = None):
        super().__init__()
        self.pred_layer = nn.Linear(inputs, outputs)
        if start is not None:
            nn.init.normal_(self.pred_layer.weight, std=1e-3)
            with torch.no_grad():
                self.pred_layer.bias.copy_(torch.tensor(start))

    def forward(self, x: Tensor) -> Tensor:
        return self.pred_layer(x)


class _Hinge(_Layer):
    """An angle as the direction of two numbers, and the hinge's axis, which is learnt."""

    def __init__(self, inputs: int):
        super().__init__(inputs, 2, start=(1.0, 0.0))
        self.axis = nn.Parameter(torch.tensor([1.0, 0.0, 0.0]))


class _Part(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fc_layer = _hidden(width, width)
        self.quat_predictor = _Hinge(width)
        self.prob_predictor = nn.Linear(width, 1)
        self.scale_predictor = _Layer(width, 1)
        self.trans_predictor = _Layer(width, 3, start=(0.0, 0.0, 0.0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Angle (B,), axis (3,) and shift (B, 3)."""
        x = self.fc_layer(x)
        pair = self.quat_predictor(x)
        angle = torch.atan2(pair[:, 1], pair[:, 0])
        axis = nn.functional.normalize(self.quat_predictor.axis.flatten(), dim=0)
        return angle, axis, _SHIFT_STEP * self.trans_predictor(x)


class _Parts(nn.Module):
    def __init__(self, form: ShapeForm):
        super().__init__()
        self.fc = _hidden(form.features, form.features)
        self.part_transforms_pred = nn.ModuleList(_Part(form.features) for _ in range(form.parts))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Angles (B, P), axes (P, 3) and shifts (B, P, 3)."""
        x = self.fc(x)
        angles, axes, shifts = zip(*(part(x) for part in self.part_transforms_pred), strict=True)
        return torch.stack(angles, 1), torch.stack(axes), torch.stack(shifts, 1)


class _Camera(nn.Module):
    def __init__(self, width: int, start: Tensor | None, published_angles: bool):
        super().__init__()
        self.fc_layer = _hidden(width, width)
        self.quat_predictor = _Layer(width, 4 if start is None else 3)
        self.prob_predictor = nn.Linear(width, 1)
        self.scale_predictor = _Layer(width, 1)
        self.trans_predictor = _Layer(width, 2)
        self._start = start
        self._published_angles = published_angles

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scale (B,), shift (B, 2), rotation (B, 3, 3), and a score (B,) of how likely it is."""
        x = self.fc_layer(x)
        scale = 1 + _SCALE_STEP * self.scale_predictor(x)[:, 0]
        rotation = self._rotation(x)
        return scale, self.trans_predictor(x), rotation, self.prob_predictor(x)[:, 0]

    def _rotation(self, x: Tensor) -> Tensor:
        if self._start is None:
            w, *rest = nn.functional.normalize(self.quat_predictor(x), dim=1).unbind(1)
            return roma.unitquat_to_rotmat(torch.stack([*rest, w], dim=1))
        raw = x[:, :3] if self._published_angles else self.quat_predictor(x)
        most = torch.deg2rad(torch.tensor(_RANGES_DEGREES, device=x.device))
        roll, elevation, azimuth = (most * torch.tanh(raw)).unbind(1)
        turn = _about(roll, 2) @ _about(elevation, 0) @ _about(azimuth, 1)
        return turn @ self._start.to(turn)


def _about(angle: Float[Tensor, " B"], axis: int) -> Float[Tensor, "B 3 3"]:
    return roma.rotvec_to_rotmat(angle[:, None] * torch.eye(3, device=angle.device)[axis])


def camera_starts(count: int) -> Float[Tensor, "C 3 3"]:
    """Where several cameras begin: a quarter turn about x, then every 45 degrees about y."""
    upright = _about(torch.tensor([math.pi / 2]), 0)[0]
    around = _about(math.pi / 4 * torch.arange(count), 1)
    return around @ upright


class _Cameras(nn.Module):
    def __init__(self, form: ShapeForm):
        super().__init__()
        width = form.features
        self.fc = _hidden(width, width)
        self._single = form.cameras == 1
        if self._single:
            self.camera_predictor = _Camera(width, None, False)
            self.transform_predictor = _Parts(form)
        else:
            self.camera_predictor = nn.ModuleList(
                _Camera(width, start, form.published_angles)
                for start in camera_starts(form.cameras)
            )
            self.transform_predictors = nn.ModuleList(_Parts(form) for _ in range(form.cameras))
            self.prob_predictor = nn.Linear(width, 1)

    def forward(self, features: Tensor) -> Prediction:
        x = self.fc(features)
        if self._single:
            cameras, parts = [self.camera_predictor], [self.transform_predictor]
        else:
            cameras, parts = list(self.camera_predictor), list(self.transform_predictors)
        found = [torch.stack(each, 1) for each in zip(*(c(x) for c in cameras), strict=True)]
        turned = [part(x) for part in parts]
        return Prediction(
            *found[:3],
            angles=torch.stack([each[0] for each in turned], 1),
            axes=torch.stack([each[1] for each in turned]),
            shifts=torch.stack([each[2] for each in turned], 1),
            log_probability=found[3].log_softmax(1),
        )


def load_shape_network(path: Path, form: ShapeForm) -> ShapeNetwork:
    """The network with the weights of a file. BadInput if they are of another form."""
    if not path.is_file():
        raise BadInput(f"there are no weights at {path}; train the network, or give its --name.")
    network = ShapeNetwork(form)
    state = read_weights(path)
    _fit_axes(state, network.state_dict())
    own = ("img_encoder.", "cam_predictor.", "part_membership.")
    fill(network, state, own, path, f"a shape network of {form.parts} parts")
    return network.eval()


def _fit_axes(state: dict[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Axes are three numbers, in whatever shape they are stored."""
    for name, value in state.items():
        if name.endswith(".axis") and name in expected and value.numel() == 3:
            state[name] = value.reshape(expected[name].shape)

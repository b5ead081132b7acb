"""The body regressor of HMR, SPIN and FrankMocap: a ResNet-50 and iterative feedback (appendix).

Names and shapes of the weights are those of the published checkpoints.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chorus.geometry.rotations import six_d_to_matrix
from chorus.perception.crop_regression import Prediction

BLOCKS = (3, 4, 6, 3)
"""Bottlenecks per layer of a ResNet-50."""
WIDTH = 64
"""Channels of the published network's first convolution."""
HIDDEN = 1024
"""Units of its two hidden layers."""
OWN_PREFIXES = ("conv1.", "bn1.", "layer", "fc1.", "fc2.", "dec", "init_")
"""What the names of its weights begin with."""

_EXPANSION = 4
_POSE, _SHAPE, _CAMERA = 24 * 6, 10, 3
_ROUNDS = 3


class Bottleneck(nn.Module):
    """Residual block 1x1, 3x3, 1x1; the stride is in the 3x3 convolution."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        outputs = _EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Features (B, inputs, H, W) to (B, 4 * width, H / stride, W / stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class SpinNetwork(nn.Module):
    """Crops to body parameters; `width`, `hidden` and `blocks` are the published ones by default.

    The start values init_pose (1, 144), init_shape (1, 10), init_cam (1, 3) come with the weights.
    """

    def __init__(
        self, width: int = WIDTH, hidden: int = HIDDEN, blocks: tuple[int, ...] = BLOCKS
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = width
        for number, count in enumerate(blocks):
            layer = []
            for block in range(count):
                stride = 2 if number > 0 and block == 0 else 1
                layer.append(Bottleneck(inputs, width << number, stride))
                inputs = _EXPANSION * width << number
            setattr(self, f"layer{number + 1}", nn.Sequential(*layer))
        self.fc1 = nn.Linear(inputs + _POSE + _SHAPE + _CAMERA, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.decpose = nn.Linear(hidden, _POSE)
        self.decshape = nn.Linear(hidden, _SHAPE)
        self.deccam = nn.Linear(hidden, _CAMERA)
        self.register_buffer("init_pose", torch.zeros(1, _POSE))
        self.register_buffer("init_shape", torch.zeros(1, _SHAPE))
        self.register_buffer("init_cam", torch.zeros(1, _CAMERA))
        self._layers = [f"layer{number + 1}" for number in range(len(blocks))]

    def forward(self, crops: Float[Tensor, "B 3 224 224"]) -> Prediction:
        """Normalised crops (B, 3, 224, 224) to the body they show.

        Each of three rounds adds to pose, shape and camera what the features and their current
        values ask for; there is no activation between the linear layers, as published (the dropout
        of the training does nothing here).
        """
        x = self.maxpool(torch.relu(self.bn1(self.conv1(crops))))
        for name in self._layers:
            x = getattr(self, name)(x)
        features = x.mean(dim=(2, 3))  # the published 7x7 pooling of 7x7 features
        pose, shape, camera = (
            start.expand(len(features), -1)
            for start in (self.init_pose, self.init_shape, self.init_cam)
        )
        for _ in range(_ROUNDS):
            hidden = self.fc2(self.fc1(torch.cat([features, pose, shape, camera], dim=1)))
            pose = pose + self.decpose(hidden)
            shape = shape + self.decshape(hidden)
            camera = camera + self.deccam(hidden)
        return Prediction(six_d_to_matrix(pose.unflatten(1, (24, 6))), shape, camera)

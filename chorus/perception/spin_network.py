"""The body regressor of HMR, SPIN and FrankMocap: a ResNet-50 and iterative feedback (appendix).

Names and shapes of the weights are those of the published checkpoints.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chorus.geometry.rotations import six_d_to_matrix
from chorus.perception.crop_regression import Prediction
from chorus.perception.resnet import Bottleneck, ResidualNetwork

BLOCKS = (3, 4, 6, 3)
"""Bottlenecks per layer of a ResNet-50."""
WIDTH = 64
"""Channels of the published network's first convolution."""
HIDDEN = 1024
"""Units of its two hidden layers."""
OWN_PREFIXES = ("conv1.", "bn1.", "layer", "fc1.", "fc2.", "dec", "init_")
"""What the names of its weights begin with."""

_POSE, _SHAPE, _CAMERA = 24 * 6, 10, 3
_ROUNDS = 3


class SpinNetwork(ResidualNetwork):
    """Crops to body parameters; `width`, `hidden` and `blocks` are the published ones by default.

    The start values init_pose (1, 144), init_shape (1, 10), init_cam (1, 3) come with the weights.
    """

    def __init__(
        self, width: int = WIDTH, hidden: int = HIDDEN, blocks: tuple[int, ...] = BLOCKS
    ) -> None:
        super().__init__(Bottleneck, blocks, width)
        self.fc1 = nn.Linear(self.features + _POSE + _SHAPE + _CAMERA, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.decpose = nn.Linear(hidden, _POSE)
        self.decshape = nn.Linear(hidden, _SHAPE)
        self.deccam = nn.Linear(hidden, _CAMERA)
        self.register_buffer("init_pose", torch.zeros(1, _POSE))
        self.register_buffer("init_shape", torch.zeros(1, _SHAPE))
        self.register_buffer("init_cam", torch.zeros(1, _CAMERA))

    def forward(self, crops: Float[Tensor, "B 3 224 224"]) -> Prediction:
        """Normalised crops (B, 3, 224, 224) to the body they show.

        Each of three rounds adds to pose, shape and camera what the features and their current
        values ask for; there is no activation between the linear layers, as published (the dropout
        of the training does nothing here).
        """
        features = super().forward(crops)  # the published 7x7 pooling of 7x7 features
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

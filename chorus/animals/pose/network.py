"""The published keypoint network: a residual network, three transposed convolutions, heat maps.

Weights are named as in the published files: 140 tensors for resnet18, without a prefix.
"""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from chorus.animals.keypoints import KEYPOINTS, MIRROR
from chorus.animals.resnet import ResNet
from chorus.animals.weights import read_weights
from chorus.errors import BadInput
from chorus.models.checkpoints import fill

_WIDTH = 256
_DEVIATION = 0.001


class _Head(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        steps = []
        for number in range(3):
            before = channels if number == 0 else _WIDTH
            grow = nn.ConvTranspose2d(before, _WIDTH, 4, 2, 1, bias=False)
            nn.init.normal_(grow.weight, std=_DEVIATION)
            steps.append(nn.Sequential(grow, nn.BatchNorm2d(_WIDTH), nn.ReLU(inplace=True)))
        last = nn.Conv2d(_WIDTH, len(KEYPOINTS), 1)
        nn.init.normal_(last.weight, std=_DEVIATION)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*steps, last)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class KeypointNetwork(nn.Module):
    """Images (B, 3, S, S), normalised, to heat maps (B, 16, S / 4, S / 4)."""

    def __init__(self, model: str = "resnet18"):
        super().__init__()
        features = ResNet(model)
        self.backbone = nn.Sequential(*features.stages())
        self.head = _Head(features.channels)

    def forward(self, images: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B K M M"]:
        """Heat maps; a keypoint's peak is about 1 where the network is sure."""
        return self.head(self.backbone(images))

    def with_flip(self, images: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B K M M"]:
        """The mean of the heat maps of the images and of their mirror images."""
        mirrored = self(images.flip(-1)).flip(-1)[:, list(MIRROR)]
        return (self(images) + mirrored) / 2


def load_keypoint_network(path: Path, model: str = "resnet18") -> KeypointNetwork:
    """The network with the weights of a file. BadInput if they are not those of `model`."""
    if not path.is_file():
        raise BadInput(f"there are no weights at {path}; train the network, or give its --name.")
    network = KeypointNetwork(model)
    fill(network, read_weights(path), ("backbone.", "head."), path, f"a keypoint {model}")
    return network.eval()

"""Residual networks of the published depths, with torchvision's names for their weights."""

from __future__ import annotations

from torch import Tensor, nn

from chorus.errors import unknown_name
from chorus.perception.spin_network import Bottleneck

_BLOCKS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
MODELS = tuple(_BLOCKS)
"""The names of the depths."""


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, width, H / stride, W / stride)."""
        inner = self.relu(self.bn1(self.conv1(x)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(inner)) + shortcut)


class ResNet(nn.Module):
    """Features (B, C, H / 32, W / 32) of images (B, 3, H, W); fc is kept for its weights alone."""

    def __init__(self, model: str = "resnet18"):
        super().__init__()
        if model not in _BLOCKS:
            raise unknown_name("network", model, _BLOCKS)
        block, growth = (BasicBlock, 1) if model in ("resnet18", "resnet34") else (Bottleneck, 4)
        self.channels = 512 * growth
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        before = 64
        for number, blocks in enumerate(_BLOCKS[model]):
            width, stride = 64 << number, 1 if number == 0 else 2
            layer = []
            for place in range(blocks):
                layer.append(block(before, width, stride if place == 0 else 1))
                before = width * growth
            setattr(self, f"layer{number + 1}", nn.Sequential(*layer))
        self.fc = nn.Linear(self.channels, 1000)

    def stages(self) -> list[nn.Module]:
        """What the features go through, in order."""
        stem = [self.conv1, self.bn1, self.relu, self.maxpool]
        return [*stem, self.layer1, self.layer2, self.layer3, self.layer4]

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised as ImageNet's, to features."""
        for stage in self.stages():
            x = stage(x)
        return x

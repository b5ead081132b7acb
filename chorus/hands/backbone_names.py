"""The backbones that TempCLR's network comes with, as text: options need them without torch."""

from __future__ import annotations

from typing import Literal, get_args

Backbone = Literal["resnet18", "resnet34", "resnet50", "resnet101"]
BACKBONES: tuple[str, ...] = get_args(Backbone)

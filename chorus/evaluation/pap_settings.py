"""What a PAP is called and how it is taken; imports nothing heavy (the metric itself: `pap`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from chorus.errors import BadInput, unknown_name

Metric = Literal["pap/v1", "pap/v2", "pap/v2-relative"]
VARIANTS = ("PAP", "PAP_strict", "PAP_hoa", "PAP_strict_hoa")
"""The four figures, in the order of every array of them."""
THRESHOLDS = tuple(percent / 100 for percent in range(1, 100))
"""0.01, 0.02, ... 0.99."""


@dataclass(frozen=True)
class PapSettings:
    """How a distribution is scored on test images."""

    metric: Metric = "pap/v2"
    """`pap/v1` is the paper's definition, `pap/v2` closes its curve and its loopholes,
    `pap/v2-relative` also divides every field by its highest value."""
    downscale_length: int = 32
    """Shorter side of the pixel grid that is compared, cells."""
    thresholds: tuple[float, ...] = THRESHOLDS
    """Probabilities from which a voxel counts as occupied: rising, above 0, at most 1."""

    def __post_init__(self) -> None:
        if self.metric not in get_args(Metric):
            raise unknown_name("metric", self.metric, get_args(Metric))
        if self.downscale_length < 1:
            raise BadInput(
                f"the pixel grid needs a shorter side of 1 or more, not {self.downscale_length}; "
                "the paper's is 32."
            )
        import numpy as np

        steps = np.asarray(self.thresholds, np.float64)
        if not (steps.size and steps[0] > 0 and steps[-1] <= 1 and (np.diff(steps) > 0).all()):
            raise BadInput(
                "thresholds must rise, lie above 0 and be at most 1; found "
                f"{self.thresholds}. The paper's are 0.01, 0.02, ... 0.99."
            )

    @property
    def release(self) -> bool:
        """Whether points are rounded and depths ignored as in the published code."""
        return self.metric == "pap/v1"

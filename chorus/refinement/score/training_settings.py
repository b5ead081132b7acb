"""How a prior of poses is trained; imports nothing heavy, as options need it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from chorus.errors import BadInput


@dataclass(frozen=True)
class TrainingSettings:
    """Optimiser, averaging and length of a training. The defaults are our own prior's."""

    steps: int = 4000
    """Steps of the optimiser."""
    batch: int = 256
    """Examples a step."""
    rate: float = 1e-3
    """Learning rate (Adam, decoupled weight decay)."""
    second_beta: float = 0.999
    """Adam's second beta; its first is 0.9."""
    weight_decay: float = 0.05
    """Decoupled decay of the weights."""
    anneal: Literal["cosine", "none"] = "cosine"
    """Whether the rate falls to 0 at the end, along half a cosine after a rise of 3 % of the
    steps."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    average: float = 0.995
    """Decay of the averaged weights."""
    average_every: int = 10
    """Steps between two averagings."""
    average_from: int = 100
    """Step up to which the averaged weights are the trained ones."""
    report_every: int = 500
    """Steps between two validations; the training's state is saved as often."""
    seed: int = 1
    """What the order of the examples and the noise are drawn from."""

    def __post_init__(self) -> None:
        whole = ("steps", "batch", "average_every", "report_every")
        valid = {
            **{name: getattr(self, name) >= 1 for name in whole},
            **{name: 0 < getattr(self, name) < float("inf") for name in ("rate", "clip")},
            "second_beta": 0 <= self.second_beta < 1,
            "average": 0 <= self.average < 1,
            "weight_decay": 0 <= self.weight_decay < float("inf"),
            "average_from": self.average_from >= 0,
            "anneal": self.anneal in ("cosine", "none"),
            "seed": self.seed >= 0,
        }
        for name, ok in valid.items():
            if not ok:
                raise BadInput(
                    f"training setting {name} is out of range, found {getattr(self, name)}; "
                    f"its default is {getattr(TrainingSettings, name)}."
                )

    def recorded(self) -> dict[str, Any]:
        """The settings as a training's state records them."""
        return asdict(self)


PAPER = TrainingSettings(
    steps=1_000_000,
    batch=128,
    rate=1e-4,
    second_beta=0.99,
    weight_decay=0.0,
    anneal="none",
    report_every=10_000,
)
"""ScoreHMR's own training."""

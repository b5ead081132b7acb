"""How a learned prior of poses is guided by evidence; guidance.py has the formulas (method.md 5d).

Imports nothing heavy, as options need it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from chorus.errors import BadInput


@dataclass(frozen=True)
class GuidanceSettings:
    """Rounds of inversion and guided sampling. The defaults are ScoreHMR's for single images."""

    level: int = 50
    """Noise level, of 1000, that a round rises to."""
    step: int = 2
    """Levels between two steps."""
    rounds: int = 10
    """How often inversion and guided sampling follow each other; 0 leaves them out."""
    strength: float = 1.0
    """Factor of the losses' gradient."""
    keypoints: float = 0.003
    """Weight of the keypoints, 0 to leave them out."""
    consistency: float = 0.0
    """Weight of the agreement of several views of one person; ScoreHMR has 0.005."""
    smoothness: float = 0.0
    """Weight of the agreement of successive frames; ScoreHMR has 30."""
    robust: float = 100.0
    """Error in pixels of an image of 1000 from which a keypoint's pull becomes weaker again."""
    translation_rate: float = 0.01
    """Step of the camera's translation (Adam), metres."""
    stop: float = 1e-5
    """A person is finished when its keypoints' loss changes by less than this part between two
    steps; 0 for never."""

    def __post_init__(self) -> None:
        weights = ("strength", "keypoints", "consistency", "smoothness", "stop")
        valid = {
            **{name: 0 <= getattr(self, name) < float("inf") for name in weights},
            "robust": 0 < self.robust < float("inf"),
            "translation_rate": 0 <= self.translation_rate < float("inf"),
            "step": self.step >= 1,
            "rounds": self.rounds >= 0,
        }
        for name, ok in valid.items():
            if not ok:
                raise BadInput(
                    f"guidance setting {name} is out of range, found {getattr(self, name)}; "
                    f"its default is {getattr(GuidanceSettings, name)}."
                )
        if self.level < self.step or self.level % self.step or self.level > 999:
            raise BadInput(
                f"guidance setting level must be a multiple of the step {self.step}, at most 999, "
                f"found {self.level}; its default is {GuidanceSettings.level}."
            )


PUBLISHED: dict[str, GuidanceSettings] = {
    "single": GuidanceSettings(),
    "image": GuidanceSettings(stop=0.0),
    "views": GuidanceSettings(
        level=100, step=10, rounds=2, keypoints=0.0, consistency=0.005, stop=0.0
    ),
    "video": GuidanceSettings(smoothness=30.0, stop=0.0),
}
"""ScoreHMR's settings by task: its evaluation on single images, its image demo, its evaluation on
several views, and video."""


@dataclass(frozen=True)
class ScoreSettings:
    """How `refine --refinement score` uses its prior."""

    start: Literal["regressor", "map"] = "regressor"
    """Whose keypoints' error must not be exceeded, or the person keeps it: the regressor's body,
    placed where the keypoints are, or the fit of `map`."""
    samples: int = 1
    """Bodies drawn for each person, whose mean is taken; 1 is the prior's own mean."""
    steps: int = 20
    """Steps of drawing one of several samples from noise."""
    joint_sd: float = 3.0
    """Standard deviation of the prior's joint rotations in the last fit of body and camera to the
    keypoints, degrees about each axis."""
    rotation_sd: float = 3.0
    """Likewise of its global rotation."""

    def __post_init__(self) -> None:
        valid = {
            "start": self.start in ("regressor", "map"),
            "samples": self.samples >= 1,
            "steps": 1 <= self.steps <= 1000,
            "joint_sd": 0 < self.joint_sd < float("inf"),
            "rotation_sd": 0 < self.rotation_sd < float("inf"),
        }
        for name, ok in valid.items():
            if not ok:
                raise BadInput(
                    f"score setting {name} is out of range, found {getattr(self, name)}; "
                    f"its default is {getattr(ScoreSettings, name)}."
                )

    def recorded(self) -> dict[str, Any]:
        """The settings as tables record them."""
        return {f"score_{name}": value for name, value in asdict(self).items()}

"""The knobs of the synthetic world's error model; imports nothing heavy, as options need them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from chorus.errors import BadInput

ErrorModelName = Literal["default", "doubled", "harsh"]

_AT_MOST_1 = ("keypoint_swap", "keypoint_confident_miss", "shared_error", "mask_swallows_hands")


@dataclass(frozen=True)
class NoiseSettings:
    """How far the synthetic world's networks are off; 0 everywhere means exact answers.

    With all knobs at 0 the regressor's camera still is a weak-perspective one, which is what such
    networks give.
    """

    box_jitter: float = 0.012
    """Standard deviation of each side of a detected box, relative to the box's size."""
    mask_boundary: float = 1.5
    """Standard deviation of a mask's boundary, pixels at an instance 256 pixels large."""
    miss_rate: float = 0.02
    """Share of instances missed whatever their size."""
    small_area: float = 120.0
    """Visible area in pixels at which about a third of the instances is missed for being small."""
    false_positive_rate: float = 0.03
    """Share of images with an instance of the category, or a person, where there is none."""
    duplicate_rate: float = 0.03
    """Share of instances that are found a second time with a lower score."""
    score_spread: float = 0.035
    """How far below 1 the scores of true instances lie on average."""
    keypoint_jitter: float = 0.012
    """Standard deviation of visible 2D keypoints, relative to the person's size; hidden ones are
    off by three times as much."""
    confidence_spread: float = 0.07
    """Standard deviation of keypoint confidences around the value for their visibility."""
    pose_error: float = 5.0
    """Standard deviation of every joint's rotation, degrees about each axis (5 gives a PA-MPJPE of
    about 50 mm); half as much along the spine."""
    hidden_pose_error: float = 0.5
    """How much larger the error of joints is that cannot be seen, as a share."""
    rotation_error: float = 4.0
    """Standard deviation of the global rotation, degrees about each axis."""
    betas_error: float = 0.6
    """Standard deviation of the shape parameters."""
    camera_error: float = 0.02
    """Standard deviation of the weak camera: relative for its scale, crop units for its shift."""
    keypoint_swap: float = 0.0
    """Share of pairs of arms, and of legs, whose left and right keypoints are exchanged, confidence
    and all."""
    keypoint_confident_miss: float = 0.0
    """Share of keypoints that lie far off, on another part of the person or on something else, with
    the confidence of a visible one."""
    shared_error: float = 0.0
    """Share of the body regressor's error in the image that the keypoint detector repeats; give
    `humans` and `keypoints` the same noise."""
    occlusion_pose_error: float = 0.0
    """How much larger the error of all joints is for a person of whom nothing can be seen, as a
    share; in proportion to the share of joints that cannot."""
    mask_swallows_hands: float = 0.0
    """Share of visible hands beside an object that its mask takes from the person's, forearm and
    all."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise BadInput(
                    f"noise setting {field.name} must be a number of at least 0: {value}."
                )
            if field.name in _AT_MOST_1 and value > 1:
                raise BadInput(f"noise setting {field.name} is a share, from 0 to 1: {value}.")

    def recorded(self) -> dict[str, Any]:
        """The settings as tables record them.

        Knobs that are off by default are left out where they are, as in tables older than these.
        """
        usual = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value or usual[name]}


EXACT = NoiseSettings(**{field.name: 0.0 for field in fields(NoiseSettings)})
"""No noise at all."""

DOUBLED = NoiseSettings(**{field.name: 2 * field.default for field in fields(NoiseSettings)})
"""Every knob of the default twice as large."""

HARSH = NoiseSettings(
    box_jitter=0.03,
    mask_boundary=3.0,
    miss_rate=0.05,
    small_area=200.0,
    false_positive_rate=0.06,
    duplicate_rate=0.06,
    score_spread=0.06,
    keypoint_jitter=0.02,
    confidence_spread=0.12,
    pose_error=6.0,
    hidden_pose_error=1.0,
    rotation_error=8.0,
    betas_error=1.0,
    camera_error=0.04,
    keypoint_swap=0.05,
    keypoint_confident_miss=0.03,
    shared_error=0.3,
    occlusion_pose_error=1.0,
    mask_swallows_hands=0.2,
)
"""Errors of kinds that no step expects: gross ones, and ones that agree with each other."""

ERROR_MODELS: dict[ErrorModelName, NoiseSettings] = {
    "default": NoiseSettings(),
    "doubled": DOUBLED,
    "harsh": HARSH,
}
"""Every error model that `--error_model` may name."""

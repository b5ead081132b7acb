"""The knobs of the synthetic world's error model; imports nothing heavy, as options need them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from chorus.errors import BadInput


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

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise BadInput(
                    f"noise setting {field.name} must be a number of at least 0: {value}."
                )


EXACT = NoiseSettings(**{field.name: 0.0 for field in fields(NoiseSettings)})
"""No noise at all."""

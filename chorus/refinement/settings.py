"""How persons are refined; map_fit.py has the formulas.

See method.md 5b.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from chorus.errors import BadInput

NOT_EXPLAINED = "keypoints not explained"
DISAGREE = "body and mask disagree"
"""The doubts that a fit may leave."""


@dataclass(frozen=True)
class RefinementSettings:
    """How persons are fitted to their keypoints: standard deviations of what is known before."""

    joint_sd: float = 6.0
    """Standard deviation of the regressor's joint rotations, degrees about each axis; joints of
    the spine and the collars have half of it."""

    rotation_sd: float = 4.0
    """Standard deviation of the regressor's global rotation along the line of sight, degrees about
    each axis."""

    focal_sd: float = 0.1
    """Standard deviation of the log focal length around that of field_of_view."""

    field_of_view: float = 46.4
    """The usual field of view along the image's longer side, degrees."""

    place_sd: float = 0.2
    """Standard deviation of where and how large the regressor's joints are in the image, as a
    share of the person's extent (the longer side of the box)."""

    keypoint_sd: float = 0.012
    """Standard deviation of a confident keypoint, as a share of the person's extent."""

    doubtful_factor: float = 3.0
    """How many times that of a keypoint of middling confidence is."""

    least_confidence: float = 0.2
    """Keypoints of a confidence below this are not used."""

    outlier: float = 4.0
    """Error in standard deviations from which a keypoint's pull becomes weaker again (Cauchy)."""

    max_iterations: int = 50
    """Most Levenberg-Marquardt steps a person."""

    tolerance: float = 1e-4
    """A person has converged when the next step would lower its cost by less than this part."""

    doubt_residual: float = 0.1
    """Root mean squared error of the keypoints, as a share of the person's extent, above which
    they are not explained."""

    doubt_agreement: float = 0.4
    """Intersection over union of body and mask below which they disagree."""

    def __post_init__(self) -> None:
        positive = (
            *("joint_sd", "rotation_sd", "focal_sd", "place_sd", "keypoint_sd", "outlier"),
            *("tolerance", "doubt_residual"),
        )
        valid = {
            **{name: 0 < getattr(self, name) < float("inf") for name in positive},
            "field_of_view": 0 < self.field_of_view < 180,
            "doubtful_factor": 1 <= self.doubtful_factor < float("inf"),
            "least_confidence": 0 <= self.least_confidence <= 1,
            "doubt_agreement": 0 <= self.doubt_agreement <= 1,
            "max_iterations": self.max_iterations >= 1,
        }
        for name, ok in valid.items():
            if not ok:
                raise BadInput(
                    f"refinement setting {name} is out of range, found {getattr(self, name)}; "
                    f"its default is {getattr(RefinementSettings, name)}."
                )

    def recorded(self) -> dict[str, Any]:
        """The settings as tables record them."""
        return asdict(self)

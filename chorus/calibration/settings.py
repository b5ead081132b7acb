"""How cameras are calibrated; weak_to_perspective.py explains the choices.

See method.md 6.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from chorus.errors import BadInput, unknown_name

Anchoring = Literal["perspective", "weak-perspective"]


@dataclass(frozen=True)
class CalibrationSettings:
    """How cameras are calibrated; the defaults follow the paper where it says anything."""

    field_of_view: float = 46.4
    """Vertical field of view of the start in degrees (the focal length in units of image width is
    taken from it as for a square image)."""

    stop_residual: float = 0.7
    """Residual in pixels (error's Frobenius norm / joints) at which the focal length needs no
    further change."""

    focal_prior: float = 16.0
    """Weight of the start's focal length: its change by a factor e costs as much as an error of
    this Frobenius norm in pixels; 0 lets the joints alone decide."""

    rotation_prior: float = 0.0
    """Weight of the regressor's rotation, turned along the line of sight: turning away from it by a
    radian costs as much as an error of this Frobenius norm in pixels; 0 lets the joints decide."""

    focal_range: float = 4.0
    """The focal length stays between the start's divided by and multiplied by this."""

    max_iterations: int = 100
    """Most Levenberg-Marquardt steps for each of the stages of a person's solution."""

    tolerance: float = 1e-6
    """A person has converged when the next step would lower its cost by less than this part."""

    anchoring: Anchoring = "perspective"
    """`weak-perspective` (an ablation) keeps the regressor's parallel projection, as a camera far
    away with a long focal length; the settings above then mean nothing."""

    def __post_init__(self) -> None:
        if self.anchoring not in get_args(Anchoring):
            raise unknown_name("anchoring", self.anchoring, get_args(Anchoring))
        valid = {
            "field_of_view": 0 < self.field_of_view < 180,
            "stop_residual": self.stop_residual >= 0,
            "focal_prior": self.focal_prior >= 0,
            "rotation_prior": self.rotation_prior >= 0,
            "focal_range": self.focal_range >= 1,
            "max_iterations": self.max_iterations >= 1,
            "tolerance": self.tolerance > 0,
        }
        for name, ok in valid.items():
            if not ok:
                raise BadInput(
                    f"calibration setting {name} is out of range, found {getattr(self, name)}; "
                    f"its default is {getattr(CalibrationSettings, name)}."
                )

    def recorded(self) -> dict[str, Any]:
        """The settings as tables record them.

        `anchoring` is left out where it is perspective, as in tables older than this setting.
        """
        settings = asdict(self)
        if self.anchoring == "perspective":
            del settings["anchoring"]
        return settings


PAPER = CalibrationSettings()
"""As published: whatever brings the residual down to stop_residual."""

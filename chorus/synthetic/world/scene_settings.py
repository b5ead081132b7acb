"""What the synthetic world draws, by name; imports nothing heavy, as options need it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from chorus.errors import BadInput

WorldName = Literal["default", "harsh"]


@dataclass(frozen=True)
class SceneSettings:
    """What the synthetic image model draws. Fault rates are shares of all pictures, one fault each.

    The rates are assumptions, chosen so that every check of the filter has work.
    """

    width: int = 512
    """Image width in pixels."""
    height: int = 512
    """Image height in pixels."""
    shape_spread: float = 1.0
    """Standard deviation of the body's shape parameters."""
    no_person: float = 0.02
    """Share of pictures without a person."""
    no_object: float = 0.06
    """Share of pictures without the object."""
    second_person: float = 0.12
    """Share of pictures with another person in the background."""
    second_object: float = 0.08
    """Share of pictures with another object of the category lying about."""
    wrong_interaction: float = 0.08
    """Share of pictures that show another interaction, or the object lying beside the person."""
    field_of_view: tuple[float, float] | None = None
    """Vertical field of view, degrees, uniform between two ends; None is the lens of
    viewpoints.yaml."""
    stature: tuple[float, float] = (1.0, 1.0)
    """How large people are beside what their shape parameters say, uniform between two ends; 0.6 is
    a child of about a metre. Objects keep their size."""
    cloth_thickness: float = 0.0
    """How far at most clothes other than tight suits stand off the skin beside what they do anyway,
    metres; in places two fifths of that."""

    def __post_init__(self) -> None:
        rates = self.fault_rates()
        if min(rates) < 0 or sum(rates) > 1:
            raise BadInput(f"fault rates must lie in 0..1 and sum to at most 1, found {rates}.")
        if self.field_of_view is not None:
            _check_range("field_of_view", self.field_of_view, 5, 120)
        _check_range("stature", self.stature, 0.5, 1.3)
        if not 0 <= self.cloth_thickness <= 0.1:
            raise BadInput(
                f"cloth_thickness must lie in 0..0.1 metres, found {self.cloth_thickness}."
            )

    def fault_rates(self) -> tuple[float, ...]:
        """The rates in the order of FAULTS."""
        return (
            self.no_person,
            self.no_object,
            self.second_person,
            self.second_object,
            self.wrong_interaction,
        )

    def recorded(self) -> dict[str, Any]:
        """What tables keep: {"world": what differs from the default}, nothing for the default."""
        changed = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                changed[field.name] = list(value) if isinstance(value, tuple) else value
        return {"world": changed} if changed else {}


def _check_range(name: str, ends: tuple[float, float], least: float, most: float) -> None:
    low, high = ends
    if not least <= low <= high <= most:
        raise BadInput(
            f"{name} must be two numbers in {least}..{most}, the lower first, found {ends}."
        )


HARSH = SceneSettings(
    shape_spread=1.5, field_of_view=(25.0, 75.0), stature=(0.6, 1.1), cloth_thickness=0.04
)
"""Lenses, bodies and clothes that calibration and aggregation do not expect."""

WORLDS: dict[WorldName, SceneSettings] = {"default": SceneSettings(), "harsh": HARSH}
"""Every world that `--world` may name."""

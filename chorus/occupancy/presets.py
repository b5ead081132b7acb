"""Settings of occupancy and the presets that name them; imports only errors.

See method.md 7-9.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from chorus.errors import BadInput, unknown_name

Weighting = Literal["azimuth-uniform-fine", "azimuth-uniform", "total-uniform"]
Projection = Literal["exact", "release"]
Selection = Literal["", "confidence", "consistency", "agreement", "reprojection", "combined"]


@dataclass(frozen=True)
class FieldSettings:
    """How skinning weights spread from the body's vertices to space (method.md 7)."""

    neighbours: int = 30
    """Template vertices whose weights are averaged by inverse distance at each voxel."""
    reach: float = 0.8
    """Distance from the body, metres, beyond which space does not follow it; inf: always does."""
    mixing: float = 0.5
    """How fast the body's hold fades with distance: exp(-mixing * artanh(distance / reach))."""
    smoothing_rounds: int = 30
    """Rounds of six-neighbour Laplacian smoothing."""
    smoothing_keep: float = 0.7
    """Share of a voxel's difference from its neighbours' mean that one round keeps."""

    def __post_init__(self) -> None:
        if self.neighbours < 1 or not self.reach > 0 or self.mixing < 0:
            raise BadInput(
                "a skinning field needs at least 1 neighbour, a reach above 0 m and a mixing of 0 "
                f"or more; found {self.neighbours}, {self.reach} and {self.mixing}."
            )
        if self.smoothing_rounds < 0 or not 0 <= self.smoothing_keep <= 1:
            raise BadInput(
                "a skinning field needs 0 or more smoothing rounds that keep a share between 0 and "
                f"1; found {self.smoothing_rounds} and {self.smoothing_keep}."
            )


@dataclass(frozen=True)
class AggregationSettings:
    """How samples become a distribution (method.md 7-9)."""

    parts: str = "quant"
    """Body-part preset: `quant` (the whole body as one part) or `qual:demo` (arm, foot, torso)."""
    resolution: int = 48
    """Voxels along each axis of the canonical grid."""
    side: float = 3.0
    """Edge of the canonical grid, metres."""
    weighting: Weighting = "azimuth-uniform-fine"
    """Weights of views; may change after aggregation, as counts are kept per azimuth bin."""
    symmetric: bool = False
    """Also count every sample mirrored left to right."""
    projection: Projection = "exact"
    """`release` repeats the published code: pixels round toward zero and depth is not tested."""
    canonicalise: bool = True
    """Undo each sample's pose; without it (an ablation) space stays where the star pose has it."""
    share: float = 1.0
    """Part of every prompt's retained samples that is counted, chosen by a hash of their keys: a
    smaller part lies within a larger one, and at least one sample is taken."""
    region_distance: float = 0.13
    """A part's interaction region: voxels closer than this to its template vertices, metres."""
    field: FieldSettings = field(default_factory=FieldSettings)
    """The skinning field around the canonical body."""
    hidden: bool = False
    """Also count where the person's body hides a voxel."""
    hidden_margin: float = 0.03
    """How far behind the body's first surface a voxel counts as hidden, metres."""
    selection: Selection = ""
    """Quality by which samples are selected (`chorus quality`): one criterion, or `combined`; none
    if empty."""
    selection_share: float = 1.0
    """Part of every prompt's samples that is counted, those of best quality, at least one."""
    selection_levels: int = 1
    """A sample counts as 1 to so many samples, by the quantile of its quality in its prompt."""

    def __post_init__(self) -> None:
        for kind, value, known in (
            ("weighting", self.weighting, get_args(Weighting)),
            ("projection", self.projection, get_args(Projection)),
            ("selection", self.selection, get_args(Selection)),
        ):
            if value not in known:
                raise unknown_name(kind, value, known)
        if not 0 < self.share <= 1:
            raise BadInput(
                f"an aggregation's share of the data must be above 0 and at most 1, "
                f"found {self.share}."
            )
        if not 0 <= self.hidden_margin < math.inf:
            raise BadInput(
                "a voxel counts as hidden from a finite distance of 0 m or more behind the body; "
                f"found a hidden_margin of {self.hidden_margin} m, the usual is 0.03."
            )
        self._check_selection()

    def _check_selection(self) -> None:
        share, levels = self.selection_share, self.selection_levels
        if not 0 < share <= 1 or levels < 1:
            raise BadInput(
                "a selection takes a share above 0 and at most 1, and 1 or more levels; found "
                f"{share} and {levels}."
            )
        if not self.selection and (share, levels) != (1, 1):
            raise BadInput(
                f"a selection_share of {share} and selection_levels of {levels} need a quality to "
                "select by: give `selection` a criterion, or `combined`."
            )

    def recorded(self) -> dict[str, Any]:
        """The settings as results record them.

        Left out are, as in results that are older than these settings: `share` where it is 1,
        `hidden` where nothing hidden is counted, `hidden_margin` where it says nothing new, and the
        selection's where there is none.
        """
        settings = asdict(self)
        if self.share == 1:
            del settings["share"]
        if not self.hidden or self.hidden_margin == type(self).hidden_margin:
            del settings["hidden_margin"]
        if not self.hidden:
            del settings["hidden"]
        if not self.selection:
            for name in ("selection", "selection_share", "selection_levels"):
                del settings[name]
        return settings


_FULL = AggregationSettings(parts="quant")
PRESETS: dict[str, AggregationSettings] = {
    "quant:full": _FULL,
    "qual:demo": AggregationSettings(parts="qual:demo"),
    "quant:no-canonicalisation": replace(_FULL, canonicalise=False),
    "quant:no-view-weighting": replace(_FULL, weighting="total-uniform"),
    "quant:coarse-view-weighting": replace(_FULL, weighting="azimuth-uniform"),
    "quant:symmetric": replace(_FULL, symmetric=True),
    "quant:resolution-24": replace(_FULL, resolution=24),
    "quant:resolution-96": replace(_FULL, resolution=96),
    "quant:data-10-percent": replace(_FULL, share=0.1),
    "quant:data-1-percent": replace(_FULL, share=0.01),
}
"""Aggregation settings by the names that the commands and the results tree use."""


def preset(name: str) -> AggregationSettings:
    """The aggregation settings of that name; BadInput with near names for an unknown one."""
    if name not in PRESETS:
        raise unknown_name("aggregation preset", name, PRESETS)
    return PRESETS[name]

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
Anchor = Literal["calibrated", "refined"]
Estimator = Literal["quotient", "evidence"]
Selection = Literal["", "confidence", "consistency", "agreement", "reprojection", "combined"]
Evidence = Literal["masks", "meshes", "both"]
AUTO = "auto"
"""The body-part preset whose parts are found in the samples."""


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
class EvidenceSettings:
    """How the evidence estimator makes probabilities of counts (`evidence.py`)."""

    hidden: bool = True
    """Leave out the visits in which the body hid the voxel; else they count as seen empty."""
    widths: tuple[float, ...] = (0.06, 0.0)
    """Standard deviations of the kernels that pooled rates are smoothed with, metres, wide ones
    first; none: every voxel's own rate, shrunk towards the mean of all."""
    own_width: float = 0.03
    """That of the kernel for each azimuth bin's own rate, metres."""
    bound: bool = True
    """Combine the bins as bounds from above (their geometric mean); else all visits are pooled."""
    inside: float = 0.02
    """How deep below the skin nothing can be, metres; inf: anything may be inside the body."""
    slope: float = 1.0
    """Of the logistic calibration: log odds are multiplied by this,"""
    offset: float = 0.0
    """and this is added."""

    def __post_init__(self) -> None:
        widths = (*self.widths, self.own_width)
        if not all(0 <= width < math.inf for width in widths):
            raise BadInput(f"the evidence estimator's widths must be 0 m or more, found {widths}.")
        if list(self.widths) != sorted(self.widths, reverse=True):
            raise BadInput(
                f"the evidence estimator's widths must fall, wide ones first; found {self.widths}."
            )
        if not self.inside >= 0:
            raise BadInput(
                f"nothing can be inside the body from 0 m or more below the skin; found an inside "
                f"of {self.inside} m."
            )
        if not (0 < self.slope < math.inf and math.isfinite(self.offset)):
            raise BadInput(
                "the calibration of probabilities needs a slope above 0 and a finite offset, found "
                f"{self.slope} and {self.offset}."
            )


@dataclass(frozen=True)
class DiscoverySettings:
    """How body parts are found (method.md 9)."""

    min_share: float = 0.1
    """Segments touched in fewer of the samples are in no set."""
    max_share: float = 0.95
    """Segments touched in more of the samples are one set: with what goes along tells nothing."""
    max_sets: int = 5
    """The most sets that the other segments are divided into."""
    min_silhouette: float = 0.25
    """Division into several sets needs this mean silhouette, or segments that avoid each other;
    Kaufman and Rousseeuw (1990) call less than 0.25 no structure."""
    resamples: int = 200
    """Bootstrap resamples of the samples that stability is measured on."""
    min_stability: float = 0.75
    """Sets less stable are told to be so; Hennig (2007) trusts clusters from 0.75."""
    significance: float = 0.05
    """Prompts are joined if chance makes as large a difference more often than this."""
    max_difference: float = 0.2
    """And if the root mean square difference of their touched shares is at most this."""

    def __post_init__(self) -> None:
        if not 0 < self.min_share <= self.max_share <= 1:
            raise BadInput(
                "discovery needs 0 < min_share <= max_share <= 1; found a min_share of "
                f"{self.min_share} and a max_share of {self.max_share}, the usual are 0.1 and 0.95."
            )
        if self.max_sets < 1 or self.resamples < 1:
            raise BadInput(
                "discovery needs at least 1 set and 1 resample; found a max_sets of "
                f"{self.max_sets} and {self.resamples} resamples, the usual are 5 and 200."
            )
        for name in ("min_silhouette", "min_stability", "significance", "max_difference"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(
                    f"discovery needs a {name} from 0 to 1, found {getattr(self, name)}; "
                    f"the usual is {getattr(type(self), name)}."
                )


@dataclass(frozen=True)
class AggregationSettings:
    """How samples become a distribution (method.md 7-9)."""

    parts: str = "quant"
    """Body-part preset: `quant` (the whole body as one part), `qual:demo` (arm, foot, torso) or
    `auto` (found from what the object touches in a category's samples)."""
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
    observed: Evidence = "masks"
    """What is counted: the objects' masks, their lifted meshes (`chorus import --lifted`), or
    both."""
    canonicalise: bool = True
    """Undo each sample's pose; without it (an ablation) space stays where the star pose has it."""
    share: float = 1.0
    """Part of every prompt's retained samples that is counted, chosen by a hash of their keys: a
    smaller part lies within a larger one, and at least one sample is taken."""
    region_distance: float = 0.13
    """A part's interaction region: voxels closer than this to its template vertices, metres."""
    anchor: Anchor = "calibrated"
    """Whose poses and cameras: `calibrated` are the regressor's poses with the cameras of
    `chorus calibrate`, `refined` those of `chorus refine`."""
    estimator: Estimator = "quotient"
    """How counts become probabilities: `quotient` is the paper's weighted quotient, `evidence` the
    estimator whose settings are the next."""
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    """Of the evidence estimator."""
    discovery: DiscoverySettings = field(default_factory=DiscoverySettings)
    """How the body parts `auto` are found."""
    hidden: bool = False
    """Also count where the person's body hides a voxel."""
    hidden_margin: float = 0.03
    """How far behind the body's first surface a voxel counts as hidden, metres."""
    selection: Selection = ""
    """Quality by which samples are selected (`chorus quality`): one criterion, or `combined`; none
    if empty."""
    selection_least: float = 0.0
    """Quality below which a sample is not counted; above 0, it is meant in place of the keypoint
    rules: the usual filter rule is then 15, which has none."""
    selection_share: float = 1.0
    """Part of every prompt's samples that is counted, those of best quality, at least one."""
    selection_levels: int = 1
    """A sample counts as 1 to so many samples, by the quantile of its quality in its prompt."""
    field: FieldSettings = field(default_factory=FieldSettings)
    """The skinning field around the canonical body."""

    def __post_init__(self) -> None:
        for kind, value, known in (
            ("weighting", self.weighting, get_args(Weighting)),
            ("projection", self.projection, get_args(Projection)),
            ("anchor", self.anchor, get_args(Anchor)),
            ("estimator", self.estimator, get_args(Estimator)),
            ("selection", self.selection, get_args(Selection)),
            ("evidence", self.observed, get_args(Evidence)),
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
        if self.estimator == "evidence" and self.evidence.hidden and not self.hidden:
            raise BadInput(
                "the evidence estimator leaves out hidden visits, which hidden=False does not "
                "count; set hidden=True, or evidence.hidden=False."
            )
        if self.observed == "meshes" and self.parts == AUTO:
            raise BadInput(
                "the body parts `auto` are found in masks, which are not counted as evidence of "
                "meshes alone; take another preset, or --evidence both."
            )
        self._check_selection()

    def _check_selection(self) -> None:
        least, share, levels = self.selection_least, self.selection_share, self.selection_levels
        if not 0 <= least < 1 or not 0 < share <= 1 or levels < 1:
            raise BadInput(
                "a selection takes a least quality from 0 to below 1, a share above 0 and at most "
                f"1, and 1 or more levels; found {least}, {share} and {levels}."
            )
        if not self.selection and (least, share, levels) != (0, 1, 1):
            raise BadInput(
                f"a selection_least of {least}, selection_share of {share} and selection_levels of "
                f"{levels} need a quality to select by: give `selection` a criterion, or "
                "`combined`."
            )

    def recorded(self) -> dict[str, Any]:
        """The settings as results record them.

        Left out are, as in results that are older than these settings: `share` where it is 1,
        `hidden` where nothing hidden is counted, `hidden_margin` where it says nothing new,
        `discovery` where parts are listed by hand, `anchor`, `estimator` and `observed` where they
        are the paper's, `evidence` of another estimator, and the selection's where there is none.
        """
        settings = asdict(self)
        if self.anchor == type(self).anchor:
            del settings["anchor"]
        if self.estimator == type(self).estimator:
            del settings["estimator"], settings["evidence"]
        else:
            # As JSON holds it: lists, and no infinity.
            inside = None if math.isinf(self.evidence.inside) else self.evidence.inside
            settings["evidence"] |= {"widths": list(self.evidence.widths), "inside": inside}
        if self.share == 1:
            del settings["share"]
        if self.observed == type(self).observed:
            del settings["observed"]
        if not self.hidden or self.hidden_margin == type(self).hidden_margin:
            del settings["hidden_margin"]
        if not self.hidden:
            del settings["hidden"]
        if self.parts != AUTO:
            del settings["discovery"]
        if not self.selection:
            for name in ("selection", "selection_least", "selection_share", "selection_levels"):
                del settings[name]
        return settings


_FULL = AggregationSettings(parts="quant")
_EVIDENCE = replace(_FULL, anchor="refined", estimator="evidence", hidden=True)


def _estimator(**changes: Any) -> AggregationSettings:
    """The evidence preset with some settings of its estimator changed."""
    return replace(_EVIDENCE, evidence=replace(_EVIDENCE.evidence, **changes))


_CHANGED: dict[str, tuple[str, AggregationSettings]] = {
    "no-refinement": (
        "the regressor's poses and the calibrated cameras",
        replace(_EVIDENCE, anchor="calibrated"),
    ),
    "no-estimator": (
        "the paper's weighted quotient over refined persons",
        replace(_EVIDENCE, estimator="quotient", hidden=False),
    ),
    "no-hidden": (
        "what the body hides counts as seen empty",
        _estimator(hidden=False),
    ),
    "no-bound": ("all visits pooled, whatever their view", _estimator(bound=False)),
    "no-smoothing": ("no kernel smoothing", _estimator(widths=(0.0,), own_width=0.0)),
    "no-inside": ("objects may be inside the body", _estimator(inside=math.inf)),
    "selection": (
        "a least mean confidence of keypoints in place of the keypoint rule",
        replace(_EVIDENCE, selection="confidence", selection_least=0.55),
    ),
    "levels": (
        "a sample counts as 1 to 4 by its confidence",
        replace(_EVIDENCE, selection="confidence", selection_levels=4),
    ),
    "share": (
        "three quarters of every prompt's samples, those of highest confidence",
        replace(_EVIDENCE, selection="confidence", selection_share=0.75),
    ),
    "data-50-percent": ("half of every prompt's samples", replace(_EVIDENCE, share=0.5)),
    "data-15-percent": ("15 % of every prompt's samples", replace(_EVIDENCE, share=0.15)),
    "calibrated": (
        "rates mapped to occupied shares (learned on other categories and seeds)",
        _estimator(slope=2.2, offset=-2.0),
    ),
}
EVIDENCE_CHANGES = {name: about for name, (about, _) in _CHANGED.items()}
"""What each `quant:evidence-<name>` does otherwise than `quant:evidence`."""

PRESETS: dict[str, AggregationSettings] = {
    "quant:full": _FULL,
    "qual:demo": AggregationSettings(parts="qual:demo"),
    "quant:evidence": _EVIDENCE,
    "qual:evidence-demo": replace(_EVIDENCE, parts="qual:demo"),
    "qual:auto": AggregationSettings(parts=AUTO),
    "qual:evidence-auto": replace(_EVIDENCE, parts=AUTO),
    "quant:no-canonicalisation": replace(_FULL, canonicalise=False),
    "quant:no-view-weighting": replace(_FULL, weighting="total-uniform"),
    "quant:coarse-view-weighting": replace(_FULL, weighting="azimuth-uniform"),
    "quant:symmetric": replace(_FULL, symmetric=True),
    "quant:resolution-24": replace(_FULL, resolution=24),
    "quant:resolution-96": replace(_FULL, resolution=96),
    "quant:data-10-percent": replace(_FULL, share=0.1),
    "quant:data-1-percent": replace(_FULL, share=0.01),
    **{f"quant:evidence-{name}": settings for name, (_, settings) in _CHANGED.items()},
}
"""Aggregation settings by the names that the commands and the results tree use."""


def preset(name: str) -> AggregationSettings:
    """The aggregation settings of that name; BadInput with near names for an unknown one.

    `<preset>+meshes` and `<preset>+both` are those of a preset, of other evidence.
    """
    base, plus, observed = name.partition("+")
    if base not in PRESETS or (plus and observed not in _OTHER_EVIDENCE):
        raise unknown_name("aggregation preset", name, PRESETS)
    return replace(PRESETS[base], observed=observed) if plus else PRESETS[base]


def of_evidence(name: str, observed: Evidence) -> str:
    """The name of a preset's settings with that evidence, whatever evidence the name has."""
    base = name.partition("+")[0]
    return base if observed == "masks" else f"{base}+{observed}"


_OTHER_EVIDENCE = ("meshes", "both")

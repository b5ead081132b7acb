"""The ablations by name: what each changes about the full method. Data; `ablate` runs them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from chorus.calibration.settings import Anchoring
from chorus.occupancy.presets import EVIDENCE_CHANGES, preset
from chorus.pipeline import ingredients, main_tables, sources
from chorus.records.aggregations import aggregation_name, usual_rules
from chorus.records.soft_selection import tables_read
from chorus.synthetic.perceive.noise_settings import NoiseSettings

FULL = "full-method"
"""The published method, which the others are compared with unless another is named."""

CHANGEABLE = tuple(t for t in ingredients("aggregate", among=main_tables()) if t != "images")
"""Tables that an ablation may make itself, in order."""

NOISE_OF = {
    **dict.fromkeys(
        (
            *("box_jitter", "mask_boundary", "miss_rate", "small_area"),
            *("false_positive_rate", "duplicate_rate", "score_spread", "mask_swallows_hands"),
        ),
        "segmentations",
    ),
    **dict.fromkeys(
        (
            *("pose_error", "hidden_pose_error", "occlusion_pose_error"),
            *("rotation_error", "betas_error", "camera_error"),
        ),
        "humans",
    ),
    **dict.fromkeys(
        (
            *("keypoint_jitter", "confidence_spread"),
            *("keypoint_swap", "keypoint_confident_miss", "shared_error"),
        ),
        "human_kps",
    ),
}
"""The table whose making each noise knob of the synthetic world disturbs."""


@dataclass(frozen=True)
class Ablation:
    """One change of the full method."""

    about: str
    """What it is, in one line."""
    preset: str = ""
    """Aggregation preset (`occupancy.presets`); "" for that of the reference."""
    rules: tuple[int, ...] = ()
    """Filter rules; none for those that the preset is meant for."""
    filtering: bool = True
    """False: every sample with a detected person and an object mask, whatever the verdict."""
    anchoring: Anchoring = "perspective"
    """How cameras are calibrated."""
    knob: str = ""
    """A field of `NoiseSettings` that is changed, "" for none."""
    factor: float = 1.0
    """What the knob is multiplied by."""

    @property
    def aggregation(self) -> str:
        """The name of its aggregation in its own tree."""
        return aggregation_name(self.rules, self.preset)

    def against(self, reference: str) -> Ablation:
        """The same with the reference's preset if it names none, and the preset's usual rules."""
        name = self.preset or ABLATIONS[reference].preset
        return replace(self, preset=name, rules=self.rules or usual_rules(name))

    @property
    def ingredients(self) -> tuple[str, ...]:
        """The tables that its aggregation is made from, in order."""
        return ingredients("aggregate", tables_read(preset(self.preset)))

    @property
    def makes(self) -> tuple[str, ...]:
        """Tables that it makes itself, in the order of making: what it changes, what follows and
        is aggregated."""
        changed = {NOISE_OF[self.knob]} if self.knob else set()
        if not self.filtering:
            changed |= {"humans", "filtered"}
        if self.anchoring != "perspective":
            changed.add("filtered_cameras")
        for table in CHANGEABLE:
            if changed.intersection(sources(table)):
                changed.add(table)
        return tuple(t for t in CHANGEABLE if t in changed and t in self.ingredients)

    @property
    def leaves_out(self) -> tuple[str, ...]:
        """Tables that follow from what it makes, but of which nothing is aggregated."""
        changed = set(self.makes)
        for table in main_tables():
            if changed.intersection(sources(table)):
                changed.add(table)
        return tuple(table for table in main_tables() if table in changed - set(self.makes))

    def recorded(self) -> dict[str, Any]:
        """All that its results depend on, as they record it; its preset must be known."""
        own = {name: value for name, value in asdict(self).items() if name != "about"}
        return {**own, "settings": preset(self.preset).recorded()}


def _noise() -> dict[str, Ablation]:
    ablations = {}
    for field in fields(NoiseSettings):
        if not field.default:  # off by default: neither 0 nor twice that is a change
            continue
        dashed = field.name.replace("_", "-")
        for end, words, factor in (("0", "at 0", 0.0), ("doubled", "doubled", 2.0)):
            about = f"synthetic world: {field.name} {words} (default {field.default:g})"
            ablations[f"{dashed}-{end}"] = Ablation(about, knob=field.name, factor=factor)
    return ablations


ABLATIONS: dict[str, Ablation] = {
    FULL: Ablation(
        "rule 3, 12 azimuth bins, 48 voxels a side, perspective cameras, all data",
        preset="quant:full",
    ),
    "evidence": Ablation("refined persons and the evidence estimator", preset="quant:evidence"),
    **{
        f"evidence-{name}": Ablation(f"evidence, {about}", preset=f"quant:evidence-{name}")
        for name, about in EVIDENCE_CHANGES.items()
    },
    "no-canonicalisation": Ablation(
        "poses are not undone: space stays around the pelvis", preset="quant:no-canonicalisation"
    ),
    "no-view-weighting": Ablation(
        "every sample weighs the same (total-uniform)", preset="quant:no-view-weighting"
    ),
    "coarse-view-weighting": Ablation(
        "three pairs of opposite 60 degree sectors (azimuth-uniform)",
        preset="quant:coarse-view-weighting",
    ),
    "no-filtering": Ablation(
        "every sample with a person and an object mask; of several persons the best-scored",
        filtering=False,
    ),
    "filter-rule-5": Ablation("rule 3 and a knee or ankle", rules=(5,)),
    "filter-rule-11": Ablation("rule 3, a knee and an ankle", rules=(11,)),
    "data-10-percent": Ablation(
        "a tenth of every prompt's retained samples", preset="quant:data-10-percent"
    ),
    "data-1-percent": Ablation(
        "a hundredth of every prompt's retained samples, at least one",
        preset="quant:data-1-percent",
    ),
    "symmetric": Ablation("every sample is counted mirrored too", preset="quant:symmetric"),
    "resolution-24": Ablation("24 voxels a side, 125 mm each", preset="quant:resolution-24"),
    "resolution-96": Ablation("96 voxels a side, 31 mm each", preset="quant:resolution-96"),
    "weak-perspective": Ablation(
        "the regressor's parallel projection as a far camera", anchoring="weak-perspective"
    ),
    **_noise(),
}
"""Every ablation by its name."""

"""How distributions were estimated, in words, and which facts of it their page shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from chorus.occupancy.distribution import Distribution
from chorus.occupancy.presets import AggregationSettings
from chorus.records import aggregations
from chorus.viewing.displayed import PAPERS_RECIPE, DisplayedDistribution, without_levels

_RECIPE = ("anchor", "weighting", "canonicalise", "symmetric", "observed")
"""Settings without whose usual values the quotient is not the paper's recipe."""
_OBSERVED = {"meshes": ", of lifted meshes", "both": ", of masks and lifted meshes"}


def displayed(distribution: Distribution) -> DisplayedDistribution:
    """A distribution with the estimate and the facts that its page shows."""
    metadata = distribution.metadata
    estimate = _estimate(metadata)
    if _is_quotient(metadata):
        how = ("view weighting", metadata.get("weighting"))
    else:
        how = ("estimate", estimate)
    samples, weight = without_levels(metadata, "samples")
    facts = [
        ("aggregation", metadata.get("name")),
        how,
        ("samples of the prompt", metadata.get("samples") if weight is None else samples),
        ("their total weight", weight if weight != samples else None),
    ]
    return DisplayedDistribution.of(
        distribution, [(name, str(fact)) for name, fact in facts if fact], estimate
    )


def _settings(metadata: Mapping) -> dict:
    """A distribution's settings as recorded; those that are not have their usual values."""
    settings = metadata.get("settings")
    return settings if isinstance(settings, dict) else {}


def _is_quotient(metadata: Mapping) -> bool:
    usual = AggregationSettings.estimator
    return _settings(metadata).get("estimator", usual) == usual


def _estimate(metadata: Mapping) -> str:
    """How a distribution was estimated, in words; the preset where there are none for it."""
    settings, usual = _settings(metadata), AggregationSettings()
    if not _is_quotient(metadata):
        refined = settings.get("anchor") == "refined"
        estimate = "evidence" if refined else "evidence, persons not refined"
        return estimate + _OBSERVED.get(settings.get("observed"), "")
    if all(settings.get(name, getattr(usual, name)) == getattr(usual, name) for name in _RECIPE):
        return PAPERS_RECIPE
    name = str(metadata.get("name", ""))
    parts = aggregations.parsed_name(name)
    return parts[1] if parts else name


def told_apart(
    groups: Mapping[str, Sequence[DisplayedDistribution]],
) -> list[DisplayedDistribution]:
    """A page's distributions by preset in one list; estimates that presets share are named after
    the preset instead."""
    presets = {(preset, shown.estimate) for preset, group in groups.items() for shown in group}
    count = Counter(estimate for _, estimate in presets)
    return [
        replace(shown, estimate=preset) if count[shown.estimate] > 1 else shown
        for preset, group in groups.items()
        for shown in group
    ]

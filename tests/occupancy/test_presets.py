"""Presets and settings that refuse what they do not know."""

from __future__ import annotations

import pytest

from chorus.errors import BadInput
from chorus.occupancy.presets import PRESETS, AggregationSettings, preset
from chorus.occupancy.regions import PARTS


def test_presets_name_known_parts():
    assert {settings.parts for settings in PRESETS.values()} <= set(PARTS)
    assert preset("quant:full").parts == "quant" and preset("qual:demo").resolution == 48


def test_unknown_names_are_refused_with_suggestions():
    with pytest.raises(BadInput, match="did you mean 'quant:full'"):
        preset("quant:ful")
    with pytest.raises(BadInput, match="did you mean 'total-uniform'"):
        AggregationSettings(weighting="total-unifrm")
    with pytest.raises(BadInput, match="known: exact, release"):
        AggregationSettings(projection="???")


def test_hidden_is_recorded_only_where_it_says_something():
    before = AggregationSettings().recorded()
    assert not {"hidden", "hidden_margin", "share"} & set(before)
    assert AggregationSettings(hidden_margin=0.1).recorded() == before
    assert AggregationSettings(hidden=True).recorded() == {**before, "hidden": True}
    both = AggregationSettings(hidden=True, hidden_margin=0.1).recorded()
    assert both == {**before, "hidden": True, "hidden_margin": 0.1}


@pytest.mark.parametrize("margin", [-0.01, float("nan"), float("inf")])
def test_a_margin_is_a_distance(margin):
    with pytest.raises(BadInput, match="finite distance of 0 m or more"):
        AggregationSettings(hidden_margin=margin)

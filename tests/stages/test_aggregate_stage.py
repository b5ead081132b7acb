"""What `chorus aggregate` tells, and what it has drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from chorus.engine.command_result import CommandResult
from chorus.errors import BadInput
from chorus.records.aggregations import AggregationKind
from chorus.records.gathering import Retained
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.stages import view
from chorus.stages.aggregate import Aggregator, Options, _nothing_retained, run


def test_only_the_most_common_reasons_are_told():
    by_prompt = [
        Retained(dropped=Counter({"no person": 7, **{f"{n}.jpg failed": 1 for n in range(40)}})),
        Retained(dropped=Counter({"no person": 2, "no object": 3})),
    ]
    told = _nothing_retained("skis", (3,), by_prompt)
    assert told.startswith("skis: no sample is retained by filter 3 (9 no person, 3 no object, 1 0")
    assert told.count("failed") == 3 and ", and 37 others);" in told
    assert "though" not in told
    (few,) = by_prompt[1:]
    assert "(3 no object, 2 no person); generate" in _nothing_retained("skis", (3,), [few])


def test_retained_samples_that_were_left_out_are_not_said_to_be_filtered():
    doubted = Retained(dropped=Counter({"no person": 7, "body and mask disagree": 2}), left_out=2)
    told = _nothing_retained("skis", (3,), [doubted, Retained(dropped=Counter({"no person": 1}))])
    assert told.startswith(
        "skis: no sample is left to aggregate, though filter 3 retains 2 (8 no person, 2 body"
    )


# ---- --visualize


@pytest.fixture
def aggregated(tmp_path, monkeypatch):
    """Two categories that aggregate without work, `chair` not by the second kind; what is drawn."""
    drawn = []

    def category(self, name, shards):
        if name == "chair" and self._kind.preset == "quant:evidence-selection":
            raise BadInput("chair: no sample is retained.")
        return 1, 0

    def draw_kinds(options, kinds, progress):
        drawn.append((options.categories, dict(kinds)))
        return CommandResult("view: drawn")

    def shards(*_):
        return [ShardKey("m", name, "A prompt", "original") for name in ("bench", "chair")]

    monkeypatch.setattr(Aggregator, "category", category)
    monkeypatch.setattr(view, "draw_kinds", draw_kinds)
    monkeypatch.setattr(ResultsTree, "shards", shards)
    return Options(results_dir=tmp_path, imports_dir=tmp_path, visualize=True), drawn


def test_exactly_what_was_aggregated_is_drawn(aggregated):
    options, drawn = aggregated
    presets = ("quant:full", "quant:evidence-selection")
    full, selection = (
        AggregationKind(name, rules) for name, rules in zip(presets, ((3,), (15,)), strict=True)
    )
    assert run(replace(options, aggr_setting_names=presets)).line.endswith("view: drawn")
    assert drawn == [(("bench", "chair"), {"bench": [full, selection], "chair": [full]})]


def test_of_a_part_of_the_categories_that_part_is_drawn(aggregated):
    options, drawn = aggregated
    run(replace(options, aggr_setting_names=("quant:full",), shard="2/2"))
    run(replace(options, aggr_setting_names=("quant:evidence-selection",), shard="2/2"))
    assert [categories for categories, _ in drawn] == [("chair",)]

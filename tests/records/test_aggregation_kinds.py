"""What commands mean without an option: what has been aggregated, if it is of one kind."""

from __future__ import annotations

import pytest

from chorus.errors import BadInput
from chorus.records.aggregations import AggregationKind, chosen_kinds, record_of, store
from chorus.records.results_tree import ResultsTree

USUAL = AggregationKind("quant:full", (3,))
DEMO = AggregationKind("qual:demo", (3,))


@pytest.fixture
def tree(tmp_path):
    return ResultsTree(tmp_path)


def aggregated(tree, kind: AggregationKind, category: str = "chair", model: str = "m") -> None:
    folder = tree.aggregation(model, category, "A person sits on a chair", kind.name)
    store(tree, folder, {}, record_of(kind.name, {}, 1, ""))


def kinds(tree, presets=(), rules=(), usual=None, categories=(), model="m"):
    return chosen_kinds(tree, model, categories, presets, rules, usual)


def test_presets_and_rules_are_combined():
    tree = ResultsTree("nowhere")
    assert kinds(tree, ["qual:demo"]) == [DEMO]
    assert kinds(tree, ["qual:demo", "quant:full"], ["3", "8,7"]) == [
        DEMO,
        AggregationKind("qual:demo", (7, 8)),
        USUAL,
        AggregationKind("quant:full", (7, 8)),
    ]
    with pytest.raises(BadInput, match="unknown"):
        kinds(tree, ["quant:ful"])


def test_the_one_kind_that_is_there(tree):
    aggregated(tree, DEMO)
    aggregated(tree, DEMO, "table")
    assert kinds(tree) == kinds(tree, usual=USUAL) == [DEMO]


def test_several_kinds_are_listed(tree):
    aggregated(tree, DEMO)
    aggregated(tree, USUAL, "table")
    with pytest.raises(BadInput, match=r"filter\(3\)-aggr\(qual:demo\), filter\(3\)-aggr\(quant:"):
        kinds(tree, usual=USUAL)
    assert kinds(tree, categories=("table",)) == [USUAL]
    aggregated(tree, AggregationKind("quant:full", (5,)), "table")
    assert kinds(tree, rules=["5"]) == [AggregationKind("quant:full", (5,))]
    with pytest.raises(BadInput, match="say which is meant"):
        kinds(tree, rules=["11"])


def test_other_rules_of_the_one_preset(tree):
    aggregated(tree, USUAL)
    assert kinds(tree, rules=["5", "3"]) == [AggregationKind("quant:full", (5,)), USUAL]


def test_nothing_is_there(tree):
    assert kinds(tree, usual=USUAL) == [USUAL]
    assert kinds(tree, rules=["5"], usual=USUAL) == [AggregationKind("quant:full", (5,))]
    with pytest.raises(BadInput, match="run aggregate first"):
        kinds(tree)
    aggregated(tree, DEMO, model="mine")
    with pytest.raises(BadInput, match="There are some of --model_key mine"):
        kinds(tree)

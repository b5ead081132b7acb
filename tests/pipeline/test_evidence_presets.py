"""The evidence presets on a small tree: what is aggregated, reused, refused and told."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from small_tree import command

from chorus.cli import main
from chorus.errors import StaleResults
from chorus.occupancy.presets import preset
from chorus.records.aggregations import WHOLE, load
from chorus.records.gathering import gather
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import read_table, write_table
from chorus.stages.aggregate import Aggregator

NAMES = ("--aggr_setting_names", "quant:evidence")


def shards(root):
    tree = ResultsTree(root / "results")
    return tree, tree.shards("filtered", "synthetic-v1", ("surfboard",))


def folders(root, name):
    place = root / "results/aggregations/synthetic-v1/surfboard"
    return sorted(place.glob(f"*/filter(*)-aggr({name.replace(':', '%3A')})"))


def test_distributions_know_how_they_were_estimated(tree):
    assert main(command(tree, "aggregate", *NAMES)) == 0
    found = folders(tree, "quant:evidence")
    assert len(found) == 3  # two prompts and the total
    for folder in found:
        whole = load(folder)[WHOLE]
        assert whole.counts.hidden is not None and whole.counts.hidden.any()
        settings = whole.metadata["settings"]
        assert (settings["anchor"], settings["estimator"]) == ("refined", "evidence")
        assert settings["evidence"]["widths"] == list(preset("quant:evidence").evidence.widths)
        assert 0 < whole.probability.max() <= 1
        # The estimate is another than the quotient of the same counts, which is still at hand.
        assert not np.array_equal(whole.probability, whole.counts.probability())
    parts = [load(folder)[WHOLE].counts for folder in found]
    total = max(parts, key=lambda counts: counts.samples.sum())
    others = [counts for counts in parts if counts is not total]
    assert np.array_equal(total.hidden, others[0].hidden + others[1].hidden)


def test_an_estimate_of_the_same_counts_counts_nothing(tree, monkeypatch):
    assert main(command(tree, "aggregate", *NAMES)) == 0

    def fail(*_):
        raise AssertionError("counted again")

    monkeypatch.setattr(Aggregator, "accumulate", fail)
    other = ("--aggr_setting_names", "quant:evidence-no-bound")
    assert main(command(tree, "aggregate", *other)) == 0
    first, second = (load(folders(tree, name)[0])[WHOLE] for name in ("quant:evidence", other[1]))
    assert np.array_equal(first.counts.mask, second.counts.mask)
    assert not np.array_equal(first.probability, second.probability)


def test_a_second_run_keeps_what_is_there(tree, capsys):
    assert main(command(tree, "aggregate", *NAMES)) == 0
    before = [folder.stat().st_mtime_ns for folder in folders(tree, "quant:evidence")]
    capsys.readouterr()
    assert main(command(tree, "aggregate", *NAMES)) == 0
    assert "0 aggregations done, 3 already there" in capsys.readouterr().out
    assert before == [folder.stat().st_mtime_ns for folder in folders(tree, "quant:evidence")]


def test_without_refined_persons_the_sentence_names_the_command(tree, capsys):
    results, some = shards(tree)
    for shard in some:
        results.table("refined", shard).unlink()
    assert main(command(tree, "aggregate", *NAMES)) != 0
    output = capsys.readouterr()
    assert "chorus refine" in output.out + output.err
    assert main(command(tree, "aggregate")) == 0, "the paper's recipe does without"


@pytest.mark.parametrize(("column", "value"), [("pose", float("nan")), ("K", 0.0)])
def test_nothing_is_aggregated_of_refused_samples_alone(tree, capsys, column, value):
    results, some = shards(tree)
    for shard in some:
        path = results.table("refined", shard)
        table = read_table(path, "refined")
        rows = {
            index: {**row, column: [value] * len(row[column])} if row["status"] == "done" else row
            for index, row in table.rows.items()
        }
        write_table(path, "refined", replace(table, rows=rows))
    assert main(command(tree, "aggregate", *NAMES)) != 0
    output = capsys.readouterr()
    assert "every retained sample was refused" in output.out + output.err
    assert not folders(tree, "quant:evidence")


def test_refined_persons_of_other_humans_are_refused(tree, capsys):
    assert main(command(tree, "humans", "--noise.pose_error", "7", "--overwrite")) == 0
    assert main(command(tree, "aggregate", *NAMES)) != 0
    output = capsys.readouterr()
    assert "chorus refine --overwrite" in output.out + output.err


def test_persons_that_were_refined_in_two_ways_are_not_mixed(tree):
    results, some = shards(tree)
    path = results.table("refined", some[0])
    table = read_table(path, "refined")
    write_table(path, "refined", replace(table, settings={**table.settings, "refinement": "score"}))
    with pytest.raises(StaleResults, match="run chorus refine --overwrite"):
        gather(results, some, (3,), "refined")


def test_doubtful_persons_are_left_out_and_counted(tree):
    results, some = shards(tree)
    usual = gather(results, some, (3,), "refined")
    for shard in some:
        path = results.table("refined", shard)
        table = read_table(path, "refined")
        rows = {
            index: {**row, "doubt": "keypoints not explained"} if row["status"] == "done" else row
            for index, row in table.rows.items()
        }
        write_table(path, "refined", replace(table, rows=rows))
    doubted = gather(results, some, (3,), "refined")
    assert len(usual) and not len(doubted)
    assert doubted.left_out == len(usual) + usual.left_out
    assert doubted.dropped["keypoints not explained"] >= len(usual)
    assert len(gather(results, some, (3,))) >= len(usual), "calibrated persons are not concerned"


def test_the_truth_test_and_verify_know_the_estimate(tree, capsys):
    assert main(command(tree, "aggregate", *NAMES)) == 0
    capsys.readouterr()
    assert main(command(tree, "truth", "--aggr_setting_name", "quant:evidence")) == 0
    output = capsys.readouterr().out
    assert "no canonicalisation" in output and "no view weighting" not in output
    assert "expected calibration error" in output
    diagrams = list((tree / "results/truth/synthetic-v1").glob("*.png"))
    assert len(diagrams) == 1 and diagrams[0].stat().st_size > 5000
    (path,) = (tree / "results/truth/synthetic-v1/surfboard").glob("*.json")
    record = json.loads(path.read_text())
    assert all(set(one["variants"]) == {"full method", "no canonicalisation"}
               for one in record.values())  # fmt: skip
    assert main(command(tree, "verify")) == 0

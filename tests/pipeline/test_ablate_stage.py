"""`chorus ablate` as its users run it: on shared stages, twice, interrupted, and with bad input."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_tree import AGGREGATION, command, files

import chorus
from chorus.cli import main
from chorus.commands.ablation.definitions import ABLATIONS, FULL
from chorus.commands.ablation.trees import AblationOptions, ablation_tree, make_table, settings_of
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, read_table, write_table
from chorus.stages.aggregate import Aggregator
from chorus.stages.calibrate import CalibrationWorker

NAMES = ("no-view-weighting", "no-filtering", "data-1-percent", "keypoint-jitter-0", "miss-rate-0")
TOTAL = "aggregations/synthetic-v1/surfboard/total-aggregation"


def ablate(root: Path, *extra: str) -> list[str]:
    return command(root, "ablate", "--num_multiview_thres", "2", *extra)


@pytest.fixture(scope="module")
def ablated(base, tmp_path_factory) -> Path:
    """The small tree with two test images and some ablations."""
    root = tmp_path_factory.mktemp("ablated")
    shutil.copytree(base, root, dirs_exist_ok=True)
    wanted = ["--categories", "surfboard", "--num_images", "2"]
    assert main(command(root, "testset", *wanted)) == 0
    assert main(ablate(root, "--ablations", *NAMES)) == 0
    return root


@pytest.fixture
def spoiled(ablated, tmp_path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(ablated, tmp_path, dirs_exist_ok=True)
    return tmp_path


def figures(root: Path, name: str) -> dict:
    path = root / "results/ablations" / name / "figures/synthetic-v1/surfboard.json"
    return json.loads(path.read_text())


def own_tree(root: Path, name: str) -> ResultsTree:
    return ResultsTree(root / "results/ablations" / name)


def test_the_full_method_has_the_figures_of_evaluate(spoiled):
    found = figures(spoiled, "full-method")
    for metric in ("pap/v1", "pap/v2"):
        assert main(command(spoiled, "evaluate", "--metric", metric)) == 0
        path = f"results/quant_results/synthetic-v1/surfboard/{AGGREGATION}"
        name = metric.replace("/", "-")
        scored = json.loads((spoiled / path / f"{name}.json").read_text())
        expected = [
            [image[v] for v in ("PAP", "PAP_strict", "PAP_hoa", "PAP_strict_hoa")]
            for image in scored["images"]
        ]
        assert found["pap"][metric] == expected
    assert len(found["truth"]) == 2
    assert all(0 < value < 1 for prompt in found["truth"].values() for value in prompt.values())


def test_no_view_weighting_is_aggregate_with_total_uniform(spoiled, monkeypatch):
    name = AGGREGATION.replace("quant%3Afull", "quant%3Ano-view-weighting")
    own = spoiled / "results/ablations/no-view-weighting" / TOTAL / name / "fullbody.npz"
    found = chorus.Distribution.load(own)
    full = chorus.Distribution.load(spoiled / "results" / TOTAL / AGGREGATION / "fullbody.npz")
    np.testing.assert_array_equal(found.probability, full.counts.probability("total-uniform"))

    def never(*_):
        raise AssertionError("the counts of quant:full should have been taken")

    monkeypatch.setattr(Aggregator, "accumulate", never)
    arguments = ["--aggr_setting_names", "quant:no-view-weighting"]
    assert main(command(spoiled, "aggregate", *arguments)) == 0
    again = chorus.Distribution.load(spoiled / "results" / TOTAL / name / "fullbody.npz")
    np.testing.assert_array_equal(again.probability, found.probability)


def test_nothing_is_made_twice(ablated, capsys):
    before = files(ablated)
    assert main(ablate(ablated, "--ablations", *NAMES)) == 0
    printed = capsys.readouterr()
    assert "0 measurements (ablation and category) done, 6 already there" in printed.out
    assert files(ablated) == before


def test_an_interrupted_run_goes_on(spoiled, monkeypatch):
    before = files(spoiled)
    shutil.rmtree(spoiled / "results/ablations/miss-rate-0")
    rename, renamed = os.replace, []

    def interrupted(*paths):
        renamed.append(paths)
        if len(renamed) == 12:
            raise KeyboardInterrupt
        rename(*paths)

    monkeypatch.setattr(os, "replace", interrupted)
    arguments = ablate(spoiled, "--ablations", *NAMES, "--metric", "pap/v2")
    assert main(arguments) == 130
    monkeypatch.undo()
    assert files(spoiled).keys() != before.keys()
    assert main(arguments) == 0
    after = files(spoiled)
    assert after.keys() == before.keys()
    unequal = {name for name in after if after[name] != before[name]}
    measured = {f"results/ablations/synthetic-v1.{end}" for end in ("json", "csv")}
    measured.add("results/ablations/miss-rate-0/figures/synthetic-v1/surfboard.json")
    assert unequal <= measured, "but for the seconds, the same files"


def test_equal_inputs_are_not_calibrated_again(spoiled, monkeypatch):
    shutil.rmtree(spoiled / "results/ablations/keypoint-jitter-0")
    monkeypatch.setattr(CalibrationWorker, "_calibrate", lambda *_: pytest.fail("calibrated"))
    monkeypatch.setattr(Aggregator, "accumulate", lambda *_: pytest.fail("accumulated"))
    arguments = ["--ablations", "keypoint-jitter-0", "--metric", "pap/v2"]
    assert main(ablate(spoiled, *arguments)) == 0
    tree = own_tree(spoiled, "keypoint-jitter-0")
    for shard in tree.shards("filtered_cameras", "synthetic-v1"):
        own, below = (
            read_table(one.table("filtered_cameras", shard), "filtered_cameras")
            for one in (tree, tree.base)
        )
        assert own.rows == below.rows and own.settings != below.settings


def test_a_reference_with_a_selection_has_its_quality_made_anew(spoiled):
    arguments = ["--reference", "evidence-levels", "--ablations", "pose-error-0"]
    assert main(ablate(spoiled, *arguments, "--metric", "pap/v2")) == 0
    tree = own_tree(spoiled, "pose-error-0 of evidence-levels")
    assert not tree.folder("filtered_cameras").exists()
    rows = []
    for shard in tree.shards("quality", "synthetic-v1"):
        own, below = (
            read_table(one.table("quality", shard), "quality") for one in (tree, tree.base)
        )
        assert own.settings["criteria"] == below.settings["criteria"]
        assert own.settings["from humans"] != below.settings["from humans"]
        rows += [
            (row["reprojection"], below.rows[index]["reprojection"])
            for index, row in own.rows.items()
            if row["status"] == DONE
        ]
    assert rows and np.mean(rows, axis=0)[0] > np.mean(rows, axis=0)[1]


def test_without_filtering_all_with_person_and_object_are_counted(ablated):
    tree = own_tree(ablated, "no-filtering")
    usable = 0
    for shard in tree.shards("filtered", "synthetic-v1"):
        names = ("segmentations", "filtered", "filtered_cameras")
        tables = {name: read_table(tree.table(name, shard), name).rows for name in names}
        for index, row in tables["segmentations"].items():
            labels = {detection["label"] for detection in row["detections"]}
            verdicts = set(tables["filtered"][index]["verdicts"])
            assert (verdicts == {"retained"}) == ({"person", "surfboard"} <= labels)
            usable += tables["filtered_cameras"][index]["status"] == DONE
    found = figures(ablated, "no-filtering")["retained"]
    assert found == usable > figures(ablated, "full-method")["retained"]


def test_without_filtering_the_best_scored_person_is_taken(spoiled):
    shutil.rmtree(spoiled / "results/ablations")
    base = ResultsTree(spoiled / "results")
    shards = base.shards("filtered", "synthetic-v1")
    shard, index = next(
        (shard, index)
        for shard in shards
        for index, row in read_table(base.table("filtered", shard), "filtered").rows.items()
        if "retained" in row["verdicts"]
    )
    tables = {
        name: read_table(base.table(name, shard), name) for name in ("segmentations", "humans")
    }
    detections = tables["segmentations"].rows[index]["detections"]
    alone = next(one for one in detections if one["label"] == "person")
    alone["score"] = 0.85
    detections.append({**alone, "score": 0.95})
    person = tables["humans"].rows[index]["persons"][0]
    tables["humans"].rows[index]["persons"].append({**person, "betas": [1.0] * 10})
    for name, table in tables.items():
        write_table(base.table(name, shard), name, table)
    ablation = ABLATIONS["no-filtering"].against(FULL)
    tree = ablation_tree(base, "no-filtering", ablation)
    options = AblationOptions(results_dir=tree.root, imports_dir=spoiled / "imports", workers=1)
    settings = settings_of(base, shards, ablation.makes)
    for name in ablation.makes:
        make_table(name, ablation, options, settings[name], shards, None)
    rows = {n: read_table(tree.table(n, shard), n).rows[index] for n in ablation.makes}
    assert [one["betas"] for one in rows["humans"]["persons"]] == [[1.0] * 10]
    assert rows["filtered"]["person"] == len(detections) - 1
    assert rows["filtered_cameras"]["status"] == DONE


def test_without_filtering_persons_are_known_by_their_boxes(spoiled):
    """The best-scored detection was too small to regress: humans has the second person alone."""
    base = ResultsTree(spoiled / "results")
    shard = base.shards("filtered", "synthetic-v1")[0]
    table = read_table(base.table("segmentations", shard), "segmentations")
    index = next(
        index
        for index, row in table.rows.items()
        if any(each["label"] == "person" for each in row["detections"])
    )
    detections = table.rows[index]["detections"]
    person = next(each for each in detections if each["label"] == "person")
    person["score"] = 0.85
    tiny = [0.0, 0.0, 4.0, 4.0]
    detections.insert(0, {**person, "score": 0.99, "box": tiny})
    write_table(base.table("segmentations", shard), "segmentations", table)
    ablation = ABLATIONS["no-filtering"].against(FULL)
    shutil.rmtree(spoiled / "results/ablations", ignore_errors=True)
    tree = ablation_tree(base, "no-filtering", ablation)
    options = AblationOptions(results_dir=tree.root, imports_dir=spoiled / "imports", workers=1)
    settings = settings_of(base, [shard], ablation.makes)
    make_table("humans", ablation, options, settings["humans"], [shard], None)
    kept = read_table(tree.table("humans", shard), "humans").rows[index]["persons"]
    assert [each["box"] for each in kept] == [person["box"]]


def test_an_ablations_tree_is_a_tree(ablated, capsys):
    for name in ("miss-rate-0", "no-filtering"):
        root = str(ablated / "results/ablations" / name)
        for stage in ("status", "verify"):
            assert main([*command(ablated, stage), "--results_dir", root]) == 0
        shown = capsys.readouterr()
        assert "no problem" in shown.out and not shown.err
    retained = figures(ablated, "data-1-percent")["retained"]
    assert retained == 2, "one sample of each prompt"


def test_the_table_lies_in_the_tree(ablated, capsys):
    capsys.readouterr()
    assert main(ablate(ablated, "--ablations", *NAMES, "--format", "json")) == 0
    shown = capsys.readouterr().out
    path = ablated / "results/ablations/synthetic-v1.json"
    assert shown.startswith(path.read_text())
    rows = json.loads(path.read_text())["rows"]
    assert [row["ablation"] for row in rows] == ["full-method", *NAMES]
    assert rows[0]["3D AP difference"] == 0 and all(row["bytes"] > 0 for row in rows)
    with path.with_suffix(".csv").open() as text:
        assert [line["ablation"] for line in csv.DictReader(text)] == ["full-method", *NAMES]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--ablations", "no-filterin"], "unknown ablation 'no-filterin'; did you mean 'no-filte"),
        (["--metric", "pap/v3"], "unknown metric 'pap/v3'; did you mean 'pap/v"),
        (["--categories", "surfbord"], "did you mean 'surfboard'"),
        (["--profile", "paper", "--ablations", "pose-error-0"], "synthetic world's noise"),
    ],
)
def test_bad_options_end_in_one_sentence(ablated, capsys, arguments, sentence):
    before = files(ablated)
    assert main(ablate(ablated, *arguments)) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and sentence in printed
    assert files(ablated) == before


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [("human_kps", "run chorus keypoints"), ("test_set", "run chorus testset first")],
)
def test_what_is_missing_upstream_is_named_with_its_command(spoiled, capsys, missing, sentence):
    shutil.rmtree(spoiled / "results" / missing)
    assert main(ablate(spoiled)) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and sentence in printed


def test_an_ablations_own_tree_is_not_ablated(ablated, capsys):
    root = ablated / "results/ablations/no-filtering"
    assert main([*ablate(ablated), "--results_dir", str(root)]) == 2
    assert f"--results_dir {ablated / 'results'}" in capsys.readouterr().err


def test_damaged_figures_are_named(spoiled, capsys):
    name = "results/ablations/full-method/figures/synthetic-v1/surfboard.json"
    (spoiled / name).write_text("{}")
    arguments = ["--ablations", "full-method", "--metric", "pap/v2"]
    assert main(ablate(spoiled, *arguments)) == 2
    assert "run ablate --overwrite" in capsys.readouterr().err
    assert main(ablate(spoiled, *arguments, "--overwrite")) == 0
    assert figures(spoiled, "full-method")["pap"].keys() == {"pap/v2"}

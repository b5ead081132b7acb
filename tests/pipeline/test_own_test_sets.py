"""Distributions scored on test sets of one's own, and against lifted meshes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from small_tree import AGGREGATION, command

from chorus.cli import main
from references import lifted

SCORES = f"results/quant_results/synthetic-v1/surfboard/{AGGREGATION}"


@pytest.fixture(scope="module")
def known(base, tmp_path_factory) -> Path:
    """The small tree with two lifted photographs, scored on them and on a synthetic image."""
    root = tmp_path_factory.mktemp("known")
    shutil.copytree(base, root, dirs_exist_ok=True)
    lifted.write_sample(root / "hoi" / "surfboard" / "one")
    lifted.write_sample(root / "hoi" / "surfboard" / "two", lifted.box_in_camera((0.3, -0.2, -0.2)))
    source = ["--as", "test_set", "my set", "--open3dhoi", str(root / "hoi")]
    assert main(command(root, "import", *source)) == 0
    drawn = ["--categories", "surfboard", "--num_images", "1"]
    assert main(command(root, "testset", *drawn)) == 0
    assert main(command(root, "evaluate")) == 0
    assert main(command(root, "evaluate", "--test_set", "my set")) == 0
    return root


@pytest.fixture
def spoiled(known, tmp_path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(known, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_results_on_own_images_stand_beside_the_others(known, capsys):
    assert {path.name for path in (known / SCORES).iterdir()} == {
        *("pap-v2.json", "pap-v2@my set.json")
    }
    assert "truth" not in json.loads((known / SCORES / "pap-v2.json").read_text())
    record = json.loads((known / SCORES / "pap-v2@my set.json").read_text())
    assert record["settings"]["test_set"] == "my set" and len(record["images"]) == 2
    truth = record["truth"]
    assert truth["scenes"] == 2
    assert 0 <= truth["soft_ap"] <= truth["soft_ap_ceiling"] <= 1
    assert main(command(known, "evaluate", "--test_set", "my set")) == 0
    assert "0 distributions scored, 1 already there on my set" in capsys.readouterr().out


def test_report_shows_3d_truth_where_there_is_any(known, capsys):
    assert main(command(known, "report", "--num_multiview_thres", "2")) == 0
    said = capsys.readouterr().out
    assert "on my set" in said and "on synthetic" in said and said.count("3D AP") == 1
    assert main(command(known, "report", "--format", "json", "--no-html")) == 0
    tables = json.loads(capsys.readouterr().out)
    by_set = {table["settings"]["test_set"]: table["categories"]["surfboard"] for table in tables}
    assert by_set["my set"]["truth"]["scenes"] == 2 and "truth" not in by_set["synthetic"]
    assert main(command(known, "report", "--format", "csv", "--no-html")) == 0
    header, *lines = capsys.readouterr().out.strip().splitlines()
    assert header.endswith(",meshes,soft_ap,soft_ap_ceiling,region_ap,best_iou")
    assert {line.count(",") for line in lines} == {header.count(",")}
    assert main(command(known, "report", "--format", "markdown", "--num_multiview_thres", "2")) == 0
    said = capsys.readouterr().out
    assert said.count("| meshes | 3D AP | of at most | region AP | IoU |") == 1
    page = known / "results/quant_results/synthetic-v1/index.html"
    assert "against 2 lifted meshes" in page.read_text()


def test_verify_and_score_know_own_test_sets(known, capsys):
    field = known / f"results/aggregations/synthetic-v1/surfboard/total-aggregation/{AGGREGATION}"
    assert main(command(known, "verify")) == 0
    wanted = ["--test_set", "my set", "--categories", "surfboard", str(field / "all.npz")]
    assert main(command(known, "score", *wanted)) == 0
    assert "on 2 images of surfboard (my set)" in capsys.readouterr().out


def test_an_unknown_test_set_is_named_with_those_there_are(known, capsys):
    assert main(command(known, "evaluate", "--test_set", "yours")) == 2
    said = capsys.readouterr().err
    assert "unknown test set 'yours'" in said
    assert all(name in said for name in ("coco-eft-val", "my set", "synthetic", "--as test_set"))


def test_another_test_set_of_the_name_is_scored_again(spoiled, capsys):
    shutil.rmtree(spoiled / "hoi/surfboard/two")
    source = ["--as", "test_set", "my set", "--open3dhoi", str(spoiled / "hoi")]
    assert main(command(spoiled, "import", *source)) == 2
    assert "files: " in capsys.readouterr().err
    assert main(command(spoiled, "import", *source, "--overwrite")) == 0
    assert main(command(spoiled, "verify")) == 1
    assert "has changed since" in capsys.readouterr().err
    assert main(command(spoiled, "evaluate", "--test_set", "my set")) == 0
    record = json.loads((spoiled / SCORES / "pap-v2@my set.json").read_text())
    assert record["truth"]["scenes"] == 1 and len(record["images"]) == 1


def test_damaged_results_and_tables_name_the_command_that_mends_them(spoiled, capsys):
    path = spoiled / SCORES / "pap-v2@my set.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "truth": [1]}))
    (spoiled / "results/test_set/my set/surfboard/test/original/one.jpg").unlink()
    assert main(command(spoiled, "verify")) == 1
    said = capsys.readouterr().err
    assert "is damaged (no valid truth)" in said and "--test_set 'my set' --overwrite" in said
    assert "chorus import --categories surfboard --as test_set 'my set'" in said

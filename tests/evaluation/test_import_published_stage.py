"""`chorus import_published`, with a stand-in for gdown."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from coco_files import coco_file, eft_file, photograph, usual_annotations, write_model
from PIL import Image
from release_files import export

from chorus.body.loading import load_body
from chorus.cli import main
from chorus.evaluation.published_files import KINDS, drive_ids, published_rules
from chorus.records.aggregations import load, read_record, stored
from chorus.records.keys import TOTAL
from chorus.records.results_tree import ResultsTree
from chorus.vocabulary import QUANTITATIVE_CATEGORIES

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = {"filter_settings": {"filter_setting_comb": [3]}, "aggr_core": {"SMPL": {}}}
NAME = "filter(3)-aggr(quant:full)"


@pytest.fixture
def drive(monkeypatch):
    """Google Drive: content by file id, an error for others; remembers what was asked for."""
    served = types.SimpleNamespace(files={}, asked=[])
    gdown = types.ModuleType("gdown")
    gdown.exceptions = types.SimpleNamespace(DownloadError=type("DownloadError", (Exception,), {}))

    def download(id, output, quiet, resume):
        served.asked.append(id)
        if id not in served.files:
            raise gdown.exceptions.DownloadError("Too many users have viewed this file recently.")
        Path(output).write_bytes(served.files[id])
        return output

    gdown.download = download
    monkeypatch.setitem(sys.modules, "gdown", gdown)
    for category in ("surfboard", "tie"):
        served.files[drive_ids()[category]["json"]] = json.dumps(SETTINGS).encode()
        served.files[drive_ids()[category]["pickle"]] = pickle.dumps(export(), protocol=4)
    return served


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the command; returns status, output and errors."""

    def command(*extra: str, categories=("surfboard", "tie")):
        places = ["--imports_dir", str(tmp_path / "imports"), "--results_dir", str(tmp_path / "r")]
        status = main(["import_published", *places, "--categories", *categories, *extra])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return command


def aggregation(tmp_path, category: str) -> Path:
    return ResultsTree(tmp_path / "r").aggregation("stable-v1-4", category, TOTAL, NAME)


def files(tmp_path) -> set[str]:
    return {path.name for path in (tmp_path / "imports/published").iterdir()}


def test_the_ids_are_complete():
    ids = drive_ids()
    assert set(ids) == set(QUANTITATIVE_CATEGORIES)
    flat = [one[kind] for one in ids.values() for kind in KINDS]
    assert len(set(flat)) == 28 and all(re.fullmatch(r"[\w-]{33}", one) for one in flat)


def test_fetched_results_become_aggregations(tmp_path, run, drive):
    status, out, err = run()
    assert status == 0 and "2 of 2 categories imported" in out
    assert "not compared with a body" in err
    assert files(tmp_path) == {f"{c}.{k}" for c in ("surfboard", "tie") for k in KINDS}
    folders = stored(ResultsTree(tmp_path / "r"), "stable-v1-4")
    assert folders == [aggregation(tmp_path, c) for c in ("surfboard", "tie")]
    found = load(folders[1])["all"]
    assert (found.category, found.prompt, found.part) == ("tie", TOTAL, "all")
    assert found.probability.max() > 0 and found.metadata["name"] == NAME
    record = read_record(folders[1])
    assert record["samples"] == 2 and record["settings"]["source"] == "published CHORUS code"

    drive.asked.clear()
    status, out, _ = run()
    assert status == 0 and "0 of 2 categories imported, 2 already there" in out
    assert not drive.asked


def test_view_takes_imported_results(tmp_path, run, drive, figure, capsys, monkeypatch):
    def draw_all(options, drawings, *_):
        for drawing in drawings:
            Image.new("RGB", (64, 64)).save(drawing.file(".png"))
            drawing.file(".mp4").write_bytes(b"")
        return drawings

    monkeypatch.setattr("chorus.stages.view._draw_all", draw_all)  # seconds in other processes
    run(categories=["tie"])
    body = write_model(tmp_path / "figure.npz", figure)
    places = ["--results_dir", str(tmp_path / "r"), "--body", str(body), "--profile", "paper"]
    chosen = ["--aggr_setting_names", "quant:full", "--workers", "1"]
    assert main(["view", *places, *chosen, "--categories", "tie"]) == 0
    folder = aggregation(tmp_path, "tie")
    names = {path.name for path in folder.iterdir()}
    assert {"index.html", "all.png", "all.mp4"} <= names and "contact_sheet.png" not in names
    capsys.readouterr()
    assert main(["view", *places, *chosen, "--categories", "surfboard"]) == 2
    assert "no filtered" in capsys.readouterr().err


def test_imported_results_are_evaluated_on_extended_coco_eft(tmp_path, run, drive, figure, capsys):
    body = write_model(tmp_path / "figure.npz", figure)
    drive.files[drive_ids()["tie"]["pickle"]] = pickle.dumps(export(load_body(body)), protocol=4)
    coco = coco_file({n: usual_annotations(n, tie=(200, 200, 150, 100)) for n in (1, 2)})
    fits = eft_file([photograph(load_body(body), n)[0] for n in (1, 2)])
    for name, content in (
        ("COCO/annotations/instances_val2014.json", coco),
        ("eft/eft_fit/COCO2014-Val-ver10.json", fits),
    ):
        path = tmp_path / "imports" / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    status, _, err = run("--body", str(body), categories=["tie"])
    assert status == 0 and "not compared" not in err
    shared = ["--imports_dir", str(tmp_path / "imports"), "--results_dir", str(tmp_path / "r")]
    shared += ["--body", str(body), "--profile", "paper", "--categories", "tie"]
    assert main(["extend_eft", *shared]) == 0
    assert main(["evaluate", *shared, "--workers", "1"]) == 0
    assert "scored on coco-eft-val" in capsys.readouterr().out


def test_the_body_is_compared(tmp_path, run, drive, figure):
    body = write_model(tmp_path / "figure.npz", figure)
    status, _, err = run("--body", str(body), categories=["tie"])
    assert status == 1 and "another body model" in err
    assert "tie.pickle" in files(tmp_path)  # the file itself is sound


def test_our_own_aggregations_are_not_replaced(tmp_path, run, drive):
    assert run(categories=["tie"])[0] == 0
    path = aggregation(tmp_path, "tie") / "aggregation.json"
    path.write_text(path.read_text().replace("published CHORUS code", "mine"))
    status, _, err = run(categories=["tie"])
    assert status == 2 and "source: 'mine', now 'published CHORUS code'" in err
    assert run("--overwrite", categories=["tie"])[0] == 0


def test_what_cannot_be_fetched_is_told_and_the_others_go_on(tmp_path, run, drive):
    del drive.files[drive_ids()["surfboard"]["pickle"]]
    status, out, err = run()
    assert status == 1 and "1 of 2 categories imported" in out
    assert "Too many users" in err and drive_ids()["surfboard"]["pickle"] in err
    assert "surfboard.pickle" in err and (aggregation(tmp_path, "tie")).is_dir()


class Harm:
    """Would make a folder if it were executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("pickle", b"<!DOCTYPE html>", "damaged"),
        ("pickle", pickle.dumps(export(), protocol=4)[:-50], "damaged"),
        ("pickle", pickle.dumps([1]), "not a result"),
        ("json", b"<!DOCTYPE html>", "not whole JSON"),
        ("json", b'{"some": "thing"}', "not a settings file"),
    ],
)
def test_other_files_are_refused_and_removed(tmp_path, run, drive, kind, content, message):
    drive.files[drive_ids()["tie"][kind]] = content
    status, _, err = run(categories=["tie"])
    assert status == 1 and message in err and "removed" in err
    assert not any(f".{kind}" in name for name in files(tmp_path))
    assert not aggregation(tmp_path, "tie").exists()


def test_nothing_in_a_file_is_executed(tmp_path, run, drive):
    forged = {**export(), "core": Harm(tmp_path / "harm")}
    drive.files[drive_ids()["tie"]["pickle"]] = pickle.dumps(forged)
    status, _, err = run(categories=["tie"])
    assert status == 1 and "mkdir" in err and not (tmp_path / "harm").exists()


@pytest.mark.parametrize("part", ["all", "../../harm", "a/b"])
def test_parts_cannot_lead_elsewhere(tmp_path, run, drive, part):
    content = export()
    total = content["full_aggregations"]["SMPL"]
    cluster = {
        f"{key}_per_body_parts": {part: {"SMPL": total[key]}}
        for key in ("visual_hull", "full_image_visual_hull")
    }
    content["aggregations"] = {"SMPL": cluster}
    drive.files[drive_ids()["tie"]["pickle"]] = pickle.dumps(content)
    status, _, err = run(categories=["tie"])
    assert status == 1 and "is not one that the published code names" in err
    assert not aggregation(tmp_path, "tie").exists()


def test_without_gdown(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "gdown", None)
    status, _, err = run()
    assert status == 2 and ".[paper]" in err
    status, _, err = run("--no_fetch")
    assert status == 1 and "download_pretrained_chorus.sh" in err
    status, _, err = run(categories=["tye"])
    assert status == 2 and "tie" in err


@pytest.mark.parametrize(("rules", "expected"), [([7, 8], (7, 8)), (5, (5,)), (None, (3,))])
def test_rules_of_the_settings(tmp_path, rules, expected):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"filter_settings": {"filter_setting_comb": rules}}))
    assert published_rules(path) == expected


def test_the_reference_export_is_imported(golden, tmp_path, run):
    reference = Path(golden("body").zip.filename).parent / "release_export_24.pkl.gz"
    folder = tmp_path / "imports/published"
    folder.mkdir(parents=True)
    (folder / "surfboard.pickle").write_bytes(gzip.decompress(reference.read_bytes()))
    (folder / "surfboard.json").write_text(json.dumps(SETTINGS))
    status, _, err = run("--no_fetch", categories=["surfboard"])
    assert status == 0, err
    found = load(aggregation(tmp_path, "surfboard"))
    np.testing.assert_array_equal(
        found["all"].probability, golden("deform_24")["canon_probability"]
    )
    assert set(found) == {"all", *golden("aggregate_24")["part_names"].tolist()}


def test_the_script_runs_the_command(tmp_path):
    result = subprocess.run(
        ["sh", str(REPOSITORY / "scripts/download_pretrained_chorus.sh"), "--no_fetch"],
        env={**os.environ, "PYTHON": sys.executable, "CHORUS_IMPORTS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert "import_published: 0 of 14 categories imported" in result.stdout
    assert str(tmp_path / "published") in result.stderr

"""From test set to table: testset → evaluate → report, score, and what they refuse."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_tree import AGGREGATION, STAGES, command, files

import chorus
from chorus.cli import main
from chorus.commands import testset
from chorus.engine.loop import Sample
from chorus.evaluation.known_camera import body_camera
from chorus.evaluation.voxel_field import read_field
from chorus.geometry import masks
from chorus.occupancy.grid import VoxelGrid
from chorus.records.keys import SampleKey
from chorus.records.tables import read_table, write_table
from chorus.synthetic.world.interactions import categories

REPOSITORY = Path(__file__).resolve().parents[2]
TEST_SET = "results/test_set/synthetic/surfboard/test/original.parquet"
FIELD = f"results/aggregations/synthetic-v1/surfboard/total-aggregation/{AGGREGATION}/fullbody.npz"
SCORES = f"results/quant_results/synthetic-v1/surfboard/{AGGREGATION}"


@pytest.fixture(scope="module")
def scored(base, tmp_path_factory) -> Path:
    """The small tree with four test images and their scores by both versions."""
    root = tmp_path_factory.mktemp("scored")
    shutil.copytree(base, root, dirs_exist_ok=True)
    wanted = ["--categories", "surfboard", "--num_images", "4"]
    assert main(command(root, "testset", *wanted)) == 0
    for metric in ("pap/v1", "pap/v2"):
        assert main(command(root, "evaluate", "--metric", metric)) == 0
    return root


@pytest.fixture
def spoiled(scored, tmp_path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(scored, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_nothing_to_do_is_found_out_without_torch(scored):
    commands = [command(scored, stage) for stage in (*STAGES, "evaluate")]
    script = """
        import sys
        from chorus.cli import main
        for command in {commands}:
            assert main(command) == 0, command
            slow = {slow} & sys.modules.keys()
            assert not slow, (command[0], slow)
        """.format(commands=commands, slow={"torch", "transformers", "diffusers", "numba"})
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("already") >= 1, ran.stdout


def test_test_images_are_whole_and_not_those_of_training(scored):
    rows = read_table(scored / TEST_SET, "test_set").rows
    assert len(rows) == 4
    for row in rows.values():
        mask = masks.decode(row["mask"], row["height"], row["width"])
        np.testing.assert_allclose(masks.box_of(mask), row["object_box"])
        assert row["status"] == "done" and row["overlap"] >= 0.5 and row["residual"] < 3
        assert np.linalg.det(np.reshape(row["R"], (3, 3))) == pytest.approx(1, abs=1e-5)
        assert (scored / TEST_SET).with_suffix("").joinpath(row["image"]).is_file()
    poses = {tuple(row["pose"]) for row in rows.values()}
    truth = scored.glob("results/synthetic_truth/*/*/*/*.parquet")
    trained = {
        tuple(person["pose"])
        for path in truth
        for row in read_table(path, "synthetic_truth").rows.values()
        for person in row["persons"] or []
    }
    assert len(poses) == 4 and not poses & trained


def test_more_test_images_keep_the_first(spoiled):
    before = read_table(spoiled / TEST_SET, "test_set").rows
    wanted = ["--categories", "surfboard-demo", "--num_images", "5"]
    assert main(command(spoiled, "testset", *wanted)) == 0
    after = read_table(spoiled / TEST_SET, "test_set").rows
    assert len(after) == 5 and {index: after[index] for index in before} == before


@pytest.fixture
def worker(base, tmp_path) -> testset.TestImageWorker:
    """Draws test images of 64 pixels, which is quick, into a tree of its own."""
    made = testset.TestImageWorker(
        testset.Options(imports_dir=base / "imports", results_dir=tmp_path)
    )
    made._settings = replace(made._settings, width=64, height=64)
    return made


@pytest.mark.parametrize("category", categories())
def test_every_category_has_test_images(worker, category):
    (found,) = worker.process([Sample(SampleKey(*testset.shard_of("synthetic", category), 3), {})])
    assert found.values is not None and found.values["overlap"] >= 0.5


def test_a_rare_test_image_is_drawn_for_and_an_impossible_one_is_given_up(worker, monkeypatch):
    draws = []

    def rendered(scene, body):
        draws.append(scene)
        return SimpleNamespace(image=np.zeros((4, 4, 3), np.uint8))

    monkeypatch.setattr("chorus.synthetic.world.scenes.sample_scene", lambda *scene: scene)
    monkeypatch.setattr("chorus.synthetic.look.rendering.render", rendered)
    key = SampleKey(*testset.shard_of("synthetic", "skis"), 0)
    worker._described = lambda *_: {"overlap": 1.0} if len(draws) == 100 else "too far away"
    assert worker.process([Sample(key, {})])[0].values["image"] == "000000.jpg"
    assert len(set(draws)) == 100  # every draw has a seed of its own
    assert "too far away" in worker.process([Sample(key, {})])[0].skipped


def test_the_known_camera_sees_a_zero_shape_person_exactly(base):
    body = chorus.load_body(imports=base / "imports")
    rng = np.random.default_rng(3)
    pose = rng.normal(0, 0.3, (24, 3))
    translation, K = np.array([0.2, 1.0, -0.3]), np.diag([500.0, 500.0, 1.0])
    R, t = np.diag([1.0, -1.0, -1.0]), np.array([0.1, 0.4, 4.0])
    camera = body_camera(body, pose, np.zeros(10), translation, R, t, K)
    assert camera.residual < 1e-3
    still = pose.copy()
    still[0] = 0
    seen = body.pose(still).vertices.numpy() @ camera.R.T + camera.t
    true = (body.pose(pose).vertices.numpy() + translation) @ R.T + t
    np.testing.assert_allclose(seen, true, atol=1e-4)


def test_scores_are_kept_and_tell_what_they_were_made_of(scored, capsys):
    before = files(scored)
    assert main(command(scored, "evaluate")) == 0
    printed = capsys.readouterr()
    assert "0 distributions scored, 1 already there on synthetic by pap/v2" in printed.out
    assert "4 test images, fewer than 30" in printed.err
    assert files(scored) == before
    record = json.loads((scored / SCORES / "pap-v2.json").read_text())
    assert (record["metric"], record["part"], record["generated"]) == ("pap/v2", "fullbody", 18)
    assert len(record["images"]) == 4 and len(record["settings"]["thresholds"]) == 99
    assert all(0 <= image["PAP"] <= 1 for image in record["images"] if image["PAP"] is not None)


@pytest.mark.parametrize("form", ["table", "csv", "json", "markdown", "latex"])
def test_every_format_carries_the_version(scored, capsys, form):
    arguments = ["--format", form, "--num_multiview_thres", "4", "--no-html"]
    assert main(command(scored, "report", *arguments)) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and "surfboard" in printed.out
    assert "pap/v1" in printed.out and "pap/v2" in printed.out
    if form == "json":
        first = json.loads(printed.out)[0]
        assert first["mean"]["mPAP"] == first["categories"]["surfboard"]["mPAP"]


def test_the_mean_says_of_how_many_categories_each_figure_is(spoiled, capsys):
    path = spoiled / SCORES / "pap-v2.json"
    record = json.loads(path.read_text())
    other = path.parents[2] / "tie" / path.parent.name / path.name
    other.parent.mkdir(parents=True)
    covered = [{**image, "PAP_hoa": None, "PAP_strict_hoa": None} for image in record["images"]]
    other.write_text(json.dumps({**record, "category": "tie", "images": covered}))
    arguments = ["--metric", "pap/v2", "--no-html", "--num_multiview_thres", "4", "--format"]
    assert main(command(spoiled, "report", *arguments, "markdown")) == 0
    printed = capsys.readouterr()
    assert "| mean of 2, 2, 1, 1 categories | 8 |" in printed.out
    assert "tie: no test image has a target for mPAP_hoa (pap/v2)" in printed.err
    assert "on the grid of 32 cells the person covers the object" in printed.err
    assert "chorus evaluate --downscale_length 64 --overwrite" in printed.err
    assert main(command(spoiled, "report", *arguments, "json")) == 0
    (table,) = json.loads(capsys.readouterr().out)
    assert list(table["categories_in_mean"].values()) == [2, 2, 1, 1]


def test_small_categories_are_told_and_left_out(scored, capsys):
    arguments = ["--metric", "pap/v2", "--format", "json", "--no-html"]
    assert main(command(scored, "report", *arguments)) == 0
    printed = capsys.readouterr()
    (table,) = json.loads(printed.out)
    assert table["left_out_of_mean"] == ["surfboard"] and table["mean"]["mPAP"]["mean"] is None
    assert "surfboard: 4 test images, fewer than 30: left out of the mean (pap/v2" in printed.err


PAGE = "results/quant_results/synthetic-v1/index.html"


def test_report_writes_one_page_and_keeps_it(spoiled, capsys, monkeypatch):
    assert main(command(spoiled, "report")) == 0
    printed = capsys.readouterr()
    assert f"page with plots and test images → {spoiled / PAGE}" in printed.out
    page = (spoiled / PAGE).read_text(encoding="utf-8")
    assert page.count("<section") == 2 and page.count("<polyline") == 4
    record = json.loads((spoiled / SCORES / "pap-v2.json").read_text())
    scored = sorted(image["PAP"] for image in record["images"] if image["PAP"] is not None)
    shown = re.findall(r"<b>(\w+)</b>[^<]*PAP ([\d.]+) % \(pap/v2\)", page)
    assert [rank for rank, _ in shown] == ["best", "median", "worst"][: len(scored)]
    ends = [f"{100 * scored[at]:.1f}" for at in (-1, 0)]
    assert [shown[0][1], shown[-1][1]] == ends
    assert len(page) < 1_000_000 and "https:" not in page
    monkeypatch.setattr("chorus.evaluation.pap.prepare", None)  # nothing is scored again
    assert main(command(spoiled, "report")) == 0
    assert (spoiled / PAGE).read_text(encoding="utf-8") == page
    (spoiled / PAGE).unlink()
    assert main(command(spoiled, "report", "--no-html")) == 0
    assert not (spoiled / PAGE).exists()


def test_a_page_without_its_images_or_test_set_says_so(spoiled, capsys):
    shutil.rmtree((spoiled / TEST_SET).with_suffix(""))
    assert main(command(spoiled, "report", "--metric", "pap/v2")) == 0
    page = (spoiled / PAGE).read_text(encoding="utf-8")
    assert page.count("<img") >= 4 and "page:" not in capsys.readouterr().err
    table = read_table(spoiled / TEST_SET, "test_set")
    table.rows.pop(3)
    write_table(spoiled / TEST_SET, "test_set", table)
    assert main(command(spoiled, "report", "--overwrite")) == 0
    assert "no test images shown" in capsys.readouterr().err
    page = (spoiled / PAGE).read_text(encoding="utf-8")
    assert "<img" not in page and "run evaluate again" in page and page.count("<polyline") == 4


def test_score_gives_the_figures_of_evaluate(scored, capsys):
    assert main(command(scored, "score", str(scored / FIELD))) == 0
    printed = capsys.readouterr().out
    record = json.loads((scored / SCORES / "pap-v2.json").read_text())
    values = [image["PAP"] for image in record["images"] if image["PAP"] is not None]
    assert "mPAP (pap/v2)" in printed and f"{100 * np.mean(values):.1f}" in printed


def foreign(path: Path, values: np.ndarray, **changes) -> Path:
    """A field of another method: two voxels per metre, its first centre at (-1, -1, -1)."""
    transform = np.diag([0.5, 0.5, 0.5, 1.0])
    transform[:3, 3] = -1
    metadata = {"transform": transform.tolist(), "category": "surfboard", "body": ""}
    metadata |= {"canonical": True, **changes}
    header = json.dumps({"schema": "chorus.field/1", "metadata": metadata})
    np.savez(path, values=values, header=np.array(header))
    return path


def test_a_field_of_another_method_lands_where_its_header_says(scored, tmp_path, capsys, caplog):
    values = np.zeros((5, 4, 3))
    values[3, 1, 2] = 0.75  # its centre is at (0.5, -0.5, 0)
    path = foreign(tmp_path / "field.npz", values)
    field = read_field(path, VoxelGrid(24))
    places = np.array([[0.5, -0.5, 0], [0.7, -0.3, 0.2], [0.8, -0.5, 0], [-1.4, -1.4, -1.4]])
    np.testing.assert_allclose(field.query(places), [0.75, 0.75, 0, 0])
    assert main(command(scored, "score", str(path))) == 0
    assert "mPAP (pap/v2)" in capsys.readouterr().out
    assert "does not name the body" in caplog.text


@pytest.mark.parametrize(
    ("changes", "value", "sentence"),
    [
        ({}, np.nan, "found NaN"),
        ({}, 1.5, "probabilities from 0 to 1"),
        ({"transform": [[1, 0], [0, 1]]}, 0.5, "4 rows of 4 numbers"),
        ({"body": None}, 0.5, "needs 'body' (str)"),
        ({"category": ""}, 0.5, "says nothing of its category"),
        ({"body": "0123456789abcdef"}, 0.5, "another body model"),
    ],
)
def test_a_bad_field_is_refused(scored, tmp_path, capsys, changes, value, sentence):
    path = foreign(tmp_path / "field.npz", np.full((4, 4, 4), value), **changes)
    assert main(command(scored, "score", str(path))) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and sentence in printed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["evaluate", "--metric", "pap/v3"], "unknown metric 'pap/v3'; did you mean 'pap/v"),
        (["evaluate", "--aggr_setting_names", "qual:demo"], "run aggregate first"),
        (["evaluate", "--categories", "surfbord"], "did you mean 'surfboard'"),
        (["evaluate", "--thresholds", "0.5", "0.2"], "thresholds must rise"),
        (["evaluate", "--downscale_length", "16"], "downscale_length: 32, now 16"),
        (["report", "--categories", "bench"], "category among the results"),
        (["report", "--metric", "pap/v3"], "metric among the results"),
        (["testset", "--categories", "surfbord"], "did you mean 'surfboard'"),
        (["testset", "--profile", "paper"], "only the synthetic world"),
        (["testset", "--num_images", "0"], "1 image or more"),
        (["score", "nowhere.npz"], "no field at nowhere.npz"),
    ],
)
def test_bad_options_end_in_one_sentence(scored, capsys, arguments, sentence):
    before = files(scored)
    assert main(command(scored, arguments[0], *arguments[1:])) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and sentence in printed
    assert files(scored) == before


def test_without_a_test_set_evaluate_names_the_command(tree, capsys):
    assert main(command(tree, "evaluate")) == 1
    assert "run chorus testset first" in capsys.readouterr().err
    assert main(command(tree, "evaluate", "--test_set", "coco-eft-val")) == 1
    assert "run chorus extend_eft first" in capsys.readouterr().err
    assert main(command(tree, "report")) == 2
    assert "run evaluate first" in capsys.readouterr().err


def test_a_test_set_of_another_body_is_refused(spoiled, capsys):
    table = read_table(spoiled / TEST_SET, "test_set")
    for row in table.rows.values():
        row["body"] = "0123456789abcdef"
    write_table(spoiled / TEST_SET, "test_set", table)
    assert main(command(spoiled, "evaluate")) == 1
    assert "calibrated with another body model" in capsys.readouterr().err


def test_a_changed_test_set_is_scored_again(spoiled, capsys):
    table = read_table(spoiled / TEST_SET, "test_set")
    table.rows[3] = {**table.rows[3], "status": "skipped", "reason": "the object is cut off"}
    write_table(spoiled / TEST_SET, "test_set", table)
    assert main(command(spoiled, "evaluate")) == 0
    told = capsys.readouterr().out
    assert "1 distribution scored on" in told
    mean = r"; mPAP \(pap/v2\): \d+\.\d % of 1 category by filter\(.*; all figures:"
    assert re.search(mean, told)
    record = json.loads((spoiled / SCORES / "pap-v2.json").read_text())
    assert [image["index"] for image in record["images"]] == [0, 1, 2]


def test_damaged_scores_are_named(spoiled, capsys):
    (spoiled / SCORES / "pap-v2.json").write_text("{}")
    for stage in ("evaluate", "report"):
        assert main(command(spoiled, stage)) == (1 if stage == "evaluate" else 2)
        assert "run evaluate --overwrite" in capsys.readouterr().err
    assert main(command(spoiled, "evaluate", "--overwrite")) == 0


KILLED = """
    import os, signal, sys
    rename, count = os.replace, 0
    def replace(*paths):
        global count
        count += 1
        if count == {renames}:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*paths)
    os.replace = replace
    from chorus.cli import main
    main({arguments!r})
"""


def test_a_killed_evaluate_keeps_what_it_scored_and_a_rerun_ends_alike(spoiled, capsys):
    both = ["--aggr_setting_names", "quant:full", "qual:demo"]
    assert main(command(spoiled, "aggregate", *both)) == 0
    assert main(command(spoiled, "evaluate", *both)) == 0
    whole = files(spoiled)
    shutil.rmtree(spoiled / "results/quant_results/synthetic-v1/surfboard")
    code = textwrap.dedent(KILLED.format(renames=2, arguments=command(spoiled, "evaluate", *both)))
    killed = subprocess.run([sys.executable, "-c", code], check=False, cwd=REPOSITORY)
    assert killed.returncode == -9
    assert len(list((spoiled / "results/quant_results").rglob("pap-v2.json"))) == 1
    assert "left of an interrupted run" in problems_of(spoiled, capsys)
    assert main(command(spoiled, "evaluate", *both)) == 0
    assert "1 distribution scored, 1 already there" in capsys.readouterr().out
    missing = {f"results/quant_results/synthetic-v1/surfboard/{AGGREGATION}/pap-v1.json"}
    assert files(spoiled) == {name: data for name, data in whole.items() if name not in missing}


def problems_of(root: Path, capsys) -> str:
    """What `verify` finds wrong with a tree, after checking that it finds something."""
    capsys.readouterr()
    assert main(command(root, "verify")) == 1
    return capsys.readouterr().err


def test_verify_knows_a_whole_evaluation(scored, capsys):
    assert main(command(scored, "verify")) == 0
    assert "1 test sets, 2 evaluation results, no problem" in capsys.readouterr().out


def spoil_row(**values):
    """A fault of the test set: values of its row 2 that take the place of the true ones."""

    def spoil(root: Path) -> None:
        table = read_table(root / TEST_SET, "test_set")
        table.rows[2] |= values
        write_table(root / TEST_SET, "test_set", table)

    return spoil


def cut(path: str):
    """A fault: the second half of a file is missing."""

    def spoil(root: Path) -> None:
        whole = (root / path).read_bytes()
        (root / path).write_bytes(whole[: len(whole) // 2])

    return spoil


PICTURE = TEST_SET.replace(".parquet", "/000002.jpg")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (spoil_row(residual=float("nan")), "row 2 (000002.jpg) holds NaN or infinity"),
        (spoil_row(pose=[float("inf")] * 72), "row 2 (000002.jpg) holds NaN or infinity"),
        (spoil_row(mask=masks.encode(np.ones((9, 9), bool))), "found 81: the mask is damaged"),
        (spoil_row(mask=masks.encode(np.zeros((512, 512), bool))), "has an empty mask"),
        (spoil_row(body="0123456789abcdef"), "calibrated with another body model"),
        (cut(TEST_SET), "is not a readable Parquet table"),
        (cut(PICTURE), "000002.jpg is damaged"),
        (lambda root: (root / PICTURE).unlink(), "000002.jpg is missing"),
    ],
)
def test_verify_finds_a_damaged_test_set(spoiled, capsys, spoil, sentence):
    spoil(spoiled)
    problems = problems_of(spoiled, capsys)
    assert sentence in problems
    assert "Rerun: chorus testset --categories surfboard" in problems
    assert "--overwrite" in problems and str(spoiled / "results") in problems


def edit(change):
    """A fault of the result pap-v2.json: a change of what is in it."""

    def spoil(root: Path) -> None:
        path = root / SCORES / "pap-v2.json"
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))

    return spoil


def other_field(root: Path) -> None:
    field = chorus.Distribution.load(root / FIELD)
    replace(field, probability=field.probability / 2, counts=None).save(root / FIELD)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (cut(f"{SCORES}/pap-v2.json"), "pap-v2.json is damaged"),
        (edit(lambda record: record.pop("curve")), "no valid curve"),
        (edit(lambda record: record["images"][0].update(PAP=1.5)), "not between 0 and 1"),
        (edit(lambda record: record["curve"]["hits"].pop()), "99 points of its thresholds"),
        (edit(lambda record: record.update(metric="pap/v1")), "pap-v1, which belongs elsewhere"),
        (other_field, "fullbody.npz has changed since it was scored by pap/v2"),
        (lambda root: (root / FIELD).unlink(), "there is no distribution at"),
        (spoil_row(residual=0.25), "original.parquet has changed since"),
        (lambda root: (root / TEST_SET).unlink(), "original.parquet is missing"),
    ],
)
def test_verify_finds_results_that_do_not_hold(spoiled, capsys, spoil, sentence):
    spoil(spoiled)
    problems = problems_of(spoiled, capsys)
    assert sentence in problems
    assert (
        "Rerun: chorus evaluate --categories surfboard --aggr_setting_names quant:full "
        "--filter_setting_nums 3 --metric pap/v"
    ) in problems


def test_what_verify_names_mends(spoiled, capsys):
    cut(PICTURE)(spoiled)
    other_field(spoiled)
    found = re.findall(r"Rerun: chorus (.*)", problems_of(spoiled, capsys))
    assert len(found) == 3
    for line in found:
        here = ["--imports_dir", str(spoiled / "imports"), "--workers", "1"]
        assert main([*shlex.split(line), *here]) == 0
    assert main(command(spoiled, "verify")) == 0

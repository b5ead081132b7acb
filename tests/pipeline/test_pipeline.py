"""The pipeline as its users run it: whole, twice, in parallel, killed, and with bad input."""

from __future__ import annotations

import errno
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from small_tree import AGGREGATION, PROMPTS, STAGES, command, files

import chorus
from chorus.body.loading import load_body
from chorus.cli import main
from chorus.commands import run as run_command
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import read_table, write_table
from chorus.viewing.drawings import Drawing, remember
from chorus.viewing.sheet import SheetSettings, write_sheet

REPOSITORY = Path(__file__).resolve().parents[2]
SHARD = ShardKey("synthetic-v1", "surfboard", PROMPTS[0], ", full body photo")
OUTPUTS = {
    "images": ("images", "synthetic_truth"),
    "segment": ("segmentations",),
    "humans": ("humans",),
    "keypoints": ("human_kps",),
    "filter": ("filtered",),
    "refine": ("refined",),
    "quality": ("quality",),
    "calibrate": ("filtered_cameras",),
    "aggregate": ("aggregations",),
}


def table(root: Path, name: str, shard: ShardKey = SHARD) -> Path:
    return ResultsTree(root / "results").table(name, shard)


def test_all_stages_leave_whole_tables_and_distributions(base, capsys):
    assert main(command(base, "verify")) == 0
    assert "no problem" in capsys.readouterr().out
    assert main(command(base, "status")) == 0
    shown = capsys.readouterr().out
    assert "surfboard / A person balances on a surfboard" in shown and "retained" in shown
    folder = base / "results/aggregations/synthetic-v1/surfboard"
    total = chorus.Distribution.load(folder / "total-aggregation" / AGGREGATION / "all.npz")
    parts = [
        chorus.Distribution.load(folder / prompt / AGGREGATION / "all.npz") for prompt in PROMPTS
    ]
    assert 0 < total.probability.max() <= 1
    for name in ("image", "mask", "samples"):
        together = sum(getattr(part.counts, name) for part in parts)
        np.testing.assert_array_equal(getattr(total.counts, name), together)


def test_a_second_run_changes_nothing(base, capsys):
    before = files(base)
    for stage in STAGES:
        assert main(command(base, stage)) == 0
        assert "already there" in capsys.readouterr().out
    assert files(base) == before


def test_workers_and_batch_size_do_not_matter(base, tmp_path):
    for name in ("prompts", "imports"):
        shutil.copytree(base / name, tmp_path / name)
    shutil.copy(base / "augprompts.txt", tmp_path)
    arguments = command(tmp_path, "images", "--workers", "2")
    arguments[arguments.index("--batch_size") + 1] = "1"
    arguments[arguments.index("--num_batch_per_augprompt") + 1] = "3"
    subprocess.run([sys.executable, "-m", "chorus.cli", *arguments], check=True, cwd=REPOSITORY)
    for stage in STAGES[1:]:
        assert main(command(tmp_path, stage)) == 0
    assert files(tmp_path) == files(base)


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_stage_and_a_rerun_end_in_the_same_files(base, tree, stage):
    for name in OUTPUTS[stage]:
        shutil.rmtree(tree / "results" / name)
    code = f"""
        import os, signal
        rename, count = os.replace, 0
        def replace(*paths):
            global count
            count += 1
            if count == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(*paths)
        os.replace = replace
        from chorus.cli import main
        main({command(tree, stage)!r})
    """
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], check=False, cwd=REPOSITORY
    )
    assert killed.returncode == -9
    assert files(tree) != files(base)
    assert main(command(tree, stage)) == 0
    assert files(tree) == files(base)


@pytest.mark.parametrize("stage", STAGES[1:6])
def test_rows_do_not_depend_on_those_made_with_them(base, tree, stage):
    name = OUTPUTS[stage][0]
    for number, path in enumerate(sorted((tree / "results" / name).rglob("*.parquet"))):
        half = read_table(path, name)
        for index in sorted(half.rows)[number % 3 :]:
            del half.rows[index]
        write_table(path, name, half)
    assert files(tree) != files(base)
    assert main(command(tree, stage)) == 0
    assert files(tree) == files(base)


def test_two_runs_on_one_tree_at_once(base, tree):
    shutil.rmtree(tree / "results")
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "chorus.cli", *command(tree, "images")], cwd=REPOSITORY
        )
        for _ in range(2)
    ]
    assert [run.wait() for run in runs] == [0, 0]
    made = files(tree)
    assert made == {name: data for name, data in files(base).items() if name in made}
    assert any(name.endswith(".jpg") for name in made)


def test_an_unreadable_image_fails_alone_and_is_tried_again(tree, capsys):
    image = table(tree, "images").with_suffix("") / "000001.jpg"
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    shutil.rmtree(tree / "results/segmentations")
    assert main(command(tree, "segment")) == 0
    printed = capsys.readouterr()
    assert "1 failed" in printed.out and "not a whole image" in printed.err
    row = read_table(table(tree, "segmentations"), "segmentations").rows[1]
    assert row["status"] == "failed" and "000001.jpg" in row["reason"]
    assert main(command(tree, "verify")) == 1
    told = capsys.readouterr().err
    assert "not a whole image" in told
    assert "humans" in told and "rows that failed in segmentations (first: 000001, 1 in" in told
    image.write_bytes(whole)
    assert main(command(tree, "segment")) == 0
    assert "1 done" in capsys.readouterr().out
    assert main(command(tree, "verify")) == 0


def test_verify_finds_what_is_wrong_and_says_what_to_rerun(tree, capsys):
    foreign = table(tree, "humans")
    shutil.copy(table(tree, "human_kps"), foreign)
    images = read_table(table(tree, "images"), "images")
    images.rows.pop(2)
    write_table(table(tree, "images"), "images", images)
    folder = tree / "results/aggregations/synthetic-v1/surfboard" / PROMPTS[0] / AGGREGATION
    (folder / "all.npz").write_bytes(b"not a zip")
    assert main(command(tree, "verify")) == 1
    problems = capsys.readouterr().err
    assert "expected 'humans' version 1" in problems and "chorus humans --categories" in problems
    assert "has rows that images lacks (first: 000002" in problems
    assert "all.npz" in problems and "--aggr_setting_names quant:full" in problems


def test_a_table_of_foreign_schema_stops_only_its_shard(tree, capsys):
    shutil.copy(table(tree, "humans"), table(tree, "segmentations"))
    shutil.rmtree(tree / "results/human_kps")
    assert main(command(tree, "keypoints")) == 1
    printed = capsys.readouterr()
    assert "'humans' version 1, expected 'segmentations'" in printed.err
    assert "15 done" in printed.out


def test_other_settings_are_named_and_change_nothing(tree, capsys):
    before = files(tree)
    assert main(command(tree, "segment", "--threshold", "0.5")) == 2
    assert "threshold: 0.8, now 0.5" in capsys.readouterr().err
    assert files(tree) == before
    assert main(command(tree, "segment", "--threshold", "0.5", "--overwrite")) == 0
    assert main(command(tree, "humans")) == 2
    assert "from segmentations.threshold: 0.8, now 0.5" in capsys.readouterr().err


def test_nan_in_a_pose_costs_that_sample_only(tree, capsys):
    path = table(tree, "humans")
    humans = read_table(path, "humans")
    cameras = read_table(table(tree, "filtered_cameras"), "filtered_cameras")
    index = next(i for i, row in cameras.rows.items() if row["status"] == "done")
    humans.rows[index]["persons"][0]["pose"][7] = float("nan")
    write_table(path, "humans", humans)
    shutil.rmtree(tree / "results/filtered_cameras")
    assert main(command(tree, "calibrate")) == 0
    rows = read_table(table(tree, "filtered_cameras"), "filtered_cameras").rows
    assert rows[index]["status"] == "skipped" and "not finite" in rows[index]["reason"]
    others = [i for i, row in cameras.rows.items() if row["status"] == "done" and i != index]
    assert all(rows[i] == cameras.rows[i] for i in others)
    assert main(command(tree, "aggregate")) == 0


def test_a_category_without_retained_samples_is_told_and_the_others_go_on(tree, capsys):
    lonely = [shard._replace(category="chair") for shard in _shards(tree)]
    for name in ("filtered", "filtered_cameras", "humans", "segmentations"):
        for shard in lonely:
            source = read_table(table(tree, name, shard._replace(category="surfboard")), name)
            source.shard = shard
            for row in source.rows.values():
                if name == "filtered":
                    row["verdicts"] = ["no object"] * 15
            write_table(table(tree, name, shard), name, source)
    shutil.rmtree(tree / "results/aggregations")
    assert main(command(tree, "aggregate")) == 1  # asked for all, made all but one
    printed = capsys.readouterr()
    assert "chair: no sample is retained by filter 3 (18 no object)" in printed.err
    assert "3 aggregations done" in printed.out
    assert main(command(tree, "aggregate", "--categories", "chair")) == 1


def test_a_full_disk_ends_in_a_sentence(tree, capsys, monkeypatch):
    shutil.rmtree(tree / "results/human_kps")
    before = files(tree)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert main(command(tree, "keypoints")) == 2
    assert "the disk is full" in capsys.readouterr().err
    assert files(tree) == before
    monkeypatch.undo()
    assert main(command(tree, "keypoints")) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["aggregat"], "did you mean 'aggregate'"),
        (["segment", "--categories", "surfbord"], "did you mean 'surfboard'"),
        (["aggregate", "--aggr_setting_names", "quant:ful"], "did you mean 'quant:full'"),
        (["aggregate", "--eval_mode", "qual"], "--eval_mode quant"),
        (["aggregate", "--filter_setting_nums", "3,x"], "unknown filter rule 'x'; known: 1, 2, 3,"),
        (["images", "--categories", "surfbrd"], "did you mean 'surfboard'"),
        (["images", "--augprompts_not_to_use", "sid view"], "sid view"),
        (["images", "--num_batch_per_augprompt", "0"], "at least 1, found 0"),
        (["segment", "--threshold", "2"], "between 0 and 1, found 2"),
        (["segment", "--prompts", "A person balances on"], "did you mean 'A person balances on a"),
        (["segment", "--workers", "-1"], "--workers must be 0"),
        (["calibrate", "--device", "tpu"], "--device must be auto, cpu, cuda or cuda:N"),
        (["calibrate", "--device", "cuda:99", "--overwrite"], "CUDA devices here"),
        (["aggregate", "--body", "nowhere.npz"], "nowhere.npz is not there"),
        (["verify", "--categories", "surfbord"], "did you mean 'surfboard'"),
        (["images", "--profile", "paper"], "stable-diffusion-v1-4"),
        (["segment", "--segmenter", "open-vocabularly"], "did you mean 'open-vocabulary'"),
        (["humans", "--profile", "paper"], "frankmocap-eft"),
        (["prompts", "--categories", "surfbord"], "did you mean 'surfboard'"),
        (["prompts", "--profile", "paper", "--categories", "chair"], "gpt-3.5-turbo"),
        (["truth", "--profile", "paper"], "only the synthetic world"),
        (["view", "--aggr_setting_names", "qual:demo"], "run aggregate first"),
    ],
)
def test_bad_input_ends_in_one_sentence(base, capsys, monkeypatch, arguments, sentence):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(base)  # where no .env lies
    before = files(base)
    assert main(command(base, arguments[0], *arguments[1:])) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and sentence in printed
    assert files(base) == before


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "prompt"), (b"# only a remark\n\n", "prompt"), (b"\xff\xfe\x00", "prompt")],
)
def test_an_empty_or_malformed_prompt_file(tree, capsys, content, sentence):
    (tree / "prompts" / "chair.txt").write_bytes(content)
    assert main(command(tree, "images", "--categories", "chair")) == 2
    printed = capsys.readouterr().err
    assert "chair.txt" in printed and sentence in printed
    assert main(command(tree, "images")) == 1, "the other category goes on, the fault is told"


def test_an_interaction_that_the_synthetic_world_does_not_know(tree, capsys):
    prompts = tree / "prompts" / "surfboard.txt"
    prompts.write_text("A person eats a surfboard\n" + prompts.read_text())
    assert main(command(tree, "images")) == 0
    printed = capsys.readouterr()
    assert "18 already there" in printed.out and "eats a surfboard" in printed.err
    prompts.write_text("A person eats a surfboard\n")
    assert main(command(tree, "images")) == 2


def test_a_failed_image_is_told_and_drawn_as_missing(tree, capsys):
    path = table(tree, "images")
    images = read_table(path, "images")
    images.rows[0] = dict.fromkeys(images.rows[0]) | {
        "index": 0,
        "status": "failed",
        "reason": "could not be drawn",
    }
    write_table(path, "images", images)
    shutil.rmtree(tree / "results/segmentations")
    for stage in STAGES[1:]:
        assert main(command(tree, stage, "--overwrite")) == 0
    assert "images failed: could not be drawn" in capsys.readouterr().err
    about = SheetSettings(ResultsTree(tree / "results"), "synthetic-v1", (), [3])
    write_sheet(about, "surfboard", load_body(None, tree / "imports"), tree / "sheet.png")
    assert (tree / "sheet.png").stat().st_size > 10_000


def test_samples_that_are_gone_leave_the_later_tables(tree, capsys):
    path = table(tree, "images")
    images = read_table(path, "images")
    images.rows.pop(2)
    write_table(path, "images", images)
    for stage in STAGES[1:]:
        assert main(command(tree, stage)) == 0
    for name in ("segmentations", "humans", "human_kps", "filtered", "filtered_cameras"):
        assert set(read_table(table(tree, name), name).rows) == {0, 1}
    assert main(command(tree, "verify")) == 0


def test_tables_of_different_origin_are_not_joined(tree, capsys):
    assert main(command(tree, "segment", "--threshold", "0.97", "--overwrite")) == 0
    assert main(command(tree, "aggregate")) == 2
    assert "was made from segmentations of other settings" in capsys.readouterr().err


def test_two_aggregations_at_once(base, tree):
    shutil.rmtree(tree / "results/aggregations")
    arguments = [sys.executable, "-m", "chorus.cli", *command(tree, "aggregate", "--overwrite")]
    runs = [subprocess.Popen(arguments, cwd=REPOSITORY) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert files(tree) == files(base)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_is_finished_and_ends_soon(tree, sent):
    shutil.rmtree(tree / "results")
    arguments = command(tree, "images", "--workers", "2", "--num_batch_per_augprompt", "40")
    # A test run in the background may ignore interrupts, which its children would inherit.
    heeding = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    run = subprocess.Popen(
        [sys.executable, "-m", "chorus.cli", *arguments], cwd=REPOSITORY, preexec_fn=heeding
    )
    end = time.monotonic() + 60
    while not list((tree / "results").rglob("*.jpg")) and time.monotonic() < end:
        time.sleep(0.1)
    run.send_signal(sent)
    assert run.wait(timeout=90) == 130
    rows = [
        row
        for shard in ResultsTree(tree / "results").shards("images", "synthetic-v1")
        for row in read_table(table(tree, "images", shard), "images").rows
    ]
    assert 0 < len(rows) < 100


def test_truth_scores_the_stored_aggregation(base, capsys):
    assert main(command(base, "truth", "--aggr_setting_name", "quant:full")) == 0
    printed = capsys.readouterr().out
    assert "full method" in printed and "neither" in printed
    scores = json.loads(
        (base / f"results/truth/synthetic-v1/surfboard/{AGGREGATION}.json").read_text()
    )
    shutil.rmtree(base / "results/truth")
    full = scores[PROMPTS[0]]["variants"]["full method"]
    assert 0 < full["soft_ap"] <= full["soft_ap_ceiling"] <= 1


def test_view_draws_once_and_collects_also_if_it_was_killed(tree, capsys):
    only = ["--prompts", PROMPTS[0], "--aggr_setting_names", "quant:full", "--workers", "2"]
    aggregations = tree / "results/aggregations/synthetic-v1/surfboard"
    shutil.rmtree(aggregations / "total-aggregation")
    arguments = command(tree, "view", *only, "--save_dir", str(tree / "shown"))
    code = f"""
        import os, signal
        from pathlib import Path
        rename = os.replace
        def replace(source, target):
            rename(source, target)
            if Path(target).suffix == ".json":  # the record of what is drawn
                os.kill(os.getpid(), signal.SIGKILL)
        os.replace = replace
        from chorus.cli import main
        main({[*arguments, "--workers", "1"]!r})
    """
    script = [sys.executable, "-c", textwrap.dedent(code)]
    assert subprocess.run(script, check=False, cwd=REPOSITORY).returncode == -9
    drawn = {path: path.read_bytes() for path in aggregations.rglob("*.mp4")}
    assert len(drawn) == 1
    run = [sys.executable, "-m", "chorus.cli", *arguments]
    first = subprocess.run(run, check=True, cwd=REPOSITORY, capture_output=True, text=True)
    assert "1 distribution drawn, 1 already there" in first.stdout
    assert all(path.read_bytes() == content for path, content in drawn.items())
    names = {path.name for path in (tree / "shown").iterdir()}
    expected = {
        f"{PROMPTS[0]} - {part}.{end}" for part in ("all", "fullbody") for end in ("png", "mp4")
    }
    assert names == expected | {"index.html", "contact_sheet.png"}
    page = tree / "shown/index.html"
    made = page.stat().st_mtime_ns
    assert main(arguments) == 0
    assert "0 distributions drawn, 2 already there" in capsys.readouterr().out
    assert page.stat().st_mtime_ns == made, "nothing that it shows has changed"
    (tree / "shown/contact_sheet.png").unlink()
    filtered = table(tree, "filtered", _shards(tree)[0])
    for change in (lambda: None, lambda: os.utime(filtered)):
        change()
        assert main(arguments) == 0
        assert page.stat().st_mtime_ns > made and (tree / "shown/contact_sheet.png").is_file()
        made = page.stat().st_mtime_ns


def test_a_damaged_record_of_pictures_is_begun_anew(tmp_path):
    (tmp_path / "all.npz").write_bytes(b"a distribution")
    (tmp_path / "pictures.json").write_text('{"all": ')
    remember(Drawing(tmp_path, "all"))
    assert list(json.loads((tmp_path / "pictures.json").read_text())) == ["all"]


def _shards(root: Path) -> list[ShardKey]:
    return ResultsTree(root / "results").shards("filtered", "synthetic-v1", ["surfboard"])


def test_prompts_for_several_categories_go_on_after_an_unknown_one(tmp_path, capsys):
    arguments = command(tmp_path, "prompts", "--categories", "surfbord", "skateboard")
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert "did you mean 'surfboard'" in printed.err and "1 files written" in printed.out
    assert (tmp_path / "prompts" / "skateboard.txt").read_text().startswith("A person")


def test_verify_of_another_model_key_says_which_there_are(tree, capsys):
    assert main([*command(tree, "verify"), "--model_key", "mine"]) == 2
    error = capsys.readouterr().err
    assert "has nothing of --model_key mine; it has results of synthetic-v1" in error
    (tree / "nothing").mkdir()
    assert main(["verify", "--results_dir", str(tree / "nothing")]) == 2
    assert "holds no results; give the tree with --results_dir" in capsys.readouterr().err


def test_networks_of_the_synthetic_world_refuse_other_images(tree, capsys):
    shutil.rmtree(tree / "results/synthetic_truth")
    before = files(tree)
    for stage in ("segment", "humans", "keypoints"):
        assert main(command(tree, stage, "--overwrite")) == 2
        error = capsys.readouterr().err
        assert "looks up the truth of the images that the synthetic world drew" in error
        assert "--profile modern" in error
    assert files(tree) == before


def test_networks_of_the_synthetic_world_go_on_with_the_images_it_drew(tree, capsys):
    table(tree, "synthetic_truth").unlink()
    assert main(command(tree, "segment", "--overwrite")) == 1
    shown = capsys.readouterr()
    assert "and 1 tables of images have none" in shown.err and "15 done" in shown.out
    assert main(command(tree, "segment")) == 0, "what is there is not asked for again"
    assert main(command(tree, "verify")) == 0


def test_run_takes_the_steps_in_order_and_says_where_to_look(tree, capsys):
    arguments = command(tree, "run", "--categories", "surfboard", "--to", "calibrate")
    arguments += ["--prompt_dir", str(tree / "prompts")]
    assert main([*arguments, "--from", "segment"]) == 0
    lines = capsys.readouterr().out.splitlines()
    steps = ["segment", "humans", "keypoints", "filter", "refine", "calibrate", "run"]
    assert [line.partition(":")[0] for line in lines] == steps
    assert lines[-1].startswith("run: segment humans keypoints filter refine calibrate in ")
    assert all("18 already there" in line for line in lines[:-1])
    assert str(tree / "results/filtered_cameras") in lines[-1]
    assert main([*arguments, "--from", "view"]) == 2
    assert "--from view comes after --to calibrate" in capsys.readouterr().err
    assert main(["run", "--results_dir", str(tree / "results")]) == 2
    assert "run needs --categories" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "taken"),
    [
        ({}, False),
        ({"profile": "paper"}, False),
        ({"aggr_setting_names": ("qual:demo", "quant:evidence")}, False),
        ({"aggr_setting_names": ("qual:demo", "quant:evidence-selection")}, True),
        ({"aggr_setting_names": ("quant:evidence-selection",), "last": "calibrate"}, True),
        ({"last": "calibrate"}, False),
        ({"last": "quality"}, True),
        ({"first": "quality"}, True),
        ({"first": "calibrate"}, False),
    ],
)
def test_run_takes_quality_where_a_preset_reads_it_or_it_is_named(tmp_path, more, taken):
    options = run_command.Options(categories=("kite",), results_dir=tmp_path, **more)
    assert ("quality" in [step.name for step in options.steps]) == taken


def test_run_heeds_what_has_been_aggregated(tmp_path):
    folder = tmp_path / "aggregations/synthetic-v1/kite/total-aggregation"
    name = "filter(15)-aggr(quant%3Aevidence-selection)"
    (folder / name).mkdir(parents=True)
    (folder / name / "aggregation.json").write_text("{}")
    options = run_command.Options(categories=("kite",), results_dir=tmp_path)
    assert "quality" in [step.name for step in options.steps]


def test_run_ends_at_the_first_step_that_goes_wrong(tree, capsys):
    shutil.rmtree(tree / "results/images")
    arguments = command(tree, "run", "--categories", "surfboard", "--from", "segment")
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert "run chorus images first" in shown.err and "humans" not in shown.out
    assert "chorus segment by itself has all options of this step" in shown.err


def test_run_of_a_part_ends_with_the_cameras(tree, capsys):
    whole = command(tree, "run", "--categories", "surfboard", "--shard", "1/2")
    assert main(whole) == 2
    assert "give --to calibrate" in capsys.readouterr().err
    assert main([*whole, "--from", "segment", "--to", "calibrate"]) == 0


def test_run_keeps_prompt_files(tree, capsys):
    before = (tree / "prompts" / "surfboard.txt").read_bytes()
    arguments = command(tree, "run", "--categories", "surfboard", "--to", "prompts", "--overwrite")
    assert main([*arguments, "--prompt_dir", str(tree / "prompts")]) == 0
    assert (tree / "prompts" / "surfboard.txt").read_bytes() == before
    assert f"see {tree / 'prompts'}" in capsys.readouterr().out

"""What the run_quant scripts ask the stages to do, up to the point where a model would run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chorus.records.keys import ShardKey
from chorus.records.tables import Table, write_table
from chorus.vocabulary import QUANTITATIVE_CATEGORIES

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")


@pytest.fixture
def run(tmp_path):
    """Runs a script with a stand-in for Python that records its arguments, but lists categories."""
    python = tmp_path / "recorder"
    python.write_text(
        f'#!/bin/sh\ncase "$1" in */quantitative_categories.py) exec {sys.executable} "$@";;'
        f' esac\nprintf "%s|" "$@" >>{tmp_path}/calls\necho >>{tmp_path}/calls\n'
        'case "$1" in */aggregate.py) exit "${AGGREGATE_STATUS:-0}";; esac\n'
    )
    python.chmod(0o755)

    def call(script: str, *arguments: str, **environment: str):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("CHORUS_")}
        own = {"PYTHON": str(python), "CHORUS_RESULTS": str(tmp_path / "results")}
        result = subprocess.run(
            ["sh", str(REPOSITORY / "scripts" / script), *arguments],
            cwd="/",
            env={**clean, **own, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        path = tmp_path / "calls"
        return result, path.read_text().splitlines() if path.is_file() else []

    return call


def test_generation_takes_the_papers_batches_and_prompts(run):
    result, calls = run("run_quant_gen.sh", CHORUS_PROFILE="paper")
    assert result.returncode == 0, result.stderr
    assert len(calls) == len(QUANTITATIVE_CATEGORIES) == 14
    assert "|--num_batch_per_augprompt|30|--batch_size|6|--prompt_dir|prompts/chorus|" in calls[0]
    assert calls[0].endswith("|--categories|motorcycle|")
    assert calls[8].endswith("|--categories|sports ball|")


def test_generation_asks_the_synthetic_world_for_prompts(run, tmp_path):
    result, calls = run("run_quant_gen.sh", "1", "2")
    assert result.returncode == 0, result.stderr
    assert len(calls) == 28
    assert calls[0].startswith("scripts/generation/generate_prompts.py|")
    assert f"|{tmp_path}/results/prompts/synthetic|" in calls[0]
    assert "|--num_batch_per_augprompt|1|--batch_size|2|" in calls[1]


def test_aggregation_works_on_what_has_images(run, tmp_path):
    result, calls = run("run_quant_aggr.sh")
    assert result.returncode == 2 and "run scripts/run_quant_gen.sh first" in result.stderr
    for category in ("sports ball", "surfboard-demo", "tie"):
        shard = ShardKey("synthetic-v1", category, "A prompt", "original")
        path = tmp_path / "results/images/synthetic-v1" / category / "A prompt/original.parquet"
        write_table(path, "images", Table(shard, {}))
    result, calls = run("run_quant_aggr.sh")
    assert result.returncode == 0, result.stderr
    assert len(calls) == 8 and all(call.endswith("|tie|sports ball|") for call in calls)
    assert calls[4].startswith("-m|chorus.cli|refine|--skip_done|")
    assert "|--eval_mode|quant|--aggr_setting_names|quant:full|quant:evidence|" in calls[6]
    assert calls[7].startswith("-m|chorus.cli|testset|")
    assert len(run("run_quant_aggr.sh", CHORUS_PROFILE="paper")[1]) == 8, "nothing for this profile"


def test_the_papers_aggregation_is_the_papers(run, tmp_path):
    shard = ShardKey("stable-v1-4", "tie", "A prompt", "original")
    path = tmp_path / "results/images/stable-v1-4/tie/A prompt/original.parquet"
    write_table(path, "images", Table(shard, {}))
    result, calls = run("run_quant_aggr.sh", CHORUS_PROFILE="paper")
    assert result.returncode == 0 and len(calls) == 6
    assert not any("|refine|" in call for call in calls)
    assert calls[5].endswith("|--aggr_setting_names|quant:full|--categories|tie|")


def test_a_part_of_an_array_job_ends_before_the_aggregation(run, tmp_path):
    shard = ShardKey("synthetic-v1", "tie", "A prompt", "original")
    path = tmp_path / "results/images/synthetic-v1/tie/A prompt/original.parquet"
    write_table(path, "images", Table(shard, {}))
    result, calls = run("run_quant_aggr.sh", CHORUS_SHARD="2/3")
    assert result.returncode == 0 and "part 2/3" in result.stdout
    assert len(calls) == 6 and all(call.endswith("|--skip_done|") for call in calls)


@pytest.mark.parametrize(("status", "calls"), [(1, 8), (2, 7)])
def test_a_category_without_samples_stops_nothing_but_is_told_by_the_status(
    run, tmp_path, status, calls
):
    shard = ShardKey("synthetic-v1", "tie", "A prompt", "original")
    path = tmp_path / "results/images/synthetic-v1/tie/A prompt/original.parquet"
    write_table(path, "images", Table(shard, {}))
    result, made = run("run_quant_aggr.sh", AGGREGATE_STATUS=str(status))
    assert result.returncode == status and len(made) == calls  # with the test set, or without

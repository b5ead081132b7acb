"""The scripts of ScoreHMR's names: they take the release's options, from anywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "refinement"


def called(script, folder, *arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPTS / script), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("eval_keypoint_fitting.py", ("--dataset", "3DPW-TEST", "--shuffle", "--num_workers", "4")),
        ("eval_multiview.py", ("--dataset", "MANNEQUIN", "--ddim_step_size", "10")),
        ("eval_video.py", ("--dataset", "3DPW-TEST-VIDEO")),
    ],
)
def test_evaluations_take_the_releases_options(script, options, tmp_path):
    found = called(script, tmp_path, "--use_default_ckpt", *options)
    assert found.returncode == 2, found.stderr
    assert "data/model_weights/score_hmr/model-100.pt is not there" in found.stderr
    assert ("without effect here: --shuffle, --num_workers" in found.stderr) == (
        "--shuffle" in options
    )


def test_training_names_what_it_needs(tmp_path):
    found = called("train.py", tmp_path, "--name", "mine", "--predictions", "pare")
    assert found.returncode == 2 and "give the data sets to train on" in found.stderr
    assert "without effect here: --predictions" in found.stderr
    found = called("cache_hmr2_preds.py", tmp_path, "--imports_dir", "none")
    assert found.returncode == 2 and "hmr2" in found.stderr.lower()

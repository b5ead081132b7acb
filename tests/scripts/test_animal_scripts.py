"""The scripts of animals3d's names: they take the release's options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "animals"
sys.path.insert(0, str(SCRIPTS))


@pytest.fixture
def called(monkeypatch):
    """What `chorus` is called with."""
    import release_options

    calls = []
    monkeypatch.setattr(release_options, "main", lambda arguments: calls.append(arguments) or 0)
    return calls


def test_the_release_is_the_default_and_dead_options_are_told(called, capsys):
    from release_options import FLAG, VALUE, run

    given = ["--category", "cow", "--num_workers", "2", "--kp_anno", "--save_dir=x", "--iter", "5"]
    dead = {"--num_workers": VALUE, "--kp_anno": FLAG, "--save_dir": VALUE}
    assert run("train_keypoints", ("--placement", "published"), dead, given) == 0
    kept = ["--category", "cow", "--iter", "5"]
    assert called == [
        ["animals", "train_keypoints", *kept, "--placement", "published", "--root", "."]
    ]
    assert "--num_workers, --kp_anno, --save_dir" in capsys.readouterr().err


def test_what_is_given_comes_before_the_release(called):
    from release_options import run

    run("train_keypoints", ("--placement", "published"), None, ["--placement=exact", "--root", "x"])
    assert called == [["animals", "train_keypoints", "--placement=exact", "--root", "x"]]


@pytest.mark.parametrize(
    "script", ["pose/train.py", "prepare_data/data_selection.py", "acsm/scripts/evaluate.py"]
)
def test_scripts_run_from_anywhere(script, tmp_path):
    found = subprocess.run(
        [sys.executable, str(SCRIPTS / script), "--category", "unicorn"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 2 and "unicorn" in found.stderr

"""The shell scripts: syntax, and what they do up to the point where a model would run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((REPOSITORY / "scripts").glob("*.sh"))

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")


def run(script: Path, *args: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a script from another directory than its own, so that it must find its root."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CHORUS_", "CONDA_"))}
    return subprocess.run(
        ["sh", str(script), *args],
        cwd="/",
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the scripts need, under a path with a blank, and a stand-in for Python that
    records its arguments in `calls`."""
    root = tmp_path / "a checkout"
    shutil.copytree(REPOSITORY / "scripts", root / "scripts")
    python = root / "recorder"
    python.write_text(
        '#!/bin/sh\nprintf "%s|" "${CHORUS_PROFILE:-}" "$@" >>calls\necho >>calls\n'
        '[ "$1" != "${FAIL_AT:-}" ]\n'
    )
    python.chmod(0o755)
    return root, str(python)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_syntax(script):
    subprocess.run(["sh", "-n", str(script)], check=True)


def test_generation_demo_passes_its_numbers(checkout):
    root, python = checkout
    assert run(root / "scripts/demo_surfboard_gen.sh", "3", "4", PYTHON=python).returncode == 0
    assert run(root / "scripts/demo_surfboard_gen.sh", PYTHON=python).returncode == 0
    first, second = (root / "calls").read_text().splitlines()
    assert "|--num_batch_per_augprompt|3|--batch_size|4|--prompt_dir|prompts/demo|" in first
    assert "|--num_batch_per_augprompt|20|--batch_size|6|" in second
    assert first.endswith("|--categories|surfboard-demo|")


def test_aggregation_demo_runs_all_stages_in_order(checkout):
    root, python = checkout
    assert run(root / "scripts/demo_surfboard_aggr.sh", PYTHON=python).returncode == 0
    calls = (root / "calls").read_text().splitlines()
    assert calls.pop(4) == "|-m|chorus.cli|refine|--skip_done|--categories|surfboard-demo|"
    stages = [Path(call.split("|")[1]).stem for call in calls[:-1]]
    assert stages == [
        "predict_segmentations",
        "predict_humans",
        "predict_keypoints",
        "filter_dataset",
        "predict_perspective",
        "aggregate",
    ]
    assert "|--mode|coco|" in calls[0]
    both = "|--aggr_setting_names|qual:evidence-demo|qual:demo|"
    assert f"|--eval_mode|qual{both}" in calls[5]
    assert "--visualize" not in calls[5]  # the next call draws
    assert (
        calls[6].startswith("|-m|chorus.cli|view|")
        and f"{both}--save_dir|results_demo|" in calls[6]
    )


def test_the_papers_demo_is_the_papers(checkout):
    root, python = checkout
    paper = {"PYTHON": python, "CHORUS_PROFILE": "paper"}
    assert run(root / "scripts/demo_surfboard_aggr.sh", **paper).returncode == 0
    calls = (root / "calls").read_text().splitlines()
    assert len(calls) == 7 and not any("|refine|" in call for call in calls)
    assert "|--aggr_setting_names|qual:demo|" in calls[5]


def test_a_failing_stage_ends_the_demo(checkout):
    root, python = checkout
    failing = "scripts/aggregation/predict_humans.py"
    result = run(root / "scripts/demo_surfboard_aggr.sh", PYTHON=python, FAIL_AT=failing)
    assert result.returncode != 0
    assert len((root / "calls").read_text().splitlines()) == 2


def test_quickstart_uses_the_synthetic_world_at_the_asked_size(checkout):
    root, python = checkout
    result = run(root / "scripts/quickstart.sh", PYTHON=python, QUICKSTART_BATCHES="1")
    assert result.returncode == 0
    assert "results_demo/index.html" in result.stdout
    calls = (root / "calls").read_text().splitlines()
    assert all(call.startswith("synthetic|") for call in calls)
    assert "|--num_batch_per_augprompt|1|" in calls[0]


def test_setup_says_which_python_it_needs(tmp_path):
    (tmp_path / "scripts").mkdir()
    shutil.copy(REPOSITORY / "scripts/setup_venv.sh", tmp_path / "scripts")
    for name in ("setup.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.1"\nexit 1\n')
    old.chmod(0o755)
    result = run(tmp_path / "scripts/setup_venv.sh", PYTHON3=str(old))
    assert result.returncode == 1
    assert "needs Python 3.11 or 3.12" in result.stderr
    assert "Python 3.8.1" in result.stderr
    assert not (tmp_path / ".venv").exists()


# Those with options of their own, or beside their scripts, have tests of their own.
DOORS = sorted(
    path
    for path in (REPOSITORY / "scripts").glob("*/*.py")
    if "*sys.argv[1:]]))" in path.read_text()
)


@pytest.mark.parametrize("script", DOORS, ids=lambda p: p.stem)
def test_doors_lead_to_the_command_line(script, tmp_path):
    """Each script works from any folder without the package being installed (-I ignores PYTHONPATH
    and the working directory; the editable install is hidden by -S)."""
    source = script.read_text()
    stage = source.split('main(["')[1].split('"')[0]
    package = tmp_path / "chorus"
    (tmp_path / "scripts" / "x").mkdir(parents=True)
    shutil.copy(script, tmp_path / "scripts" / "x")
    package.mkdir()
    (package / "cli.py").write_text("def main(argv):\n    print(*argv)\n    return 3\n")
    result = subprocess.run(
        [sys.executable, "-I", "-S", str(tmp_path / "scripts" / "x" / script.name), "--help"],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout.split()) == (3, [stage, "--help"])

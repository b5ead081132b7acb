"""scripts/prepare_smpl.sh as its user calls it: from another folder, with relative names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from chorus.body.loading import load_body
from chorus.body.skeleton import PARENTS

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/prepare_smpl.sh"

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")


def run(folder: Path, *files: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHON": sys.executable, "CHORUS_IMPORTS": str(folder / "to")}
    return subprocess.run(
        ["sh", str(SCRIPT), *files],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def write_archive(path: Path) -> None:
    vertices, joints = 6890, 24
    rng = np.random.default_rng(0)
    weights = rng.random((vertices, joints))
    model = {
        "v_template": rng.normal(size=(vertices, 3)),
        "shapedirs": rng.normal(size=(vertices, 3, 10)),
        "posedirs": np.zeros((vertices, 3, 207)),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "J_regressor": np.full((joints, vertices), 1 / vertices),
        "f": rng.integers(0, vertices, (13776, 3)),
        "kintree_table": np.array([PARENTS, range(joints)]),
    }
    name = "smpl/models/basicmodel_neutral_lbs_10_207_0_v1.1.0.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open(name, "w") as member:
        np.savez(member, **model)


def test_what_was_downloaded_becomes_a_body(tmp_path):
    name = "my SMPL_python_v.1.1.0.zip"
    write_archive(tmp_path / name)
    (tmp_path / "page.zip").write_text("<html>log in</html>")
    done = run(tmp_path, "page.zip", name)
    assert done.returncode == 0, done.stderr
    made = tmp_path / "to/smpl/SMPL_NEUTRAL.npz"
    assert f"--body {made}" in done.stdout
    assert "download_off_the_shelf.sh smpl-extra-joints" in done.stdout
    assert f"not used: {tmp_path / 'page.zip'} is a web page" in done.stderr
    assert load_body(made).v_template.shape == (6890, 3)


def test_failures_are_sentences(tmp_path):
    nothing = run(tmp_path)
    assert nothing.returncode == 2
    assert "Register at https://smpl.is.tue.mpg.de" in nothing.stderr
    missing = run(tmp_path, "SMPL.zip")
    assert missing.returncode == 2
    assert missing.stderr.startswith(f"error: {tmp_path / 'SMPL.zip'} does not exist; expected")
    assert "Traceback" not in missing.stderr
    assert not (tmp_path / "to").exists()

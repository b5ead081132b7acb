"""setup.py, constraints.txt, the conda environments and the builds of the published networks."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]


def plain(requirement: str) -> str:
    """The normalised name of a requirement such as numpy>=2."""
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower()


@pytest.fixture(scope="module")
def pins():
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+", line) for line in lines)
    names = [plain(line) for line in lines]
    assert len(names) == len(set(names))
    return dict(zip(names, (line.partition("==")[2] for line in lines), strict=True))


@pytest.fixture(scope="module")
def packaging():
    """What setup.py hands to setuptools."""
    setuptools = pytest.importorskip("setuptools")
    handed = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **given: handed.update(given))
        runpy.run_path(str(REPOSITORY / "setup.py"))
    return handed


def test_all_that_setup_names_is_pinned(packaging, pins):
    extras = packaging["extras_require"]
    assert set(extras) >= {"generation", "paper", "modern", "view", "dev"}
    named = [*packaging["install_requires"], *(name for extra in extras.values() for name in extra)]
    assert {plain(name) for name in named} <= set(pins)
    assert "torchvision" not in {plain(name) for name in named}


def test_installed_versions_are_the_pinned_ones(packaging, pins):
    from importlib.metadata import PackageNotFoundError, version

    for requirement in packaging["install_requires"]:
        name = plain(requirement)
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        assert found.partition("+")[0] == pins[name], name


@pytest.mark.parametrize(("file", "name"), [("gen", "chorus_gen"), ("aggr", "chorus_aggr")])
def test_conda_environments(file, name, packaging, pins):
    content = yaml.safe_load((REPOSITORY / f"environment_{file}.yml").read_text())
    assert content["name"] == name
    plain_ones = [entry for entry in content["dependencies"] if isinstance(entry, str)]
    (by_pip,) = [entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict)]
    assert "pip" in plain_ones
    (python,) = [entry for entry in plain_ones if entry.startswith("python=")]
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", packaging["python_requires"]).groups()
    assert int(low) <= int(python.partition("=3.")[2]) < int(high)
    for entry in plain_ones:
        if limit := re.fullmatch(r"setuptools<(\d+)", entry):
            assert int(pins["setuptools"].split(".")[0]) < int(limit[1])
    assert "-c constraints.txt" in by_pip
    (own,) = [entry for entry in by_pip if entry.startswith("-e ")]
    extras = re.fullmatch(r"-e \.\[([\w,]+)\]", own)[1].split(",")
    assert set(extras) <= set(packaging["extras_require"])


def test_doctor_names_packages_of_their_extras(packaging):
    from chorus.commands.doctor import PACKAGES

    for group, packages in PACKAGES.items():
        if group in ("core", "paper"):
            continue
        assert group in packaging["extras_require"]
        own = {plain(name) for name in packaging["extras_require"][group]}
        if group == "generation":
            own |= {"huggingface-hub", "safetensors"}  # which those two bring
        assert {plain(name) for name in packages} <= own


def test_a_command_without_the_environment_names_what_is_missing(packaging, monkeypatch, capsys):
    from importlib.metadata import packages_distributions

    from chorus import cli

    made_by = packages_distributions()
    core = {plain(name) for name in packaging["install_requires"]}
    assert {plain(one) for name in cli._CORE for one in made_by.get(name, [])} <= core
    assert len(cli._CORE) == len(core)

    monkeypatch.setitem(sys.modules, "tyro", None)
    assert cli.main(["status"]) == 2
    said = capsys.readouterr().err
    assert "the package tyro is missing; activate the environment" in said
    assert "setup_venv.sh" in said


def test_a_missing_module_of_our_own_is_not_taken_for_a_package(monkeypatch):
    from chorus import cli

    monkeypatch.setitem(sys.modules, "chorus.commands.status", None)
    with pytest.raises(ModuleNotFoundError, match=r"chorus\.commands\.status"):
        cli.main(["status"])


@pytest.fixture
def builder(tmp_path):
    """The script in a copy of the checkout, with a Python that records its calls."""
    if shutil.which("sh") is None:
        pytest.skip("needs a POSIX shell")
    shutil.copytree(REPOSITORY / "scripts", tmp_path / "scripts")
    python = tmp_path / "recorder"
    python.write_text(
        '#!/bin/sh\nprintf "%s " "${MMCV_WITH_OPS:-}" "$@" >>calls\necho >>calls\n'
        'case "$*" in *find_spec*) case "$*" in *"$PRESENT"*) ;; *) exit 1 ;; esac ;; esac\n'
    )
    python.chmod(0o755)

    def run(*arguments: str, present: str = "torch"):
        done = subprocess.run(
            ["sh", str(tmp_path / "scripts/install_published_networks.sh"), *arguments],
            env={**os.environ, "PYTHON": str(python), "PRESENT": f"'{present}'"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        calls = tmp_path / "calls"
        return done, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_the_published_networks_are_built_in_order(builder):
    done, calls = builder()
    assert done.returncode == 0, done.stderr
    installs = [call for call in calls if "-m pip install" in call]
    assert all("-c constraints.txt" in call for call in installs)
    order = ["torchvision", "detectron2", "chumpy", "xtcocotools", "mmcv", "mmpose"]
    at = [next(n for n, call in enumerate(installs) if name in call) for name in order]
    assert at == sorted(at)
    (mmcv,) = [call for call in installs if call.endswith("mmcv ")]
    assert mmcv.startswith("1 ")  # with its compiled operators
    (detectron2,) = [call for call in installs if "detectron2" in call]
    assert re.search(
        r"--no-build-isolation --use-pep517 git\+https://github\.com/\S+@[0-9a-f]{40} $", detectron2
    )
    assert " ninja " in installs[0]
    headless = "install -c constraints.txt --force-reinstall --no-deps opencv-python-headless "
    assert "pip uninstall --yes opencv-python " in calls[-2] and calls[-1].endswith(headless)


def test_one_of_the_published_networks(builder):
    done, calls = builder("detectron2")
    assert done.returncode == 0
    assert not any("mm" in call.split("install")[-1] for call in calls if "pip install" in call)
    assert not any("opencv" in call for call in calls)
    done, _ = builder("mmdet")
    assert done.returncode == 1
    assert "known: detectron2, mmpose" in done.stderr
    done, _ = builder(present="nothing")
    assert done.returncode == 1
    assert "torch is not installed" in done.stderr

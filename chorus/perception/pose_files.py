"""Files of poses: which are read, what is in them, and whose reader they go to.

A file's ending says how it is opened, its content whose it is. Nothing in a file is executed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from chorus.errors import BadInput, shown
from chorus.perception import (
    poses_of_gvhmr,
    poses_of_npz,
    poses_of_phalp,
    poses_of_prompthmr,
    poses_of_sam3d,
    poses_of_smplerx,
    poses_of_tram,
    poses_of_wham,
)
from chorus.perception.joblib_pickle import load_joblib, load_npy
from chorus.perception.recorded_poses import PoseFormat, Recording

_ZIP = b"PK"
_MISFITS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def open_recorded(path: Path) -> Any:
    """What torch or joblib stored: both are known to end in .pt or .pth."""
    from chorus.models.checkpoints import read_recorded

    try:
        with path.open("rb") as stream:
            zipped = stream.read(2) == _ZIP
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}.") from error
    content = None if zipped else load_joblib(path)
    # torch's old format begins with a number
    return read_recorded(path) if zipped or isinstance(content, int) else content


_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".npz": poses_of_npz.NpzArrays,
    ".pkl": load_joblib,
    ".pt": open_recorded,
    ".pth": open_recorded,
    ".npy": load_npy,
}
_ARRAYS: tuple[PoseFormat, ...] = (
    poses_of_smplerx.FORMAT,
    poses_of_sam3d.FORMAT,
    poses_of_npz.FORMAT,
)
_OBJECTS: tuple[PoseFormat, ...] = (
    poses_of_phalp.FORMAT,
    poses_of_wham.FORMAT,
    poses_of_gvhmr.FORMAT,
    poses_of_prompthmr.VIDEO,
    poses_of_prompthmr.IMAGE,
    poses_of_tram.FORMAT,
)
_REFUSED: tuple[PoseFormat, ...] = (poses_of_wham.SLAM, poses_of_wham.PLACELESS)
"""Objects that are taken for poses; reading one tells what to give instead."""

_IN_FOLDER = ("*.npz", "*.pkl", "*.pt", "hps_track_*.npy")
_IN_TOOLS_FOLDER = ("hps/hps_track_*.npy", "smplx/*.npz", "*/output.pt")
"""Where TRAM, SMPLer-X and PromptHMR put the files of one video or of several images."""


def files_of(path: Path) -> list[Path]:
    """The files of poses that a path means: itself, or those of a folder, by name.

    BadInput if it is not there, or a folder without any.
    """
    if not path.exists():
        raise BadInput(f"--poses {path} is not there; give a file of poses, or a folder of these.")
    if not path.is_dir():
        return [path]
    for patterns in (_IN_FOLDER, _IN_TOOLS_FOLDER):
        files = {file for pattern in patterns for file in path.glob(pattern) if file.is_file()}
        if files:
            return sorted(files)
    raise BadInput(
        f"--poses {path} holds no file of poses ({', '.join(_IN_FOLDER + _IN_TOOLS_FOLDER)})."
    )


def companions(files: Sequence[Path]) -> list[Path]:
    """The files that are read beside files of poses, for the cameras in them."""
    cameras = {
        file
        for path in files
        for file in (poses_of_tram.camera_file(path), poses_of_smplerx.meta_file(path))
        if file is not None and file.is_file()
    }
    return sorted(cameras)


def read_poses(path: Path) -> Recording:
    """The poses of a file, or of a folder's files (`files_of`).

    BadInput if there is none, or one is damaged or of no known format.
    """
    recording = Recording()
    for file in files_of(path):
        recording.add(_read_file(file))
    if not recording.poses and not recording.faults and not recording.keypoints:
        raise BadInput(f"--poses {path} holds no person.")
    return recording


def _read_file(path: Path) -> Recording:
    opener = _OPENERS.get(path.suffix)
    if opener is None:
        raise BadInput(
            f"--poses {path} is none of {', '.join(_OPENERS)}; docs/bring-your-own.md tells how to "
            "write an .npz."
        )
    content = opener(path)
    known = _ARRAYS if path.suffix == ".npz" else _OBJECTS
    refused = () if path.suffix == ".npz" else _REFUSED
    for each in (*known, *refused):
        if each.matches(content):
            return _read_as(each, content, path)
    formats = "; ".join(f"{each.tool} ({each.holds})" for each in known)
    raise BadInput(
        f"{path} is of no known format; found {_described(content)}; known are: {formats}. Write "
        "the poses as our own .npz (docs/bring-your-own.md)."
    )


def _read_as(kind: PoseFormat, content: Any, path: Path) -> Recording:
    try:
        return kind.read(content, path)
    except _MISFITS as error:  # the right keys, with something else in them
        raise BadInput(
            f"{path} has the keys of {kind.tool}, but not the values: {type(error).__name__}: "
            f"{error!s:.200}. It is damaged, or of another version."
        ) from error


def _described(content: Any) -> str:
    """What a file holds, for people, in a few words."""
    try:
        names = [name if isinstance(name, str) else shown(name) for name in islice(content, 8)]
    except TypeError:
        return f"a {type(content).__name__}"
    return ", ".join(names)[:200] or "nothing"

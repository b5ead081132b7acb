"""Named arrays of a model file: an `.npz`, or a pickle in its authors' form.

Files are only read, nothing in them is executed, and the packages that wrote them (chumpy) are not
needed.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from chorus.body.restricted_pickle import array_of, load_restricted
from chorus.errors import BadInput
from chorus.files import check_npz


class Wanted(NamedTuple):
    """What a kind of model file holds."""

    name: str
    """How sentences call the file: `body file`."""
    described: str
    """What is expected, for people."""
    keys: tuple[str, ...]
    """Arrays that must be there."""
    optional: tuple[str, ...] = ()
    """Arrays that are read if they are there."""


def read_stored(
    path: Path, wanted: Wanted, stream: BinaryIO | None = None
) -> dict[str, np.ndarray]:
    """The wanted arrays of a file by name, as stored.

    stream: the content, if it is no file of its own; `path` then only names it. BadInput if the
    file is missing, damaged, asks for what could run code, or lacks an array.
    """
    if stream is None:
        if not path.is_file():
            problem = "is a folder" if path.is_dir() else "does not exist"
            raise BadInput(f"the {wanted.name} {path} {problem}; expected {wanted.described}.")
        try:
            with path.open("rb") as opened:
                return read_stored(path, wanted, opened)
        except OSError as error:
            raise BadInput(f"cannot read the {wanted.name} {path}: {error.strerror}.") from error
    start = stream.read(16)
    stream.seek(0)
    if start[:2] == b"PK":
        return _read_npz(path, wanted, stream)
    return _read_pickle(path, wanted, stream, start)


def _read_pickle(
    path: Path, wanted: Wanted, stream: BinaryIO, start: bytes
) -> dict[str, np.ndarray]:
    # protocols 2 and later start with 0x80, the older text form with a dict or an object
    if not start or (start[0] != 0x80 and start[:1] not in b"(c}]"):
        kind = "is empty" if not start else f"starts with {start!r}"
        raise BadInput(f"the {wanted.name} {path} {kind}; expected {wanted.described}.")
    stored = load_restricted(path, stream)
    if not isinstance(stored, dict):
        raise BadInput(f"{path} holds a {type(stored).__name__}; expected {wanted.described}.")
    return {
        key: array_of(stored[key], f"{key} of {path}") for key in _present(stored, wanted, path)
    }


def _read_npz(path: Path, wanted: Wanted, stream: BinaryIO) -> dict[str, np.ndarray]:
    try:
        check_npz(stream)
        with np.load(stream, allow_pickle=False) as stored:
            return {key: stored[key] for key in _present(stored, wanted, path)}
    except (
        zipfile.BadZipFile,
        OSError,
        ValueError,
        EOFError,
        KeyError,
        NotImplementedError,
    ) as error:
        raise BadInput(
            f"{path} cannot be read as .npz ({type(error).__name__}: {error}); it is damaged or "
            f"not a model: fetch it again. Expected {wanted.described}."
        ) from error


def _present(stored: Any, wanted: Wanted, path: Path) -> list[str]:
    missing = [key for key in wanted.keys if key not in stored]
    if missing:
        keys = ", ".join(sorted(map(str, stored))[:12]) or "nothing"
        raise BadInput(
            f"{path} lacks {', '.join(missing)}; found {keys}; expected {wanted.described}."
        )
    return [*wanted.keys, *(key for key in wanted.optional if key in stored)]

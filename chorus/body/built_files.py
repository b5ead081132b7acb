"""Files that are built once and kept in the imports folder: one builder at a time, whole files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from chorus.errors import Unavailable
from chorus.files import DiskFull, replacing


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock on building a file; Unavailable if its folder cannot be written.

    what: how the sentence calls it, here and below.
    """
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire()
    except OSError as error:
        raise _cannot_store(path, what, error) from error
    try:
        yield
    finally:
        lock.release()


def store(path: Path, arrays: Mapping[str, np.ndarray], what: str) -> None:
    """Write a compressed .npz in one step, so that no half file is ever seen; Unavailable if it
    cannot be written."""
    try:
        with replacing(path) as part, part.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
    except (OSError, DiskFull) as error:
        raise _cannot_store(path, what, error) from error


def _cannot_store(path: Path, what: str, error: Exception) -> Unavailable:
    cause = error.__cause__ or error
    return Unavailable(
        f"{what} cannot be stored at {path} ({getattr(cause, 'strerror', cause)}); "
        "free 2 MB there or choose another imports folder."
    )

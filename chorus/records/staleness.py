"""Whether what is on disk was made with the settings that are asked for."""

from __future__ import annotations

from pathlib import Path

from chorus.errors import StaleResults
from chorus.pipeline import maker, sources


def difference(made_with: dict, requested: dict, prefix: str = "") -> list[str]:
    """Human-readable differences between two nested settings, "threshold: 0.8, now 0.7"."""
    changes = []
    for name in sorted(made_with.keys() | requested.keys()):
        old, new = made_with.get(name), requested.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            changes += difference(old, new, f"{prefix}{name}.")
        elif old != new:
            changes.append(f"{prefix}{name}: {old!r}, now {new!r}")
    return changes


def made_from(table: str, settings: dict) -> tuple[str, ...]:
    """The tables that a table of these settings was made from, those that its step always reads
    first."""
    asked_for = (name for name in maker(table).may_read if f"from {name}" in settings)
    return (*sources(table), *asked_for)


def check_settings(path: Path, made_with: dict, settings: dict) -> None:
    """StaleResults, naming the differences, if a table was made with other settings."""
    changes = difference(made_with, settings)
    if changes:
        raise StaleResults(
            f"{path} was made with other settings ({'; '.join(changes[:6])}). Run again with "
            "--overwrite to replace it, or give another --results_dir to keep both."
        )

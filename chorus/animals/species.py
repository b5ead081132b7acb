"""The five species of the free quadruped, as data (data/species.json), metres.

An animal stands on the floor y = 0 and looks along z, x is its left. Its body is made of chains of
balls: a row [x, y, z, radius] per ball, and the surface runs from ball to ball. Chains with x > 0
stand for both sides.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from chorus.errors import BadInput, unknown_name

_DATA = Path(__file__).parent / "data" / "species.json"
_CHAINS = ("trunk", "withers", "neck", "head", "ear", "horn", "tail", "front_leg", "hind_leg")


@dataclass(frozen=True, eq=False)
class Species:
    """What one species looks like."""

    name: str
    trunk: np.ndarray
    """(B, 4) rump to chest."""
    trunk_width: float
    """Width of the trunk as a share of its height."""
    withers: np.ndarray
    """(B, 4) bones that stand out on the back; the last is the withers."""
    neck: np.ndarray
    """(B, 4) shoulders to poll."""
    neck_width: float
    """Width of the neck as a share of its height."""
    head: np.ndarray
    """(B, 4) poll to nose."""
    head_width: float
    """Width of the head as a share of its height."""
    eye: np.ndarray
    """(3,) about where the left eye is."""
    ear: np.ndarray
    """(B, 4) root to tip of the left ear."""
    horn: np.ndarray
    """(B, 4) root to tip of the left horn; may have no balls."""
    tail: np.ndarray
    """(B, 4) root to tip."""
    front_leg: np.ndarray
    """(B, 4) shoulder to hoof of the left leg."""
    hind_leg: np.ndarray
    """(B, 4) hip to hoof of the left leg."""
    blend: float
    """How softly parts run into each other."""
    fleece: float
    """Height of the fleece's curls."""
    coats: tuple[tuple[str, str], ...]
    """Pairs of colours, sRGB: of the coat, and of its marks, mane and feet."""
    pattern: str
    """plain, blotches, cells or points: what the marks look like."""
    mane: bool
    """Whether the crest of the neck and the tail have the second colour."""

    @property
    def height(self) -> float:
        """Height of the withers."""
        return float(self.withers[-1, 1] + self.withers[-1, 3])


@cache
def species(name: str) -> Species:
    """One of the species. BadInput for an unknown name."""
    stored = _read(_DATA)
    if name not in stored:
        raise unknown_name("animal", name, stored)
    return _species(name, stored[name])


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _species(name: str, stored: dict[str, Any]) -> Species:
    known = {field.name for field in fields(Species)} - {"name"}
    if stored.keys() != known:
        raise BadInput(
            f"{_DATA.name}: {name} needs the entries {', '.join(sorted(known))}; missing or "
            f"unknown: {', '.join(sorted(stored.keys() ^ known))}."
        )
    values = dict(stored)
    for chain in _CHAINS:
        values[chain] = np.array(stored[chain], float).reshape(-1, 4)
    values["eye"] = np.array(stored["eye"], float)
    values["coats"] = tuple(tuple(pair) for pair in stored["coats"])
    return Species(name=name, **values)

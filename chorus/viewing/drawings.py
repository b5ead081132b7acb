"""Stills and turntables beside their distribution, and what they were drawn of."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chorus.errors import BadInput
from chorus.files import atomic_write, display_name, parsed_json
from chorus.records.keys import TOTAL

if TYPE_CHECKING:
    from chorus.viewing.displayed import DisplayedBody
    from chorus.viewing.gl import Renderer

_RECORD = "pictures.json"
_RECORD_VERSION = 6
"""Of the pictures of one distribution."""


class Drawing(NamedTuple):
    """One distribution to be drawn."""

    folder: Path
    part: str

    def file(self, suffix: str) -> Path:
        """Where its still (.png) or turntable (.mp4) lies."""
        return self.folder / f"{self.part}{suffix}"


def without_repeated_total(drawings: list[Drawing]) -> list[Drawing]:
    """The drawings; without the total's where it is the distributions of the only prompt again."""
    from chorus.occupancy.distribution import Distribution

    folders = list(dict.fromkeys(drawing.folder for drawing in drawings))
    if len(folders) != 2 or display_name(folders[1].parts[-2]) != TOTAL:
        return drawings
    prompt, total = ([d for d in drawings if d.folder == folder] for folder in folders)
    if [d.part for d in prompt] != [d.part for d in total]:
        return drawings
    for pair in zip(prompt, total, strict=True):
        try:
            first, second = (Distribution.load(d.file(".npz")).probability for d in pair)
        except BadInput:
            return drawings  # drawing it tells what is wrong
        if not (first.shape == second.shape and (first == second).all()):
            return drawings
    return prompt


def is_drawn(drawing: Drawing) -> bool:
    """Whether both pictures are there and show the distribution that is there."""
    record = _drawn_before(drawing.folder)
    whole = all(drawing.file(suffix).is_file() for suffix in (".png", ".mp4"))
    return whole and record.get(drawing.part) == fingerprint(drawing)


def _drawn_before(folder: Path) -> dict[str, str]:
    """What each part's pictures were drawn of; nothing if the record is missing or damaged."""
    try:
        record = parsed_json((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def fingerprint(drawing: Drawing) -> str:
    """A digest of what its pictures show."""
    content = drawing.file(".npz").read_bytes()
    return f"{_RECORD_VERSION}-{hashlib.sha256(content).hexdigest()}"


def remember(drawing: Drawing) -> None:
    """Keep what a distribution was drawn of, beside it."""
    record = {**_drawn_before(drawing.folder), drawing.part: fingerprint(drawing)}
    atomic_write(drawing.folder / _RECORD, json.dumps(record, sort_keys=True).encode())


def draw(drawing: Drawing, body: Path | None, imports_dir: Path, renderer: Renderer) -> None:
    """Draw the still and the turntable of a distribution around a body (`displayed_body`)."""
    from chorus.occupancy.distribution import Distribution
    from chorus.viewing.estimates import displayed
    from chorus.viewing.figures import still
    from chorus.viewing.turntable import turntable

    distribution = displayed(Distribution.load(drawing.file(".npz")))
    canonical = displayed_body(body, imports_dir)
    still(distribution, canonical, drawing.file(".png"), kind=renderer)
    turntable(distribution, canonical, drawing.file(".mp4"), kind=renderer)


@functools.cache  # its shading is computed once per process
def displayed_body(body: Path | None, imports_dir: Path) -> DisplayedBody:
    """The canonical body: zero shape, star pose."""
    from chorus.body.loading import load_body
    from chorus.viewing.displayed import DisplayedBody

    return DisplayedBody.of(load_body(body, imports_dir))

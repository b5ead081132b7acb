"""A photograph beside what was lifted from it, so that doubts about the lifting can be seen.

Four panels: the photograph with its masks; the lifted person and object over it; our own body over
it, as the test set has it; and the lifted meshes from the side, where a lean towards the camera or
a wrong depth shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from chorus.viewing.contact_sheet import OBJECT_TINT, PERSON_TINT, tinted
from chorus.viewing.lettering import FAINT_INK, write
from chorus.viewing.overlay import OVERLAY_COLOUR, body_overlay

_HEIGHT, _HEAD, _LABEL, _GAP = 480, 64, 34, 12
_OBJECT_COLOUR = (0.98, 0.66, 0.28)
_FILLED = 0.86
"""Part of the panel's sides that the view from the side fills."""

Surface = tuple[np.ndarray, np.ndarray]
"""Vertices (V, 3) in the camera's frame, metres, and faces (F, 3)."""


@dataclass(frozen=True, eq=False)
class Lifted:
    """What the picture shows."""

    photograph: np.ndarray
    """(H, W, 3) uint8."""
    person_mask: np.ndarray
    """(H, W) bool."""
    object_mask: np.ndarray
    """(H, W) bool."""
    K: np.ndarray
    """(3, 3) pixels."""
    human: Surface
    """The lifted person."""
    thing: Surface
    """The lifted object."""
    body: Surface
    """Our body in the person's place."""


def lifted_picture(lifted: Lifted, title: str, subtitle: str) -> np.ndarray:
    """Picture (H, W, 3) uint8 of the four panels."""
    height, width = lifted.photograph.shape[:2]
    wide = max(1, round(width * _HEIGHT / height))
    small = Image.fromarray(lifted.photograph).resize((wide, _HEIGHT), Image.Resampling.LANCZOS)
    photograph = np.asarray(small)
    K = lifted.K * np.array([[wide / width], [_HEIGHT / height], [1.0]])
    masked = photograph
    for mask, tint in ((lifted.person_mask, PERSON_TINT), (lifted.object_mask, OBJECT_TINT)):
        shrunk = Image.fromarray(255 * mask.astype(np.uint8)).resize((wide, _HEIGHT))
        masked = tinted(masked, np.asarray(shrunk) > 127, tint)
    blank = np.full((_HEIGHT, _HEIGHT, 3), 255, np.uint8)
    side, side_K = _from_the_side([lifted.human, lifted.thing])
    panels = [
        ("photograph and masks", masked),
        ("lifted person and object", _drawn(photograph, [lifted.human, lifted.thing], K)),
        ("our body in that pose", _drawn(photograph, [lifted.body, lifted.thing], K)),
        ("lifted, from the side (camera at the left)", _drawn(blank, side, side_K)),
    ]
    total = sum(picture.shape[1] for _, picture in panels) + _GAP * (len(panels) + 1)
    page = Image.new("RGB", (total, _HEAD + _HEIGHT + _LABEL), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    write(draw, (_GAP, 8), title, 22, width=total - 2 * _GAP, bold=True)
    write(draw, (_GAP, 36), subtitle, 17, width=total - 2 * _GAP, ink=FAINT_INK)
    left = _GAP
    for label, picture in panels:
        page.paste(Image.fromarray(picture), (left, _HEAD))
        at = left, _HEAD + _HEIGHT + 8
        write(draw, at, label, 16, width=picture.shape[1], ink=FAINT_INK)
        left += picture.shape[1] + _GAP
    return np.asarray(page)


def _drawn(image: np.ndarray, surfaces: Sequence[Surface], K: np.ndarray) -> np.ndarray:
    """The image with a person and an object over it, each hiding the other where it is nearer."""
    vertices = np.concatenate([vertices for vertices, _ in surfaces])
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in surfaces[:-1])])
    faces = np.concatenate([of + start for (_, of), start in zip(surfaces, starts, strict=True)])
    colours = (OVERLAY_COLOUR, _OBJECT_COLOUR)
    base = np.concatenate(
        [np.tile(c, (len(of), 1)) for c, (of, _) in zip(colours, surfaces, strict=True)]
    )
    return body_overlay(image, vertices, faces, np.eye(3), np.zeros(3), K, base=base)


def _from_the_side(surfaces: Sequence[Surface]) -> tuple[list[Surface], np.ndarray]:
    """Surfaces turned a quarter about the vertical through their middle, so that what was far is
    at the right, and a K (3, 3) under which they fill a square panel."""
    every = np.concatenate([vertices for vertices, _ in surfaces])
    middle = (every.min(axis=0) + every.max(axis=0)) / 2
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    extent = float(np.ptp(every, axis=0).max())
    away = np.array([0, 0, 10 * extent])
    turned = [((vertices - middle) @ turn.T + away, faces) for vertices, faces in surfaces]
    focal = _FILLED * _HEIGHT * away[2] / extent
    return turned, np.array([[focal, 0, _HEIGHT / 2], [0, focal, _HEIGHT / 2], [0, 0, 1.0]])

"""A person's and an object's surfaces over a photograph, and from where no camera was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from chorus.viewing.lettering import FAINT_INK, write
from chorus.viewing.overlay import OVERLAY_COLOUR, body_overlay

PANEL_HEIGHT = 480
"""Pixels."""
_HEAD, _LABEL, _GAP = 64, 34, 12
OBJECT_COLOUR = (0.98, 0.66, 0.28)
TRUE_COLOUR = (0.35, 0.72, 0.42)
_COLOURS = (OVERLAY_COLOUR, OBJECT_COLOUR)
_FILLED = 0.86
"""Part of the panel's sides that a turned view fills."""

Surface = tuple[np.ndarray, np.ndarray]
"""Vertices (V, 3) in the camera's frame, metres, and faces (F, 3)."""

FROM_THE_SIDE = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
"""A quarter turn (3, 3) about the vertical: what was far is at the right."""
FROM_ABOVE = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""A quarter turn (3, 3) about the horizontal: what was far is at the top."""


def drawn_over(
    image: np.ndarray, surfaces: Sequence[Surface], K: np.ndarray, truth: Surface | None = None
) -> np.ndarray:
    """The image (H, W, 3) uint8 with a person and an object over it, each hiding the other where it
    is nearer, and the true object over both, as the one that was found may hide it."""
    vertices = np.concatenate([vertices for vertices, _ in surfaces])
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in surfaces[:-1])])
    faces = np.concatenate([of + start for (_, of), start in zip(surfaces, starts, strict=True)])
    base = np.concatenate(
        [np.tile(c, (len(of), 1)) for c, (of, _) in zip(_COLOURS, surfaces, strict=True)]
    )
    still = np.eye(3), np.zeros(3), K
    drawn = body_overlay(image, vertices, faces, *still, base=base)
    if truth is None:
        return drawn
    return body_overlay(drawn, *truth, *still, base=np.tile(TRUE_COLOUR, (len(truth[0]), 1)))


def turned_to(
    surfaces: Sequence[Surface], turn: np.ndarray, side: int
) -> tuple[list[Surface], np.ndarray]:
    """Surfaces turned about their middle by a rotation (3, 3), and a K (3, 3) under which they fill
    a square panel of `side` pixels."""
    every = np.concatenate([vertices for vertices, _ in surfaces])
    middle = (every.min(axis=0) + every.max(axis=0)) / 2
    extent = float(np.ptp(every, axis=0).max())
    away = np.array([0, 0, 10 * extent])
    turned = [((vertices - middle) @ turn.T + away, faces) for vertices, faces in surfaces]
    focal = _FILLED * side * away[2] / extent
    return turned, np.array([[focal, 0, side / 2], [0, focal, side / 2], [0, 0, 1.0]])


def page_of(panels: Sequence[tuple[str, np.ndarray]], title: str, subtitle: str) -> np.ndarray:
    """Picture (H, W, 3) uint8 of labelled panels (H', W', 3), at most PANEL_HEIGHT high, side by
    side under a heading."""
    total = sum(picture.shape[1] for _, picture in panels) + _GAP * (len(panels) + 1)
    page = Image.new("RGB", (total, _HEAD + PANEL_HEIGHT + _LABEL), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    write(draw, (_GAP, 8), title, 22, width=total - 2 * _GAP, bold=True)
    write(draw, (_GAP, 36), subtitle, 17, width=total - 2 * _GAP, ink=FAINT_INK)
    left = _GAP
    for label, picture in panels:
        page.paste(Image.fromarray(picture), (left, _HEAD + (PANEL_HEIGHT - picture.shape[0]) // 2))
        at = left, _HEAD + PANEL_HEIGHT + 8
        write(draw, at, label, 16, width=picture.shape[1], ink=FAINT_INK)
        left += picture.shape[1] + _GAP
    return np.asarray(page)

"""A photograph with the object that was reconstructed in it, also from the side and from above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from chorus.viewing.contact_sheet import OBJECT_TINT, tinted
from chorus.viewing.surface_panels import (
    FROM_ABOVE,
    FROM_THE_SIDE,
    PANEL_HEIGHT,
    Surface,
    drawn_over,
    page_of,
    turned_to,
)

_WIDEST = 720
"""Of a photograph's panel, pixels."""


@dataclass(frozen=True, eq=False)
class PicturedReconstruction:
    """What one row of panels shows."""

    photograph: np.ndarray
    """(H, W, 3) uint8."""
    mask: np.ndarray
    """(H, W) bool, of the object."""
    R: np.ndarray
    """(3, 3), with t (3,) metres: from the frame of the surfaces to the camera's."""
    t: np.ndarray
    K: np.ndarray
    """(3, 3) pixels."""
    body: Surface
    """The person."""
    thing: Surface
    """Where the object is."""
    title: str
    subtitle: str
    truth: Surface | None = field(default=None)
    """Where it really is, if that is known; drawn green."""


def reconstruction_picture(rows: Sequence[PicturedReconstruction]) -> np.ndarray:
    """Picture (H, W, 3) uint8, one row of four panels for each reconstruction."""
    drawn = [_row(each) for each in rows]
    width = max(row.shape[1] for row in drawn)
    padded = [
        np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in drawn
    ]
    return np.concatenate(padded)


def _row(shown: PicturedReconstruction) -> np.ndarray:
    height, width = shown.photograph.shape[:2]
    share = min(PANEL_HEIGHT / height, _WIDEST / width)
    size = max(1, round(share * width)), max(1, round(share * height))
    photograph = Image.fromarray(shown.photograph).resize(size, Image.Resampling.LANCZOS)
    mask = Image.fromarray(255 * shown.mask.astype(np.uint8)).resize(size)
    masked = tinted(np.asarray(photograph), np.asarray(mask) > 127, OBJECT_TINT)
    K = shown.K * np.array([[size[0] / width], [size[1] / height], [1.0]])
    surfaces = [shown.body, shown.thing, *([shown.truth] if shown.truth is not None else [])]
    in_camera = [(vertices @ shown.R.T + shown.t, faces) for vertices, faces in surfaces]
    legend = "the object (orange)" if shown.truth is None else "found (orange), true (green)"
    panels = [
        ("photograph and mask", masked),
        (legend, drawn_over(np.asarray(photograph), in_camera[:2], K, *in_camera[2:])),
        ("from the side (camera at the left)", _turned(in_camera, FROM_THE_SIDE)),
        ("from above (camera below)", _turned(in_camera, FROM_ABOVE)),
    ]
    return page_of(panels, shown.title, shown.subtitle)


def _turned(surfaces: Sequence[Surface], turn: np.ndarray) -> np.ndarray:
    """Person, object and the true object if it is there, from another side, on white."""
    blank = np.full((PANEL_HEIGHT, PANEL_HEIGHT, 3), 255, np.uint8)
    turned, K = turned_to(surfaces, turn, PANEL_HEIGHT)
    return drawn_over(blank, turned[:2], K, *turned[2:])

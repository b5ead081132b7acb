"""A photograph beside what was lifted from it, so that doubts about the lifting can be seen.

Four panels: the photograph with its masks; the lifted person and object over it; our own body over
it, as the test set has it; and the lifted meshes from the side, where a lean towards the camera or
a wrong depth shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from chorus.viewing.contact_sheet import OBJECT_TINT, PERSON_TINT, tinted
from chorus.viewing.surface_panels import (
    FROM_THE_SIDE,
    PANEL_HEIGHT,
    Surface,
    drawn_over,
    page_of,
    turned_to,
)


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
    wide = max(1, round(width * PANEL_HEIGHT / height))
    small = Image.fromarray(lifted.photograph).resize(
        (wide, PANEL_HEIGHT), Image.Resampling.LANCZOS
    )
    photograph = np.asarray(small)
    K = lifted.K * np.array([[wide / width], [PANEL_HEIGHT / height], [1.0]])
    masked = photograph
    for mask, tint in ((lifted.person_mask, PERSON_TINT), (lifted.object_mask, OBJECT_TINT)):
        shrunk = Image.fromarray(255 * mask.astype(np.uint8)).resize((wide, PANEL_HEIGHT))
        masked = tinted(masked, np.asarray(shrunk) > 127, tint)
    blank = np.full((PANEL_HEIGHT, PANEL_HEIGHT, 3), 255, np.uint8)
    side, side_K = turned_to([lifted.human, lifted.thing], FROM_THE_SIDE, PANEL_HEIGHT)
    panels = [
        ("photograph and masks", masked),
        ("lifted person and object", drawn_over(photograph, [lifted.human, lifted.thing], K)),
        ("our body in that pose", drawn_over(photograph, [lifted.body, lifted.thing], K)),
        ("lifted, from the side (camera at the left)", drawn_over(blank, side, side_K)),
    ]
    return page_of(panels, title, subtitle)

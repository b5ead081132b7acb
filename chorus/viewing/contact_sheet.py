"""Contact sheets: images with masks, fitted bodies and verdicts, in one tidy grid."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from chorus.errors import BadInput
from chorus.viewing.figures import save_png
from chorus.viewing.gl import Renderer
from chorus.viewing.lettering import FAINT_INK, INK, write
from chorus.viewing.overlay import body_overlay

log = logging.getLogger(__name__)

OBJECT_TINT = (255, 140, 26)
PERSON_TINT = (46, 196, 182)
RETAINED, DROPPED = (28, 132, 74), (190, 52, 44)
MISSING = (226, 227, 230)
MARGIN, GAP, HEAD, CAPTION = 36, 18, 132, 58
FILL_SHARE, OUTLINE_SHARE = 0.30, 0.95


@dataclass(frozen=True)
class FittedBody:
    """A posed body mesh and the camera that maps its frame to the image's pixels."""

    vertices: np.ndarray
    """(V, 3) metres, body frame."""
    faces: np.ndarray
    """(F, 3) vertex indices."""
    R: np.ndarray
    """(3, 3) body frame to camera."""
    t: np.ndarray
    """(3,) metres."""
    K: np.ndarray
    """(3, 3) pixels."""


@dataclass(frozen=True)
class Tile:
    """One sample of the sheet; whatever is None is left out."""

    image: np.ndarray | None
    """(H, W, 3) uint8; None if it could not be read."""
    caption: str
    """What was asked for, usually the augprompt."""
    verdict: str
    """The filter's verdict in words."""
    retained: bool
    object_mask: np.ndarray | None = None
    """(H, W) bool."""
    person_mask: np.ndarray | None = None
    """(H, W) bool."""
    body: FittedBody | None = None


def contact_sheet(
    tiles: Sequence[Tile],
    *,
    title: str = "",
    subtitle: str = "",
    columns: int = 6,
    tile_size: int = 300,
    kind: Renderer = "cpu",
) -> np.ndarray:
    """Picture (H, W, 3) uint8 of all tiles, row by row.

    A tile whose image or masks do not fit shows a grey square or leaves the mask out. Raises
    `BadInput` for fewer than one column.
    """
    if columns < 1 or tile_size < 32:
        raise BadInput(
            f"a contact sheet needs at least 1 column and tiles of at least 32 pixels, found "
            f"{columns} and {tile_size}."
        )
    columns = max(min(columns, len(tiles)), 2)
    rows = max(-(-len(tiles) // columns), 1)
    width = 2 * MARGIN + columns * tile_size + (columns - 1) * GAP
    height = HEAD + rows * (tile_size + CAPTION + GAP) + MARGIN - GAP
    page = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    _heading(draw, tiles, title, subtitle, width)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        left = MARGIN + column * (tile_size + GAP)
        top = HEAD + row * (tile_size + CAPTION + GAP)
        page.paste(Image.fromarray(_picture(tile, tile_size, kind)), (left, top))
        _label(draw, tile, left, top, tile_size)
    if not tiles:
        write(draw, (MARGIN, HEAD + 20), "No samples.", 24, width=width, ink=FAINT_INK)
    return np.asarray(page)


def write_contact_sheet(
    path: str | os.PathLike, tiles: Sequence[Tile], *, kind: Renderer = "cpu", **layout
) -> Path:
    """Write `contact_sheet` (title, subtitle, columns, tile_size) as a PNG and return its path."""
    return save_png(contact_sheet(tiles, kind=kind, **layout), path)


def _heading(
    draw: ImageDraw.ImageDraw, tiles: Sequence[Tile], title: str, subtitle: str, width: int
) -> None:
    room = width - 2 * MARGIN
    write(draw, (MARGIN, 28), title or "Samples", 34, width=room, bold=True)
    kept = sum(tile.retained for tile in tiles)
    line = "  ·  ".join(part for part in (subtitle, f"{kept} of {len(tiles)} retained") if part)
    legend = [("object", OBJECT_TINT), ("person", PERSON_TINT), ("fitted body", (126, 190, 235))]
    needed = 170 * len(legend)
    beside = room >= 2 * needed
    write(draw, (MARGIN, 80), line, 22, width=room - needed * beside, ink=FAINT_INK)
    if beside:
        for place, (name, tint) in enumerate(legend):
            x = width - MARGIN - needed + 170 * place
            draw.rounded_rectangle((x, 82, x + 20, 102), 4, fill=tint)
            write(draw, (x + 28, 92), name, 20, width=136, ink=FAINT_INK, anchor="lm")


def _label(draw: ImageDraw.ImageDraw, tile: Tile, left: int, top: int, size: int) -> None:
    """Frame in the verdict's colour, verdict on a tag, caption below."""
    colour = RETAINED if tile.retained else DROPPED
    draw.rectangle((left, top, left + size - 1, top + size - 1), outline=colour, width=4)
    low = top + size
    draw.rectangle((left, low, left + size - 1, low + 25), fill=colour)
    verdict = tile.verdict or ("retained" if tile.retained else "dropped")
    write(
        draw, (left + 9, low + 12), verdict, 16, width=size - 18, ink=(255, 255, 255), anchor="lm"
    )
    write(draw, (left + 2, low + 43), tile.caption, 16, width=size - 4, ink=INK, anchor="lm")


def _picture(tile: Tile, size: int, kind: Renderer) -> np.ndarray:
    """The tile's image with everything laid over it, on a square of `size` pixels."""
    image = tile.image
    if image is None or image.ndim != 3 or image.shape[2] != 3 or min(image.shape) == 0:
        return _unreadable(size)
    image = np.ascontiguousarray(image, dtype=np.uint8)
    # a fitted body lies over the person, so there the outline alone shows better
    image = tinted(image, tile.person_mask, PERSON_TINT, FILL_SHARE if tile.body is None else 0.0)
    image = tinted(image, tile.object_mask, OBJECT_TINT)
    if tile.body is not None:
        b = tile.body
        image = body_overlay(image, b.vertices, b.faces, b.R, b.t, b.K, kind=kind)
    scale = size / max(image.shape[:2])
    shape = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    small = Image.fromarray(image).resize(shape, Image.Resampling.LANCZOS)
    square = Image.new("RGB", (size, size), MISSING)
    square.paste(small, ((size - shape[0]) // 2, (size - shape[1]) // 2))
    return np.asarray(square)


def _unreadable(size: int) -> np.ndarray:
    square = Image.new("RGB", (size, size), MISSING)
    draw = ImageDraw.Draw(square)
    middle = (size / 2, size / 2)
    write(draw, middle, "no readable image", 18, width=size - 30, ink=FAINT_INK, anchor="mm")
    return np.asarray(square)


def tinted(
    image: np.ndarray,
    mask: np.ndarray | None,
    tint: tuple[int, int, int],
    fill: float = FILL_SHARE,
) -> np.ndarray:
    """The image (H, W, 3) uint8 with the mask (H, W) filled faintly and outlined in a colour.

    A mask of another shape than the image is left out, with a warning.
    """
    if mask is None or not np.any(mask):
        return image
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != image.shape[:2]:
        log.warning("A mask of shape %s does not fit its image %s.", mask.shape, image.shape[:2])
        return image
    # the outline is what a shift by up to two pixels removes from the mask
    near = np.pad(mask, 2)
    inner = mask.copy()
    height, width = mask.shape
    for down, right in ((0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (1, 3), (3, 1), (3, 3)):
        inner &= near[down : down + height, right : right + width]
    share = np.where(mask & ~inner, OUTLINE_SHARE, np.where(inner, fill, 0.0))[..., None]
    return (image * (1 - share) + np.array(tint) * share + 0.5).astype(np.uint8)

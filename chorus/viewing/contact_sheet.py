"""Contact sheets: images with masks, fitted bodies and verdicts, in one tidy grid."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
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
BODY_OVER_OBJECT = 0.35
"""How much of the fitted body is left where it lies over the object's mask."""
_OVERSAMPLING, _OUTLINE_WIDTH = 2, 4
"""Tiles are drawn at twice their size, with outlines of so many pixels, and shrunk."""


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
    body: str = "fitted body",
    columns: int = 6,
    tile_size: int = 300,
    kind: Renderer = "cpu",
) -> np.ndarray:
    """Picture (H, W, 3) uint8 of all tiles, row by row; `body` is what its legend calls the bodies.

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
    _heading(draw, tiles, title, subtitle, body, width)
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
    """Write `contact_sheet`, with what else it takes, as a PNG and return its path."""
    return save_png(contact_sheet(tiles, kind=kind, **layout), path)


def _heading(
    draw: ImageDraw.ImageDraw,
    tiles: Sequence[Tile],
    title: str,
    subtitle: str,
    body: str,
    width: int,
) -> None:
    room = width - 2 * MARGIN
    write(draw, (MARGIN, 28), title or "Samples", 34, width=room, bold=True)
    kept = sum(tile.retained for tile in tiles)
    counted = f"{kept} of the {len(tiles)} shown are retained"
    line = "  ·  ".join(filter(None, (subtitle, counted)))
    legend = [("object", OBJECT_TINT), ("person", PERSON_TINT), (body, (126, 190, 235))]
    needed = 190 * len(legend)
    beside = room >= 2 * needed
    write(draw, (MARGIN, 80), line, 22, width=room - needed * beside, ink=FAINT_INK)
    if beside:
        for place, (name, tint) in enumerate(legend):
            x = width - MARGIN - needed + 190 * place
            draw.rounded_rectangle((x, 82, x + 20, 102), 4, fill=tint)
            write(draw, (x + 28, 92), name, 20, width=156, ink=FAINT_INK, anchor="lm")


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
    height, width = image.shape[:2]
    scale = size / max(height, width)
    shape = max(round(height * scale), 1), max(round(width * scale), 1)
    # what is laid over is drawn at the tile's scale, as wide whatever the photograph's resolution
    drawn = _OVERSAMPLING * shape[0], _OVERSAMPLING * shape[1]
    person, object_ = (_resized(m, image, drawn) for m in (tile.person_mask, tile.object_mask))
    picture = np.asarray(Image.fromarray(image).resize(drawn[::-1], Image.Resampling.LANCZOS))
    # a fitted body lies over the person, so there the outline alone shows better
    fill = FILL_SHARE if tile.body is None else 0.0
    picture = tinted(picture, person, PERSON_TINT, fill, _OUTLINE_WIDTH)
    if tile.body is not None:
        picture = _with_body(picture, tile.body, (width, height), object_, kind)
    picture = tinted(picture, object_, OBJECT_TINT, FILL_SHARE, _OUTLINE_WIDTH)
    small = Image.fromarray(picture).resize(shape[::-1], Image.Resampling.LANCZOS)
    square = Image.new("RGB", (size, size), MISSING)
    square.paste(small, ((size - shape[1]) // 2, (size - shape[0]) // 2))
    return np.asarray(square)


def _resized(
    mask: np.ndarray | None, image: np.ndarray, shape: tuple[int, int]
) -> np.ndarray | None:
    """An image's mask (H, W) at another shape; None, with a warning, if it is not that image's."""
    if mask is None:
        return None
    if mask.shape != image.shape[:2]:
        log.warning("A mask of shape %s does not fit its image %s.", mask.shape, image.shape[:2])
        return None
    levels = Image.fromarray(255 * np.asarray(mask, dtype=np.uint8))
    # a quarter of a pixel counts, so that thin objects do not vanish from small tiles
    return np.asarray(levels.resize(shape[::-1], Image.Resampling.BILINEAR)) > 63


def _with_body(
    picture: np.ndarray,
    body: FittedBody,
    size: tuple[int, int],
    object_mask: np.ndarray | None,
    kind: Renderer,
) -> np.ndarray:
    """The picture (H, W, 3) uint8 of an image of `size` (width, height) with its body over it.

    Over the object's mask (H, W) the body is paler: what the image shows of the object lies before
    the person.
    """
    height, width = picture.shape[:2]
    K = body.K * np.array([[width / size[0]], [height / size[1]], [1.0]])
    covered = body_overlay(picture, body.vertices, body.faces, body.R, body.t, K, kind=kind)
    if object_mask is None:
        return covered
    share = np.where(object_mask, BODY_OVER_OBJECT, 1.0)[..., None]
    return (picture * (1 - share) + covered * share + 0.5).astype(np.uint8)


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
    outline_width: int = 2,
) -> np.ndarray:
    """The image (H, W, 3) uint8 with the mask (H, W) filled faintly and outlined in a colour.

    The outline, `outline_width` pixels, lies inside the mask. A mask of another shape than the
    image is left out, with a warning.
    """
    if mask is None or not np.any(mask):
        return image
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != image.shape[:2]:
        log.warning("A mask of shape %s does not fit its image %s.", mask.shape, image.shape[:2])
        return image
    ringed = np.pad(mask, 1).astype(np.uint8)  # the outline also follows the image's border
    depth = cv2.distanceTransform(ringed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    inner = depth > outline_width
    share = np.where(mask & ~inner, OUTLINE_SHARE, np.where(inner, fill, 0.0))[..., None]
    return (image * (1 - share) + np.array(tint) * share + 0.5).astype(np.uint8)

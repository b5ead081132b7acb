"""Text on pictures: one typeface (DejaVu Sans, carried by matplotlib), shortened to its place."""

from __future__ import annotations

import functools
from pathlib import Path

from PIL import ImageDraw, ImageFont

INK = (32, 34, 40)
FAINT_INK = (112, 116, 126)
ALERT_INK = (176, 58, 46)


@functools.cache
def typeface(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans at a size in pixels."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def printable(text: str) -> str:
    """The text on one line, without characters that have no shape."""
    kept = (c if c.isprintable() else " " for c in text)
    return " ".join("".join(kept).split())


def shorten(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text, cut with an ellipsis if it is wider than `width` pixels."""
    text = printable(text)
    if font.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle].rstrip() + "…") <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    *,
    width: float,
    ink: tuple[int, int, int] = INK,
    bold: bool = False,
    anchor: str = "la",
) -> None:
    """Write one line at a place (pixels), shortened to `width` pixels; `anchor` as in Pillow."""
    font = typeface(size, bold)
    draw.text(at, shorten(text, font, width), font=font, fill=ink, anchor=anchor)

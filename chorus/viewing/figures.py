"""Stills: one distribution around the canonical body, from three sides, with heading and scale."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from chorus.files import replacing
from chorus.viewing import gl
from chorus.viewing.displayed import DisplayedBody, DisplayedDistribution
from chorus.viewing.gl import Renderer
from chorus.viewing.lettering import ALERT_INK, FAINT_INK, INK, write
from chorus.viewing.rasterise import CpuRenderer
from chorus.viewing.scene import (
    ColourScale,
    Composition,
    View,
    compose,
    default_threshold,
    frame,
)

VIEWS = (
    ("front left", View(azimuth_degrees=48, elevation_degrees=14)),
    ("front right", View(azimuth_degrees=138, elevation_degrees=14)),
    ("behind", View(azimuth_degrees=256, elevation_degrees=20)),
)
PANEL = (760, 800)
HEAD, FOOT, SIDE, SCALE_WIDTH = 170, 70, 48, 190
EMPTY_NOTE = "No sample put the object here: the distribution is empty."

Draw = Callable[[View], np.ndarray]


@contextlib.contextmanager
def renderer(
    composition: Composition, width: int, height: int, kind: Renderer = "cpu"
) -> Iterator[Draw]:
    """A function from a view to its picture (height, width, 3) uint8.

    Asking for `gl` where no off-screen GL works logs one sentence and draws on the CPU.
    """
    if kind == "gl" and gl.vtk_draws():
        from chorus.viewing.vtk_renderer import VtkRenderer

        with VtkRenderer(composition, width, height) as window:
            yield window.render
        return
    yield CpuRenderer(composition, width, height).render


def figure(
    distribution: DisplayedDistribution,
    body: DisplayedBody | None,
    *,
    threshold: float | None = None,
    kind: Renderer = "cpu",
) -> np.ndarray:
    """Picture (H, W, 3) uint8 of a distribution from three sides.

    `threshold` is the probability of the outermost surface (None: a share of the peak). An empty
    distribution shows the body and a note.
    """
    composition = compose(distribution, body, threshold)
    page, draw = panels(composition, kind)
    size = page.size
    _heading(draw, distribution, size[0] - 2 * SIDE)
    if distribution.is_empty:
        at = (SIDE, HEAD - 8)
        write(draw, at, EMPTY_NOTE, 30, width=size[0] - 2 * SIDE, ink=ALERT_INK)
    else:
        low = default_threshold(distribution.peak) if threshold is None else threshold
        if composition.shells:
            low = composition.shells[-1].level
        _scale_bar(page, draw, distribution, low)
    return np.asarray(page)


def panels(
    composition: Composition, kind: Renderer = "cpu"
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A page with the composition from three sides, and room for a heading and a scale."""
    width, height = PANEL
    views = frame(composition, [view for _, view in VIEWS], width / height)
    size = (2 * SIDE + len(VIEWS) * width + SCALE_WIDTH, HEAD + height + FOOT)
    page = Image.new("RGB", size, (255, 255, 255))
    draw = ImageDraw.Draw(page)
    with renderer(composition, width, height, kind) as picture:
        for column, ((name, _), view) in enumerate(zip(VIEWS, views, strict=True)):
            left = SIDE + column * width
            page.paste(Image.fromarray(picture(view)), (left, HEAD))
            middle = (left + width / 2, HEAD + height + FOOT / 2 - 4)
            write(draw, middle, name, 26, width=width, ink=FAINT_INK, anchor="mm")
    return page, draw


def _heading(draw: ImageDraw.ImageDraw, distribution: DisplayedDistribution, width: int) -> None:
    write(draw, (SIDE, 40), distribution.title, 50, width=width, bold=True)
    named = (
        "" if distribution.is_total else distribution.category
    )  # the total's title has it already
    details = [named, distribution.part_label, distribution.samples_label]
    details.append(distribution.estimate_label)
    line = "  ·  ".join(part for part in details if part)
    write(draw, (SIDE, 112), line, 30, width=width, ink=FAINT_INK)


def _scale_bar(
    page: Image.Image, draw: ImageDraw.ImageDraw, distribution: DisplayedDistribution, low: float
) -> None:
    """Vertical colour bar; the part below the outermost surface, which is not drawn, is pale."""
    scale = ColourScale(distribution.peak)
    left, top, width, height = page.width - SIDE - SCALE_WIDTH + 50, HEAD + 110, 32, 540
    share = np.linspace(1, 0, height)
    rgb = scale.table[np.rint(share * 255).astype(int)]
    hidden = share * scale.top < low
    rgb[hidden] = 0.88 + 0.12 * rgb[hidden]
    bar = np.repeat((255 * rgb[:, None] + 0.5).astype(np.uint8), width, axis=1)
    page.paste(Image.fromarray(bar), (left, top))
    draw.rectangle((left, top, left + width - 1, top + height - 1), outline=(150, 152, 158))
    write(draw, (left, top - 82), "probability of", 24, width=200, ink=FAINT_INK)
    write(draw, (left, top - 52), "occupancy", 24, width=200, ink=FAINT_INK)
    for tick in scale.ticks:
        y = top + height - 1 - tick / scale.top * (height - 1)
        draw.line((left + width, y, left + width + 8, y), fill=INK, width=2)
        write(draw, (left + width + 14, y), f"{tick:g}", 24, width=90, anchor="lm")
    level = top + height - 1 - low / scale.top * (height - 1)
    below = top + height + 34
    for x, y in ((left, level), (left + 12, below)):
        draw.polygon([(x - 4, y), (x - 16, y - 8), (x - 16, y + 8)], fill=INK)
    write(draw, (left + 16, below), "outermost", 22, width=150, ink=FAINT_INK, anchor="lm")
    write(draw, (left + 16, below + 26), "surface", 22, width=150, ink=FAINT_INK, anchor="lm")


def save_png(picture: np.ndarray, path: str | os.PathLike) -> Path:
    """Write a picture (H, W, 3) uint8 as PNG and return its path."""
    with replacing(path) as unfinished:
        Image.fromarray(picture).save(unfinished, format="PNG", compress_level=6)
    return Path(path)


def still(
    distribution: DisplayedDistribution,
    body: DisplayedBody | None,
    path: str | os.PathLike,
    *,
    threshold: float | None = None,
    kind: Renderer = "cpu",
) -> Path:
    """Write `figure` as a PNG and return its path."""
    return save_png(figure(distribution, body, threshold=threshold, kind=kind), path)

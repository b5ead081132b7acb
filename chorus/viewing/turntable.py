"""Turntables: a distribution and the body turning once, as an H.264 video that plays everywhere."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from chorus.errors import Unavailable
from chorus.files import replacing
from chorus.viewing.displayed import DisplayedBody, DisplayedDistribution
from chorus.viewing.figures import EMPTY_NOTE, renderer
from chorus.viewing.gl import Renderer
from chorus.viewing.lettering import ALERT_INK, FAINT_INK, write
from chorus.viewing.scene import View, compose, frame

SIZE, CAPTION = 640, 72
"""Side of the video and height of its upper margin, pixels."""
FRAMES_PER_SECOND = 20
SECONDS = 4
ELEVATION_DEGREES = 14
START_DEGREES = 48
QUALITY = "20"
"""x264's constant rate factor: below 25 no artefacts show on these smooth pictures."""


def turntable(
    distribution: DisplayedDistribution,
    body: DisplayedBody | None,
    path: str | os.PathLike,
    *,
    threshold: float | None = None,
    kind: Renderer = "cpu",
) -> Path:
    """Write an MP4 (H.264, yuv420p, 640 x 640, 4 s, loops seamlessly) and return its path.

    Raises `Unavailable` where there is no ffmpeg.
    """
    composition = compose(distribution, body, threshold)
    count = FRAMES_PER_SECOND * SECONDS
    turns = START_DEGREES + 360 * np.arange(count) / count
    height = SIZE - CAPTION
    views = [View(float(turn), ELEVATION_DEGREES) for turn in turns]
    views = frame(composition, views, SIZE / height)
    page = _caption(distribution)
    with replacing(path) as unfinished, renderer(composition, SIZE, height, kind) as picture:
        writer = _video(unfinished)
        try:
            for view in views:
                page[CAPTION:] = picture(view)
                writer.send(page)
        finally:
            writer.close()
    return Path(path)


def _video(path: Path) -> Generator[None, np.ndarray, None]:
    """A started encoder that is sent frames (SIZE, SIZE, 3) uint8 and closed at the end."""
    import imageio_ffmpeg

    try:
        imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as fault:
        raise Unavailable(
            "turntables need ffmpeg, which the package imageio-ffmpeg usually carries but does "
            "not on this system; install ffmpeg and set IMAGEIO_FFMPEG_EXE to its path."
        ) from fault
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (SIZE, SIZE),
        fps=FRAMES_PER_SECOND,
        codec="libx264",
        pix_fmt_out="yuv420p",
        quality=None,
        output_params=["-crf", QUALITY, "-preset", "veryfast", "-movflags", "+faststart"],
    )
    writer.send(None)
    return writer


def _caption(distribution: DisplayedDistribution) -> np.ndarray:
    """A page (SIZE, SIZE, 3) uint8 with the title and the sample count in its upper margin."""
    page = Image.new("RGB", (SIZE, SIZE), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    width = SIZE - 40
    write(draw, (20, 16), distribution.title, 22, width=width, bold=True)
    details = [distribution.part_label, distribution.samples_label, distribution.estimate_label]
    line = "  ·  ".join(part for part in details if part)
    ink = FAINT_INK
    if distribution.is_empty:
        line, ink = EMPTY_NOTE, ALERT_INK
    write(draw, (20, 44), line, 16, width=width, ink=ink)
    return np.array(page)

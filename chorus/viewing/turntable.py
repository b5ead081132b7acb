"""Turntables: a distribution and the body turning once, as an H.264 video that plays everywhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from chorus.viewing.exhibit import Exhibit, ShownBody
from chorus.viewing.figures import EMPTY_NOTE, in_threads, renderer
from chorus.viewing.gl import Renderer
from chorus.viewing.lettering import ALERT_INK, FAINT_INK, write
from chorus.viewing.scene import View, compose, frame

SIZE = 640
FRAMES_PER_SECOND = 20
SECONDS = 4
ELEVATION_DEGREES = 14
START_DEGREES = 48
QUALITY = "22"
"""x264's constant rate factor: below 25 no artefacts show on these smooth pictures."""


def turntable(
    exhibit: Exhibit,
    body: ShownBody | None,
    path: str | os.PathLike,
    *,
    threshold: float | None = None,
    kind: Renderer = "cpu",
) -> Path:
    """Write an MP4 (H.264, yuv420p, 640 x 640, 4 s, loops seamlessly) and return its path."""
    import imageio_ffmpeg

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    composition = compose(exhibit, body, threshold)
    count = FRAMES_PER_SECOND * SECONDS
    turns = START_DEGREES + 360 * np.arange(count) / count
    views = frame(composition, [View(float(turn), ELEVATION_DEGREES) for turn in turns])
    caption = _caption(exhibit)
    unfinished = path.with_name(path.stem + ".part.mp4")
    writer = imageio_ffmpeg.write_frames(
        str(unfinished),
        (SIZE, SIZE),
        fps=FRAMES_PER_SECOND,
        codec="libx264",
        pix_fmt_out="yuv420p",
        macro_block_size=16,
        quality=None,
        output_params=["-crf", QUALITY, "-preset", "veryfast", "-movflags", "+faststart"],
    )
    writer.send(None)
    try:
        with renderer(composition, SIZE, SIZE, kind) as picture:
            for view in views:
                # darker of the two, so the caption's ink lies over the picture
                writer.send(np.ascontiguousarray(np.minimum(picture(view), caption)))
    finally:
        writer.close()
    unfinished.replace(path)
    return path


def turntables(
    exhibits: Sequence[Exhibit],
    body: ShownBody | None,
    paths: Sequence[str | os.PathLike],
    *,
    workers: int = 1,
) -> list[Path]:
    """Write a turntable for each exhibit to its path, several at a time."""
    return in_threads(lambda job: turntable(job[0], body, job[1]), exhibits, paths, workers)


def _caption(exhibit: Exhibit) -> np.ndarray:
    """Ink of the title and sample count on white, (SIZE, SIZE, 3) uint8."""
    page = Image.new("RGB", (SIZE, SIZE), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    width = SIZE - 40
    write(draw, (20, 16), exhibit.title, 22, width=width, bold=True)
    details = [exhibit.part_label, exhibit.samples_label]
    line = "  ·  ".join(part for part in details if part)
    write(draw, (20, 46), line, 16, width=width, ink=FAINT_INK)
    if exhibit.is_empty:
        at = (SIZE / 2, SIZE - 24)
        write(draw, at, EMPTY_NOTE, 16, width=width, ink=ALERT_INK, anchor="mm")
    return np.asarray(page)

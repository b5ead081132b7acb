"""The body coloured by how probably each place is touched: a still, and a GLB."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from chorus.viewing.displayed import DisplayedBody
from chorus.viewing.figures import FOOT, HEAD, PANEL, SCALE_WIDTH, SIDE, panels
from chorus.viewing.gl import Renderer
from chorus.viewing.glb import Glb, linear_light
from chorus.viewing.lettering import FAINT_INK, INK, write
from chorus.viewing.scene import BODY_COLOUR, compose_body

_WARM = (0.99, 0.80, 0.42), (0.96, 0.50, 0.20), (0.80, 0.16, 0.15), (0.42, 0.0, 0.12)
_STOPS = (BODY_COLOUR, *_WARM)
"""From never touched, the body's own colour, to always: lightness falls all the way."""


class ContactScale:
    """Colours of probabilities from 0 to `top`, the highest one rounded up to a tenth."""

    def __init__(self, highest: float) -> None:
        self.top = float(min(max(np.ceil(10 * highest - 0.02) / 10, 0.1), 1.0))

    def __call__(self, probability: np.ndarray) -> np.ndarray:
        """Colours (..., 3) in [0, 1], sRGB, of probabilities (...)."""
        share = np.clip(np.asarray(probability) / self.top, 0, 1)
        places = np.linspace(0, 1, len(_STOPS))
        return np.stack([np.interp(share, places, c) for c in np.transpose(_STOPS)], axis=-1)


def contact_figure(
    body: DisplayedBody,
    probability: np.ndarray,
    title: str,
    details: str,
    *,
    kind: Renderer = "cpu",
) -> np.ndarray:
    """Picture (H, W, 3) uint8 of the body from three sides, its vertices (V,) coloured."""
    scale = ContactScale(float(probability.max(initial=0)))
    page, draw = panels(compose_body(replace(body, colours=scale(probability))), kind)
    write(draw, (SIDE, 40), title, 50, width=page.width - 2 * SIDE, bold=True)
    write(draw, (SIDE, 112), details, 30, width=page.width - 2 * SIDE, ink=FAINT_INK)
    _scale_bar(page, draw, scale)
    return np.asarray(page)


def _scale_bar(page: Image.Image, draw: ImageDraw.ImageDraw, scale: ContactScale) -> None:
    left, top, width = page.width - SIDE - SCALE_WIDTH + 50, HEAD + 110, 32
    height = PANEL[1] - FOOT - 190
    rgb = scale(np.linspace(scale.top, 0, height))
    bar = np.repeat((255 * rgb[:, None] + 0.5).astype(np.uint8), width, axis=1)
    page.paste(Image.fromarray(bar), (left, top))
    draw.rectangle((left, top, left + width - 1, top + height - 1), outline=(150, 152, 158))
    write(draw, (left, top - 82), "probability of", 24, width=200, ink=FAINT_INK)
    write(draw, (left, top - 52), "contact", 24, width=200, ink=FAINT_INK)
    step = 0.2 if scale.top > 0.5 else 0.1 if scale.top > 0.2 else 0.05
    for tick in np.arange(0, scale.top + 1e-6, step):
        y = top + (1 - tick / scale.top) * (height - 1)
        draw.line((left + width, y, left + width + 8, y), fill=INK, width=2)
        write(draw, (left + width + 14, y), f"{tick:.2g}", 24, width=90, anchor="lm")


def contact_glb(body: DisplayedBody, probability: np.ndarray, metadata: dict) -> bytes:
    """A GLB with one node, `body`, whose vertices (V,) are coloured by their probability.

    Metres, y up, the person looks along +z. metadata: what the file says of itself (extras).
    """
    scale = ContactScale(float(probability.max(initial=0)))
    linear = 255 * linear_light(scale(probability))
    rgba = np.column_stack([linear, np.full(len(linear), 255)]).round().astype(np.uint8)
    file = Glb({**metadata, "colours_up_to": scale.top})
    material = file.material("contact", (1.0, 1.0, 1.0, 1.0))
    mesh = file.mesh("body", body.vertices, body.faces, material, colours=rgba)
    file.node("body", mesh=mesh)
    return file.content()

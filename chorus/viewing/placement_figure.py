"""A body with an object placed around it, in one or several ways: a still, and a GLB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from PIL import Image, ImageDraw

from chorus.rendering.raycast import RayScene
from chorus.viewing.displayed import DisplayedBody
from chorus.viewing.figures import HEAD, SIDE, renderer
from chorus.viewing.gl import Renderer
from chorus.viewing.gltf import surfaces_glb
from chorus.viewing.lettering import FAINT_INK, write
from chorus.viewing.scene import BODY_COLOUR, Composition, View, compose_body, frame

OBJECT_COLOUR = (0.16, 0.47, 0.70)
_PANEL = (640, 600)
_FOOT = 110
_AZIMUTHS = (90, 60, 120, 30, 150, 0, 180, 300, 240, 270)
"""Directions that are looked from, those from the front first: they win where none is better."""
_ELEVATION = 14.0
_PROBE = 72
"""Pixels along a side of the small pictures by which a direction is chosen."""
_FLAT = 20_000
"""Meshes of at most so many faces are drawn with edges, larger ones smoothly."""


@dataclass(frozen=True, eq=False)
class PlacedObject:
    """An object's mesh in one of its places."""

    vertices: Float[np.ndarray, "V 3"]
    """Body frame, metres."""
    faces: Int[np.ndarray, "F 3"]
    probability: float
    closed: bool
    """Whether it has an inside; else both sides of its faces are drawn."""


def placement_figure(
    body: DisplayedBody,
    objects: Sequence[PlacedObject],
    title: str,
    details: str,
    *,
    kind: Renderer = "cpu",
) -> np.ndarray:
    """Picture (H, W, 3) uint8: the posed body with the object in each of its places, side by side,
    each seen from where most of both is seen, with its probability."""
    width, height = _PANEL
    compositions = [_with_object(body, each) for each in objects]
    views = [
        frame(composition, [_view(composition, body, each)], width / height)[0]
        for composition, each in zip(compositions, objects, strict=True)
    ]
    distance = max(view.distance for view in views)
    page = Image.new("RGB", (2 * SIDE + len(objects) * width, HEAD + height + _FOOT), "white")
    draw = ImageDraw.Draw(page)
    for column, (each, composition, view) in enumerate(
        zip(objects, compositions, views, strict=True)
    ):
        left = SIDE + column * width
        with renderer(composition, width, height, kind) as picture:
            drawn = picture(replace(view, distance=distance))
        page.paste(Image.fromarray(drawn), (left, HEAD))
        middle = left + width / 2
        share = f"{100 * each.probability:.0f} %"
        at = (middle, HEAD + height + 36)
        write(draw, at, share, 44, width=width, bold=True, anchor="mm")
        seen = _from(view.azimuth_degrees)
        at = (middle, HEAD + height + 80)
        write(draw, at, seen, 24, width=width, ink=FAINT_INK, anchor="mm")
    write(draw, (SIDE, 40), title, 50, width=page.width - 2 * SIDE, bold=True)
    write(draw, (SIDE, 112), details, 30, width=page.width - 2 * SIDE, ink=FAINT_INK)
    return np.asarray(page)


def _with_object(body: DisplayedBody, placed: PlacedObject) -> Composition:
    vertices, faces = np.asarray(placed.vertices), np.asarray(placed.faces)
    if not placed.closed:
        faces = np.concatenate([faces, faces[:, ::-1]])
    if len(faces) <= _FLAT or not placed.closed:  # corners of their own: a normal for each face
        vertices, faces = vertices[faces].reshape(-1, 3), np.arange(3 * len(faces)).reshape(-1, 3)
    colours = np.concatenate(
        [np.tile(BODY_COLOUR, (len(body.vertices), 1)), np.tile(OBJECT_COLOUR, (len(vertices), 1))]
    )
    both = DisplayedBody(
        np.concatenate([body.vertices, vertices]),
        np.concatenate([body.faces, faces + len(body.vertices)]),
        colours,
    )
    middle = (both.vertices.min(axis=0) + both.vertices.max(axis=0)) / 2
    return replace(compose_body(both), centre=middle.astype(float))


def _view(composition: Composition, body: DisplayedBody, placed: PlacedObject) -> View:
    """The view in which the least seen of the two, body and object, is seen best: by its visible
    part of what is seen of it from anywhere."""
    scene = RayScene([(body.vertices, body.faces), (placed.vertices, placed.faces)])
    views = [View(azimuth, _ELEVATION) for azimuth in _AZIMUTHS]
    pixels = []
    for view in frame(composition, views):
        hits = scene.cast(*view.camera(composition, _PROBE, _PROBE), _PROBE, _PROBE)
        pixels.append([np.count_nonzero(hits.mesh_id == mesh) for mesh in (0, 1)])
    seen = np.array(pixels) / np.maximum(np.max(pixels, axis=0), 1)
    # A view from the front is worth a little more.
    worth = seen.prod(axis=1) * (1 - 0.03 * np.arange(len(views)))
    return views[int(worth.argmax())]


def _from(azimuth: float) -> str:
    """A direction in words."""
    side = "left" if azimuth < 90 or azimuth > 270 else "right"
    if azimuth in (90, 270):
        return "from the front" if azimuth == 90 else "from behind"
    if azimuth in (0, 180):
        return f"from the person's {side}"
    return f"from the person's {'front' if azimuth < 180 else 'back'} and {side}"


def placement_glb(body: DisplayedBody, objects: Sequence[PlacedObject], metadata: dict) -> bytes:
    """A GLB with the node `body` and a node `mode 1`, `mode 2`, … for each place of the object, the
    likeliest first, all of them fainter but the first.

    Metres, y up, the person looks along +z. metadata: what the file says of itself (extras).
    """
    parts = {"body": (body.vertices, body.faces, BODY_COLOUR)}
    for number, each in enumerate(objects, 1):
        opacity = 1.0 if number == 1 else 0.4
        parts[f"mode {number}"] = (each.vertices, each.faces, (*OBJECT_COLOUR, opacity))
    return surfaces_glb(parts, metadata)

"""A photograph with the persons in it: outlines, fitted bodies, keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from chorus.body.keypoints import BONES
from chorus.viewing.overlay import body_overlay

LONGER_SIDE = 1280
"""Of the picture, pixels, at most: larger photographs are drawn smaller."""

_COLOURS = ((255, 140, 60), (90, 200, 120), (235, 90, 140), (250, 205, 70), (120, 160, 255))
_SURE = 0.3  # confidence from which a keypoint is drawn
_OUTLINE, _LINE, _DOT = 3 / 1280, 4 / 1280, 6 / 1280  # widths, as shares of the longer side


@dataclass(frozen=True, eq=False)
class DrawnPerson:
    """What is drawn of a person.

    mask (H, W) bool; keypoints (17, 3) x, y, confidence; vertices (V, 3) metres in the camera's
    frame, or None without a body; K (3, 3) pixels.
    """

    mask: Bool[np.ndarray, "H W"]
    keypoints: Float[np.ndarray, "17 3"]
    vertices: Float[np.ndarray, "V 3"] | None = None
    K: Float[np.ndarray, "3 3"] | None = None


def persons_overlay(
    image: UInt8[np.ndarray, "H W 3"], persons: Sequence[DrawnPerson], faces: np.ndarray
) -> UInt8[np.ndarray, "h w 3"]:
    """The photograph, at most LONGER_SIDE pixels a side, with its persons laid over it.

    Bodies are drawn from the farthest to the nearest; outlines and keypoints lie over them, each
    person's in a colour of its own. faces (F, 3): the triangles of all bodies.
    """
    height, width = image.shape[:2]
    scale = min(1.0, LONGER_SIDE / max(height, width))
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image.copy()
    shrink = np.array([[size[0] / width], [size[1] / height], [1.0]])
    with_body = [person for person in persons if person.vertices is not None]
    for person in sorted(with_body, key=lambda each: -each.vertices[:, 2].mean()):
        K = shrink * person.K
        picture = body_overlay(picture, person.vertices, faces, np.eye(3), np.zeros(3), K)
    for number, person in enumerate(persons):
        colour = _COLOURS[number % len(_COLOURS)]
        _outline(picture, person.mask, size, colour)
        _skeleton(picture, person.keypoints * [*shrink[:2, 0], 1], colour)
    return picture


def _outline(picture: np.ndarray, mask: np.ndarray, size: tuple[int, int], colour: tuple) -> None:
    """Draws the outline of a mask (H, W)."""
    levels = np.ascontiguousarray(mask).view(np.uint8) * 255
    small = cv2.resize(levels, size, interpolation=cv2.INTER_AREA) > 127
    outlines, _ = cv2.findContours(small.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    thick = max(1, round(_OUTLINE * max(size)))
    cv2.drawContours(picture, outlines, -1, colour, thick, cv2.LINE_AA)


def _skeleton(picture: np.ndarray, keypoints: np.ndarray, colour: tuple) -> None:
    """Draws keypoints (17, 3) that are sure enough, and what they are joined by."""
    longer = max(picture.shape[:2])
    line, dot = (max(1, round(share * longer)) for share in (_LINE, _DOT))
    sure = keypoints[:, 2] >= _SURE
    # OpenCV takes a fixed fraction of a pixel, and no coordinate beyond 16 bits.
    places = np.clip(keypoints[:, :2], -longer, 2 * longer).round().astype(int)
    for a, b in BONES:
        if sure[a] and sure[b]:
            cv2.line(picture, places[a].tolist(), places[b].tolist(), colour, line, cv2.LINE_AA)
    for place in places[sure]:
        cv2.circle(picture, place.tolist(), dot, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(picture, place.tolist(), dot, colour, max(1, dot // 3), cv2.LINE_AA)

"""Pictures of reconstructed hands: keypoints, the mesh over the image and from around."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, UInt8

from chorus.viewing.overlay import body_overlay

TURNS_DEGREES = (0, 45, 90, 135, 180, 225, 270, 315)
"""The views of the mesh alone, about the image's vertical axis."""

_DISTANCE = 50.0  # metres: from there a hand is seen in parallel
_COLOURS = ((230, 60, 60), (240, 170, 40), (70, 190, 80), (60, 150, 240), (190, 90, 220))


def draw_hand_skeleton(
    image: UInt8[np.ndarray, "H W 3"],
    keypoints: Float[np.ndarray, "21 2"],
    chains: Sequence[Sequence[int]],
) -> UInt8[np.ndarray, "H W 3"]:
    """The image with keypoints (21, 2), pixels, and the fingers as lines, each in its own colour.

    chains: of each finger the keypoints from the wrist to the tip. Those that are not finite are
    left out.
    """
    import cv2

    drawn = image.copy()
    limit = 8.0 * max(image.shape)  # OpenCV takes no larger numbers than an int holds
    usable = np.isfinite(keypoints).all(1) & (np.abs(np.nan_to_num(keypoints)) < limit).all(1)
    known = keypoints[usable]
    extent = float(np.ptp(known, axis=0).max()) if len(known) else 0.0
    size = max(1, round(extent / 100))
    places = [tuple(int(v) for v in point) if good else None
              for point, good in zip(np.nan_to_num(keypoints).clip(-limit, limit), usable,
                                     strict=True)]  # fmt: skip
    for colour, chain in zip(_COLOURS, chains, strict=False):
        for a, b in pairwise(chain):
            if places[a] and places[b]:
                cv2.line(drawn, places[a], places[b], colour, size, cv2.LINE_AA)
        for at in chain:
            if places[at]:
                cv2.circle(drawn, places[at], size + size // 2, colour, -1, cv2.LINE_AA)
    return drawn


def hand_row(
    crop: UInt8[np.ndarray, "S S 3"],
    skeletons: Sequence[Float[np.ndarray, "21 2"]],
    chains: Sequence[Sequence[int]],
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    camera: Float[np.ndarray, " 3"],
) -> UInt8[np.ndarray, "S W 3"]:
    """One hand's tiles side by side: the crop, each skeleton over it (the truth first, if there is
    one), the mesh over it, and the mesh alone on black from eight sides.

    skeletons: in pixels of the crop. vertices: metres in the camera's orientation. camera (3,) =
    (s, tx, ty): crop coordinate in [-1, 1] = s * ((X, Y) + (tx, ty)).
    """
    tiles = [crop, *(draw_hand_skeleton(crop, points, chains) for points in skeletons)]
    tiles.append(_mesh(crop, vertices, faces, camera))
    black = np.zeros_like(crop)
    middle = vertices.mean(axis=0)
    for degrees in TURNS_DEGREES:
        turned = (vertices - middle) @ _about_y(np.radians(degrees)).T + middle
        tiles.append(_mesh(black, turned, faces, camera))
    return np.concatenate(tiles, axis=1)


def hand_grid(
    rows: Sequence[UInt8[np.ndarray, "S W 3"]], per_row: int = 2
) -> UInt8[np.ndarray, "H W 3"]:
    """Several hands' rows of tiles in one picture, `per_row` hands beside each other."""
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    padded += [np.zeros_like(padded[0])] * (-len(padded) % per_row)
    lines = [
        np.concatenate(padded[at : at + per_row], axis=1) for at in range(0, len(padded), per_row)
    ]
    return np.concatenate(lines)


def _mesh(image: np.ndarray, vertices: np.ndarray, faces: np.ndarray, camera: np.ndarray):
    """The mesh over an image, through a camera so far away that it projects in parallel."""
    half = image.shape[0] / 2
    focal = half * float(camera[0]) * _DISTANCE
    K = np.array([[focal, 0, half], [0, focal, half], [0, 0, 1]])
    t = np.array([camera[1], camera[2], _DISTANCE])
    return body_overlay(image, vertices, faces, np.eye(3), t, K)


def _about_y(angle: float) -> Float[np.ndarray, "3 3"]:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])

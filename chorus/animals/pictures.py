"""Pictures of keypoints on their images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from chorus.animals.annotations import Labels, read_image
from chorus.animals.crops import WHITE, crop_transform, square_of, warp
from chorus.animals.keypoints import BONES, KEYPOINTS, VISIBLE
from chorus.errors import BadInput
from chorus.files import portable_name, replacing
from chorus.geometry.image_transforms import move_points

_SIDE = 320
_LEFT, _RIGHT, _MIDDLE = (255, 120, 40), (40, 140, 255), (60, 200, 90)


def draw_keypoints(
    image: UInt8[np.ndarray, "H W 3"], joints: Float[np.ndarray, "K 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """The image with keypoints (16, 3), pixels: left orange, right blue, middle green; those of
    low confidence are left out."""
    import cv2

    picture = np.ascontiguousarray(image).copy()
    shown = joints[:, 2] >= VISIBLE
    places = [tuple(int(v) for v in place) for place in np.clip(joints[:, :2], -9999, 9999)]
    for first, second in BONES:
        if shown[first] and shown[second]:
            cv2.line(picture, places[first], places[second], (245, 245, 245), 1, cv2.LINE_AA)
    for name, place, visible in zip(KEYPOINTS, places, shown, strict=True):
        if visible:
            colour = {"L_": _LEFT, "R_": _RIGHT}.get(name[:2], _MIDDLE)
            cv2.circle(picture, place, 4, (20, 20, 20), -1, cv2.LINE_AA)
            cv2.circle(picture, place, 3, colour, -1, cv2.LINE_AA)
    return picture


def write_keypoint_pictures(
    folder: Path, images: Path, labels: Labels, rows: Iterable[int]
) -> list[str]:
    """Write `<img_id>.jpg` of some labels: the square around the box with its keypoints.

    Returns what could not be drawn, a sentence each.
    """
    from PIL import Image

    problems = []
    for row in rows:
        record = labels.records[row]
        try:
            image = read_image(images, record)
        except BadInput as error:
            problems.append(str(error))
            continue
        corner, side = square_of(labels.boxes[row], padding=0.1)
        move = crop_transform(corner, side, _SIDE)
        joints = np.array(labels.joints[row])
        joints[:, :2] = move_points(joints[:, :2], move)
        picture = draw_keypoints(warp(image, move, _SIDE, WHITE), joints)
        with replacing(folder / f"{portable_name(record['img_id'])}.jpg") as temporary:
            Image.fromarray(picture).save(temporary, quality=90)
    return problems

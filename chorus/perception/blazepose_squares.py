"""Squares of an image, turned or not: what BlazePose's two networks look at, and the way back.

Pixels are those of docs/conventions.md: the middle of the top-left pixel is at (0.5, 0.5). Places
in a square are fractions of its side, (0, 0) its top-left and (1, 1) its bottom-right corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

_OUTSIDE = -100.0  # logit of a mask where the network did not look


@dataclass(frozen=True)
class Square:
    """A square of an image: its centre x, y and side in pixels, and how far it is turned clockwise
    as the image is looked at, radians. At angle 0 its top edge is toward the image's top."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def to_image(self, places: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 2"]:
        """Image pixels (..., 2) of places (..., 2) in the square."""
        turned = (np.asarray(places, float) - 0.5) @ self._rotation().T
        return turned * self.side + [self.x, self.y]

    def to_places(self, pixels: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 2"]:
        """Places (..., 2) in the square of image pixels (..., 2)."""
        return (np.asarray(pixels, float) - [self.x, self.y]) @ self._rotation() / self.side + 0.5

    def turned(self, vectors: Float[np.ndarray, "*batch D"]) -> Float[np.ndarray, "*batch D"]:
        """Vectors (..., D) of the square's orientation in the image's; only x and y change."""
        xy = vectors[..., :2] @ self._rotation().T
        return np.concatenate([xy, vectors[..., 2:]], axis=-1)

    def scaled(self, scale: float) -> Square:
        """The same square of the image shrunk or enlarged by a factor."""
        return Square(self.x * scale, self.y * scale, self.side * scale, self.angle)

    def box(self) -> Float[np.ndarray, " 4"]:
        """The box (4,) xyxy of the square as if it were not turned."""
        half = self.side / 2
        return np.array([self.x - half, self.y - half, self.x + half, self.y + half])

    def reaches(self, width: int, height: int) -> bool:
        """Whether it shares a part with an image of that size, by its circle."""
        gap = np.hypot(
            self.x - np.clip(self.x, 0, width),
            self.y - np.clip(self.y, 0, height),
        )
        return bool(gap < self.side / np.sqrt(2))

    def _rotation(self) -> Float[np.ndarray, "2 2"]:
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]])


def from_two_points(
    centre: Float[np.ndarray, " 2"], rim: Float[np.ndarray, " 2"], scale: float = 2.5
) -> Square:
    """The square that BlazePose makes of two points, pixels: turned so that `rim` lies straight
    above `centre` in it, its side `scale` times their distance (the network's own region)."""
    dx, dy = np.asarray(rim, float) - centre
    angle = float(np.arctan2(dx, -dy)) if dx or dy else 0.0
    return Square(float(centre[0]), float(centre[1]), scale * float(np.hypot(dx, dy)), angle)


def cut(image: UInt8[np.ndarray, "H W 3"], square: Square, size: int) -> np.ndarray:
    """The square of an image (H, W, 3) as (size, size, 3) uint8; black beyond the image.

    Bilinear; where the image is two times as fine or more, it is averaged first.
    """
    import cv2

    start, stop = _extent(square, image.shape[1], image.shape[0])
    if (stop <= start).any():
        return np.zeros((size, size, 3), np.uint8)
    part = image[start[1] : stop[1], start[0] : stop[0]]
    extent = stop - start
    smaller = np.maximum(1, np.round(extent / max(1, int(square.side / size)))).astype(int)
    if (smaller < extent).any():
        part = cv2.resize(part, tuple(smaller.tolist()), interpolation=cv2.INTER_AREA)
    # the square's pixels to those of the part
    scale = (smaller / extent)[:, None]
    matrix = _matrix(square, size) - np.column_stack([np.zeros((2, 2)), start])
    return cv2.warpAffine(
        part,
        _centred(matrix * scale),
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )


def mask_in_image(
    logits: Float[np.ndarray, "S S"], square: Square, width: int, height: int
) -> Bool[np.ndarray, "H W"]:
    """The mask (height, width) of logits (S, S) of a square, where they are above 0, bilinear."""
    import cv2

    mask = np.zeros((height, width), bool)
    # only where the square is: images may have 50 megapixels and many persons
    start, stop = _extent(square, width, height)
    if (stop <= start).any():
        return mask
    back = _matrix(square, logits.shape[0])
    linear = np.linalg.inv(back[:, :2])
    part = cv2.warpAffine(
        np.ascontiguousarray(logits, np.float32),
        _centred(np.column_stack([linear, linear @ (start - back[:, 2])])),
        tuple(int(n) for n in stop - start),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=_OUTSIDE,
    )
    mask[start[1] : stop[1], start[0] : stop[0]] = part > 0
    return mask


def _extent(square: Square, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Top-left and bottom-right pixel (exclusive) of the image's part that a square may touch."""
    corners = square.to_image(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]))
    start = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, (width, height))
    return start, np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, (width, height))


def _matrix(square: Square, size: int) -> Float[np.ndarray, "2 3"]:
    """Maps pixels of the square cut to `size` to pixels of the image."""
    corner = square.to_image(np.zeros(2))
    linear = np.stack([square.to_image(np.eye(2)[at]) - corner for at in (0, 1)], axis=1) / size
    return np.column_stack([linear, corner])


def _centred(matrix: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "2 3"]:
    """The same for OpenCV, which counts from the middle of the top-left pixel."""
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    return shifted

"""Square crops around boxes, and the transforms between an image and its crop.

A transform (2, 3) maps pixels (u, v, 1) of the image to those of the crop (docs/conventions.md:
the middle of the top-left pixel is at (0.5, 0.5)).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from chorus.geometry.image_transforms import Transform

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BLACK, WHITE = 0, 255


def square_of(box: Float[np.ndarray, " 4"], padding: float = 0.0) -> tuple[np.ndarray, float]:
    """Corner (2,) and side, pixels, of the square around a box [x, y, w, h]: its centre, and its
    longer side widened by `padding` of it on each side."""
    box = np.asarray(box, float)
    side = box[2:].max() * (1 + 2 * padding)
    return box[:2] + box[2:] / 2 - side / 2, float(side)


def crop_transform(corner: Float[np.ndarray, " 2"], side: float, size: int) -> Transform:
    """The transform of a square of the image to a crop of `size` pixels a side."""
    scale = size / side
    return np.column_stack([scale * np.eye(2), -scale * np.asarray(corner, float)])


def after(second: Transform, first: Transform) -> Transform:
    """The transform that does `first`, then `second`."""
    linear = second[:, :2] @ first[:, :2]
    return np.column_stack([linear, second[:, :2] @ first[:, 2] + second[:, 2]])


def warp(
    image: UInt8[np.ndarray, "H W 3"], transform: Transform, size: int, outside: int = BLACK
) -> UInt8[np.ndarray, "S S 3"]:
    """The crop (size, size, 3), bilinear; what lies outside of the image is grey of `outside`."""
    import cv2

    # OpenCV counts from the middle of the top-left pixel
    shifted = np.array(transform, float)
    shifted[:, 2] += transform[:, :2] @ [0.5, 0.5] - 0.5
    return cv2.warpAffine(
        np.ascontiguousarray(image),
        shifted,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderValue=(outside,) * 3,
    )


def overlaps(box: Float[np.ndarray, " 4"], image: np.ndarray) -> bool:
    """Whether a box [x, y, w, h] covers any pixel of an image (H, W, 3)."""
    x, y, w, h = box
    return x < image.shape[1] and y < image.shape[0] and x + w > 0 and y + h > 0


def as_input(crops: UInt8[np.ndarray, "B S S 3"]) -> Float[Tensor, "B 3 S S"]:
    """Crops as a network's input, normalised as ImageNet's images."""
    pixels = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
    return (pixels - mean) / deviation

"""Similarity transforms of an image about a point, numpy and OpenCV.

A transform is a matrix (2, 3) float64 that maps pixels (u, v, 1) of the image to pixels of the
transformed image, which has the same size. Pixel coordinates are those of docs/conventions.md: the
middle of the top-left pixel is at (0.5, 0.5).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from chorus.errors import BadInput

Transform = Float[np.ndarray, "2 3"]


def about(centre: Float[np.ndarray, " 2"], scale: float = 1.0, degrees: float = 0.0) -> Transform:
    """The transform that scales and turns about a centre (2,), pixels.

    degrees: clockwise as the image is looked at, from u toward v. BadInput for a scale that is not
    above 0.
    """
    if not scale > 0:
        raise BadInput(f"an image transform needs a scale above 0, found {scale}.")
    angle = np.radians(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.asarray(centre, float)
    return np.column_stack([linear, centre - linear @ centre])


def inverse(transform: Transform) -> Transform:
    """The transform back."""
    linear = np.linalg.inv(transform[:, :2])
    return np.column_stack([linear, -linear @ transform[:, 2]])


def move_points(
    points: Float[np.ndarray, "*batch 2"], transform: Transform
) -> Float[np.ndarray, "*batch 2"]:
    """Pixels (..., 2) where a transform takes them."""
    return np.asarray(points, float) @ transform[:, :2].T + transform[:, 2]


def move_box(box: Float[np.ndarray, " 4"], transform: Transform) -> Float[np.ndarray, " 4"]:
    """The smallest box (4,) xyxy around a transformed box; it may reach beyond the image."""
    corners = move_points(np.asarray(box, float)[[[0, 1], [2, 1], [2, 3], [0, 3]]], transform)
    return np.concatenate([corners.min(0), corners.max(0)])


def move_image(pixels: UInt8[np.ndarray, "H W 3"], transform: Transform) -> np.ndarray:
    """The transformed image (H, W, 3), bilinear; what lies outside is black."""
    import cv2

    # OpenCV counts from the middle of the top-left pixel.
    shifted = np.array(transform, float)
    shifted[:, 2] += transform[:, :2] @ [0.5, 0.5] - 0.5
    return cv2.warpAffine(pixels, shifted, pixels.shape[1::-1], flags=cv2.INTER_LINEAR)

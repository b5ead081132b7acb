"""Weak-perspective cameras of body regressors, torch, any leading batch dimensions.

See method.md, appendix.

A camera (..., 3) = (s, tx, ty) lives in a square crop: crop coordinate in [-1, 1] =
s * (X, Y) + (tx, ty), X right and Y down in the camera's orientation, metres. A crop has a centre
(..., 2) and a side (...), image pixels; -1 is its left or top edge, 1 its right or bottom edge.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

Coordinates = Float[Tensor, "*batch P 2"]
Centre = Float[Tensor, "*batch 2"]
Side = Float[Tensor, "*batch"]


def square_crop(boxes: Float[Tensor, "*batch 4"], scale: float = 1.2) -> tuple[Centre, Side]:
    """Crop of xyxy boxes (..., 4): centre (..., 2) and side (...) = scale * longer side, pixels."""
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    return centre, scale * (boxes[..., 2:] - boxes[..., :2]).amax(dim=-1)


def crop_to_image(coordinates: Coordinates, centre: Centre, side: Side) -> Coordinates:
    """Crop coordinates (..., P, 2) in [-1, 1] to image pixels (..., P, 2)."""
    return centre[..., None, :] + 0.5 * side[..., None, None] * coordinates


def image_to_crop(pixels: Coordinates, centre: Centre, side: Side) -> Coordinates:
    """Image pixels (..., P, 2) to crop coordinates (..., P, 2), [-1, 1] inside the crop."""
    return (pixels - centre[..., None, :]) / (0.5 * side[..., None, None])


def project_weak(
    points: Float[Tensor, "*batch P 3"],
    camera: Float[Tensor, "*batch 3"],
    centre: Centre,
    side: Side,
) -> Coordinates:
    """Points (..., P, 3), metres in the camera's orientation, to image pixels (..., P, 2).

    The depth is not looked at: this is what makes the camera weak.
    """
    coordinates = camera[..., None, :1] * points[..., :2] + camera[..., None, 1:]
    return crop_to_image(coordinates, centre, side)

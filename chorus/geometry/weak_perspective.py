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


def project_long(
    points: Float[Tensor, "*batch P 3"],
    camera: Float[Tensor, "*batch 3"],
    centre: Centre,
    side: Side,
    focal: float,
) -> Coordinates:
    """Points (..., P, 3) to image pixels (..., P, 2) by the pinhole that a regressor means by its
    weak camera.

    Its focal length is `focal` sides of the crop, and (X, Y) at depth 0 lie where the weak camera
    has them: it stands 2 focal / s metres away, so depth Z divides by 1 + s Z / (2 focal).
    """
    depth = 1 + camera[..., None, :1] * points[..., 2:] / (2 * focal)
    coordinates = (camera[..., None, :1] * points[..., :2] + camera[..., None, 1:]) / depth
    return crop_to_image(coordinates, centre, side)


def parallel_projection(
    joints3d: Float[Tensor, "B J 3"],
    joints2d: Float[Tensor, "B J 2"],
    rotation: Float[Tensor, "B 3 3"],
    weights: Float[Tensor, "B J"],
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B 2"]]:
    """The parallel projection scale * (R X)_xy + shift that brings joints closest to their pixels.

    joints3d (B, J, 3) metres in the body frame, joints2d (B, J, 2) pixels, rotation (B, 3, 3) body
    to camera orientation, weights (B, J) of the squared errors. Returns scale (B,), pixels per
    metre, and shift (B, 2), pixels. Joints that are a weak projection of this very body give back
    that projection; for a body of another shape it is the zero-shape body's best one.
    """
    flat = (joints3d @ rotation.mT)[..., :2]
    w = weights[..., None] / weights.sum(-1).clamp(min=1e-12)[:, None, None]
    middle, target = (w * flat).sum(1), (w * joints2d).sum(1)
    offset, pixel_offset = flat - middle[:, None], joints2d - target[:, None]
    spread = (w * offset.square()).sum((1, 2)).clamp(min=1e-12)
    scale = (w * offset * pixel_offset).sum((1, 2)) / spread
    return scale, target - scale[:, None] * middle

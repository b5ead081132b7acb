"""Square crops of persons, as the published body regressors were trained on (method.md, appendix).

Both kinds are zero where they reach beyond the image. Images are RGB uint8 (H, W, 3), boxes xyxy.
A crop knows its centre and side in image pixels: coordinate -1 of a weak-perspective camera is its
left or top edge, 1 its right or bottom edge (`geometry.weak_perspective`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

if TYPE_CHECKING:
    import torch

MINIMAL_SIDE = 20
"""A crop of fewer image pixels a side is too small to regress."""

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_DEVIATION = (0.229, 0.224, 0.225)

_SPIN_SIDE, _SPIN_MARGIN = 224, 1.2
_HMR2_SIDE, _HMR2_ASPECT = 256, 192 / 256
_BLUR_ABOVE = 1.1  # how many times two pixels fall on one before HMR2.0 blurs against aliasing


@dataclass(frozen=True, eq=False)
class Crop:
    """A person's square part of an image, scaled to what a network takes."""

    pixels: UInt8[np.ndarray, "S S 3"] | Float[np.ndarray, "S S 3"]
    """RGB, 0 to 255; float32 where the image was blurred first."""
    centre: Float[np.ndarray, " 2"]
    """Centre, image pixels."""
    side: float
    """Side, image pixels."""


def spin_crop(image: UInt8[np.ndarray, "H W 3"], box: Float[np.ndarray, " 4"]) -> Crop | None:
    """The 224 px crop of FrankMocap: a square of 1.2 times the box's longer side.

    As published, the square's corners are cut to whole pixels (towards zero) before it is taken out
    of the image and scaled bilinearly, without smoothing. Cutting may make width and height differ
    by a pixel; both are scaled to 224, and the height is the side by which the camera is read. (Of
    boxes on whole pixels the original cuts 7 in 100 a pixel otherwise, by rounding.) None for a
    crop under 20 px and for one that lies outside the image.
    """
    left, top, right, bottom = np.asarray(box, np.float64)
    side = _SPIN_MARGIN * max(right - left, bottom - top)
    return whole_pixel_crop(image, np.array([left + right, top + bottom]) / 2, side, _SPIN_SIDE)


def whole_pixel_crop(
    image: UInt8[np.ndarray, "H W 3"], centre: Float[np.ndarray, " 2"], side: float, size: int
) -> Crop | None:
    """A square of an image about a centre, its corners cut to whole pixels (towards zero), scaled
    bilinearly to `size`; None if it is under 20 px, outside the image or not finite."""
    if not np.isfinite([*centre, side]).all():
        return None
    corner = (centre - side / 2).astype(int)
    extent = (centre + side / 2).astype(int) - corner
    part = _cut(image, corner, extent) if (extent >= MINIMAL_SIDE).all() else None
    if part is None:
        return None
    import cv2

    pixels = cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR)
    return Crop(pixels, (corner + extent[1] / 2).astype(np.float32), float(extent[1]))


def hmr2_crop(image: UInt8[np.ndarray, "H W 3"], box: Float[np.ndarray, " 4"]) -> Crop | None:
    """The 256 px crop of HMR2.0: the box grown to 192:256, and its height as the square's side.

    As published there is no margin; the image is blurred before it is scaled down by more than 2.2
    times, and the crop is placed to fractions of a pixel. Numbers are rounded where the original
    rounds them. None for a square under 20 px and for one that lies outside the image.
    """
    corners = np.asarray(box, np.float32).reshape(2, 2)
    width, height = (corners[1] - corners[0]) / 200 * 200  # which rounds as the original does
    side = max(height, width / _HMR2_ASPECT)
    centre = (corners[0] + corners[1]) / 2
    if not np.isfinite([*centre, side]).all() or side < MINIMAL_SIDE:
        return None
    import cv2

    reach = centre - side / 2, centre + side / 2
    if (reach[1] <= 0).any() or (reach[0] >= image.shape[1::-1]).any():
        return None
    onto = _hmr2_map(centre, side)
    reduction = side / _HMR2_SIDE / 2
    if reduction > _BLUR_ABOVE:
        image, start = _blurred(image, *reach, (reduction - 1) / 2)
        onto[:, 2] -= start
    pixels = cv2.warpAffine(
        image,
        onto,
        (_HMR2_SIDE, _HMR2_SIDE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    if pixels.dtype == np.float64:  # in which the original blurs, and warps a little otherwise
        pixels = pixels.astype(np.float32)
    return Crop(pixels, centre, float(side))


def _blurred(
    image: np.ndarray, first: np.ndarray, last: np.ndarray, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """The part of an image between two points x, y, blurred, float64, and its corner in the image.

    Only what matters is blurred: what is cut off lies further away than the blur reaches.
    """
    import cv2

    reach = int(4 * sigma + 0.5)
    start = np.maximum(np.floor(first).astype(int) - reach - 2, 0)
    stop = np.minimum(np.ceil(last).astype(int) + reach + 2, image.shape[1::-1])
    part = image[start[1] : stop[1], start[0] : stop[0]].astype(np.float64)
    kernel = (2 * reach + 1, 2 * reach + 1)
    return cv2.GaussianBlur(part, kernel, sigma, borderType=cv2.BORDER_REPLICATE), start


def _hmr2_map(centre: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The map (2, 3) from pixels of the crop to those of the image.

    The original makes it of three points in float32: the centre, and the middles of the lower and
    of the right edge. So width and height are rounded apart, and differ by some 1e-5 pixels.
    """
    import cv2

    ends = np.array([[0, 0], [0, 1], [1, 0]])
    points = (centre + ends * (side / 2)).astype(np.float32)
    places = ((1 + ends) * (_HMR2_SIDE / 2)).astype(np.float32)
    return cv2.invertAffineTransform(cv2.getAffineTransform(points, places))


def normalised(crops: list[Crop], device: str) -> Float[torch.Tensor, "N 3 S S"]:
    """Crops (N, 3, S, S) in [0, 1], less ImageNet's mean, over its deviation; on `device`."""
    import torch

    pixels = torch.from_numpy(np.stack([crop.pixels for crop in crops])).to(device)
    pixels = pixels.permute(0, 3, 1, 2).float() / 255
    mean, deviation = (
        torch.tensor(value, device=device).view(3, 1, 1) for value in (IMAGE_MEAN, IMAGE_DEVIATION)
    )
    return (pixels - mean) / deviation


def _cut(image: np.ndarray, corner: np.ndarray, size: np.ndarray) -> np.ndarray | None:
    """The rectangle at a whole corner x, y, of a whole width and height, zero outside the image;
    None if it is all outside."""
    height, width = image.shape[:2]
    start = np.maximum(corner, 0)
    stop = np.minimum(corner + size, (width, height))
    if (stop <= start).any():
        return None
    part = np.zeros((size[1], size[0], 3), np.uint8)
    (x0, y0), (x1, y1) = start - corner, stop - corner
    part[y0:y1, x0:x1] = image[start[1] : stop[1], start[0] : stop[0]]
    return part

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
    of the image and scaled bilinearly, without smoothing. Where cutting the corners makes width and
    height differ by a pixel, the height counts for both. None for a square under 20 px and for one
    that lies outside the image.
    """
    left, top, right, bottom = np.asarray(box, np.float64)
    side = _SPIN_MARGIN * max(right - left, bottom - top)
    centre = np.array([left + right, top + bottom]) / 2
    if not np.isfinite([*centre, side]).all():
        return None
    corner = (centre - side / 2).astype(int)
    whole = int(centre[1] + side / 2) - int(corner[1])
    square = _cut(image, corner, whole) if whole >= MINIMAL_SIDE else None
    if square is None:
        return None
    import cv2

    pixels = cv2.resize(square, (_SPIN_SIDE, _SPIN_SIDE), interpolation=cv2.INTER_LINEAR)
    return Crop(pixels, (corner + whole / 2).astype(np.float32), float(whole))


def hmr2_crop(image: UInt8[np.ndarray, "H W 3"], box: Float[np.ndarray, " 4"]) -> Crop | None:
    """The 256 px crop of HMR2.0: the box grown to 192:256, and its height as the square's side.

    As published there is no margin; the image is blurred before it is scaled down by more than 2.2
    times, and the crop is placed to fractions of a pixel. None for a square under 20 px and for one
    that lies outside the image.
    """
    left, top, right, bottom = np.asarray(box, np.float64)
    side = max(bottom - top, (right - left) / _HMR2_ASPECT)
    centre = np.array([left + right, top + bottom]) / 2
    if not np.isfinite([*centre, side]).all() or side < MINIMAL_SIDE:
        return None
    import cv2

    reduction = side / _HMR2_SIDE / 2
    sigma = (reduction - 1) / 2 if reduction > _BLUR_ABOVE else 0.0
    reach = int(4 * sigma + 0.5)
    # only the part that matters is blurred; what is cut off lies further away than the blur reaches
    start = np.maximum(np.floor(centre - side / 2).astype(int) - reach - 2, 0)
    stop = np.minimum(np.ceil(centre + side / 2).astype(int) + reach + 2, image.shape[1::-1])
    if (stop <= start).any():
        return None
    part = image[start[1] : stop[1], start[0] : stop[0]]
    if sigma:
        part = part.astype(np.float32)
        part = cv2.GaussianBlur(
            part, (2 * reach + 1, 2 * reach + 1), sigma, borderType=cv2.BORDER_REPLICATE
        )
    scale = _HMR2_SIDE / side
    shift = _HMR2_SIDE / 2 - scale * (centre - start)
    onto = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    pixels = cv2.warpAffine(
        part,
        onto,
        (_HMR2_SIDE, _HMR2_SIDE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return Crop(pixels, centre.astype(np.float32), float(side))


def normalised(crops: list[Crop], device: str) -> Float[torch.Tensor, "N 3 S S"]:
    """Crops (N, 3, S, S) in [0, 1], less ImageNet's mean, over its deviation; on `device`."""
    import torch

    pixels = torch.from_numpy(np.stack([crop.pixels for crop in crops])).to(device)
    pixels = pixels.permute(0, 3, 1, 2).float() / 255
    mean, deviation = (
        torch.tensor(value, device=device).view(3, 1, 1) for value in (IMAGE_MEAN, IMAGE_DEVIATION)
    )
    return (pixels - mean) / deviation


def _cut(image: np.ndarray, corner: np.ndarray, side: int) -> np.ndarray | None:
    """The square at a whole corner x, y, zero outside the image; None if it is all outside."""
    height, width = image.shape[:2]
    start = np.maximum(corner, 0)
    stop = np.minimum(corner + side, (width, height))
    if (stop <= start).any():
        return None
    square = np.zeros((side, side, 3), np.uint8)
    (x0, y0), (x1, y1) = start - corner, stop - corner
    square[y0:y1, x0:x1] = image[start[1] : stop[1], start[0] : stop[0]]
    return square

"""Where BlazePose looks for persons, and which of what it finds is one person twice.

Its detector finds persons between two fifths and all of the square that it is shown, in any
orientation. So an image is shown to it as a whole and in overlapping tiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from chorus.geometry.boxes import iou
from chorus.perception.blazepose_squares import Square
from chorus.perception.person_crops import MINIMAL_SIDE

_DIVISORS = (2, 3)  # of the long side, or of twice the short one: sides of tiles
_MOST_ELONGATED = 16  # tiles are not made smaller to fit a strip longer than this
_SAME_REGION = 0.75  # intersection over union
_SAME_MASK = 0.6  # intersection over the smaller


def tiles(width: int, height: int) -> list[Square]:
    """The squares of an image that the detector is shown, the whole one first.

    Tiles of a size cover the image and overlap by at least half; they are a half and a third of the
    long side, or, in a panorama, as large as the short side and two thirds of it. Those too small
    for a person are left out; none in a strip that is.
    """
    longest, shortest = max(width, height), min(width, height)
    if shortest < MINIMAL_SIDE:
        return []
    squares = [Square(width / 2, height / 2, float(longest))]
    base = max(min(longest, 2 * shortest), longest / _MOST_ELONGATED)
    for divisor in _DIVISORS:
        side = base / divisor
        squares += [
            Square(x, y, side) for y in _centres(height, side) for x in _centres(width, side)
        ]
    return [square for square in squares if square.side >= MINIMAL_SIDE]


def _centres(length: float, side: float) -> Float[np.ndarray, " N"]:
    """Centres of the fewest intervals of a side that cover a length and overlap by half."""
    if side >= length:
        return np.array([length / 2])
    steps = int(np.ceil((length - side) / (side / 2) - 1e-9))
    return np.linspace(side / 2, length - side / 2, steps + 1)


def different_regions(regions: Sequence[Square], scores: Float[np.ndarray, " N"]) -> list[int]:
    """Places of the regions that no better one nearly coincides with, best first.

    Coarse on purpose: persons who stand close have regions that overlap a lot. What is left twice
    goes with its mask (`different_masks`).
    """
    kept: list[int] = []
    boxes = np.array([region.box() for region in regions]).reshape(-1, 4)
    # Sequential by definition: only regions that were kept make others superfluous.
    for at in np.argsort(-np.asarray(scores), kind="stable"):
        if not (iou(boxes[at], boxes[kept]) >= _SAME_REGION).any():
            kept.append(int(at))
    return kept


def different_masks(
    masks: Sequence[Bool[np.ndarray, "h w"]], scores: Float[np.ndarray, " N"]
) -> list[int]:
    """Places of the masks (h, w) of different persons, best first: a mask of which a better one
    shares 0.6 of the smaller of the two is the same person once more, an empty one is nobody."""
    kept: list[int] = []
    areas = [np.count_nonzero(mask) for mask in masks]
    for at in np.argsort(-np.asarray(scores), kind="stable"):
        least = [_SAME_MASK * min(areas[at], areas[other]) for other in kept]
        shared = [np.count_nonzero(masks[at] & masks[other]) for other in kept]
        if areas[at] and all(s < most for s, most in zip(shared, least, strict=True)):
            kept.append(int(at))
    return kept


def region_of_box(box: Float[np.ndarray, " 4"]) -> Square:
    """The landmark network's region for somebody of whom only the box (4,) xyxy is known: upright,
    a quarter larger than the longer side."""
    left, top, right, bottom = (float(value) for value in box)
    side = 1.25 * max(right - left, bottom - top)
    return Square((left + right) / 2, (top + bottom) / 2, side)


def tiles_of_box(box: Float[np.ndarray, " 4"]) -> list[Square]:
    """The squares about a box (4,) xyxy in which the detector looks for its person."""
    region = region_of_box(box)
    return [region, Square(region.x, region.y, 1.6 * region.side)]

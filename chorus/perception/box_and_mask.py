"""Whether the box and the mask of a COCO annotation are of one place, and why not.

Programs write boxes and run lengths in ways that look right one by one. The mask of the same
instance tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from chorus.geometry import masks
from chorus.geometry.boxes import intersection, iou

_ALIKE = 0.5  # overlap (IoU) from which a box is the mask's; boxes may be loose, or of hidden parts
_EXPLAINED = 0.8  # overlap from which another reading of the same numbers is what was meant


def disagreement(
    annotation: Mapping, box: Float[np.ndarray, " 4"], mask: bytes, height: int, width: int
) -> str:
    """What is wrong with an annotation whose box (4,) xyxy and mask do not agree; "" if they do.

    A box that merely differs from its mask is taken as it is: only one that another reading of its
    numbers explains, or that shares nothing with the mask, is wrong.
    """
    tight = masks.box_of(masks.decode(mask, height, width))
    if iou(box, tight) >= _ALIKE:
        return ""
    for cause, other in _other_boxes(annotation["bbox"], height, width).items():
        if iou(other, tight) >= _EXPLAINED:
            return (
                f"its box and its mask disagree: bbox {cause}; write x, y, width, height in pixels"
            )
    by_rows = _read_by_rows(annotation["segmentation"], height, width)
    if by_rows is not None and iou(box, by_rows) >= _EXPLAINED:
        return (
            "its box and its mask disagree: the run lengths count row by row; COCO's count column "
            "by column"
        )
    if not intersection(box, tight) > 0:
        return (
            f"its box {_rounded(box)} and its mask, of {_rounded(tight)} (both xyxy), lie in "
            "different places"
        )
    return ""


def _other_boxes(bbox: list, height: int, width: int) -> dict[str, np.ndarray]:
    """Boxes (4,) xyxy that the four numbers of a `bbox` may mean, by what they then are."""
    x, y, w, h = map(float, bbox)
    size = np.array([width, height] * 2)
    return {
        "is x1, y1, x2, y2": np.array([x, y, w, h]),
        "counts y from the bottom": np.array([x, height - y - h, x + w, height - y]),
        "is of shares of the image's size": np.array([x, y, x + w, y + h]) * size,
        "is the middle and the size": np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]),
        "is the middle and the size as shares of the image's size": np.array(
            [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        )
        * size,
        "is y, x, height, width": np.array([y, x, y + h, x + w]),
    }


def _read_by_rows(segmentation: object, height: int, width: int) -> np.ndarray | None:
    """The box (4,) of run lengths given as numbers if they were counted along rows."""
    counts = segmentation.get("counts") if isinstance(segmentation, Mapping) else None
    if not isinstance(counts, list):
        return None
    values = np.arange(len(counts)) % 2 == 1
    return masks.box_of(np.repeat(values, counts).reshape(height, width))


def _rounded(box: np.ndarray) -> list[float]:
    return [round(float(value), 1) for value in box]

"""Images as networks can take them, and what networks find in them back in the image's own pixels.

A frame is an image brought to sides that any detector accepts: shrunk if it is large, so that 20
megapixels do not fill the memory, and padded with black if it is a few pixels wide.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from chorus.geometry import masks as mask_geometry
from chorus.records.rows import Detection

MOST_INSTANCES = 100
"""No detector here returns more instances of one image than this, the best ones."""

_LARGEST_SIDE = 2048
_SMALLEST_SIDE = 32


@dataclass(frozen=True)
class Frame:
    """pixels (H', W', 3) uint8 RGB; inner (h, w) the part of them that shows the image, from the
    top left; size (H, W) of the image itself."""

    pixels: UInt8[np.ndarray, "h w 3"]
    inner: tuple[int, int]
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """(H', W') of the frame."""
        height, width = self.pixels.shape[:2]
        return height, width

    def boxes(self, boxes: Float[np.ndarray, "N 4"]) -> Float[np.ndarray, "N 4"]:
        """Boxes (N, 4) xyxy of the frame as boxes of the image, clipped to it, float32."""
        (height, width), (inner_height, inner_width) = self.size, self.inner
        scale = np.array([width / inner_width, height / inner_height] * 2)
        scaled = np.asarray(boxes, np.float64).reshape(-1, 4) * scale
        return np.clip(scaled, 0, [width, height, width, height]).astype(np.float32)

    def mask(self, mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "H W"]:
        """A mask (H', W') of the frame as a mask (H, W) of the image."""
        import cv2

        inner = np.ascontiguousarray(mask[: self.inner[0], : self.inner[1]])
        if self.inner == self.size:
            return inner
        size = self.size[::-1]
        return cv2.resize(inner.view(np.uint8), size, interpolation=cv2.INTER_NEAREST).view(bool)


def frame_of(pixels: UInt8[np.ndarray, "H W 3"]) -> Frame:
    """The frame of an image (H, W, 3) uint8: long side at most 2048, short side at least 32."""
    import cv2

    size = pixels.shape[:2]
    shrink = min(1.0, _LARGEST_SIDE / max(size))
    inner = tuple(max(1, round(side * shrink)) for side in size)
    if inner != size:
        pixels = cv2.resize(pixels, inner[::-1], interpolation=cv2.INTER_AREA)
    missing = [max(0, _SMALLEST_SIDE - side) for side in inner]
    if any(missing):
        pixels = np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)))
    return Frame(pixels, inner, size)


def alike(keys: Sequence[Hashable], most: int) -> Iterator[list[int]]:
    """Places of equal keys, at most `most` at once.

    With the frames' shapes as keys, every batch holds frames of one size: nothing is padded, and
    what is found in an image does not depend on its neighbours.
    """
    groups: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(key, []).append(place)
    for places in groups.values():
        for start in range(0, len(places), most):
            yield places[start : start + most]


def detections(
    frame: Frame,
    labels: Sequence[str],
    scores: Float[np.ndarray, " N"],
    masks: Iterable[Bool[np.ndarray, "h w"]],
    boxes: Float[np.ndarray, "N 4"] | None = None,
) -> list[Detection]:
    """Instances of an image from those of its frame.

    masks: N masks (H', W') of the frame, of which one at a time is held in the image's size. boxes
    (N, 4) xyxy of the frame; the masks' own if left out. Instances without area are dropped.
    """
    instances = []
    places = frame.boxes(boxes) if boxes is not None else None
    for number, mask in enumerate(masks):
        mask = frame.mask(mask)
        box = places[number] if places is not None else mask_geometry.box_of(mask)
        if (box[2:] > box[:2]).all() and mask.any():
            score = float(np.clip(scores[number], 0, 1))
            instances.append(Detection(labels[number], score, box, mask_geometry.encode(mask)))
    return instances

"""A person that BlazePose found, of two looks at a region: the record, and pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from chorus.geometry import masks as mask_geometry
from chorus.perception.blazepose_agreement import (
    Agreement,
    keypoint_similarities,
    mask_iou,
    part_inside,
    similarity,
)
from chorus.perception.blazepose_network import Look
from chorus.perception.blazepose_squares import Square, mask_in_image

BODY_LANDMARKS = 33
"""The landmarks of the body, which come first; the others only lead to the next region."""

_MOST_PIXELS = 4_000_000
_COARSE = 384  # longer side of masks that are compared with each other, pixels


@dataclass(frozen=True, eq=False)
class Found:
    """One person in an image (H, W).

    box (4,) float32 xyxy of the mask; score in [0, 1]: the detector's, times presence, times all
    agreements; landmarks (33, 5): x, y, z in image pixels (z away from the camera, 0 at the hips),
    visibility, presence; world (33, 3): metres about the middle of the hips, in the camera's
    orientation (x right, y down, z away); similarities (17,): how far the two looks agree on each
    COCO keypoint, in [0, 1]; agreement: that of the whole; region: where the network looked; logits
    (256, 256): its mask there; size: (H, W).
    """

    box: Float[np.ndarray, " 4"]
    score: float
    landmarks: Float[np.ndarray, "33 5"]
    world: Float[np.ndarray, "33 3"]
    similarities: Float[np.ndarray, " 17"]
    agreement: Agreement
    region: Square
    logits: Float[np.ndarray, "256 256"]
    size: tuple[int, int]

    @property
    def mask(self) -> Bool[np.ndarray, "H W"]:
        """The person's mask (H, W), drawn anew each time: many of a large image fill the memory."""
        height, width = self.size
        return mask_in_image(self.logits, self.region, width, height)

    @property
    def coarse_mask(self) -> Bool[np.ndarray, "h w"]:
        """The same, at most 384 pixels a side, to compare persons of one image."""
        return _coarse_mask(self.logits, self.region, self.size)

    @property
    def doubt(self) -> str:
        """Why this body should not be believed, for people; empty if it may be."""
        return self.agreement.doubt


@dataclass(frozen=True, eq=False)
class Shrunk:
    """An image (H, W, 3) as it is looked at: at most four megapixels, `scale` times as large."""

    pixels: UInt8[np.ndarray, "h w 3"]
    scale: float
    size: tuple[int, int]


def shrunk(image: UInt8[np.ndarray, "H W 3"]) -> Shrunk:
    """The image for the networks; the image itself if it is small enough."""
    import cv2

    height, width = image.shape[:2]
    scale = min(1.0, float(np.sqrt(_MOST_PIXELS / (height * width))))
    if scale < 1:
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, inner, interpolation=cv2.INTER_AREA)
    return Shrunk(image, scale, (height, width))


def landmarks_in_image(look: Look, region: Square) -> Float[np.ndarray, "39 5"]:
    """All landmarks (39, 5) of a look at a region: x, y, z in pixels, visibility, presence."""
    landmarks = look.landmarks.copy()
    landmarks[:, :2] = region.to_image(landmarks[:, :2])
    landmarks[:, 2] *= region.side
    return landmarks


def found_in(
    looks: tuple[Look, Look], regions: tuple[Square, Square], score: float, size: tuple[int, int]
) -> Found | None:
    """The person of two looks at two regions (pixels of an image of size (H, W)); None if the mask
    is empty. score: the detector's."""
    masks = [
        _coarse_mask(look.mask, region, size) for look, region in zip(looks, regions, strict=True)
    ]
    first, second = (
        landmarks_in_image(look, region)[:BODY_LANDMARKS]
        for look, region in zip(looks, regions, strict=True)
    )
    look, region = looks[1], regions[1]
    coarse = _coarse_scale(size)
    box = mask_geometry.box_of(masks[1]) / coarse
    if not box.any():
        return None
    agreement = Agreement(
        presence=look.presence,
        similarity=similarity(first, second, region.side),
        mask_iou=mask_iou(*masks),
        inside=part_inside(second * [coarse, coarse, 1, 1, 1], masks[1], region.side * coarse),
    )
    return Found(
        box=np.minimum(box, [*size[::-1], *size[::-1]]).astype(np.float32),
        score=float(score * agreement.product),
        landmarks=second,
        world=region.turned(look.world[:BODY_LANDMARKS]),
        similarities=keypoint_similarities(first, second, region.side),
        agreement=agreement,
        region=region,
        logits=look.mask,
        size=size,
    )


def _coarse_scale(size: tuple[int, int]) -> float:
    return min(1.0, _COARSE / max(size))


def _coarse_mask(
    logits: Float[np.ndarray, "S S"], region: Square, size: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    scale = _coarse_scale(size)
    height, width = (max(1, int(np.ceil(side * scale))) for side in size)
    return mask_in_image(logits, region.scaled(scale), width, height)

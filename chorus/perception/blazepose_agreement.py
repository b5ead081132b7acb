"""Whether BlazePose's landmark network may be believed: pure functions on what it saw.

Its presence stays at 0.99 on many failures. What fails does not agree with itself: a person is
looked at twice, the second time in the region that the first look's landmarks ask for, and the two
looks, and the body and its mask, are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

COCO_LANDMARKS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""Places of COCO's 17 keypoints among the 33 landmarks."""

SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
"""COCO's deviations of annotators per keypoint, over the square root of the person's area."""

LEAST_PRESENCE = 0.5
LEAST_SIMILARITY = 0.75
LEAST_MASK_IOU = 0.5
LEAST_INSIDE = 0.75

_BODY_AREA = 0.13  # of a region that shows a whole person, by masks of photographs
_SEEN = 0.5  # least visibility times presence of a landmark that must lie in the mask
_SLACK = 0.025  # sides of the region that a landmark may lie beside the mask


@dataclass(frozen=True)
class Agreement:
    """How far two looks at one person agree, all in [0, 1].

    presence: of the second look; similarity: object keypoint similarity of the two; mask_iou:
    intersection over union of their masks in the image; inside: the part of the second look's seen
    keypoints in the image that lie in its mask, 0 without such a keypoint.
    """

    presence: float
    similarity: float
    mask_iou: float
    inside: float

    @property
    def product(self) -> float:
        """All of them together."""
        return self.presence * self.similarity * self.mask_iou * self.inside

    @property
    def doubt(self) -> str:
        """Why the body should not be believed, for people; empty if it may be."""
        reasons = []
        if self.presence < LEAST_PRESENCE:
            reasons.append(f"the network sees no person (presence {self.presence:.2f})")
        if self.similarity < LEAST_SIMILARITY:
            reasons.append(f"two looks disagree on the body (similarity {self.similarity:.2f})")
        if self.mask_iou < LEAST_MASK_IOU:
            reasons.append(f"two looks disagree on the mask (IoU {self.mask_iou:.2f})")
        if self.inside < LEAST_INSIDE:
            reasons.append(f"body and mask disagree ({self.inside:.0%} of the body is in it)")
        return "; ".join(reasons)


def keypoint_similarities(
    first: Float[np.ndarray, "33 D"], second: Float[np.ndarray, "33 D"], side: float
) -> Float[np.ndarray, " 17"]:
    """COCO's similarity exp(-d^2 / (2 area (2 sigma)^2)) (17,) in [0, 1] of two sets of landmarks.

    first, second: (33 or more, D) with x, y in front, pixels; side: that of the person's region,
    pixels, of which a whole person covers 0.13.
    """
    places = list(COCO_LANDMARKS)
    squared = ((first[places, :2] - second[places, :2]) ** 2).sum(1)
    variance = _BODY_AREA * side**2 * (2 * SIGMAS) ** 2
    return np.exp(-squared / (2 * variance))


def similarity(
    first: Float[np.ndarray, "33 5"], second: Float[np.ndarray, "33 5"], side: float
) -> float:
    """The mean of `keypoint_similarities`, weighted by how well the second look sees each."""
    seen = certainty(second)
    if seen.sum() == 0:
        return 0.0
    return float(np.average(keypoint_similarities(first, second, side), weights=seen))


def certainty(landmarks: Float[np.ndarray, "33 5"]) -> Float[np.ndarray, " 17"]:
    """Visibility times presence (17,) of COCO's keypoints among landmarks (33 or more, 5)."""
    return landmarks[list(COCO_LANDMARKS), 3] * landmarks[list(COCO_LANDMARKS), 4]


def mask_iou(first: Bool[np.ndarray, "H W"], second: Bool[np.ndarray, "H W"]) -> float:
    """Intersection over union of two masks; 0 if both are empty."""
    union = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / union) if union else 0.0


def part_inside(
    landmarks: Float[np.ndarray, "33 5"], mask: Bool[np.ndarray, "H W"], side: float
) -> float:
    """The part of the seen COCO keypoints in the image that lie in its mask, or so near to it that
    a fortieth of the region's side (pixels) is between; 0 without such a keypoint."""
    import cv2

    height, width = mask.shape
    places = list(COCO_LANDMARKS)
    pixels = np.floor(landmarks[places, :2])
    within = (pixels >= 0).all(1) & (pixels < [width, height]).all(1)
    seen = pixels[within & (certainty(landmarks) >= _SEEN)].astype(int)
    if not len(seen) or not mask.any():
        return 0.0
    distance = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((distance[seen[:, 1], seen[:, 0]] <= _SLACK * side).mean())

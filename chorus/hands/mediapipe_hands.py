"""`mediapipe-hands`: hands in photographs by MediaPipe's two small networks, on a CPU.

A detector finds palms in squares of the image, a landmark network looks at each twice: at the
region that the palm suggests, and at the one that its own landmarks do. docs/hands.md says how well
they do.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from chorus.errors import Unavailable
from chorus.hands.hand_model import Side
from chorus.hands.joints import places
from chorus.hands.mediapipe_network import HandLandmarkNetwork, HandLook, PalmDetector
from chorus.models import registry
from chorus.models.registry import HAND_MODEL, HAND_WEIGHTS
from chorus.perception import blazepose_search
from chorus.perception.blazepose_found import Shrunk, shrunk
from chorus.perception.blazepose_squares import Square
from chorus.perception.person_crops import MINIMAL_SIDE

LEAST_SCORE = 0.5
LEAST_PRESENCE = 0.9
"""Of the second look; hands of photographs have 0.98 and more, a sleeve had 0.81."""
_WORTH_A_SECOND_LOOK = 0.25
_MOST_CANDIDATES = 60
_PALM_REGION, _PALM_SHIFT = 2.6, 0.5  # of the palm's box: side, and shift toward the fingers
_HAND_REGION, _HAND_SHIFT = 2.0, 0.1  # of the landmarks' box
_WRIST, _MIDDLE_KNUCKLE = 0, 2  # of a palm's seven points
_SAME = 0.2  # mean distance of landmarks, in extents, below which two hands are one


@dataclass(frozen=True, eq=False)
class FoundHand:
    """A hand in an image; landmarks in FreiHAND's order.

    landmarks (21, 3): x, y in image pixels, z in pixels, away from the camera, from the wrist.
    world (21, 3): metres in the image's orientation, y down, z away, about the hand's middle.
    side_score, presence, score: of the side, of being a hand at all, of the palm, in [0, 1].
    """

    landmarks: Float[np.ndarray, "21 3"]
    world: Float[np.ndarray, "21 3"]
    side: Side
    side_score: float
    presence: float
    score: float

    @property
    def box(self) -> Float[np.ndarray, " 4"]:
        """The box (4,) xyxy of the landmarks, pixels."""
        xy = self.landmarks[:, :2]
        return np.concatenate([xy.min(axis=0), xy.max(axis=0)])

    @property
    def extent(self) -> float:
        """The longer side of the box, pixels."""
        return float((self.box[2:] - self.box[:2]).max())


def check(imports_dir: Path) -> None:
    """Raise Unavailable if the package or a weight is missing."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise Unavailable(
            f"{HAND_MODEL} needs the package ai-edge-litert: "
            "pip install -c constraints.txt -e '.[pocket]'"
        )
    for name in HAND_WEIGHTS:
        path = imports_dir / registry.WEIGHTS[name].destination
        if not path.is_file():
            raise Unavailable(
                f"{path} is not there ({registry.WEIGHTS[name].about}). Fetch it with: chorus "
                f"download {HAND_MODEL}"
            )


class MediapipeHands:
    """Both networks of an imports folder, and how they are used together."""

    def __init__(self, imports_dir: Path):
        check(imports_dir)
        palms, landmarks = (registry.require(name, imports_dir) for name in HAND_WEIGHTS)
        self._palms = PalmDetector(palms)
        self._landmarks = HandLandmarkNetwork(landmarks)

    def find_hands(
        self, image: UInt8[np.ndarray, "H W 3"], least: float = LEAST_SCORE
    ) -> list[FoundHand]:
        """The hands of an image (H, W, 3) RGB whose palm has a score of `least` or more and which
        the landmark network takes for hands, best first, none twice."""
        small = shrunk(image)
        height, width = small.pixels.shape[:2]
        candidates = []
        for square in blazepose_search.tiles(width, height):
            seen = self._palms(small.pixels, square, least)
            for box, points, score in zip(seen.boxes, seen.points, seen.scores, strict=True):
                candidates.append((palm_region(square, box, points), float(score)))
        candidates = [each for each in candidates if each[0].side >= MINIMAL_SIDE]
        scores = np.array([score for _, score in candidates])
        regions = [region for region, _ in candidates]
        kept = blazepose_search.different_regions(regions, scores)[:_MOST_CANDIDATES]
        found = (self._look_twice(small, regions[at], float(scores[at])) for at in kept)
        return different_hands([hand for hand in found if hand is not None])

    def _look_twice(self, small: Shrunk, region: Square, score: float) -> FoundHand | None:
        """The hand of a region; None if there is none, or the first look leads nowhere."""
        height, width = small.pixels.shape[:2]
        first = self._landmarks(small.pixels, region)
        if first.presence < _WORTH_A_SECOND_LOOK:
            return None
        onto = hand_region(region.to_image(first.landmarks[:, :2]))
        if not onto.side >= MINIMAL_SIDE or not onto.reaches(width, height):  # NaN is no side
            return None
        second = self._landmarks(small.pixels, onto)
        if second.presence < LEAST_PRESENCE:
            return None
        return _found(second, onto.scaled(1 / small.scale), score)


def palm_region(
    square: Square, box: Float[np.ndarray, " 4"], points: Float[np.ndarray, "7 2"]
) -> Square:
    """The landmark network's region for a palm, given in places of a square: 2.6 times its box,
    turned so that the fingers point up, and moved half a box toward them."""
    corners = square.to_image(box.reshape(2, 2))
    wrist, knuckle = square.to_image(points[[_WRIST, _MIDDLE_KNUCKLE]])
    side = float((corners[1] - corners[0]).max())
    return _turned_square(corners.mean(axis=0), side, knuckle - wrist, _PALM_REGION, _PALM_SHIFT)


def hand_region(pixels: Float[np.ndarray, "21 2"]) -> Square:
    """The landmark network's region for a hand whose landmarks (21, 2) are known: twice the box
    about its palm and the fingers' middle joints in the hand's own orientation, moved a little
    toward the fingers."""
    wrist, index, middle, ring = pixels[places(["wrist", "index1", "middle1", "ring1"])]
    up = ((index + ring) / 2 + middle) / 2 - wrist
    palm = pixels[places(_REGION_LANDMARKS)]
    angle = np.arctan2(up[0], -up[1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    own = palm @ turn  # in the hand's axes: up is -y
    low, high = own.min(axis=0), own.max(axis=0)
    centre = turn @ ((low + high) / 2)
    return _turned_square(centre, float((high - low).max()), up, _HAND_REGION, _HAND_SHIFT)


_REGION_LANDMARKS = (
    "wrist", "thumb1", "thumb2", "thumb3", "index1", "index2", "middle1", "middle2", "ring1",
    "ring2", "pinky1", "pinky2",
)  # fmt: skip


def _turned_square(
    centre: np.ndarray, side: float, up: np.ndarray, scale: float, shift: float
) -> Square:
    length = float(np.hypot(*up))
    direction = up / length if length else np.array([0.0, -1.0])
    x, y = centre + shift * side * direction
    return Square(float(x), float(y), scale * side, float(np.arctan2(direction[0], -direction[1])))


def _found(look: HandLook, region: Square, score: float) -> FoundHand:
    landmarks = look.landmarks.copy()
    landmarks[:, :2] = region.to_image(landmarks[:, :2])
    landmarks[:, 2] *= region.side
    right = look.right >= 0.5
    return FoundHand(
        landmarks=landmarks,
        world=region.turned(look.world),
        side="right" if right else "left",
        side_score=look.right if right else 1 - look.right,
        presence=look.presence,
        score=score,
    )


def different_hands(hands: Iterable[FoundHand]) -> list[FoundHand]:
    """The hands, best first, without those whose landmarks nearly are those of a better one. Hands
    that cross or touch are kept: their landmarks differ."""
    kept: list[FoundHand] = []
    for hand in sorted(hands, key=lambda one: -one.presence * one.score):
        apart = (
            np.linalg.norm(hand.landmarks[:, :2] - other.landmarks[:, :2], axis=1).mean()
            for other in kept
        )
        nearest = (
            distance / max(hand.extent, other.extent, 1e-9)
            for distance, other in zip(apart, kept, strict=True)
        )
        if all(share >= _SAME for share in nearest):
            kept.append(hand)
    return kept

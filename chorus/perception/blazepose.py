"""Persons, their masks and bodies by BlazePose's two small networks on a CPU (profile `pocket`).

A detector finds persons in squares of the image, a landmark network looks at each twice. They know
persons alone, no objects. docs/perception.md says how well they do.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from chorus.errors import Unavailable
from chorus.geometry.boxes import iou
from chorus.models import registry
from chorus.perception import blazepose_search
from chorus.perception.blazepose_found import (
    BODY_LANDMARKS,
    Found,
    Shrunk,
    found_in,
    landmarks_in_image,
    shrunk,
)
from chorus.perception.blazepose_network import Detector, LandmarkNetwork
from chorus.perception.blazepose_squares import Square, from_two_points
from chorus.perception.person_crops import MINIMAL_SIDE

WEIGHTS = ("blazepose-detector", "blazepose-landmarks")
"""Names of the two networks' weights in the registry."""

_LEAST_SCORE = 0.5
_LEAST_BESIDE_BOX = 0.3  # of the detector, where a segmenter has said that there is a person
_MOST_CANDIDATES = 60
_ITS_BOX = 0.3  # overlap (IoU) from which a found person is the one that a box is about

Candidate = tuple[Square, float]
"""A region for the landmark network, in pixels of the shrunk image, and its score."""


def check(name: str, source: str, imports_dir: Path) -> None:
    """Raise Unavailable if the package or a weight is missing."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise Unavailable(
            f"{name} needs the package ai-edge-litert: "
            "pip install -c constraints.txt -e '.[pocket]'"
        )
    lacking = [w for w in WEIGHTS if not (imports_dir / registry.WEIGHTS[w].destination).is_file()]
    if lacking:
        raise Unavailable(
            f"{imports_dir / registry.WEIGHTS[lacking[0]].destination} is not there "
            f"({registry.WEIGHTS[lacking[0]].about}). Fetch it with: sh "
            "scripts/download_off_the_shelf.sh blazepose"
        )


class Blazepose:
    """Both networks of an imports folder, and how they are used together."""

    def __init__(self, imports_dir: Path):
        detector, landmarks = (registry.require(weight, imports_dir) for weight in WEIGHTS)
        self._detector = Detector(detector)
        self._landmarks = LandmarkNetwork(landmarks)

    def find_persons(
        self, image: UInt8[np.ndarray, "H W 3"], least: float = _LEAST_SCORE
    ) -> list[Found]:
        """Everybody in an image (H, W, 3) RGB of score `least` or more whose body may be believed,
        best first, nobody twice."""
        small = shrunk(image)
        height, width = small.pixels.shape[:2]
        candidates = self._detected(small, blazepose_search.tiles(width, height), least)
        found = [
            one for one in self._persons(small, candidates) if one.score >= least and not one.doubt
        ]
        scores = np.array([one.score for one in found])
        masks = [one.coarse_mask for one in found]
        return [found[at] for at in blazepose_search.different_masks(masks, scores)]

    def look_at(
        self, image: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "P 4"]
    ) -> list[Found | None]:
        """The person of each box (P, 4) xyxy of an image (H, W, 3) RGB, in order, doubtful ones
        (`Found.doubt`) included.

        The detector looks about the box, and an upright region made from the box is tried as well;
        of the persons whose own box overlaps the given one by an IoU of 0.3, the one who agrees
        best with it and with himself is taken. None without such a person, and for a box under 20
        pixels or outside the image.
        """
        small = shrunk(image)
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        return [self._person_of(box, small) for box in boxes]

    def _person_of(self, box: Float[np.ndarray, " 4"], small: Shrunk) -> Found | None:
        if not np.isfinite(box).all():
            return None
        seen = np.clip(box, 0, [*small.size[::-1], *small.size[::-1]])
        sides = seen[2:] - seen[:2]
        if sides.min() <= 0 or sides.max() < MINIMAL_SIDE:
            return None
        about = seen * small.scale
        candidates = self._detected(small, blazepose_search.tiles_of_box(about), _LEAST_BESIDE_BOX)
        candidates.append((blazepose_search.region_of_box(about), _LEAST_BESIDE_BOX))
        persons = self._persons(small, candidates)
        overlaps = [float(iou(one.box, seen)) for one in persons]
        own = [at for at, overlap in enumerate(overlaps) if overlap >= _ITS_BOX]
        if not own:
            return None
        return persons[max(own, key=lambda at: overlaps[at] * persons[at].agreement.product)]

    def _detected(self, small: Shrunk, squares: Iterable[Square], least: float) -> list[Candidate]:
        """Candidates whom the detector gives at least a score, in any of the squares."""
        candidates = []
        for square in squares:
            seen = self._detector(small.pixels, square, least)
            for points, score in zip(square.to_image(seen.points), seen.scores, strict=True):
                region = from_two_points(points[0], points[1])
                if region.side >= MINIMAL_SIDE:
                    candidates.append((region, float(score)))
        return candidates

    def _persons(self, small: Shrunk, candidates: list[Candidate]) -> list[Found]:
        """The persons of the candidates whose regions differ, as far as there are any."""
        regions = [region for region, _ in candidates]
        scores = np.array([score for _, score in candidates])
        places = blazepose_search.different_regions(regions, scores)[:_MOST_CANDIDATES]
        persons = (self._look_twice(small, regions[at], float(scores[at])) for at in places)
        return [one for one in persons if one is not None]

    def _look_twice(self, small: Shrunk, region: Square, score: float) -> Found | None:
        """The person of a region; None if the first look does not lead to a second one."""
        height, width = small.pixels.shape[:2]
        first = self._landmarks(small.pixels, region)
        ahead = landmarks_in_image(first, region)[BODY_LANDMARKS:, :2]
        onto = from_two_points(ahead[0], ahead[1])
        if onto.side < MINIMAL_SIDE or not onto.reaches(width, height):
            return None
        second = self._landmarks(small.pixels, onto)
        back = (region.scaled(1 / small.scale), onto.scaled(1 / small.scale))
        return found_in((first, second), back, score, small.size)

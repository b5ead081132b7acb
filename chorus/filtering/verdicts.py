"""The verdict on a sample: kept, or why not, under each of the fifteen rules (method.md 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput
from chorus.filtering.rules import KEYPOINTS, RULES, satisfied
from chorus.geometry import boxes as box_geometry
from chorus.vocabulary import PERSON

RETAINED = "retained"
NO_HUMAN = "no human"
MORE_HUMANS = "more than one human"
NO_OBJECT = "no object"
MORE_OBJECTS = "more than one object"
OBJECT_ELSEWHERE = "object boxes per person not exactly one"
KEYPOINT_RULE = "keypoint rule"

REASONS = (
    NO_HUMAN,
    MORE_HUMANS,
    NO_OBJECT,
    MORE_OBJECTS,
    OBJECT_ELSEWHERE,
    KEYPOINT_RULE,
    RETAINED,
)
"""Every text a verdict can be, in the order of the checks."""


@dataclass(frozen=True)
class FilterSettings:
    """Thresholds of the filter; the defaults are the paper's."""

    overlap: float = 0.1
    """An object box counts as the person's if more than this part of its own area lies in the
    person's box."""

    confidence: float = 0.7
    """A keypoint counts as seen if its confidence is above this."""

    def __post_init__(self) -> None:
        for name in ("overlap", "confidence"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise BadInput(
                    f"filter setting {name} must lie between 0 and 1, found {value}; "
                    f"its default is {getattr(FilterSettings, name)}."
                )


@dataclass(frozen=True)
class Verdict:
    """What the filter says of one sample.

    reasons: one of REASONS for each of RULES, in their order. person: index among the detections of
    the only person, -1 unless there is exactly one. objects: indices of the category's instances;
    the object mask used later is the union of their masks.
    """

    reasons: tuple[str, ...]
    person: int
    objects: tuple[int, ...]


def judge(
    labels: Sequence[str],
    boxes: Float[np.ndarray, "N 4"],
    keypoints: Float[np.ndarray, "P 17 3"],
    category: str,
    settings: FilterSettings | None = None,
) -> Verdict:
    """Verdict on one sample under all rules.

    labels: N class names and boxes (N, 4) xyxy in pixels, the cleaned-up detections (method.md 3).
    keypoints (P, 17, 3): x, y, confidence of each detection labelled "person", in the order of the
    detections; a confidence that is NaN counts as not seen. category: the object's label.
    Raises BadInput where the three inputs do not describe the same detections.
    """
    settings = settings or FilterSettings()
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    keypoints = np.asarray(keypoints, np.float64).reshape(-1, len(KEYPOINTS), 3)
    persons = np.array([i for i, label in enumerate(labels) if label == PERSON], int)
    objects = np.array([i for i, label in enumerate(labels) if label == category], int)
    if len(boxes) != len(labels) or len(keypoints) != len(persons):
        raise BadInput(
            f"a sample must have a box per label and keypoints per person, found {len(labels)} "
            f"labels ({len(persons)} persons), {len(boxes)} boxes and {len(keypoints)} persons "
            "with keypoints; rerun its keypoint stage."
        )
    common = _common_reason(boxes[persons], boxes[objects], settings.overlap)
    if common is None:
        held = satisfied(keypoints[..., 2] > settings.confidence).all(axis=0)
        reasons = tuple(RETAINED if ok else KEYPOINT_RULE for ok in held)
    else:
        reasons = (common,) * len(RULES)
    person = int(persons[0]) if len(persons) == 1 else -1
    return Verdict(reasons, person, tuple(map(int, objects)))


def _common_reason(persons: np.ndarray, objects: np.ndarray, overlap: float) -> str | None:
    """Why no rule can retain a sample with these boxes (P, 4) and (M, 4); None if one can."""
    if len(persons) == 0:
        return NO_HUMAN
    if len(persons) > 1:
        return MORE_HUMANS
    if len(objects) == 0:
        return NO_OBJECT
    if len(objects) > 1:
        return MORE_OBJECTS
    shared = box_geometry.intersection(persons[:, None], objects[None])
    near = shared > overlap * box_geometry.area(objects)
    if (near.sum(axis=1) != 1).any():
        return OBJECT_ELSEWHERE
    return None

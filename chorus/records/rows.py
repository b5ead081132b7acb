"""Rows of tables and what they hold, one way and back: detections, persons, cameras, verdicts.

Tables keep plain lists, numbers and bytes (`records.schemas`); everything else works with these
records, whose arrays have the shapes of docs/conventions.md. All arrays are float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput
from chorus.filtering.rules import RULES
from chorus.filtering.verdicts import RETAINED
from chorus.geometry import masks
from chorus.geometry.boxes import iou
from chorus.records.keys import SampleKey
from chorus.records.tables import DONE
from chorus.vocabulary import PERSON

ANY_RULE = tuple(range(1, len(RULES) + 1))
"""The numbers of all filter rules."""

_SAME_PERSON = 0.3  # overlap (IoU) from which keypoints are those of a body


@dataclass(frozen=True)
class Image:
    """A decoded image: its sample and RGB pixels, uint8 (H, W, 3).

    transform: what was done to the pixels after decoding (`geometry.image_transforms`), None for
    nothing. A network sees the pixels alone; the synthetic world's, which look up the truth of the
    image as it was, need to know.
    """

    key: SampleKey
    pixels: np.ndarray
    transform: Float[np.ndarray, "2 3"] | None = None


@dataclass(frozen=True)
class Detection:
    """One instance: class name, score in [0, 1], box (4,) float32 xyxy, mask as RLE counts."""

    label: str
    score: float
    box: Float[np.ndarray, " 4"]
    mask: bytes

    def row(self) -> dict[str, Any]:
        """As the table `segmentations` holds it."""
        return {
            "label": self.label,
            "score": self.score,
            "box": self.box.tolist(),
            "mask": self.mask,
        }


@dataclass(frozen=True)
class Person:
    """One regressed person (method.md 4).

    box (4,) xyxy of the detection it was regressed on; pose (24, 3) axis-angle, the first row the
    global rotation in the camera's orientation; betas (10,); camera (3,) weak perspective s, tx, ty
    in the square crop of centre crop_centre (2,) and side crop_side, pixels; joints (24, 2) 24
    joints (`body.joint_sets`) in image pixels under that camera, or the pinhole that it stands for.
    """

    box: Float[np.ndarray, " 4"]
    pose: Float[np.ndarray, "24 3"]
    betas: Float[np.ndarray, " 10"]
    camera: Float[np.ndarray, " 3"]
    crop_centre: Float[np.ndarray, " 2"]
    crop_side: float
    joints: Float[np.ndarray, "24 2"]

    def row(self) -> dict[str, Any]:
        """As the table `humans` holds it."""
        arrays = {name: _listed(getattr(self, name)) for name in PERSON_SHAPES}
        return {**arrays, "crop_side": float(self.crop_side)}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Person:
        """The person that the table `humans` holds."""
        arrays = {name: _array(row[name], shape) for name, shape in PERSON_SHAPES.items()}
        return cls(**arrays, crop_side=row["crop_side"])


PERSON_SHAPES: dict[str, tuple[int, ...]] = {
    "box": (4,),
    "pose": (24, 3),
    "betas": (10,),
    "camera": (3,),
    "crop_centre": (2,),
    "joints": (24, 2),
}
"""Shapes of a person's arrays."""


@dataclass(frozen=True)
class Camera:
    """A calibrated camera (method.md 6): R (3, 3) and t (3,), metres, map the person's body
    frame to the camera, K (3, 3) is in pixels; residual in pixels."""

    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, " 3"]
    K: Float[np.ndarray, "3 3"]
    residual: float = float("nan")

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Camera:
        """The camera that a row of `filtered_cameras` or `test_set` holds."""
        arrays = {name: _array(row[name], shape) for name, shape in CAMERA_SHAPES.items()}
        return cls(**arrays, residual=row.get("residual", float("nan")))


CAMERA_SHAPES: dict[str, tuple[int, ...]] = {"R": (3, 3), "t": (3,), "K": (3, 3)}
"""Shapes of a camera's arrays."""


def _array(values: Sequence[float], shape: tuple[int, ...]) -> np.ndarray:
    return np.array(values, np.float32).reshape(shape)


def _listed(values: np.ndarray) -> list[float]:
    return np.asarray(values, np.float32).ravel().tolist()


def boxes_of(detections: Iterable[Mapping[str, Any]]) -> Float[np.ndarray, "N 4"]:
    """Boxes (N, 4) xyxy of detections or persons of a row, in its order."""
    return np.array([each["box"] for each in detections], np.float32).reshape(-1, 4)


def person_boxes(segmentation: Mapping[str, Any]) -> Float[np.ndarray, "P 4"]:
    """Boxes (P, 4) xyxy of the persons of a segmentations row, in its order."""
    return boxes_of(each for each in segmentation["detections"] if each["label"] == PERSON)


def masks_of(segmentation: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Masks (H, W) bool of all persons and of all objects of a segmentations row."""
    size = segmentation["height"], segmentation["width"]
    counts: dict[bool, list[bytes]] = {True: [], False: []}
    for detection in segmentation["detections"]:
        counts[detection["label"] == PERSON].append(detection["mask"])
    return masks.union(counts[True], *size), masks.union(counts[False], *size)


def keypoints_of(persons: Iterable[Mapping[str, Any]]) -> Float[np.ndarray, "P 17 3"]:
    """COCO keypoints (P, 17, 3), x, y, confidence, of the persons of a `human_kps` row."""
    return np.array([each["keypoints"] for each in persons], np.float32).reshape(-1, 17, 3)


def keypoints_of_body(
    humans: Mapping[str, Any], detected: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Of the persons of a `human_kps` row the one whose box is that of the only person of a
    `humans` row; None if there is none. BadInput as `only_person`."""
    persons = detected["persons"]
    if not persons:
        return None
    overlap = iou(person_array(only_person(humans), "box")[None], boxes_of(persons))
    return persons[overlap.argmax()] if overlap.max() >= _SAME_PERSON else None


def only_person(humans: Mapping[str, Any]) -> Mapping[str, Any]:
    """The single person, a row, of a retained sample's humans row. BadInput if there is another."""
    if len(humans["persons"]) != 1:
        raise BadInput(
            f"retained with {len(humans['persons'])} persons in humans; run humans again"
        )
    return humans["persons"][0]


def person_array(person: Mapping[str, Any], name: str) -> Float[np.ndarray, ...]:
    """One array of a person's row, where others may not have been read."""
    return _array(person[name], PERSON_SHAPES[name])


def retained(row: Mapping[str, Any], rules: Sequence[int]) -> bool:
    """Whether a row of the `filtered` table is retained by any of the numbered rules."""
    return row["status"] == DONE and any(row["verdicts"][n - 1] == RETAINED for n in rules)


def verdict(row: Mapping[str, Any], rules: Sequence[int]) -> str:
    """What a row of the `filtered` table says under some rules together: RETAINED, or the reason
    of the first rule against it."""
    if row["status"] != DONE:
        return row["reason"]
    return RETAINED if retained(row, rules) else row["verdicts"][rules[0] - 1]

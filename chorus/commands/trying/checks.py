"""Whether what networks answer has the form that is promised, and is plausible on the portrait.

Each check returns a summary of what was found, for people, and its doubts: a sentence for each
thing that is not as expected, none if all is well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from chorus.body.keypoints import KEYPOINT_NAMES
from chorus.body.skeleton import JOINT_NAMES
from chorus.commands.trying.portrait import PERSON_BOX, PLACES, SIDE
from chorus.generation.protocols import GeneratedImage
from chorus.geometry import boxes, masks
from chorus.records.rows import PERSON_SHAPES, Detection, Person
from chorus.vocabulary import PERSON

_SAME_BOX = 0.6  # overlap (IoU) of the person's box with the one in the picture
_FILLED = (0.35, 0.98)  # the share of her box that her mask fills
_SURE = 0.3  # confidence of a keypoint that is there
_HIGHEST = 1.1  # a heat map's peak may lie a little above 1
_NEAR = 0.16 * SIDE  # pixels from a keypoint's place in the picture
_NEAR_SHOULDER = 0.24 * SIDE  # her head's width: the suit hides them (portrait.PLACES)
_UPRIGHT, _FACING = 45, 60  # degrees
_LARGEST_BETA = 6
_SCALE = (0.2, 5)  # of a weak camera: a person of 0.4 to 10 times the crop's height
_FLAT = 2  # grey levels of deviation below which a picture shows nothing


class Verdict(NamedTuple):
    """What was found, and what is doubtful about it."""

    summary: str
    doubts: list[str]


def of_detections(found: Sequence[Detection], size: tuple[int, int]) -> Verdict:
    """Of a segmenter's instances in the portrait of that (height, width)."""
    doubts = [doubt for one in found for doubt in _of_detection(one, size)]
    persons = [one for one in found if one.label == PERSON]
    summary = f"{len(found)} instances, {len(persons)} persons"
    if doubts:
        return Verdict(summary, doubts)
    overlaps = [float(boxes.iou(one.box, PERSON_BOX)) for one in persons]
    if max(overlaps, default=0) < _SAME_BOX:
        best = f"the best of {len(persons)} overlaps by {max(overlaps):.2f}" if persons else "none"
        expected = f"expected a person in the box {_numbers(PERSON_BOX)}"
        return Verdict(summary, [f"{expected} (overlap {_SAME_BOX} or more), found {best}."])
    seen = persons[int(np.argmax(overlaps))]
    left, top, right, bottom = seen.box
    filled = masks.decode(seen.mask, *size).sum() / ((right - left) * (bottom - top))
    if not _FILLED[0] <= filled <= _FILLED[1]:
        doubts.append(
            f"her mask fills {filled:.0%} of her box, expected {_FILLED[0]:.0%} to "
            f"{_FILLED[1]:.0%}."
        )
    summary += f"; hers: score {seen.score:.2f}, box {_numbers(seen.box)}, mask {filled:.0%} of it"
    return Verdict(summary, doubts)


def _of_detection(one: Detection, size: tuple[int, int]) -> list[str]:
    height, width = size
    box = np.asarray(one.box)
    doubts = []
    if not 0 <= one.score <= 1:
        doubts.append(f"a {one.label} has the score {one.score}, expected 0 to 1.")
    inside = box.shape == (4,) and np.isfinite(box).all()
    if not (inside and 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
        doubts.append(f"a {one.label} has the box {_numbers(box)}, which is none in the image.")
    if not masks.decode(one.mask, height, width).any():
        doubts.append(f"a {one.label} has an empty mask.")
    return doubts


def of_keypoints(points: np.ndarray) -> Verdict:
    """Of the 17 keypoints of the portrait's person, (17, 3) x, y, confidence."""
    points = np.asarray(points)
    if points.shape != (len(KEYPOINT_NAMES), 3) or not np.isfinite(points).all():
        return Verdict(
            f"an array {points.shape}", ["expected finite numbers of the shape (17, 3)."]
        )
    confidence = points[:, 2]
    sure = int((confidence >= _SURE).sum())
    summary = f"{sure} of 17 keypoints surer than {_SURE}, the surest {confidence.max():.2f}"
    doubts = []
    if confidence.min() < 0 or confidence.max() > _HIGHEST:
        extent = f"{confidence.min():.2f} to {confidence.max():.2f}"
        doubts.append(f"confidences go from {extent}, expected 0 to 1.")
    for name, place in PLACES.items():
        x, y, certainty = points[KEYPOINT_NAMES.index(name)]
        what = name.replace("_", " ")
        near = _NEAR_SHOULDER if "shoulder" in name else _NEAR
        if certainty < _SURE:
            doubts.append(f"the {what} has the confidence {certainty:.2f}, expected over {_SURE}.")
        elif np.hypot(x - place[0], y - place[1]) > near:
            doubts.append(f"the {what} is at {x:.0f} {y:.0f}, expected near {_numbers(place)}.")
    return Verdict(summary, doubts)


def of_person(person: Person | str) -> Verdict:
    """Of the body that was regressed on the portrait's person, or why there is none."""
    if isinstance(person, str):
        expected = f"expected a body in the box {_numbers(PERSON_BOX)}"
        return Verdict("no body", [f"no body: {person}; {expected}."])
    arrays = {name: np.asarray(getattr(person, name)) for name in PERSON_SHAPES}
    wrong = [
        f"{name} has the shape {array.shape}, expected {PERSON_SHAPES[name]}."
        for name, array in arrays.items()
        if array.shape != PERSON_SHAPES[name]
    ] + [
        f"{name} holds NaN or infinity." for name, array in arrays.items() if not _is_finite(array)
    ]
    if wrong:
        return Verdict("a body", wrong)
    tilt, turn = _tilt_and_turn(arrays["pose"][0])
    head = arrays["joints"][JOINT_NAMES.index("head")]
    scale, largest = float(arrays["camera"][0]), float(np.abs(arrays["betas"]).max())
    summary = (
        f"a body {tilt:.0f} degrees off upright, turned {turn:.0f} from the camera, head at "
        f"{_numbers(head)}, scale {scale:.2f}, largest beta {largest:.1f}"
    )
    doubts = []
    if tilt > _UPRIGHT:
        doubts.append(f"the body is {tilt:.0f} degrees off upright, expected {_UPRIGHT} at most.")
    if turn > _FACING:
        doubts.append(
            f"the body is turned {turn:.0f} degrees from the camera, expected {_FACING} at most."
        )
    left, top, right, bottom = PERSON_BOX
    if not (left < head[0] < right and top - _NEAR < head[1] < (top + bottom) / 2):
        doubts.append(
            f"the head is at {_numbers(head)}, expected in the upper half of the box "
            f"{_numbers(PERSON_BOX)}."
        )
    if not _SCALE[0] < scale < _SCALE[1]:
        doubts.append(f"the camera's scale is {scale:.2f}, expected {_SCALE[0]} to {_SCALE[1]}.")
    if largest > _LARGEST_BETA:
        doubts.append(f"a shape parameter is {largest:.1f}, expected {_LARGEST_BETA} at most.")
    return Verdict(summary, doubts)


def of_picture(image: GeneratedImage, side: int | None) -> Verdict:
    """Of what an image model drew; `side` is that of the square that was asked for, if one was."""
    if image.pixels is None:
        return Verdict("no picture", [f"it was refused: {image.refused}."])
    pixels = np.asarray(image.pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        return Verdict(
            f"an array {pixels.dtype} {pixels.shape}", ["expected RGB, uint8 (H, W, 3)."]
        )
    height, width = pixels.shape[:2]
    deviation = float(pixels.std())
    summary = f"a picture {width} x {height}, grey levels {pixels.mean():.0f} +- {deviation:.0f}"
    doubts = []
    if side is not None and (height, width) != (side, side):
        doubts.append(f"the picture is {width} x {height}, asked was {side} x {side}.")
    if deviation < _FLAT:
        doubts.append(f"the picture is of one colour (deviation {deviation:.1f} grey levels).")
    return Verdict(summary, doubts)


def _tilt_and_turn(rotation: np.ndarray) -> tuple[float, float]:
    """Degrees between a body's up and the image's, and between its front and the camera.

    rotation: axis-angle (3,) from the body to the camera, whose y points down and z away.
    """
    from scipy.spatial.transform import Rotation

    R = Rotation.from_rotvec(rotation.astype(float)).as_matrix()
    cosines = np.clip([-R[1, 1], -R[2, 2]], -1, 1)
    tilt, turn = np.degrees(np.arccos(cosines))
    return float(tilt), float(turn)


def _is_finite(array: np.ndarray) -> bool:
    return bool(np.isfinite(array).all())


def _numbers(values: Sequence[float] | np.ndarray) -> str:
    return " ".join(f"{value:.0f}" for value in np.ravel(values))

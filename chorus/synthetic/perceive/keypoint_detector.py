"""2D keypoints of the synthetic world: its truth with a detector's errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from chorus.body.keypoints import BODY_KEYPOINTS
from chorus.body.model import BodyModel
from chorus.body.skeleton import JOINT_NAMES
from chorus.errors import BadInput
from chorus.geometry import masks
from chorus.geometry.image_transforms import inverse, move_box, move_points
from chorus.records.keys import sample_seed
from chorus.records.rows import Image
from chorus.synthetic.look.truth import on_mask
from chorus.synthetic.perceive import noise as errors
from chorus.synthetic.perceive.human_regressor import regressor_rng, true_persons
from chorus.synthetic.perceive.noise import TruePerson
from chorus.synthetic.perceive.noise_settings import EXACT
from chorus.synthetic.perceive.truth_rows import DegradedTruth, known_truth, matching_person


def load(
    name: str,
    source: str,
    imports_dir: Path,
    device: str,
    *,
    body: BodyModel | None = None,
    **truth: Any,
) -> SyntheticKeypointDetector:
    """The network of a run; `truth` is what `DegradedTruth` takes. `source` names the stream of its
    errors: those of different streams are independent, as those of different networks, but for
    what they share with the regressor."""
    del name, imports_dir, device
    return SyntheticKeypointDetector(body=body, stream=source, **truth)


class SyntheticKeypointDetector(DegradedTruth):
    """2D keypoints from the truth, with jitter and confidences that follow visibility.

    body: the regressor's, for noise with a `shared_error`; BadInput if it is missing then.
    stream: name of the draws of its own errors.
    """

    def __init__(self, *truth: Any, body: BodyModel | None = None, stream: str = "", **more: Any):
        super().__init__(*truth, **more)
        self._body = body
        self._stream = stream
        if body is None and self._noise.shared_error:
            raise BadInput(
                "noise setting shared_error repeats the body regressor's errors, which needs its "
                "body; give the keypoint detector the body, or set shared_error to 0."
            )

    def detect(self, images: Sequence[Image], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each image and its person boxes (P, 4), (P, 17, 3): x, y, confidence.

        In a transformed image the truth and what is wrong with the regressor are where the
        transform takes them, keypoints are as hard to find as before, and the other errors are
        others.
        """
        return [
            self._of_image(image, np.reshape(image_boxes, (-1, 4)))
            for image, image_boxes in zip(images, boxes, strict=True)
        ]

    def _of_image(self, image: Image, boxes: np.ndarray) -> np.ndarray:
        truth = known_truth(self._truth_of, image.key)
        seen = _seen(truth, image.transform)
        result = np.zeros((len(boxes), 17, 3), np.float32)
        for number, box in enumerate(boxes):
            rng = np.random.default_rng(self._draw(image, number))
            match = matching_person(box, seen)
            if match < 0:  # a network asked about nothing answers, without confidence
                places = rng.uniform(box[:2], np.maximum(box[2:], box[:2] + 1), (17, 2))
                result[number] = np.column_stack([places, rng.uniform(0.02, 0.4, 17)])
                continue
            person = seen["persons"][match]
            places = person["keypoints"]
            if self._noise.shared_error:
                wrong = self._regressors_error(true_persons(truth)[match], image, number, box)
                places = places + self._noise.shared_error * wrong
            extent = float(np.max(np.subtract(box[2:], box[:2])))
            result[number] = errors.noisy_keypoints(
                places, person["visibility"], extent, self._noise, rng
            )
        return result

    def _draw(self, image: Image, number: int) -> int:
        """The seed of the answer to one box."""
        purpose = f"keypoints {number}"
        if self._stream:
            purpose += f" of {self._stream}"
        if image.transform is not None:
            purpose += f" after {np.round(image.transform, 2).tolist()}"
        return sample_seed(image.key, purpose, self._seed)

    def _regressors_error(
        self, person: TruePerson, image: Image, number: int, box: np.ndarray
    ) -> np.ndarray:
        """How far (17, 2), pixels, the regressor's joints lie from those of an exact one.

        The regressor's own draws are repeated, without the error of its camera, which says nothing
        about the person. The face goes with the head. The regressor saw the image before it was
        transformed.
        """
        if image.transform is not None:
            box = move_box(box, inverse(image.transform))
        joints = []
        for noise in (replace(self._noise, camera_error=0.0), EXACT):
            rngs = [regressor_rng(image.key, number, self._seed)]
            joints.append(errors.regress(self._body, [person], box[None], noise, rngs).joints[0])
        wrong = (joints[0] - joints[1])[[JOINT_NAMES.index("head")] * 5 + BODY_KEYPOINTS]
        return wrong if image.transform is None else wrong @ image.transform[:, :2].T


def _seen(truth: Mapping, transform: np.ndarray | None) -> Mapping:
    """What a detector sees of a truth row: its persons' boxes and keypoints in the transformed
    image, and the keypoints' visibility there."""
    size = int(truth["width"]), int(truth["height"])
    persons = []
    for person in truth["persons"]:
        box, places = person["box"], np.reshape(person["keypoints"], (17, 2))
        visibility = keypoint_visibility(person, *size)
        if transform is not None:
            box, places = move_box(box, transform), move_points(places, transform)
            inside = ((places >= 0) & (places < size)).all(1)
            visibility = np.where(inside, visibility, errors.OUTSIDE)
        persons.append({"box": box, "keypoints": places, "visibility": visibility})
    return {"persons": persons}


def keypoint_visibility(person: Mapping, width: int, height: int) -> np.ndarray:
    """(17,) int for a person of a truth row: `noise`'s VISIBLE, SELF_HIDDEN, COVERED, OUTSIDE."""
    places = np.reshape(person["keypoints"], (17, 2)).astype(float)
    inside = ((places >= 0) & (places < [width, height])).all(1)
    own = on_mask(places, masks.decode(person["mask"], height, width))
    state = np.where(own, errors.SELF_HIDDEN, errors.COVERED)
    state = np.where(inside, state, errors.OUTSIDE)
    return np.where(np.asarray(person["keypoint_visible"], bool), errors.VISIBLE, state)

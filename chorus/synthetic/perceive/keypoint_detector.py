"""2D keypoints of the synthetic world: its truth with a detector's errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from chorus.body.model import BodyModel
from chorus.body.skeleton import JOINT_NAMES
from chorus.errors import BadInput
from chorus.geometry import masks
from chorus.records.keys import SampleKey, sample_seed
from chorus.records.rows import Image
from chorus.synthetic.look.truth import BODY_KEYPOINTS, on_mask
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
    """The network of a run; `truth` is what `DegradedTruth` takes."""
    del name, source, imports_dir, device
    return SyntheticKeypointDetector(body=body, **truth)


class SyntheticKeypointDetector(DegradedTruth):
    """2D keypoints from the truth, with jitter and confidences that follow visibility.

    body: the regressor's, for noise with a `shared_error`; BadInput if it is missing then.
    """

    def __init__(self, *truth: Any, body: BodyModel | None = None, **more: Any):
        super().__init__(*truth, **more)
        self._body = body
        if body is None and self._noise.shared_error:
            raise BadInput(
                "noise setting shared_error repeats the body regressor's errors, which needs its "
                "body; give the keypoint detector the body, or set shared_error to 0."
            )

    def detect(self, images: Sequence[Image], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each image and its person boxes (P, 4), (P, 17, 3): x, y, confidence."""
        return [
            self._of_image(image.key, np.reshape(image_boxes, (-1, 4)))
            for image, image_boxes in zip(images, boxes, strict=True)
        ]

    def _of_image(self, key: SampleKey, boxes: np.ndarray) -> np.ndarray:
        truth = known_truth(self._truth_of, key)
        result = np.zeros((len(boxes), 17, 3), np.float32)
        for number, box in enumerate(boxes):
            rng = np.random.default_rng(sample_seed(key, f"keypoints {number}", self._seed))
            match = matching_person(box, truth)
            if match < 0:  # a network asked about nothing answers, without confidence
                places = rng.uniform(box[:2], np.maximum(box[2:], box[:2] + 1), (17, 2))
                result[number] = np.column_stack([places, rng.uniform(0.02, 0.4, 17)])
                continue
            person = truth["persons"][match]
            extent = float(np.max(np.subtract(box[2:], box[:2])))
            places = np.reshape(person["keypoints"], (17, 2))
            if self._noise.shared_error:
                wrong = self._regressors_error(true_persons(truth)[match], key, number, box)
                places = places + self._noise.shared_error * wrong
            result[number] = errors.noisy_keypoints(
                places,
                keypoint_visibility(person, int(truth["width"]), int(truth["height"])),
                extent,
                self._noise,
                rng,
            )
        return result

    def _regressors_error(
        self, person: TruePerson, key: SampleKey, number: int, box: np.ndarray
    ) -> np.ndarray:
        """How far (17, 2), pixels, the regressor's joints lie from those of an exact one.

        The regressor's own draws are repeated, without the error of its camera, which says nothing
        about the person. The face goes with the head.
        """
        joints = []
        for noise in (replace(self._noise, camera_error=0.0), EXACT):
            rngs = [regressor_rng(key, number, self._seed)]
            joints.append(errors.regress(self._body, [person], box[None], noise, rngs).joints[0])
        return (joints[0] - joints[1])[[JOINT_NAMES.index("head")] * 5 + BODY_KEYPOINTS]


def keypoint_visibility(person: Mapping, width: int, height: int) -> np.ndarray:
    """(17,) int for a person of a truth row: `noise`'s VISIBLE, SELF_HIDDEN, COVERED, OUTSIDE."""
    places = np.reshape(person["keypoints"], (17, 2)).astype(float)
    inside = ((places >= 0) & (places < [width, height])).all(1)
    own = on_mask(places, masks.decode(person["mask"], height, width))
    state = np.where(own, errors.SELF_HIDDEN, errors.COVERED)
    state = np.where(inside, state, errors.OUTSIDE)
    return np.where(np.asarray(person["keypoint_visible"], bool), errors.VISIBLE, state)

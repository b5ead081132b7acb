"""Body regression of the synthetic world: its truth with a crop-based network's errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chorus.body.model import BodyModel
from chorus.records.keys import SampleKey, sample_seed
from chorus.records.rows import Image, Person
from chorus.synthetic.perceive import noise as errors
from chorus.synthetic.perceive.noise import TruePerson
from chorus.synthetic.perceive.truth_rows import DegradedTruth, known_truth, matching_person


def load(
    name: str, source: str, imports_dir: Path, device: str, *, body: BodyModel, **truth: Any
) -> SyntheticHumanRegressor:
    """The body regressor of a run; `truth` is what `DegradedTruth` takes."""
    del name, source, imports_dir, device
    return SyntheticHumanRegressor(body, **truth)


class SyntheticHumanRegressor(DegradedTruth):
    """Body regression from the truth, degraded as a crop-based network's answers are."""

    def __init__(self, body: BodyModel, *truth: Any, **more: Any):
        super().__init__(*truth, **more)
        self._body = body

    def regress(self, images: Sequence[Image], boxes: Sequence[np.ndarray]) -> list[list[Person]]:
        """For each image and its person boxes (P, 4), P persons in the same order."""
        persons, places, rngs = [], [], []
        for image, image_boxes in zip(images, boxes, strict=True):
            truth = known_truth(self._truth_of, image.key)
            known = true_persons(truth)
            for number, box in enumerate(np.reshape(image_boxes, (-1, 4))):
                rng = regressor_rng(image.key, number, self._seed)
                match = matching_person(box, truth)
                persons.append(known[match] if match >= 0 else _nobody(truth, box, rng))
                places.append(np.asarray(box, np.float32))
                rngs.append(rng)
        if not persons:
            return [[] for _ in images]
        found = errors.regress(self._body, persons, np.stack(places), self._noise, rngs)
        answers = iter(
            Person(
                box=places[i],
                pose=found.pose[i],
                betas=found.betas[i],
                camera=found.camera[i],
                crop_centre=found.centre[i],
                crop_side=float(found.side[i]),
                joints=found.joints[i],
            )
            for i in range(len(persons))
        )
        return [[next(answers) for _ in np.reshape(b, (-1, 4))] for b in boxes]


def regressor_rng(key: SampleKey, number: int, seed: int) -> np.random.Generator:
    """What the regressor's errors about the box of a number are drawn from."""
    return np.random.default_rng(sample_seed(key, f"human {number}", seed))


def true_persons(truth: Mapping) -> list[TruePerson]:
    """The persons of a truth row as the error model needs them."""
    R = np.reshape(truth["camera_R"], (3, 3)).astype(float)
    t = np.asarray(truth["camera_t"], float)
    K = np.reshape(truth["camera_K"], (3, 3)).astype(float)
    found = []
    for person in truth["persons"]:
        pixels = np.reshape(person["joints2d"], (24, 2)).astype(float)
        depth = np.reshape(person["joints3d"], (24, 3)) @ R[2] + t[2]
        inside = (pixels >= 0) & (pixels < [truth["width"], truth["height"]])
        found.append(
            TruePerson(
                pose=np.reshape(person["pose"], (24, 3)).astype(float),
                betas=np.asarray(person["betas"], float),
                joints2d=pixels,
                visible=np.asarray(person["joint_visible"], bool),
                in_image=inside.all(1) & (depth > 0),
                in_front=depth > 0.05,
                R=R,
                K=K,
            )
        )
    return found


def _nobody(truth: Mapping, box: np.ndarray, rng: np.random.Generator) -> TruePerson:
    """What a regressor makes of a box without a person: someone with hanging arms that fills it."""
    pose = np.zeros((24, 3))
    pose[0] = [0, rng.uniform(-np.pi, np.pi), 0]
    pose[16], pose[17] = [0, 0, -1.2], [0, 0, 1.2]
    low, high = np.asarray(box, float)[:2], np.asarray(box, float)[2:]
    return TruePerson(
        pose=pose,
        betas=np.zeros(10),
        joints2d=low + rng.uniform(0.2, 0.8, (24, 2)) * (high - low),
        visible=np.zeros(24, bool),
        in_image=np.ones(24, bool),
        in_front=np.ones(24, bool),
        R=np.diag([1.0, -1.0, -1.0]),
        K=np.reshape(truth["camera_K"], (3, 3)).astype(float),
    )

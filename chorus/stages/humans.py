"""`chorus humans`: person boxes → SMPL parameters and a weak-perspective camera (SPEC 4)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from chorus.perception.protocols import Person
from chorus.settings import RunOptions
from chorus.stages import adapters
from chorus.stages.loop import Outcome, Sample, Stage
from chorus.stages.reading import read_image
from chorus.stages.report import Progress, Report, run_table_stage
from chorus.synthetic.noise_settings import NoiseSettings
from chorus.vocabulary import PERSON

TOO_SMALL = "every person is too small to regress"


@dataclass(frozen=True)
class Options(RunOptions):
    """Regress the body of every detected person."""

    human_model: str | None = None
    """NAME or NAME:SOURCE (chorus doctor lists them); the profile's if left out."""
    noise: NoiseSettings = field(default_factory=NoiseSettings)


def person_boxes(segmentation: dict) -> np.ndarray:
    """Boxes (P, 4) of the persons of a segmentations row, in its order."""
    boxes = [d["box"] for d in segmentation["detections"] if d["label"] == PERSON]
    return np.array(boxes, np.float32).reshape(-1, 4)


class HumanWorker:
    """Regresses bodies."""

    def __init__(self, options: Options):
        self._tree = options.tree
        self._regressor = adapters.human_regressor(options)

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Regress the persons of one batch of images."""
        images = [read_image(self._tree, sample) for sample in samples]
        boxes = [person_boxes(sample.inputs["segmentations"]) for sample in samples]
        found = self._regressor.regress(images, boxes)
        return [_outcome(persons) for persons in found]


def _outcome(persons: Sequence[Person | None]) -> Outcome:
    regressed = [person_row(person) for person in persons if person is not None]
    if persons and not regressed:
        return Outcome(skipped=TOO_SMALL)
    return Outcome({"persons": regressed})


def person_row(person: Person) -> dict:
    """One person as the table `humans` holds it."""
    arrays = {
        name: np.asarray(value, np.float32).ravel().tolist()
        for name, value in vars(person).items()
        if name != "crop_side"
    }
    return {**arrays, "crop_side": float(person.crop_side)}


def run(options: Options, progress: Progress = None) -> Report:
    """Regress what is missing."""
    adapters.check("human_model", options)
    shards = options.tree.shards(
        "segmentations", options.models.model_key, options.categories, options.prompts
    )
    stage = Stage(
        name="humans",
        output="humans",
        inputs=("images", "segmentations"),
        settings={
            **adapters.settings_of("human_model", options),
            "body": options.body_name,
        },
        make_worker=functools.partial(HumanWorker, options),
        processes=adapters.is_synthetic("human_model", options),
    )
    return run_table_stage(stage, options, shards, progress)

"""`chorus humans`: person boxes → SMPL parameters and a weak-perspective camera (SPEC 4)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from chorus.body.skeleton import KINEMATIC, RELEASE_24
from chorus.engine.command_result import Progress, Report, run_table_stage
from chorus.engine.loop import Outcome, Stage
from chorus.engine.person_worker import PersonWorker
from chorus.errors import BadInput
from chorus.models import choice as adapters
from chorus.models import weights
from chorus.perception.protocols import Person
from chorus.records.image_files import check_images_are_kept
from chorus.settings import RunOptions
from chorus.synthetic.perceive.noise_settings import NoiseSettings

TOO_SMALL = "every person is too small to regress"


@dataclass(frozen=True)
class Options(RunOptions):
    """Regress the body of every detected person."""

    human_model: str | None = None
    """NAME or NAME:SOURCE (chorus doctor lists them); the profile's if left out."""
    joints: Literal["kinematic", "release-24"] = KINEMATIC
    """The 24 joints in the image, to which `calibrate` fits the camera: the kinematic ones, or the
    24 of the paper's release, which need SMPL's mesh and SPIN's J_regressor_extra."""
    noise: NoiseSettings = field(default_factory=NoiseSettings)


def make_worker(options: Options) -> PersonWorker[list[Person | None]]:
    """The worker that regresses bodies."""
    return PersonWorker(options.tree, adapters.human_regressor(options).regress, _outcome)


def _outcome(boxes: np.ndarray, persons: Sequence[Person | None]) -> Outcome:
    regressed = [person_row(person) for person in persons if person is not None]
    if len(boxes) and not regressed:
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
    synthetic = adapters.is_synthetic("human_model", options)
    if options.joints == RELEASE_24:
        if synthetic:
            raise BadInput(
                f"--joints {RELEASE_24}: the synthetic world has the kinematic joints only; leave "
                "the option out, or name a network with --human_model."
            )
        weights.require("smpl-extra-joints", options.imports_dir)
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
            **({} if synthetic else {"joints": options.joints}),
        },
        make_worker=functools.partial(make_worker, options),
        processes=synthetic,
        check_overwrite=check_images_are_kept,
    )
    return run_table_stage(stage, options, shards, progress)

"""`chorus humans`: person boxes → SMPL bodies under weak perspective (method.md 4)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from chorus.body.skeleton import KINEMATIC, RELEASE_24
from chorus.engine.command_result import CommandResult
from chorus.engine.loop import Outcome, Stage
from chorus.engine.perception import PerceptionOptions, PersonWorker, run_perception_stage
from chorus.engine.progress import Progress
from chorus.errors import BadInput
from chorus.models import registry
from chorus.perception.protocols import HumanRegressor
from chorus.pipeline import step
from chorus.records.image_files import check_images_are_kept
from chorus.records.rows import Person
from chorus.settings import BodyOptions


@dataclass(frozen=True)
class Options(PerceptionOptions, BodyOptions):
    """Regress the body of every detected person."""

    human_model: str | None = None
    """NAME or NAME:SOURCE (chorus doctor lists them); the profile's if left out."""
    joints: Literal["kinematic", "release-24"] = KINEMATIC
    """The 24 joints in the image, to which `calibrate` fits the camera: the kinematic ones, or the
    24 of the paper's release, which need SPIN's J_regressor_extra and SMPL's mesh."""


def load_regressor(options: Options) -> HumanRegressor:
    """The body regressor that the options choose."""
    from chorus.body.joint_sets import joint_source
    from chorus.body.loading import load_body

    body = load_body(options.body, options.imports_dir)
    joints = joint_source(options.joints, body, options.imports_dir)
    return options.load("human_model", synthetic={"body": body}, others={"body": joints})


def make_worker(options: Options) -> PersonWorker[list[Person | str]]:
    """The worker that regresses bodies."""
    return PersonWorker(options.tree, load_regressor(options).regress, _outcome)


def _outcome(boxes: np.ndarray, persons: Sequence[Person | str]) -> Outcome:
    regressed = [person.row() for person in persons if isinstance(person, Person)]
    if len(boxes) and not regressed:
        reasons = sorted({person for person in persons if isinstance(person, str)})
        return Outcome(skipped=f"no person could be regressed: {'; '.join(reasons)}")
    return Outcome({"persons": regressed})


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Regress what is missing."""
    model = options.model("human_model")
    model.check(options.imports_dir)
    if options.joints == RELEASE_24:
        if model.is_synthetic:
            raise BadInput(
                f"--joints {RELEASE_24}: the synthetic world has the kinematic joints only; leave "
                "the option out, or name a network with --human_model."
            )
        registry.require("smpl-extra-joints", options.imports_dir)
    shards = options.shards_of("segmentations")
    stage = Stage(
        step("humans"),
        settings={
            **options.recorded("human_model"),
            "body": options.body_name,
            **({} if model.is_synthetic else {"joints": options.joints}),
        },
        make_worker=functools.partial(make_worker, options),
        columns={"segmentations": ("detections.label", "detections.box")},
        processes=model.is_synthetic,
        check_overwrite=check_images_are_kept,
    )
    result = run_perception_stage(stage, options, model, shards, progress)
    result.problems += options.without_segmentations()
    return result

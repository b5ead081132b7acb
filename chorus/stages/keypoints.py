"""`chorus keypoints`: person boxes → 17 COCO keypoints with confidences (method.md 4)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from chorus.engine.command_result import CommandResult
from chorus.engine.loop import Outcome, Stage
from chorus.engine.perception import PerceptionOptions, PersonWorker, run_perception_stage
from chorus.engine.progress import Progress
from chorus.perception.protocols import KeypointDetector
from chorus.pipeline import step
from chorus.records.image_files import check_images_are_kept
from chorus.settings import BodyOptions


@dataclass(frozen=True)
class Options(PerceptionOptions, BodyOptions):
    """Detect 2D keypoints of every detected person."""

    keypoint_model: str | None = None
    """NAME or NAME:SOURCE (chorus doctor lists them); the profile's if left out."""

    @property
    def repeats_the_regressor(self) -> bool:
        """Whether the keypoints depend on the body regressor's errors, and so on its body."""
        return self.model("keypoint_model").is_synthetic and self.errors.shared_error > 0


def make_worker(options: Options) -> PersonWorker[np.ndarray]:
    """The worker that detects keypoints."""
    own = {}
    if options.repeats_the_regressor:
        from chorus.body.loading import load_body

        own["body"] = load_body(options.body, options.imports_dir)
    detector: KeypointDetector = options.load("keypoint_model", synthetic=own, others={})
    return PersonWorker(options.tree, detector.detect, _outcome)


def _outcome(boxes: np.ndarray, keypoints: np.ndarray) -> Outcome:
    persons = [
        {"box": box.tolist(), "keypoints": points.ravel().tolist()}
        for box, points in zip(boxes, keypoints, strict=True)
    ]
    return Outcome({"persons": persons})


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Detect what is missing."""
    model = options.model("keypoint_model")
    model.check(options.imports_dir)
    shards = options.shards_of("segmentations")
    stage = Stage(
        step("keypoints"),
        settings={
            **options.recorded("keypoint_model"),
            **({"body": options.body_name} if options.repeats_the_regressor else {}),
        },
        make_worker=functools.partial(make_worker, options),
        columns={"segmentations": ("detections.label", "detections.box")},
        processes=model.is_synthetic,
        check_overwrite=check_images_are_kept,
    )
    result = run_perception_stage(stage, options, model, shards, progress)
    result.problems += options.without_segmentations()
    return result

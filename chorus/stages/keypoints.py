"""`chorus keypoints`: person boxes → 17 COCO keypoints with confidences (SPEC 4)."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from chorus.engine.command_result import Progress, Report, run_table_stage
from chorus.engine.loop import Outcome, Stage
from chorus.engine.person_worker import PersonWorker
from chorus.models import choice as adapters
from chorus.records.image_files import check_images_are_kept
from chorus.settings import RunOptions
from chorus.synthetic.perceive.noise_settings import NoiseSettings


@dataclass(frozen=True)
class Options(RunOptions):
    """Detect 2D keypoints of every detected person."""

    keypoint_model: str | None = None
    """NAME or NAME:SOURCE (chorus doctor lists them); the profile's if left out."""
    noise: NoiseSettings = field(default_factory=NoiseSettings)


def make_worker(options: Options) -> PersonWorker[np.ndarray]:
    """The worker that detects keypoints."""
    return PersonWorker(options.tree, adapters.keypoint_detector(options).detect, _outcome)


def _outcome(boxes: np.ndarray, keypoints: np.ndarray) -> Outcome:
    persons = [
        {"box": box.tolist(), "keypoints": points.ravel().tolist()}
        for box, points in zip(boxes, keypoints, strict=True)
    ]
    return Outcome({"persons": persons})


def run(options: Options, progress: Progress = None) -> Report:
    """Detect what is missing."""
    adapters.check("keypoint_model", options)
    shards = options.tree.shards(
        "segmentations", options.models.model_key, options.categories, options.prompts
    )
    stage = Stage(
        name="keypoints",
        output="human_kps",
        inputs=("images", "segmentations"),
        settings=adapters.settings_of("keypoint_model", options),
        make_worker=functools.partial(make_worker, options),
        processes=adapters.is_synthetic("keypoint_model", options),
        check_overwrite=check_images_are_kept,
    )
    return run_table_stage(stage, options, shards, progress)

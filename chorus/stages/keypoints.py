"""`chorus keypoints`: person boxes → 17 COCO keypoints with confidences (SPEC 4)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

from chorus.settings import RunOptions
from chorus.stages import adapters
from chorus.stages.humans import person_boxes
from chorus.stages.image_reader import ImageReader
from chorus.stages.loop import Outcome, Sample, Stage
from chorus.stages.report import Progress, Report, run_table_stage
from chorus.synthetic.noise_settings import NoiseSettings


@dataclass(frozen=True)
class Options(RunOptions):
    """Detect 2D keypoints of every detected person."""

    keypoint_model: str | None = None
    """NAME or NAME:SOURCE (chorus doctor lists them); the profile's if left out."""
    noise: NoiseSettings = field(default_factory=NoiseSettings)


class KeypointWorker:
    """Detects keypoints."""

    def __init__(self, options: Options):
        self._images = ImageReader(options.tree)
        self._detector = adapters.keypoint_detector(options)

    def prefetch(self, samples: Sequence[Sample]) -> None:
        """Begin to decode a batch of images."""
        self._images.prefetch(samples)

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Detect the keypoints of one batch of images."""
        images = self._images.read(samples)
        boxes = [person_boxes(sample.inputs["segmentations"]) for sample in samples]
        return [
            Outcome(
                {
                    "persons": [
                        {"box": box.tolist(), "keypoints": points.ravel().tolist()}
                        for box, points in zip(person_box, keypoints, strict=True)
                    ]
                }
            )
            for person_box, keypoints in zip(
                boxes, self._detector.detect(images, boxes), strict=True
            )
        ]


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
        settings={
            **adapters.settings_of("keypoint_model", options),
        },
        make_worker=functools.partial(KeypointWorker, options),
        processes=adapters.is_synthetic("keypoint_model", options),
    )
    return run_table_stage(stage, options, shards, progress)

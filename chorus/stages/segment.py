"""`chorus segment`: images → instances of persons and of the category (SPEC 3)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from chorus.engine.command_result import Progress, Report, run_table_stage
from chorus.engine.image_reader import ImageReader
from chorus.engine.loop import Outcome, Sample, Stage
from chorus.errors import BadInput
from chorus.geometry.boxes import suppress_overlaps
from chorus.models import choice as adapters
from chorus.perception.protocols import Detection
from chorus.records.image_files import check_images_are_kept
from chorus.settings import RunOptions
from chorus.synthetic.perceive.noise_settings import NoiseSettings
from chorus.vocabulary import resolve_category

MIN_OVERLAP = 0.8  # SPEC 3: the clean-up of overlapping boxes
ALWAYS_KEEP = 0.98

THRESHOLDS = {
    adapters.SYNTHETIC: 0.8,
    "pointrend-r50": 0.8,
    "mask2former": 0.5,
    "open-vocabulary": 0.35,
}
"""The score threshold of each segmenter: SPEC 3's for the paper's, for the others, whose scores
mean something else, the one their authors use (docs/perception.md)."""

OPEN_VOCABULARY = frozenset({"open-vocabulary"})
"""Segmenters that take any noun, whatever the mode."""


@dataclass(frozen=True)
class Options(RunOptions):
    """Segment persons and objects."""

    mode: Literal["coco", "lvis"] = "coco"
    """The vocabulary of the objects."""
    threshold: float | None = None
    """Instances below this score are dropped; if left out 0.8, with mask2former 0.5, with
    open-vocabulary 0.35."""
    segmenter: str | None = None
    """NAME or NAME:SOURCE (chorus doctor lists them); the profile's if left out."""
    noise: NoiseSettings = field(default_factory=NoiseSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise BadInput(f"--threshold must lie between 0 and 1, found {self.threshold}.")


class SegmentWorker:
    """Segments images and cleans the instances up; its options have a threshold."""

    def __init__(self, options: Options):
        self._images = ImageReader(options.tree)
        self._threshold = options.threshold
        self._segmenter = adapters.segmenter(options)

    def prefetch(self, samples: Sequence[Sample]) -> None:
        """Begin to decode a batch of images."""
        self._images.prefetch(samples)

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Segment one batch of images."""
        images = self._images.read(samples)
        outcomes = []
        for image, found in zip(images, self._segmenter.segment(images), strict=True):
            height, width = image.pixels.shape[:2]
            rows = [
                {"label": d.label, "score": d.score, "box": d.box.tolist(), "mask": d.mask}
                for d in clean_up(found, self._threshold)
            ]
            outcomes.append(Outcome({"width": width, "height": height, "detections": rows}))
        return outcomes


def clean_up(detections: Sequence[Detection], threshold: float) -> list[Detection]:
    """Instances of sufficient score that no other instance of their class makes superfluous."""
    kept: list[Detection] = []
    confident = [d for d in detections if d.score >= threshold]
    for label in sorted({d.label for d in confident}):
        group = [d for d in confident if d.label == label]
        keep = suppress_overlaps(
            np.stack([d.box for d in group]),
            np.array([d.score for d in group]),
            MIN_OVERLAP,
            ALWAYS_KEEP,
        )
        kept += [d for d, stays in zip(group, keep, strict=True) if stays]
    return kept


def run(options: Options, progress: Progress = None) -> Report:
    """Segment what is missing."""
    adapters.check("segmenter", options)
    name = adapters.chosen("segmenter", options).partition(":")[0]
    if options.threshold is None:
        options = replace(options, threshold=THRESHOLDS[name])
    mode = "open" if name in OPEN_VOCABULARY else options.mode
    shards = options.tree.shards(
        "images", options.models.model_key, options.categories, options.prompts
    )
    for category in {shard.category for shard in shards}:
        resolve_category(category, mode)
    stage = Stage(
        name="segment",
        output="segmentations",
        inputs=("images",),
        settings={
            **adapters.settings_of("segmenter", options),
            "mode": mode,
            "threshold": options.threshold,
            "min_overlap": MIN_OVERLAP,
            "always_keep": ALWAYS_KEEP,
        },
        make_worker=functools.partial(SegmentWorker, options),
        processes=adapters.is_synthetic("segmenter", options),
        check_overwrite=check_images_are_kept,
    )
    return run_table_stage(stage, options, shards, progress)

"""`chorus segment`: images → instances of persons and of the category (method.md 3)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from chorus.engine.command_result import CommandResult
from chorus.engine.image_reader import ImageReader
from chorus.engine.loop import Outcome, Sample, Stage
from chorus.engine.perception import PerceptionOptions, run_perception_stage
from chorus.engine.progress import Progress
from chorus.errors import BadInput
from chorus.models import registry
from chorus.perception.clean_up import ALWAYS_KEEP, MIN_OVERLAP, clean_up
from chorus.perception.protocols import Segmenter
from chorus.pipeline import step
from chorus.records.image_files import check_images_are_kept
from chorus.vocabulary import resolve_category


@dataclass(frozen=True)
class Options(PerceptionOptions):
    """Segment persons and objects."""

    mode: Literal["coco", "lvis"] = "coco"
    """The vocabulary of the objects."""
    threshold: float | None = None
    """Instances below this score are dropped; if left out the threshold that the segmenter's
    authors use (docs/perception.md), 0.8 for the synthetic world's and the paper's."""
    segmenter: str | None = None
    """NAME or NAME:SOURCE (chorus doctor lists them); the profile's if left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise BadInput(f"--threshold must lie between 0 and 1, found {self.threshold}.")


class SegmentWorker:
    """Segments images and cleans the instances up; its options have a threshold."""

    def __init__(self, options: Options):
        self._images = ImageReader(options.tree)
        self._threshold = options.threshold
        how = {"mode": options.mode, "threshold": options.threshold}
        self._segmenter: Segmenter = options.load("segmenter", synthetic={}, others=how)

    def prefetch(self, samples: Sequence[Sample]) -> None:
        """Begin to decode a batch of images."""
        self._images.prefetch(samples)

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Segment one batch of images."""
        images = self._images.read(samples)
        outcomes = []
        for image, instances in zip(images, self._segmenter.segment(images), strict=True):
            height, width = image.pixels.shape[:2]
            rows = [detection.row() for detection in clean_up(instances, self._threshold)]
            outcomes.append(Outcome({"width": width, "height": height, "detections": rows}))
        return outcomes


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Segment what is missing."""
    model = options.model("segmenter")
    model.check(options.imports_dir)
    if options.threshold is None:
        options = replace(options, threshold=model.entry.threshold)
    mode = "open" if model.entry.open_vocabulary else options.mode
    further = model.entry.lvis if mode == "lvis" else ()
    weights = [registry.require(name, options.imports_dir) for name in further]
    shards = options.shards_of("images")
    for category in {shard.category for shard in shards}:
        resolve_category(category, mode)
    stage = Stage(
        step("segment"),
        settings={
            **options.recorded("segmenter", weights),
            "mode": mode,
            "threshold": options.threshold,
            "min_overlap": MIN_OVERLAP,
            "always_keep": ALWAYS_KEEP,
        },
        make_worker=functools.partial(SegmentWorker, options),
        processes=model.is_synthetic,
        check_overwrite=check_images_are_kept,
    )
    return run_perception_stage(stage, options, model, shards, progress)

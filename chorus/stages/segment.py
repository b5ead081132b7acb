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
from chorus.models.choice import ModelChoice
from chorus.models.registry import IMPORTED
from chorus.perception.clean_up import ALWAYS_KEEP, MIN_OVERLAP, clean_up
from chorus.perception.protocols import Segmenter
from chorus.pipeline import step
from chorus.records.image_files import check_images_are_kept
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import Image
from chorus.records.tables import read_settings
from chorus.vocabulary import PERSON, resolve_category


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
    """Segments images and cleans the instances up; its options have a threshold.

    Where only persons or only objects were annotated, these stay, and the others are added.
    """

    def __init__(self, options: Options):
        self._annotated = functools.cache(functools.partial(annotated, options.tree))
        self._images = ImageReader(options.tree)
        self._threshold = options.threshold
        how = {"mode": options.mode, "threshold": options.threshold}
        self._segmenter: Segmenter = options.load("segmenter", synthetic={}, others=how)

    def prefetch(self, samples: Sequence[Sample]) -> None:
        """Begin to decode a batch of images."""
        self._images.prefetch(samples)

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Segment one batch of images."""
        kinds = [self._annotated(sample.key.shard) for sample in samples]
        images = self._images.read(samples)
        seen = [
            _asking_for_persons(image) if kind == "objects" else image
            for image, kind in zip(images, kinds, strict=True)
        ]
        outcomes = []
        found = zip(samples, images, kinds, self._segmenter.segment(seen), strict=True)
        for sample, image, kind, instances in found:
            height, width = image.pixels.shape[:2]
            rows = [detection.row() for detection in clean_up(instances, self._threshold)]
            if kind is not None:
                rows = _completed(sample.inputs["annotations"]["detections"], kind, rows)
            outcomes.append(Outcome({"width": width, "height": height, "detections": rows}))
        return outcomes


def annotated(tree: ResultsTree, shard: ShardKey) -> str | None:
    """What alone was annotated in a shard's images, "persons" or "objects"; None for nothing.

    BadInput for a table that says neither.
    """
    path = tree.table("annotations", shard)
    if not path.is_file():
        return None
    kind = read_settings(path).get("annotated")
    if kind not in ("persons", "objects"):
        raise BadInput(
            f"{path}: the setting annotated must be 'persons' or 'objects', found {kind!r}; import "
            "it again with --overwrite."
        )
    return kind


def _asking_for_persons(image: Image) -> Image:
    return replace(image, key=image.key._replace(category=PERSON))


def _completed(given: Sequence[dict], kind: str, found: Sequence[dict]) -> list[dict]:
    """The annotated instances of a kind as they are, with those found of the other; by label."""
    others = [each for each in found if (each["label"] == PERSON) == (kind == "objects")]
    return sorted([*given, *others], key=lambda each: each["label"])


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Segment what is missing."""
    model = options.model("segmenter")
    model.check(options.imports_dir)
    if options.threshold is None:
        options = replace(options, threshold=model.entry.threshold)
    any_noun = model.entry.open_vocabulary or model.entry.persons_only
    mode = "open" if any_noun else options.mode
    further = model.entry.lvis if mode == "lvis" else ()
    weights = [registry.require(name, options.imports_dir) for name in further]
    shards = options.shards_of("images")
    whole = [] if options.fresh else [s for s in shards if _is_imported(options.tree, s)]
    shards = [shard for shard in shards if shard not in whole]
    if whole and not shards:
        return CommandResult(
            f"segment: 0 done, {len(whole)} tables imported whole → "
            f"{options.tree.folder('segmentations')}"
        )
    asked = [shard for shard in shards if annotated(options.tree, shard) != "objects"]
    for category in {shard.category for shard in asked}:
        resolve_category(category, mode)
    problems = []
    if asked and model.entry.persons_only:
        problems = [_needs_objects(model, asked)]
        shards = [shard for shard in shards if shard not in asked]
        if not shards:
            raise BadInput(problems[0])
    usual = step("segment")
    stage = Stage(
        replace(usual, reads=(*usual.reads, *usual.may_read)),
        optional=usual.may_read,
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
    result = run_perception_stage(stage, options, model, shards, progress)
    if problems:
        result.problems += problems
        result.ok = False
    return result


def _is_imported(tree: ResultsTree, shard: ShardKey) -> bool:
    """Whether persons and objects of a shard were imported, so that there is nothing to add."""
    path = tree.table("segmentations", shard)
    return path.is_file() and read_settings(path).get("segmenter") == IMPORTED


def _needs_objects(model: ModelChoice, shards: Sequence[ShardKey]) -> str:
    names = ", ".join(sorted({f"{shard.category} / {shard.prompt}" for shard in shards}))
    return (
        f"--segmenter {model.text} finds persons and no objects, and these need objects: "
        f"{names:.300}. Import masks of the objects with the photographs (chorus import "
        "--annotations; docs/bring-your-own.md), or take a segmenter that finds them: "
        "--segmenter open-vocabulary."
    )

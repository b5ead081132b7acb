"""What the steps share whose networks look at images (`segment`, `humans`, `keypoints`, and
`quality` for two of its criteria): options, which images, settings, and the worker of networks that
look at persons, top-down on their boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from chorus.engine.command_result import CommandResult
from chorus.engine.image_reader import ImageReader
from chorus.engine.loop import Outcome, Sample, Stage
from chorus.engine.progress import Progress
from chorus.engine.table_stage import run_table_stage
from chorus.errors import BadInput
from chorus.models.choice import ModelChoice
from chorus.models.registry import Kind
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import Image, person_boxes
from chorus.settings import (
    DeviceOptions,
    ErrorModelOptions,
    ImageTreeOptions,
    ImportsOptions,
    SampleOptions,
    SeedOptions,
    TableOptions,
    check_has_errors,
    resolve_device,
)
from chorus.synthetic.perceive.noise_settings import ERROR_MODELS, NoiseSettings
from chorus.synthetic.perceive.truth_rows import TruthRows, drawn_by_the_world

Finding = TypeVar("Finding")

BATCH_PIXELS = 2**27
"""Of the images of a batch together: 0.4 GB, and as much again for those decoded in advance."""

LOOKING: tuple[Kind, ...] = ("segmenter", "human_model", "keypoint_model")
"""The kinds of models that look at images."""


@dataclass(frozen=True)
class PerceptionOptions(
    SeedOptions,
    DeviceOptions,
    ImportsOptions,
    ErrorModelOptions,
    TableOptions,
    ImageTreeOptions,
    SampleOptions,
):
    """What every step heeds whose network looks at images."""

    noise: NoiseSettings = field(default_factory=NoiseSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.error_model != "default" and self.noise != NoiseSettings():
            raise BadInput(
                f"--noise.… changes single knobs of the default error model, not of --error_model "
                f"{self.error_model}; give the one or the other."
            )
        if self.error_model != "default":
            check_has_errors(f"--error_model {self.error_model}", self.networks)
        elif self.noise != NoiseSettings():
            check_has_errors("--noise.…", self.networks)

    @property
    def networks(self) -> tuple[ModelChoice, ...]:
        """The models that look at images: those of the kinds that the step has an option for."""
        return tuple(self.model(kind) for kind in LOOKING if hasattr(self, kind))

    @property
    def errors(self) -> NoiseSettings:
        """How far the synthetic world's networks are off."""
        return self.noise if self.error_model == "default" else ERROR_MODELS[self.error_model]

    def load(self, kind: Kind, *, synthetic: dict[str, Any], others: dict[str, Any]) -> Any:
        """The adapter of the chosen model, with what only the synthetic world's needs beside its
        truth, or what only the others need."""
        return self.load_choice(self.model(kind), synthetic=synthetic, others=others)

    def load_choice(
        self, model: ModelChoice, *, synthetic: dict[str, Any], others: dict[str, Any]
    ) -> Any:
        """The adapter of a model that no option of `kind`'s name chooses, as `load` does."""
        if model.is_synthetic:
            truth = {"truth_of": TruthRows(self.tree), "noise": self.errors, "seed": self.seed}
            return model.load(self.imports_dir, self.device, **truth, **synthetic)
        return model.load(self.imports_dir, resolve_device(self.device), **others)

    def shards_of(self, table: str) -> list[ShardKey]:
        """The shards of a table that are asked for."""
        return self.tree.shards(table, self.models.model_key, self.categories, self.prompts)

    def without_segmentations(self) -> list[str]:
        """A line for images that are asked for and not segmented; none if there are none."""
        segmented = set(self.shards_of("segmentations"))
        lacking = [
            shard
            for shard in self.tree.shards("images", self.models.model_key, required=False)
            if shard not in segmented
            and (not self.categories or shard.category in self.categories)
            and (not self.prompts or shard.prompt in self.prompts)
        ]
        if not lacking:
            return []
        return [
            f"{len(lacking)} tables of images have no segmentations yet and were left out (first: "
            f"{lacking[0]}); run chorus segment, then this again"
        ]

    def recorded(self, kind: Kind, further: Sequence[Path] = ()) -> dict[str, Any]:
        """What the step's table keeps of its model (`ModelChoice.recorded`), the synthetic world's
        noise too."""
        model = self.model(kind)
        return {**model.recorded(further), **(self.recorded_errors() if model.is_synthetic else {})}

    def recorded_errors(self) -> dict[str, Any]:
        """What a table keeps of the errors of the synthetic world's networks."""
        return {"noise": self.errors.recorded(), "seed": self.seed}


def run_perception_stage(
    stage: Stage,
    options: PerceptionOptions,
    model: ModelChoice,
    shards: Sequence[ShardKey],
    progress: Progress,
) -> CommandResult:
    """Run a step on the shards that its model (of several, a synthetic one) can look at.

    The synthetic world's networks look up the truth of the images that it drew; shards of other
    images, unless they have their table, are left out and named. BadInput if there are no others.
    """
    problems = []
    if model.is_synthetic:
        blank = [
            shard
            for shard in shards
            if options.fresh or not options.tree.table(stage.output, shard).is_file()
        ]
        unknown = set(blank) - set(drawn_by_the_world(options.tree, blank))
        if unknown:
            problems.append(_not_drawn(model, sorted(unknown), options.network_profile))
        shards = [shard for shard in shards if shard not in unknown]
        if not shards:
            raise BadInput(problems[0])
    stage = replace(stage, batch_pixels=BATCH_PIXELS)
    result = run_table_stage(stage, options, shards, progress)
    result.problems[:0] = problems
    result.ok = result.ok and not problems
    return result


def _not_drawn(model: ModelChoice, shards: Sequence[ShardKey], profile: str) -> str:
    other = model.chosen_by or (
        f"profile {profile} with --model_key {shards[0].model}, or --{model.kind}"
    )
    return (
        f"the synthetic {model.kind} looks up the truth of the images that the synthetic world "
        f"drew, and {len(shards)} tables of images have none in synthetic_truth (first: "
        f"{shards[0]}). Other images need a network: --{other}; images that the world drew are "
        "made again by images --overwrite."
    )


class PersonWorker(Generic[Finding]):
    """Looks at batches of images and their persons' boxes.

    look: images and, for each, its boxes (P, 4) xyxy to what is found in each image, in order.
    outcome: an image's boxes and what was found to what its row holds.
    """

    def __init__(
        self,
        tree: ResultsTree,
        look: Callable[[Sequence[Image], Sequence[np.ndarray]], Sequence[Finding]],
        outcome: Callable[[np.ndarray, Finding], Outcome],
    ):
        self._images = ImageReader(tree)
        self._look = look
        self._outcome = outcome

    def prefetch(self, samples: Sequence[Sample]) -> None:
        """Begin to decode a batch of images."""
        self._images.prefetch(samples)

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Look at one batch of images."""
        images = self._images.read(samples)
        boxes = [person_boxes(sample.inputs["segmentations"]) for sample in samples]
        findings = self._look(images, boxes)
        return [self._outcome(*pair) for pair in zip(boxes, findings, strict=True)]

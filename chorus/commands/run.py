"""`chorus run`: the whole method, step by step (`chorus.pipeline`), each going on where it stopped.

It ends at the first step that goes wrong. Options that only single steps have keep their usual
values; who wants others runs `run --to` the step before, that step by itself, and `run --from` the
next one. `refine` is taken too where no chosen preset reads it, `quality` only where one does, or
where --from or --to names it.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from chorus.engine.command_result import CommandResult
from chorus.engine.perception import LOOKING
from chorus.engine.progress import Progress
from chorus.errors import BadInput, ChorusError
from chorus.occupancy.presets import preset
from chorus.pipeline import STEPS, Step
from chorus.records.aggregations import AggregationKind, chosen_kinds, usual_rules
from chorus.records.soft_selection import tables_read
from chorus.settings import (
    BodyOptions,
    DeviceOptions,
    EngineOptions,
    ErrorModelOptions,
    ImageTreeOptions,
    OptionGroup,
    RedoOptions,
    SampleOptions,
    SeedOptions,
    ShardOptions,
    WorldOptions,
    check_has_errors,
)
from chorus.vocabulary import strip_demo

StepName = Literal[tuple(step.name for step in STEPS)]


@dataclass(frozen=True)
class Options(
    SeedOptions,
    DeviceOptions,
    BodyOptions,
    ShardOptions,
    EngineOptions,
    RedoOptions,
    WorldOptions,
    ErrorModelOptions,
    ImageTreeOptions,
    SampleOptions,
):
    """Take all steps in order, from prompts to pictures."""

    first: Annotated[StepName, tyro.conf.arg(name="from")] = "prompts"
    """The step to begin with; those before it must have been taken."""
    last: Annotated[StepName, tyro.conf.arg(name="to")] = "view"
    """The step to end with."""
    categories: tuple[str, ...] = ()
    """Categories to take through the steps, one or more."""
    prompt_dir: Path | None = None
    """Folder of the prompt files, <category>.txt; those that are there are kept. If left out
    prompts/demo for the demo, else <results_dir>/prompts/<profile>."""
    num_batch_per_augprompt: int = 20
    """Batches of images for each prompt and augprompt."""
    batch_size: int = 6
    """Images in a batch."""
    aggr_setting_names: tuple[str, ...] = ()
    """Aggregation presets to make and to draw; if left out qual:evidence-demo and qual:demo for the
    demo, else what has been aggregated, and quant:evidence if that is nothing (with profile paper
    qual:demo and quant:full)."""
    save_dir: Path | None = None
    """Folder for the page and the pictures, a folder per category if there are several. If left
    out results_demo for the demo, else beside the distributions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.categories and all(name != strip_demo(name) for name in self.categories):
            self._fill(
                prompt_dir=Path("prompts/demo"),
                aggr_setting_names=self.models.qualitative,
                save_dir=Path("results_demo"),
            )
        self._fill(prompt_dir=self.results_dir / "prompts" / self.profile)
        if not self.categories:
            raise BadInput("run needs --categories, for instance --categories surfboard-demo.")
        self._check_errors()
        if not self.steps:
            raise BadInput(f"--from {self.first} comes after --to {self.last}.")
        whole = {"aggregate", "view"}.intersection(step.name for step in self.steps)
        if self.part_count > 1 and whole:
            raise BadInput(
                "a part of the work (--shard, CHORUS_SHARD) ends with the cameras: give --to "
                "calibrate, and once all parts are there, run --from aggregate without --shard."
            )

    def _check_errors(self) -> None:
        if self.error_model != "default":
            networks = [self.model(kind) for kind in LOOKING]
            check_has_errors(f"--error_model {self.error_model}", networks)

    def _fill(self, **usual: Any) -> None:
        """Set options that were left out to what is usual."""
        for name, value in usual.items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps to take."""
        names = [step.name for step in STEPS]
        part = STEPS[names.index(self.first) : names.index(self.last) + 1]
        named = "quality" in (self.first, self.last)
        return tuple(
            step for step in part if step.name != "quality" or named or self._reads_quality(part)
        )

    def _reads_quality(self, part: Sequence[Step]) -> bool:
        """Whether a preset that is meant reads the table of quality."""
        presets = self.aggr_setting_names
        if not presets and any(step.name == "aggregate" for step in part):
            usual = self.models.quantitative
            kind = AggregationKind(usual, usual_rules(usual))
            model = self.models.model_key
            kinds = chosen_kinds(self.tree, model, self.categories, (), (), usual=kind)
            presets = tuple(kind.preset for kind in kinds)
        return any("quality" in tables_read(preset(name)) for name in presets)


def run(options: Options, progress: Progress = None) -> Iterator[CommandResult]:
    """The result of every step as it ends, then one that says where to look."""
    started = time.monotonic()
    jobs = []  # all options first, so that a wrong one is heard of at once
    for step in options.steps:  # once: what has been aggregated, which it heeds, will change
        module = importlib.import_module(step.module)
        jobs.append((step, module, _options_of(step, module.Options, options)))
    for step, module, step_options in jobs:
        try:
            result = module.run(step_options, progress)
        except ChorusError as error:
            raise type(error)(f"{error} ({_by_itself(step)})") from error
        yield result
        if not result.ok:
            yield CommandResult(f"run: ended at {step.name}; {_by_itself(step)}.", ok=False)
            return
    taken = " ".join(step.name for step, *_ in jobs)
    where = result.line.rpartition("→ ")[2].partition(";")[0]
    look = f"open {where} in a browser" if options.last == "view" else f"see {where}"
    yield CommandResult(f"run: {taken} in {time.monotonic() - started:.0f} s; {look}")


def _by_itself(step: Step) -> str:
    return f"chorus {step.name} by itself has all options of this step; then run goes on"


def _options_of(step: Step, group: type[OptionGroup], options: Options) -> OptionGroup:
    """The step's own options: those that `run` has too."""
    if step.name == "prompts":  # files that are there may be somebody's own
        kept = {"overwrite": False, "skip_done": True}
        return options.carried_to(group, save_dir=options.prompt_dir, **kept)
    if step.name == "images":
        return options.carried_to(group, save_dir=None)
    return options.carried_to(group)

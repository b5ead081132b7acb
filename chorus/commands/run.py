"""`chorus run`: the whole method, step by step (`chorus.pipeline`), each going on where it stopped.

It ends at the first step that goes wrong. Options that only single steps have keep their usual
values; who wants others runs `run --to` the step before, that step by itself, and `run --from` the
next one.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput
from chorus.pipeline import STEPS, Step
from chorus.settings import (
    BodyOptions,
    DeviceOptions,
    EngineOptions,
    ImageTreeOptions,
    RedoOptions,
    SampleOptions,
    SeedOptions,
    ShardOptions,
)

StepName = Literal[tuple(step.name for step in STEPS)]


@dataclass(frozen=True)
class Options(
    SeedOptions,
    DeviceOptions,
    BodyOptions,
    ShardOptions,
    EngineOptions,
    RedoOptions,
    ImageTreeOptions,
    SampleOptions,
):
    """Take all steps in order, from prompts to pictures."""

    first: Annotated[StepName, tyro.conf.arg(name="from")] = "prompts"
    """The step to begin with; those before it must have been taken."""
    last: Annotated[StepName, tyro.conf.arg(name="to")] = "view"
    """The step to end with."""
    prompt_dir: Path = Path("prompts/demo")
    """Folder of the prompt files, <category>.txt; those that are there are kept."""
    num_batch_per_augprompt: int = 20
    """Batches of images for each prompt and augprompt."""
    batch_size: int = 6
    """Images in a batch."""
    aggr_setting_names: tuple[str, ...] = ("qual:demo",)
    """Aggregation presets to make and to draw."""
    save_dir: Path = Path("results_demo")
    """Folder for the page and the pictures; a folder per category if there are several."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.categories:
            raise BadInput("run needs --categories, for instance --categories surfboard-demo.")
        if not self.steps:
            raise BadInput(f"--from {self.first} comes after --to {self.last}.")

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps to take."""
        names = [step.name for step in STEPS]
        return STEPS[names.index(self.first) : names.index(self.last) + 1]


def run(options: Options, progress: Progress = None) -> Iterator[CommandResult]:
    """The result of every step as it ends, then one that says where to look."""
    started = time.monotonic()
    for step in options.steps:
        module = importlib.import_module(step.module)
        result = module.run(_options_of(step, module.Options, options), progress)
        yield result
        if not result.ok:
            yield CommandResult(
                f"run: ended at {step.name}; run chorus {step.name} by itself, or the same command "
                "again once what it says is mended.",
                ok=False,
            )
            return
    seconds = time.monotonic() - started
    taken = " ".join(step.name for step in options.steps)
    yield CommandResult(f"run: {taken} in {seconds:.0f} s; {_where_to_look(options)}")


def _options_of(step: Step, kind: type, options: Options) -> object:
    """The step's own options: those that `run` has too."""
    if step.name == "prompts":
        return options.carried_to(kind, save_dir=options.prompt_dir)
    if step.name == "images":
        return options.carried_to(kind, save_dir=None)
    return options.carried_to(kind)


def _where_to_look(options: Options) -> str:
    """Where the last step left what people look at."""
    if options.last == "view":
        return f"open {options.save_dir}/index.html in a browser"
    if options.last == "prompts":
        return f"see {options.prompt_dir}"
    (folder, *_) = options.steps[-1].writes or ("aggregations",)
    return f"see {options.tree.folder(folder) / options.models.model_key}"

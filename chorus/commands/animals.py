"""`chorus animals <task>`: keypoints, pseudo-labels and articulated shape of four-legged animals.

docs/animals.md describes the tasks and their files. scripts/animals/ has the release's names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from chorus.commands.animal_tasks.boxes import SaveBoxes
from chorus.commands.animal_tasks.distributions import DistributionTask
from chorus.commands.animal_tasks.keypoints import EvaluateKeypoints, TrainKeypoints
from chorus.commands.animal_tasks.pasture import Pasture
from chorus.commands.animal_tasks.pseudo_labels import GeneratePl, GeneratePlMt
from chorus.commands.animal_tasks.selection import Select
from chorus.commands.animal_tasks.shapes import (
    EvaluateShape,
    GeneratePl3d,
    TrainShape,
    Visualize,
)
from chorus.commands.animal_tasks.templates import TemplateTask
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress

Task = (
    Annotated[TemplateTask, tyro.conf.subcommand("template")]
    | Annotated[Pasture, tyro.conf.subcommand("pasture")]
    | Annotated[SaveBoxes, tyro.conf.subcommand("save_boxes")]
    | Annotated[TrainKeypoints, tyro.conf.subcommand("train_keypoints")]
    | Annotated[EvaluateKeypoints, tyro.conf.subcommand("evaluate_keypoints")]
    | Annotated[GeneratePl, tyro.conf.subcommand("generate_pl")]
    | Annotated[GeneratePlMt, tyro.conf.subcommand("generate_pl_mt")]
    | Annotated[Select, tyro.conf.subcommand("select")]
    | Annotated[TrainShape, tyro.conf.subcommand("train_shape")]
    | Annotated[GeneratePl3d, tyro.conf.subcommand("generate_pl_3d")]
    | Annotated[EvaluateShape, tyro.conf.subcommand("evaluate_shape")]
    | Annotated[Visualize, tyro.conf.subcommand("visualize")]
    | Annotated[DistributionTask, tyro.conf.subcommand("distribution")]
)


@dataclass(frozen=True)
class Options:
    """Learn the shape of four-legged animals from few labels and many selected pseudo-labels."""

    task: Annotated[Task, tyro.conf.arg(name="")]
    """What to do."""


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Do the task."""
    return options.task.run(progress)

"""`chorus scorehmr <task>`: ScoreHMR's evaluations and training, on its own files.

docs/refinement.md describes them. scripts/refinement/ has the release's names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from chorus.commands.refinement_tasks.caching import CacheHmr2
from chorus.commands.refinement_tasks.demonstration import DemoImages
from chorus.commands.refinement_tasks.evaluations import KeypointFitting, MultiView, Video
from chorus.commands.refinement_tasks.trainings import Train
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress

Task = (
    Annotated[KeypointFitting, tyro.conf.subcommand("keypoint_fitting")]
    | Annotated[MultiView, tyro.conf.subcommand("multiview")]
    | Annotated[Video, tyro.conf.subcommand("video")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[CacheHmr2, tyro.conf.subcommand("cache_hmr2")]
    | Annotated[DemoImages, tyro.conf.subcommand("images")]
)


@dataclass(frozen=True)
class Options:
    """Evaluate and train ScoreHMR's denoiser as its release does."""

    task: Annotated[Task, tyro.conf.arg(name="")]
    """What to do."""


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Do the task."""
    return options.task.run(progress)

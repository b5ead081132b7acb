"""`chorus train score`: a diffusion prior of poses, for `refine --refinement score`."""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from chorus.commands.training.examples import Source, examples
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput, unknown_name
from chorus.refinement.score.training_settings import PAPER, TrainingSettings
from chorus.settings import BodyOptions, WorkerOptions
from chorus.synthetic.perceive.noise_settings import ErrorModelName
from chorus.synthetic.world.interactions import categories as known_categories

if TYPE_CHECKING:
    from torch import Tensor

    from chorus.body.model import BodyModel
    from chorus.refinement.score.training import Examples, Reached, Training

logger = logging.getLogger(__name__)

_VALIDATED = 0.04  # share of the parts, the last ones, that are kept for validation
_AT_ONCE = 4096  # examples that are validated together


@dataclass(frozen=True)
class Options(WorkerOptions, BodyOptions):
    """Train a prior of poses, our own or ScoreHMR's, on poses whose truth is known.

    Our own needs nothing but poses: the synthetic world's interactions, or pose sets, seen by
    cameras and perceived with the error model's errors. A training that was interrupted goes on
    where it was if the same command is given again.
    """

    what: Positional[Literal["score"]] = dataclasses.field(kw_only=True)
    """`score`, the prior of `refine --refinement score`."""
    out: Path = Path("trained/score")
    """Folder for the training's state, its examples, and the result: prior.safetensors (own) or
    model-<steps / 10000>.pt (paper)."""
    preset: Literal["own", "paper"] = "own"
    """`own`: our prior, of what every regressor and detector gives; `paper`: ScoreHMR's denoiser
    and hyperparameters, on features that were cached for data sets."""
    steps: int | None = None
    """Steps of the optimiser; the preset's if left out."""
    data: tuple[Path, ...] = ()
    """Pose sets (.npz in AMASS's form) instead of the synthetic world; for preset paper, ScoreHMR's
    data sets (body_pose, betas, ...)."""
    held_out: tuple[str, ...] = ()
    """Categories of the synthetic world that are kept out of the training, for later tests."""
    arrangements: int = 5000
    """Persons with their objects that are drawn (or poses that are taken)."""
    cameras: int = 6
    """Cameras that look at each."""
    perceptions: int = 3
    """How often what a camera sees is perceived, with other errors each time."""
    error_model: ErrorModelName = "default"
    """How regressor and detector err."""
    features: tuple[Path, ...] = ()
    """Preset paper: a file of cached features for each of --data, rows in the same order."""
    stats: Path | None = None
    """Preset paper: mean and deviation of the features."""
    mix: tuple[float, ...] = ()
    """Preset paper: how often each of --data is drawn; equally often if left out."""
    shape_range: Path | None = None
    """Preset paper: least and largest betas (betas_min, betas_max); trains the shape as well."""
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("arrangements", "cameras", "perceptions"):
            if getattr(self, name) < 1:
                raise BadInput(f"--{name} must be at least 1, found {getattr(self, name)}.")
        if self.out.exists() and not self.out.is_dir():
            raise BadInput(f"--out {self.out} is a file; give a folder.")
        if self.steps is not None and self.steps < 1:
            raise BadInput(f"--steps must be at least 1, found {self.steps}.")
        for name in self.held_out:
            if name not in known_categories():
                raise unknown_name("category in --held_out:", name, known_categories())
        if self.preset == "paper" and (not self.data or self.stats is None):
            raise BadInput(
                "--preset paper needs data sets (--data), the features that were cached for them "
                "(--features) and these features' mean and deviation (--stats)."
            )

    @property
    def settings(self) -> TrainingSettings:
        """How to train."""
        chosen = self.training
        if self.preset == "paper":
            chosen = PAPER
        return chosen if self.steps is None else replace(chosen, steps=self.steps)


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Train to the end, or go on with a training; the summary says where the prior is."""
    started = time.monotonic()
    train = _train_own if options.preset == "own" else _train_published
    path, said = train(options, progress)
    minutes = (time.monotonic() - started) / 60
    steps = options.settings.steps
    return CommandResult(f"train: {path} after {steps} steps, {minutes:.1f} min{said}")


def _train_own(options: Options, progress: Progress) -> tuple[Path, str]:
    import torch

    from chorus.body.loading import load_body
    from chorus.refinement.score.learned import LearnedDenoiser, save_learned
    from chorus.refinement.score.schedule import Schedule
    from chorus.refinement.score.training import Examples, Training, learned_loss

    settings, source = options.settings, _source(options)
    body = load_body(options.body, options.imports_dir)
    parts = examples(source, options.out / "examples", options.worker_count, progress)
    kept = max(1, round(_VALIDATED * len(parts))) if len(parts) > 1 else 0
    seen = Examples.joined(parts[: len(parts) - kept])
    unseen = Examples.joined(parts[len(parts) - kept :]) if kept else None
    if len(seen.truth) < 2 or (unseen is not None and not len(unseen.truth)):
        raise BadInput(
            f"{source.arrangements} arrangements gave {len(seen.truth)} examples, too few to train "
            "with; raise --arrangements."
        )
    torch.manual_seed(settings.seed)
    network = LearnedDenoiser()
    network.measure(seen.condition, seen.truth - seen.centre)
    training = Training(network, settings, options.out / "state.pt", source.told())
    loss = learned_loss(seen, settings.batch, Schedule())
    said = "; without a validation, for which one part of the examples is too few"
    for reached in _reports(training, loss, settings.steps, progress):
        if unseen is not None:
            found, before = _validated(body, reached, unseen)
            said = f"; validation PA-MPJPE {found:.1f} mm, of the fits {before:.1f} mm"
        logger.info("step %d: loss %.4f%s", reached.step, reached.loss, said)
    path = options.out / "prior.safetensors"
    save_learned(path, training.averaged, {"trained_on": source.told()})
    return path, said


def _source(options: Options) -> Source:
    return Source(
        categories=tuple(name for name in known_categories() if name not in options.held_out),
        poses=options.data,
        arrangements=options.arrangements,
        cameras=options.cameras,
        perceptions=options.perceptions,
        error_model=options.error_model,
        seed=options.settings.seed,
        body=options.body,
        imports_dir=options.imports_dir,
    )


def _reports(training: Training, loss, steps: int, progress: Progress):
    """The training's reports, with a bar."""
    with progress_bar(progress, steps, "training", "step", initial=training.step) as advance:
        at = training.step
        for reached in training.run(loss):
            advance(reached.step - at)
            at = reached.step
            yield reached


def _validated(body: BodyModel, reached: Reached, unseen: Examples) -> tuple[float, float]:
    """PA-MPJPE, mm, of the expected poses and of the fits."""
    from chorus.refinement.score.condition import Told
    from chorus.refinement.score.learned import LearnedPrior

    some = unseen.take(slice(0, _AT_ONCE))
    prior = LearnedPrior.of(reached.network, Told(some.condition, some.centre))
    return (
        _error(body, prior.expected(), some.truth),
        _error(body, some.centre, some.truth),
    )


def _error(body: BodyModel, numbers: Tensor, truth: Tensor) -> float:
    from chorus.geometry.alignment import aligned_distances
    from chorus.refinement.score.denoiser import pose_rotations

    joints = [body.posed_joints(pose_rotations(each)) for each in (numbers, truth)]
    return 1000 * float(aligned_distances(*joints).mean())


def _train_published(options: Options, progress: Progress) -> tuple[Path, str]:
    import torch

    from chorus.commands.training.cached_features import feature_set
    from chorus.refinement.score.checkpoint import save_published
    from chorus.refinement.score.denoiser import Denoiser, axis_angle_numbers
    from chorus.refinement.score.schedule import Schedule
    from chorus.refinement.score.training import Training, published_loss

    settings = options.settings
    rows = feature_set(
        options.data, options.features, options.stats, options.mix, options.shape_range
    )
    numbers = axis_angle_numbers(torch.from_numpy(rows.pose))
    if rows.widths.shape:
        numbers = torch.cat([numbers, torch.from_numpy(rows.betas)], -1)
    torch.manual_seed(settings.seed)
    data = ", ".join(path.name for path in options.data) + f"; {len(numbers)} poses"
    training = Training(Denoiser(rows.widths), settings, options.out / "state.pt", data)
    arrays = (torch.from_numpy(each) for each in (rows.condition, rows.has_betas, rows.chance))
    condition, has_betas, chance = arrays
    loss = published_loss(condition, numbers, has_betas, chance, settings.batch, Schedule())
    said = ""
    for reached in _reports(training, loss, settings.steps, progress):
        said = f"; loss {reached.loss:.4f}"
        logger.info("step %d%s", reached.step, said)
    path = options.out / f"model-{settings.steps // 10_000}.pt"
    save_published(path, training.network, training.averaged, Schedule(), settings.steps)
    return path, said

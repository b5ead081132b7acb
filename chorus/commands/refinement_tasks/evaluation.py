"""Refining a data set's persons by a published denoiser, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from chorus.commands.refinement_tasks.data_files import FOCAL, DataSet, Predictions
from chorus.errors import BadInput, Unavailable
from chorus.refinement.score.settings import GuidanceSettings

if TYPE_CHECKING:
    from torch import Tensor

    from chorus.body.model import BodyModel
    from chorus.refinement.score.denoiser import Denoiser, Widths
    from chorus.refinement.score.guidance import Guided
    from chorus.refinement.score.published_points import ShapeRange
    from chorus.refinement.score.schedule import Schedule


@dataclass(frozen=True)
class Model:
    """A published denoiser with all that it is used with."""

    network: Denoiser
    schedule: Schedule
    body: BodyModel
    averaging: Float[np.ndarray, "19 6890"]
    shape_range: ShapeRange | None
    device: str


@dataclass(frozen=True)
class Refined:
    """N persons: rotations (N, 24, 3, 3), betas (N, 10), translation (N, 3) of SMPL's origin,
    points (N, 44, 3) before the camera, of the start too; losses and early stops as `Guided`."""

    rotations: np.ndarray
    betas: np.ndarray
    translation: np.ndarray
    points: np.ndarray
    start_points: np.ndarray
    loss_before: np.ndarray
    loss: np.ndarray
    stopped: np.ndarray

    @classmethod
    def joined(cls, parts: list[Refined]) -> Refined:
        """Several, one after the other."""
        names = vars(parts[0])
        return cls(**{n: np.concatenate([vars(part)[n] for part in parts]) for n in names})


def load_model(
    checkpoint: Path, body: Path, averaging: Path, shape_range: Path | None, device: str
) -> Model:
    """Everything from its files; shape_range: of betas, for a denoiser of the shape.

    Unavailable if checkpoint or body are not there, BadInput where one is damaged or of another
    form.
    """
    import torch

    from chorus.body.loading import load_body
    from chorus.commands.refinement_tasks.data_files import read_averaging
    from chorus.commands.training.cached_features import read_shape_range
    from chorus.refinement.score.checkpoint import load_published
    from chorus.refinement.score.published_points import ShapeRange, require_smpl

    _require(
        checkpoint,
        "train one with scripts/refinement/train.py, or fetch the release's and say "
        "--use_default_ckpt",
    )
    _require(
        body,
        "get SMPL's neutral body from https://smpl.is.tue.mpg.de and name its file with --body",
    )
    network, schedule = load_published(checkpoint)
    shape = None
    if network.widths.shape:
        if shape_range is None or not shape_range.is_file():
            raise BadInput(
                f"{checkpoint} is a model of pose and shape: it needs the range of betas that it "
                f"was trained with, found none at {shape_range}; name the file with --shape_range."
            )
        low, high = read_shape_range(shape_range)
        shape = ShapeRange(*(torch.as_tensor(e.copy()).float().to(device) for e in (low, high)))
    loaded = load_body(body)
    require_smpl(loaded)
    return Model(
        network.to(device),
        schedule,
        loaded.to(device),
        read_averaging(averaging),
        shape,
        device,
    )


def _require(path: Path, cure: str) -> None:
    if not path.is_file():
        raise Unavailable(f"{path} is not there; {cure}.")


def feature_names(widths: Widths, given: str) -> list[tuple[str, int]]:
    """The cached features that a denoiser of those sizes is conditioned on.

    given: how sentences call its file. BadInput for another size than PARE's and ProHMR's.
    """
    from chorus.commands.training.cached_features import PARE, PROHMR

    if widths.condition == PROHMR[0][1]:
        return list(PROHMR)
    if widths.condition == PARE[0][1]:
        return list(PARE if widths.shape else PARE[:1])
    raise BadInput(
        f"{given} takes a condition of {widths.condition} numbers; known are {PARE[0][1]} of PARE "
        f"and {PROHMR[0][1]} of ProHMR."
    )


def batches(group: np.ndarray, size: int) -> Iterator[slice]:
    """Rows in batches of at most so many, unless a single group has more; groups stay whole."""
    begin = last = 0
    for end in [*(np.flatnonzero(np.diff(group)) + 1).tolist(), len(group)]:
        if end - begin > size and last > begin:
            yield slice(begin, last)
            begin = last
        last = end
    yield slice(begin, last)


def group_means(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Values (N, S) replaced by their group's mean."""
    _, of = np.unique(group, return_inverse=True)
    total = np.zeros((of.max() + 1, values.shape[1]), np.float64)
    np.add.at(total, of, values)
    return (total / np.bincount(of)[:, None])[of].astype(values.dtype)


def refine(
    model: Model,
    data: DataSet,
    start: Predictions,
    condition: Float[np.ndarray, "N C"],
    settings: GuidanceSettings,
    rows: slice,
) -> Refined:
    """Some rows of a data set refined, whole groups of them. condition: standardised features."""
    import torch

    from chorus.refinement.score.denoiser import pose_numbers
    from chorus.refinement.score.guidance import Guidance
    from chorus.refinement.score.losses import Observed
    from chorus.refinement.score.priors import PublishedPrior
    from chorus.refinement.score.published_points import OpenPosePoints

    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values[rows], device=model.device)

    sizes, seen, betas = tensor(data.image_size), tensor(data.keypoints), tensor(start.betas)
    group = tensor(data.group)
    observed = Observed(
        keypoints=seen[..., :2],
        confidence=seen[..., 2],
        focal=torch.full_like(sizes[:, 0], FOCAL),
        centre=sizes / 2,
        image_size=sizes,
        person=group,
        track=group,
    )
    rotations = tensor(start.rotations)
    numbers = pose_numbers(rotations)
    if model.shape_range is not None:
        numbers = torch.cat([numbers, model.shape_range.numbers(betas)], -1)
    prior = PublishedPrior(model.network, tensor(condition), model.schedule)
    points = OpenPosePoints(model.body, betas, model.shape_range)
    guided = Guidance(prior, points, observed, settings)(numbers, tensor(start.translation))
    return _result(model, guided, rotations, betas, tensor(start.translation))


def _result(
    model: Model, guided: Guided, rotations: Tensor, betas: Tensor, translation: Tensor
) -> Refined:
    import torch

    from chorus.refinement.score.denoiser import POSE_NUMBERS, pose_rotations
    from chorus.refinement.score.published_points import all_points

    averaging = torch.from_numpy(model.averaging).to(model.device)
    found = pose_rotations(guided.numbers[:, :POSE_NUMBERS])
    shape = betas
    if model.shape_range is not None:
        shape = model.shape_range.betas(guided.numbers[:, POSE_NUMBERS:])
    with torch.no_grad():
        before = all_points(model.body, averaging, rotations, betas) + translation[:, None]
        after = all_points(model.body, averaging, found, shape) + guided.translation[:, None]
    arrays = (
        found, shape, guided.translation, after, before,
        guided.loss_before, guided.loss, guided.stopped,
    )  # fmt: skip
    return Refined(*(array.detach().cpu().numpy() for array in arrays))

"""Training of the keypoint network, as published: what is drawn for a step follows from the seed
and the step's number, so that a run that was stopped goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from chorus.animals.accuracy import errors, pck
from chorus.animals.annotations import Labels, read_image
from chorus.animals.crops import after, as_input, crop_transform, square_of, warp
from chorus.animals.keypoints import VISIBLE
from chorus.animals.pose.finding import Reading, find_keypoints
from chorus.animals.pose.heat_maps import STRIDE, Placement, heat_map_loss, targets
from chorus.animals.pose.network import KeypointNetwork
from chorus.animals.training import Curve, load_state, save_state, step_samples
from chorus.animals.weights import write_weights
from chorus.errors import BadInput
from chorus.geometry.image_transforms import about, move_points


@dataclass(frozen=True)
class PoseTraining:
    """How the keypoint network is trained; the defaults are the published ones."""

    model: str = "resnet18"
    """Depth of the network: resnet18, 34, 50, 101 or 152."""
    iter: int = 50_000
    """Steps."""
    val_freq: int = 500
    """Steps between two validations; the best weights are kept."""
    batch_size: int = 32
    """Crops a step."""
    lr: float = 1e-4
    """Adam's step size."""
    thres: float = VISIBLE
    """Confidence from which a label is trained on."""
    thres_use: float = 0.04
    """Share of the box at which the PCK decides which weights are best."""
    input_res: int = 256
    """Side of a crop, pixels."""
    output_res: int = 64
    """Side of a heat map, cells; a quarter of --input_res."""
    seed: int = 14
    """Seed of weights, order and augmentation."""
    placement: Placement = "exact"
    """Where peaks of the targets lie, and how heat maps are read: exact, or published."""
    turn: float = 30.0
    """Crops are turned by up to so many degrees."""
    zoom: float = 0.25
    """Crops are zoomed in or out by up to this share."""

    def __post_init__(self) -> None:
        if min(self.iter, self.val_freq, self.batch_size) < 1:
            raise BadInput("--iter, --val_freq and --batch_size must be 1 or more.")
        if self.batch_size < 2:
            raise BadInput("--batch_size must be 2 or more: the network normalises over a batch.")
        if not self.lr > 0:
            raise BadInput(f"--lr must be above 0, found {self.lr}.")
        if self.output_res * STRIDE != self.input_res:
            raise BadInput(
                f"--output_res must be a quarter of --input_res; found {self.output_res} and "
                f"{self.input_res}."
            )
        if not 0 <= self.zoom < 1 or not 0 <= self.turn <= 180:
            raise BadInput("zoom must lie in 0 ... 1 and turn in 0 ... 180 degrees.")
        Reading(input_res=self.input_res)

    @property
    def reading(self) -> Reading:
        """How a network that is trained so is read."""
        return Reading(self.placement, input_res=self.input_res, batch_size=self.batch_size)


@dataclass(frozen=True, eq=False)
class Split:
    """Labels and the folder that their images' paths start from."""

    labels: Labels
    images: Path


def train_keypoints(
    training: Sequence[Split],
    validation: Split,
    settings: PoseTraining,
    folder: Path,
    device: str,
    advance: Callable[[int], object],
) -> float:
    """Train, and write best_model.pth, last.pth and losses.csv; the best PCK, percent.

    Goes on from last.pth if it was made with the same settings.
    """
    torch.manual_seed(settings.seed)
    network = KeypointNetwork(settings.model).to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.lr)
    curve = Curve(folder / "losses.csv", ("loss", "pck"))
    state = load_state(folder / "last.pth", network, optimiser, settings)
    best = state.best
    advance(state.step)
    curve.cut(state.step)
    for step in range(state.step, settings.iter):
        loss = _step(network, optimiser, training, settings, step, device)
        score = None
        if (step + 1) % settings.val_freq == 0 or step + 1 == settings.iter:
            score = evaluate_keypoints(
                network, validation, settings.reading, (settings.thres_use,)
            )[settings.thres_use]
            if not score <= best:
                best = score
                write_weights(folder / "best_model.pth", network.state_dict())
            curve.add(step + 1, loss, score)
            save_state(folder / "last.pth", network, optimiser, settings, step + 1, best)
        else:
            curve.add(step + 1, loss, None)
        advance(1)
    return best


def _step(
    network: KeypointNetwork,
    optimiser: torch.optim.Optimizer,
    training: Sequence[Split],
    settings: PoseTraining,
    step: int,
    device: str,
) -> float:
    network.train()
    samples = [(split, row) for split in training for row in range(len(split.labels.records))]
    rows = step_samples(len(samples), settings.batch_size, step, settings.seed)
    rng = np.random.default_rng([settings.seed, step, 1])
    drawn = [_sample(*samples[row], settings, rng) for row in rows]
    images = as_input(np.stack([crop for crop, _ in drawn])).to(device)
    joints = torch.from_numpy(np.stack([joints for _, joints in drawn])).float().to(device)
    wanted, counted = targets(
        joints[..., :2], joints[..., 2] >= settings.thres, settings.output_res, settings.placement
    )
    loss = heat_map_loss(network(images), wanted, counted)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def _sample(
    split: Split, row: int, settings: PoseTraining, rng: np.random.Generator
) -> tuple[np.ndarray, Float[np.ndarray, "K 3"]]:
    """An augmented crop and the joints in it."""
    image = read_image(split.images, split.labels.records[row])
    corner, side = square_of(split.labels.boxes[row])
    size = settings.input_res
    turn = rng.uniform(-settings.turn, settings.turn)
    scale = 1 / rng.uniform(1 - settings.zoom, 1 + settings.zoom)
    move = after(
        about(np.array([size / 2, size / 2]), scale, turn), crop_transform(corner, side, size)
    )
    joints = np.array(split.labels.joints[row])
    joints[:, :2] = move_points(joints[:, :2], move)
    return warp(image, move, size), joints


def evaluate_keypoints(
    network: KeypointNetwork,
    split: Split,
    reading: Reading,
    thresholds: tuple[float, ...],
) -> dict[float, float]:
    """PCK, percent, of a network on labelled images, by threshold. BadInput for an image that
    cannot be looked at."""
    network.eval()
    found = []
    for each in find_keypoints(network, split.images, split.labels.records, reading):
        if each.problem:
            raise BadInput(each.problem)
        found.append(each.places)
    error, counted = errors(np.stack(found), split.labels.joints, split.labels.boxes)
    return {each: pck(error, counted, each) for each in thresholds}

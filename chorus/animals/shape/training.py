"""Training of the shape network on labels and selected pseudo-labels.

As with the keypoint network, what a step draws follows from the seed and the step's number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from chorus.animals.annotations import Labels, read_image
from chorus.animals.articulation import Order
from chorus.animals.crops import WHITE, as_input, crop_transform, warp
from chorus.animals.keypoints import MIRROR
from chorus.animals.shape.network import ShapeForm, ShapeNetwork
from chorus.animals.shape.projecting import (
    PosedTemplate,
    keypoint_loss,
    limit_loss,
    mean_over_cameras,
    rigid,
)
from chorus.animals.template import Template
from chorus.animals.training import Curve, load_state, save_state, step_samples
from chorus.animals.weights import write_weights
from chorus.errors import BadInput
from chorus.geometry.image_transforms import move_points

_SHIFT_WEIGHT = 10.0


@dataclass(frozen=True)
class ShapeTraining:
    """How the shape network is trained; the defaults are the published ones but where a field says
    otherwise."""

    num_iter: int = 70_000
    """Steps."""
    iter_save: int = 5_000
    """Steps between two saved states."""
    batch_size: int = 12
    """Images a step."""
    learning_rate: float = 1e-4
    """Adam's step size."""
    beta1: float = 0.9
    """Adam's momentum."""
    seed: int = 0
    """Seed of weights, order and augmentation."""
    img_size: int = 256
    """Side of a crop, pixels."""
    padding_frac: float = 0.05
    """Boxes are widened by this share on each side."""
    jitter_frac: float = 0.05
    """Each side of a box is moved by up to this share."""
    nz_feat: int = 200
    """Width of the hidden layers."""
    num_hypo_cams: int = 1
    """Cameras that are tried."""
    published_angles: bool = False
    """Read the angles of several cameras as the release does (`ShapeForm`)."""
    warmup_deform_iter: int = 3_000
    """Steps before parts begin to turn."""
    kp_loss_wt: float = 3.0
    """Weight of the keypoints."""
    limit_loss_wt: float = 1.0
    """Weight of hinges beyond their limits; not in the release, which has no limits."""
    no_trans: bool = True
    """Parts turn and do not shift."""
    flip_train: bool = False
    """Every image is trained on together with its mirror image; else one of the two, by chance."""
    order: Order = "root last"
    """Order of a chain's turns; `parent last` is the release's, which its weights need."""

    def __post_init__(self) -> None:
        if min(self.num_iter, self.iter_save) < 1 or self.batch_size < 2:
            raise BadInput("--num_iter and --iter_save must be 1 or more, --batch_size 2 or more.")
        if not self.learning_rate > 0 or not 0 <= self.beta1 < 1:
            raise BadInput("--learning_rate must be above 0, and --beta1 in 0 ... 1.")
        if not (0 <= self.padding_frac <= 1 and 0 <= self.jitter_frac <= 0.4):
            raise BadInput("--padding_frac must lie in 0 ... 1, --jitter_frac in 0 ... 0.4.")
        if min(self.kp_loss_wt, self.limit_loss_wt, self.warmup_deform_iter) < 0:
            raise BadInput("weights of losses and --warmup_deform_iter must not be below 0.")
        self.form(1, 1)

    def form(self, parts: int, vertices: int) -> ShapeForm:
        """The form of the network that is trained."""
        return ShapeForm(
            parts,
            vertices,
            self.num_hypo_cams,
            self.nz_feat,
            self.img_size,
            self.published_angles,
        )


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Labels to train on, and the folder that their images' paths start from."""

    labels: Labels
    images: Path


def train_shape(
    sets: Sequence[TrainingSet],
    template: Template,
    settings: ShapeTraining,
    folder: Path,
    device: str,
    advance: Callable[[int], object],
) -> float:
    """Train, and write <k>.pth (k thousand steps, or final.pth), last.pth and losses.csv.

    Returns the mean loss of the last 50 steps. Goes on from last.pth if it was made with the same
    settings.
    """
    torch.manual_seed(settings.seed)
    form = settings.form(len(template.parts), len(template.vertices))
    network = ShapeNetwork(form).to(device)
    optimiser = torch.optim.Adam(
        network.parameters(), lr=settings.learning_rate, betas=(settings.beta1, 0.999)
    )
    posed = PosedTemplate.of(template, settings.order, device)
    curve = Curve(folder / "losses.csv", ("loss",))
    state = load_state(folder / "last.pth", network, optimiser, settings)
    advance(state.step)
    curve.cut(state.step)
    recent = [float("nan")]
    for step in range(state.step, settings.num_iter):
        recent = [*recent[-49:], _step(network, optimiser, posed, sets, settings, step, device)]
        curve.add(step + 1, recent[-1])
        done = step + 1
        if done % settings.iter_save == 0 or done == settings.num_iter:
            save_state(folder / "last.pth", network, optimiser, settings, done, 0.0)
            name = f"{done // 1000}" if done % 1000 == 0 else "final"
            write_weights(folder / f"{name}.pth", network.state_dict())
            curve.write()
        advance(1)
    return float(np.nanmean(recent)) if len(recent) > 1 else float("nan")


def _step(
    network: ShapeNetwork,
    optimiser: torch.optim.Optimizer,
    template: PosedTemplate,
    sets: Sequence[TrainingSet],
    settings: ShapeTraining,
    step: int,
    device: str,
) -> float:
    network.train()
    images, joints = _batch(sets, settings, step, device)
    prediction = network(images)
    if settings.no_trans:
        prediction = prediction._replace(shifts=torch.zeros_like(prediction.shifts))
    if step < settings.warmup_deform_iter:
        prediction = rigid(prediction)
    found = template.projected_keypoints(prediction)
    loss = settings.kp_loss_wt * keypoint_loss(found, joints[..., :2], joints[..., 2])
    loss = loss + settings.limit_loss_wt * limit_loss(prediction.angles, template.limits)
    loss = loss + _SHIFT_WEIGHT * prediction.shifts.square().sum((-1, -2))
    total = mean_over_cameras(loss, prediction.log_probability)
    optimiser.zero_grad()
    total.backward()
    optimiser.step()
    return float(total.detach())


def _batch(
    sets: Sequence[TrainingSet], settings: ShapeTraining, step: int, device: str
) -> tuple[Float[Tensor, "B 3 S S"], Float[Tensor, "B K 3"]]:
    samples = [(each, row) for each in sets for row in range(len(each.labels.records))]
    rows = step_samples(len(samples), settings.batch_size, step, settings.seed)
    rng = np.random.default_rng([settings.seed, step, 1])
    drawn = []
    for row in rows:
        sample = _sample(*samples[row], settings, rng)
        if settings.flip_train:
            drawn += [sample, mirrored(*sample)]
        else:
            drawn.append(mirrored(*sample) if rng.uniform() < 0.5 else sample)
    images = as_input(np.stack([crop for crop, _ in drawn])).to(device)
    joints = torch.from_numpy(np.stack([joints for _, joints in drawn])).float().to(device)
    return images, joints


def _sample(
    chosen: TrainingSet, row: int, settings: ShapeTraining, rng: np.random.Generator
) -> tuple[np.ndarray, Float[np.ndarray, "K 3"]]:
    """A crop, and its joints from -1 to 1."""
    image = read_image(chosen.images, chosen.labels.records[row])
    x, y, w, h = chosen.labels.boxes[row]
    wide = settings.padding_frac + rng.uniform(-1, 1, 4) * settings.jitter_frac
    low, high = np.array([x - wide[0] * w, y - wide[1] * h]), np.array([x + w, y + h])
    high = high + wide[2:] * [w, h]
    side = float((high - low).max())
    move = crop_transform((low + high) / 2 - side / 2, side, settings.img_size)
    joints = np.array(chosen.labels.joints[row])
    joints[:, :2] = 2 * move_points(joints[:, :2], move) / settings.img_size - 1
    joints[:, 2] = np.clip(joints[:, 2], 0, None)
    return warp(image, move, settings.img_size, WHITE), joints


def mirrored(
    crop: np.ndarray, joints: Float[np.ndarray, "K 3"]
) -> tuple[np.ndarray, Float[np.ndarray, "K 3"]]:
    """The mirror image of a crop (S, S, 3) and of its joints (16, 3), -1 to 1."""
    return crop[:, ::-1], joints[list(MIRROR)] * [-1.0, 1.0, 1.0]

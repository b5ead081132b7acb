"""Trained denoisers on disk: the published checkpoint, and our own in safetensors.

The published `model-<n>.pt` holds `step`, `model`, `opt` and `ema`; inference takes the averaged
weights `ema.ema_model.model.*`. Files from before and after November 2023 differ in the shape of
the counters `initted` and `step` there, which are not needed. Nothing in a file is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from chorus.errors import BadInput, Unavailable
from chorus.files import replacing
from chorus.models.checkpoints import fill, read_state_dict
from chorus.refinement.score.denoiser import (
    PARE_FEATURES,
    POSE_NUMBERS,
    SHAPE_FEATURES,
    Denoiser,
    Widths,
)
from chorus.refinement.score.schedule import Schedule

_AVERAGED = "ema_model."
_NETWORK = "model."
_OWN = ("time_mlp", "init_mlp", "blocks", "final_mlp")
_FIRST = "blocks.0.block.linear_layer1.weight"
_SAME = 1e-4  # how far a schedule's stored float32 array may be from ours


def load_published(path: Path) -> tuple[Denoiser, Schedule]:
    """The denoiser of a published checkpoint, with averaged weights, and its noise schedule.

    BadInput, naming the first difference, for a file of another network, or one that is damaged.
    """
    stored = read_state_dict(path, "ema")
    averaged = {
        name.removeprefix(_AVERAGED): value
        for name, value in stored.items()
        if name.startswith(_AVERAGED)
    }
    if not averaged:
        found = ", ".join(list(stored)[:4]) or "nothing"
        raise BadInput(
            f"{path} is no checkpoint of ScoreHMR: 'ema' has no {_AVERAGED}* weights, "
            f"found {found}."
        )
    weights = {
        name.removeprefix(_NETWORK): value
        for name, value in averaged.items()
        if name.startswith(_NETWORK)
    }
    network = Denoiser(_published_widths(path, weights))
    fill(network, weights, _OWN, path, "a checkpoint of ScoreHMR's denoiser")
    return network.eval(), _schedule(path, averaged)


def _published_widths(path: Path, weights: Mapping[str, Tensor]) -> Widths:
    """The sizes that the weights' own shapes tell."""
    first = weights.get(_FIRST)
    if first is None or first.ndim != 2 or first.shape[1] <= POSE_NUMBERS:
        found = "is missing" if first is None else f"has the shape {tuple(first.shape)}"
        raise BadInput(
            f"{path} is not a checkpoint of ScoreHMR's denoiser: {_FIRST} {found}, expected "
            f"(1024, {POSE_NUMBERS + PARE_FEATURES})."
        )
    condition = first.shape[1] - POSE_NUMBERS
    shape = any(name.startswith("blocks_betas") for name in weights)
    of_shape = SHAPE_FEATURES if shape and condition == PARE_FEATURES else 0
    return Widths(condition, first.shape[0], shape, of_shape)


def _schedule(path: Path, stored: Mapping[str, Tensor]) -> Schedule:
    """The schedule whose arrays a checkpoint holds; cosine where it holds none."""
    left = stored.get("alphas_cumprod")
    if left is None:
        return Schedule()
    for schedule in (Schedule("cosine", len(left)), Schedule("linear", len(left))):
        ours = torch.as_tensor(schedule.alphas_cumprod, dtype=torch.float32)
        if left.shape == ours.shape and (left.float() - ours).abs().max() < _SAME:
            return schedule
    raise BadInput(
        f"{path} was trained with a noise schedule that is neither cosine nor linear: "
        f"alphas_cumprod begins {[round(float(v), 6) for v in left.flatten()[:3]]}, expected "
        f"{[round(float(v), 6) for v in Schedule().alphas_cumprod[:3]]}."
    )


def save_published(
    path: Path, network: Denoiser, averaged: Denoiser, schedule: Schedule, step: int
) -> None:
    """Write a checkpoint in the published layout, without the optimiser's state."""
    buffers = {
        name: torch.as_tensor(value, dtype=torch.float32)
        for name, value in schedule.buffers().items()
    }

    def whole(of: Denoiser) -> dict[str, Tensor]:
        return {**buffers, **{_NETWORK + name: v for name, v in of.state_dict().items()}}

    counters = {"initted": torch.tensor(True), "step": torch.tensor(step)}
    online = {f"online_model.{name}": value for name, value in whole(network).items()}
    mean = {_AVERAGED + name: value for name, value in whole(averaged).items()}
    content = {"step": step, "model": whole(network), "ema": {**counters, **online, **mean}}
    with replacing(path) as temporary:
        torch.save(content, temporary)


def save_network(
    path: Path, network: torch.nn.Module, buffers: Mapping[str, Tensor], about: Mapping[str, str]
) -> None:
    """Write a network's weights and further tensors as safetensors, whole or not at all.

    about: text kept in the file's header. Unavailable without the package safetensors.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise Unavailable(
            f"{path} needs the package safetensors: pip install -c constraints.txt safetensors"
        ) from error
    tensors = {**network.state_dict(), **buffers}
    with replacing(path) as temporary:
        save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, about)

"""Laplacian smoothing of some voxels of a field (method.md 7): one loop on a CPU, compiled, and
tensor operations on other devices."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from chorus.geometry.compiled import compiled

Field = Float[Tensor, "N3 C"]


def smoothed(
    field: Field, inner: Int[Tensor, " inner"], resolution: int, rounds: int, keep: float
) -> Field:
    """The field of a grid (N^3, C) float32, C order, after smoothing the voxels `inner`; uses up
    the one given.

    Each round moves them to the mean of their six neighbours but for the share `keep`; all at once.
    `inner` must not hold voxels at the grid's border.
    """
    if field.device.type != "cpu":
        return _with_tensors(field, inner, resolution, rounds, keep)
    before, inner = field.numpy(), inner.numpy()
    after = before.copy()
    for _ in range(rounds):
        _smooth_once(before, after, inner, resolution, np.float32(keep))
        before, after = after, before
    return torch.from_numpy(before)


def _with_tensors(
    field: Field, inner: Int[Tensor, " inner"], n: int, rounds: int, keep: float
) -> Field:
    """`smoothed` on any device."""
    steps = torch.tensor([1, -1, n, -n, n * n, -n * n], device=inner.device)
    around = inner[:, None] + steps
    for _ in range(rounds):
        mean = embedding_bag(around, field, mode="mean")
        field[inner] = torch.lerp(mean, field[inner], keep)
    return field


@compiled
def _smooth_once(before, after, inner, n, keep):
    share = (np.float32(1) - keep) / np.float32(6)
    for at in inner:
        for channel in range(before.shape[1]):
            around = (
                before[at - 1, channel]
                + before[at + 1, channel]
                + before[at - n, channel]
                + before[at + n, channel]
                + before[at - n * n, channel]
                + before[at + n * n, channel]
            )
            after[at, channel] = share * around + keep * before[at, channel]

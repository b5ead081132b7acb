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
    before, inner = field.contiguous().numpy(), inner.numpy()
    after = before.copy()
    for _ in range(rounds):
        _smooth_once(before.ravel(), after.ravel(), inner, resolution, np.float32(keep))
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
    """Write one round; before, after: (N^3 C) all channels of a voxel, then those of the next."""
    share = (np.float32(1) - keep) / np.float32(6)
    channels = before.size // n**3
    z, y, x = channels, n * channels, n * n * channels
    first = 0
    while first < inner.size:
        last = first
        while last + 1 < inner.size and inner[last + 1] == inner[last] + 1:
            last += 1
        # A run of neighbours along z is one long loop, which takes several numbers at a time.
        start, stop = inner[first] * channels, (inner[last] + 1) * channels
        here, there = before[start:stop], after[start:stop]
        z0, z1 = before[start - z : stop - z], before[start + z : stop + z]
        y0, y1 = before[start - y : stop - y], before[start + y : stop + y]
        x0, x1 = before[start - x : stop - x], before[start + x : stop + x]
        for k in range(here.size):
            around = z0[k] + z1[k] + y0[k] + y1[k] + x0[k] + x1[k]
            there[k] = share * around + keep * here[k]
        first = last + 1

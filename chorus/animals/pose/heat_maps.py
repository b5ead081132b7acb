"""Heat maps of keypoints: what the network is trained to, its loss, and how they are read."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

STRIDE = 4
"""Crop pixels per cell of a heat map."""
_SIGMA = 1.0
_REACH = 4

Placement = Literal["published", "exact"]
"""published: peaks lie on whole cells, and a cell is read as its left and upper edge, so that
places come out 2 to 3 pixels too far left and up. exact: peaks lie where the keypoint is, and are
read to a part of a cell."""


def targets(
    places: Float[Tensor, "B K 2"],
    labelled: Bool[Tensor, "B K"],
    size: int,
    placement: Placement = "exact",
) -> tuple[Float[Tensor, "B K M M"], Bool[Tensor, "B K"]]:
    """Heat maps of `size` cells a side of keypoints (B, K, 2), crop pixels, and which count.

    A bump of deviation 1 cell, cut off 4 cells from its peak, which is 1. A keypoint counts if it
    is labelled and its cell lies in the map.
    """
    cells = places / STRIDE
    whole = cells.floor()
    inside = ((whole >= 0) & (whole < size)).all(-1) & labelled
    # cell c reaches from c to c + 1, so its middle is c + 0.5
    middle = whole if placement == "published" else cells - 0.5
    grid = torch.arange(size, device=places.device, dtype=places.dtype)
    gaps = grid - middle[..., None]
    bumps = torch.exp(-0.5 * (gaps / _SIGMA) ** 2) * ((grid - whole[..., None]).abs() <= _REACH)
    maps = bumps[..., 1, :, None] * bumps[..., 0, None, :]
    return maps * inside[..., None, None], inside


def heat_map_loss(
    maps: Float[Tensor, "B K M M"], wanted: Float[Tensor, "B K M M"], counted: Bool[Tensor, "B K"]
) -> Float[Tensor, ""]:
    """Half the squared error summed over pixels, per keypoint that counts."""
    weight = counted.to(maps)
    total = (weight[..., None, None] * (maps - wanted).square()).sum()
    return 0.5 * total / weight.sum().clamp(min=1)


def decode(
    maps: Float[Tensor, "B K M M"], placement: Placement = "exact"
) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
    """Places (B, K, 2), crop pixels, and heights (B, K) of the highest cells.

    exact: the middle of the cell, moved to the peak of the parabola through the logarithms of it
    and its neighbours, by half a cell at most.
    """
    size = maps.shape[-1]
    height, cell = maps.flatten(-2).max(-1)
    place = torch.stack([cell % size, cell // size], dim=-1).to(maps)
    if placement == "published":
        return STRIDE * place, height
    moved = torch.stack([_peak(maps, place, axis) for axis in (0, 1)], dim=-1)
    return STRIDE * (place + 0.5 + moved), height


def _peak(
    maps: Float[Tensor, "B K M M"], place: Float[Tensor, "B K 2"], axis: int
) -> Float[Tensor, "B K"]:
    """How far (B, K), cells, the peak lies beyond the middle of the highest cell along an axis."""
    size = maps.shape[-1]
    step = torch.zeros(2, device=maps.device, dtype=torch.long)
    step[axis] = 1
    flat, at = maps.flatten(-2).clamp(min=1e-6).log(), place.long()

    def value(shift: int) -> Tensor:
        near = (at + shift * step).clamp(0, size - 1)
        return flat.gather(-1, (near[..., 1] * size + near[..., 0])[..., None])[..., 0]

    before, middle, after = value(-1), value(0), value(1)
    bend = 2 * middle - before - after
    moved = torch.where(bend > 1e-6, 0.5 * (after - before) / bend.clamp(min=1e-6), 0.0)
    border = (at[..., axis] == 0) | (at[..., axis] == size - 1)
    return torch.where(border, 0.0, moved.clamp(-0.5, 0.5))

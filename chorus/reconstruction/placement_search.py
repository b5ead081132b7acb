"""All rotations and translations of an object tried by correlation, and the best ones refined."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from chorus.errors import BadInput

_CELLS = 24
"""Voxels along an axis in which all translations are tried: 12.5 cm of 3 m."""
_AT_ONCE = 128
_PER_ROTATION = 3
"""The best translations that are kept of each rotation."""
_STEP, _LAST_STEP = 0.03, 0.002
"""Adam's step at the beginning and end: metres, and parts of a unit quaternion."""
_SAME_POINTS, _SAME_VOLUME = 0.15, 0.05
"""Shares of an object's size within which two placements are one (`distinct`)."""


class Similarities(NamedTuple):
    """B maps from an object's own frame, its middle at the origin, to the body frame."""

    quaternion: Float[Tensor, "B 4"]
    """Unit, xyzw (roma)."""
    translation: Float[Tensor, "B 3"]
    """Metres."""
    log_scale: Float[Tensor, " B"]
    """Natural log of the factor on the object's lengths."""

    def __call__(self, points: Float[Tensor, "P 3"]) -> Float[Tensor, "B P 3"]:
        """The points (P, 3) placed in all ways (B, P, 3)."""
        turned = points @ self.rotation.mT
        return turned * self.log_scale.exp()[:, None, None] + self.translation[:, None]

    @property
    def rotation(self) -> Float[Tensor, "B 3 3"]:
        """(B, 3, 3) rotation matrices."""
        unit = torch.nn.functional.normalize(self.quaternion, dim=-1)
        return roma.unitquat_to_rotmat(unit)

    def take(self, chosen: Tensor) -> Similarities:
        """Those of some numbers."""
        return Similarities(*(values[chosen] for values in self))


Score = Callable[[Similarities], Float[Tensor, " B"]]


def spread_rotations(count: int) -> Float[Tensor, "count 4"]:
    """Unit quaternions (count, 4) xyzw spread evenly over all rotations, the same in every run.

    A super-Fibonacci spiral (Alexa, CVPR 2022).
    """
    first, second = math.sqrt(2), 1.533751168755204288118041413  # psi^4 = psi + 4
    step = torch.arange(count, dtype=torch.float64) + 0.5
    inner, outer = (step / count).sqrt(), (1 - step / count).sqrt()
    a, b = 2 * math.pi * step / first, 2 * math.pi * step / second
    parts = inner * a.sin(), inner * a.cos(), outer * b.sin(), outer * b.cos()
    return torch.stack(parts, dim=-1).float()


def correlate(
    volume: Float[Tensor, "N N N"],
    side: float,
    points: Float[Tensor, "P 3"],
    quaternions: Float[Tensor, "R 4"],
) -> tuple[Float[Tensor, " B"], Similarities]:
    """The best translations of each rotation by the volume's mean over an object's points.

    volume over a cube of `side` metres centred at the origin; points about their middle, metres.
    All translations by whole cells of a grid of 24 are tried by fast Fourier transforms, where the
    object leaves one face of the cube it comes in at the opposite one: a first look, not a score.
    Returns `_PER_ROTATION` scores and placements of each rotation.
    """
    cells = min(_CELLS, volume.shape[0])
    coarse = torch.nn.functional.adaptive_avg_pool3d(volume[None], cells)[0]
    spectrum, size = torch.fft.rfftn(coarse), side / cells
    scores, shifts = [], []
    for some in quaternions.split(_AT_ONCE):
        placed = points @ roma.unitquat_to_rotmat(some).mT
        object_spectrum = torch.fft.rfftn(_counted(placed, side, cells), dim=(1, 2, 3))
        found = torch.fft.irfftn(
            spectrum * object_spectrum.conj(), s=(cells,) * 3, dim=(1, 2, 3)
        ).flatten(1)
        best, at = found.topk(_PER_ROTATION, dim=1)
        scores.append(best.flatten())
        shifts.append(at.flatten())
    at = torch.cat(shifts)
    cell = torch.stack([at // cells**2, at // cells % cells, at % cells], dim=-1)
    # A shift of more than half the grid is one the other way.
    moved = (cell + cells // 2) % cells - cells // 2
    turns = quaternions.repeat_interleave(_PER_ROTATION, dim=0)
    return torch.cat(scores), Similarities(turns, moved * size, torch.zeros(len(at)))


def _counted(points: Float[Tensor, "R P 3"], side: float, cells: int) -> Float[Tensor, "R n n n"]:
    """Shares of the points in each cell, trilinear, wrapped round at the faces."""
    place = (points + side / 2) / (side / cells) - 0.5
    low = place.floor()
    upper = place - low
    counts = torch.zeros(len(points), cells**3)
    for corner in np.ndindex(2, 2, 2):
        offset = torch.tensor(corner)
        cell = (low.long() + offset) % cells
        weight = torch.where(offset.bool(), upper, 1 - upper).prod(dim=-1)
        flat = (cell[..., 0] * cells + cell[..., 1]) * cells + cell[..., 2]
        counts.scatter_add_(1, flat, weight)
    return counts.reshape(-1, cells, cells, cells) / points.shape[1]


def refined(
    start: Similarities, score: Score, steps: int, free_scale: bool
) -> tuple[Float[Tensor, " B"], Similarities]:
    """Placements moved uphill by Adam, and their scores; each on its own."""
    variables = [values.clone().requires_grad_() for values in start]
    variables[2].requires_grad_(free_scale)
    optimiser = torch.optim.Adam([v for v in variables if v.requires_grad], lr=_STEP)
    placed = Similarities(*variables)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _LAST_STEP + (_STEP - _LAST_STEP) * (1 - step / steps)
        optimiser.zero_grad()
        (-score(placed).sum()).backward()
        optimiser.step()
    with torch.no_grad():
        moved = Similarities(
            torch.nn.functional.normalize(variables[0], dim=-1),
            *(v.detach() for v in variables[1:]),
        )
        return score(moved), moved


def distinct(
    scores: Float[Tensor, " B"],
    placed: Float[Tensor, "B P 3"],
    size: float,
    most: int,
) -> list[int]:
    """Numbers of the best placements (B, P, 3) that differ, the best first, at most `most`.

    Two are the same if their points lie, on average, within 15 % of the object's size (metres) of
    each other, or within 5 % of the nearest point of the other: an object turned by a symmetry of
    its own is where it was. BadInput if no score is a number.
    """
    order = [int(at) for at in scores.argsort(descending=True) if torch.isfinite(scores[at])]
    if not order:
        raise BadInput("no placement has a score that is a number; the field or the mesh is not.")
    kept: list[int] = []
    for at in order:
        if len(kept) == most:
            break
        moved = (placed[kept] - placed[at]).norm(dim=-1).mean(dim=-1)
        apart = volume_distance(placed[at], placed[kept])
        if not ((moved < _SAME_POINTS * size) | (apart < _SAME_VOLUME * size)).any():
            kept.append(at)
    return kept


def volume_distance(
    one: Float[Tensor, "P 3"], others: Float[Tensor, "B P 3"]
) -> Float[Tensor, " B"]:
    """(B,) mean distance of the points of one placement and of each other one from the nearest
    point of the other, both ways."""
    between = torch.cdist(one.expand(len(others), -1, -1), others)
    there, back = between.amin(dim=2).mean(dim=1), between.amin(dim=1).mean(dim=1)
    return (there + back) / 2

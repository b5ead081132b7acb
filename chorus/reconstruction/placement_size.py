"""How large an object is whose mesh does not say its unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from chorus.errors import BadInput
from chorus.reconstruction.placement_mesh import METRES
from chorus.reconstruction.placement_search import correlate, spread_rotations

_SMALLEST, _LARGEST = 0.03, 3.0
"""Sizes of objects that people use, metres: the largest is the cube that distributions are over."""
_FREE_SIZES = tuple(np.geomspace(0.1, 2.6, 10).tolist())
"""Sizes that are tried where any is possible, metres."""
_ROTATIONS, _POINTS = 144, 100


@dataclass(frozen=True)
class FittingSize:
    """What the mesh's lengths are taken for."""

    unit: str
    """A unit's name, or `any`."""
    metres: float
    """Per unit of the mesh; where any scale is possible, that at which it is 1 m large."""
    factors: tuple[float, ...] = (1.0,)
    """Factors on that which are tried."""
    notes: tuple[str, ...] = ()

    @property
    def free(self) -> bool:
        """Whether the scale is found together with the place."""
        return self.unit == "any"


def fitting_size(
    size: float,
    points: Float[np.ndarray, "P 3"],
    attraction: Float[Tensor, "N N N"],
    side: float,
    unit: str | None,
) -> FittingSize:
    """The unit of a mesh of a largest extent, from what people use and what the field leaves room
    for.

    points: that fill it, about their middle, the mesh's unit; attraction over a cube of `side`
    metres; unit: the one that is said, `any` to have the scale found, None to guess. BadInput for
    a unit that is none, or one in which the object is larger than the cube.
    """
    if unit == "any":
        sizes = tuple(factor for factor in _FREE_SIZES if factor < side)
        return FittingSize("any", 1 / size, sizes)
    if unit is not None:
        return _said(size, unit, side)
    possible = [u for u, metres in METRES.items() if _SMALLEST <= size * metres <= _LARGEST]
    if not possible:
        free = fitting_size(size, points, attraction, side, "any")
        note = f"a size of {size:g} fits no unit: the scale is found with the place."
        return FittingSize("any", free.metres, free.factors, (note,))
    chosen = max(possible, key=lambda u: _match(METRES[u] * points, attraction, side))
    note = (
        f"the mesh's unit is taken for {chosen}: the object is {size * METRES[chosen]:.2f} m "
        "large. Name the unit if that is wrong, or `any` to have the scale found."
    )
    return FittingSize(chosen, METRES[chosen], notes=(note,))


def _said(size: float, unit: str, side: float) -> FittingSize:
    if unit not in METRES:
        raise BadInput(f"a mesh's unit is one of {', '.join(METRES)} or any; found {unit!r}.")
    metres = METRES[unit]
    if not size * metres < side:
        raise BadInput(
            f"in {unit} the object is {size * metres:.3g} m large, more than the {side:g} m around "
            "a person that distributions are over; name its unit, or any."
        )
    return FittingSize(unit, metres)


def _match(points: np.ndarray, attraction: Tensor, side: float) -> float:
    """Cosine, but for a factor, of the attraction and the object at its best place."""
    placed = torch.from_numpy(points[:: max(1, len(points) // _POINTS)]).float()
    best = correlate(attraction, side, placed, spread_rotations(_ROTATIONS))[0].max()
    return float(best) * float(np.ptp(points, axis=0).max()) ** 1.5

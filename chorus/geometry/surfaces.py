"""Points on triangle meshes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def evenly_spread(
    corners: Float[np.ndarray, "F 3 3"], count: int
) -> tuple[Int[np.ndarray, " P"], Float[np.ndarray, "P 3"]]:
    """The face (P,) and the shares of its three corners (P, 3) of `count` points that are spread
    evenly over a surface of faces (F, 3, 3), the same in every run.

    One point lies in each of `count` equal parts of the total area: no clumps, no holes.
    """
    sides = corners[:, 1:] - corners[:, :1]
    total = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).cumsum()
    rng = np.random.default_rng(0)
    steps = (np.arange(count) + rng.uniform(size=count)) / count * total[-1]
    face = np.searchsorted(total, steps).clip(max=len(corners) - 1)
    u, v = np.sort(rng.uniform(size=(2, count)), axis=0)
    return face, np.stack([u, v - u, 1 - v], axis=-1)

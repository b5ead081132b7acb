"""Turns that leave an object as it is, found from its surface, and rotation errors up to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

_TOLERANCE = 0.02
"""How far a turned surface may lie from the object's own, root mean square, as a part of its
largest extent: a board with fins or a frisbee with a hollow below still counts as itself only
where nobody could tell them apart from a few metres."""
_PROBED = 1000
_ODD_TURNS = np.radians([40.0, 100.0, 163.0])
"""Turns about an axis that only a surface of revolution stands."""


@dataclass(frozen=True, eq=False)
class Symmetry:
    """The turns of an object's own frame after which it looks the same."""

    rotations: Float[np.ndarray, "S 3 3"]
    """(S, 3, 3): the turns among the 24 of a cube, the identity among them."""
    axis: Float[np.ndarray, " 3"] | None = None
    """The axis that the object may turn about by any angle."""
    round: bool = False
    """Whether any turn at all leaves it as it is."""


def symmetry_of(surface: Float[np.ndarray, "P 3"]) -> Symmetry:
    """The symmetry of an object from points (P, 3) spread evenly over its surface, about their
    middle and along the axes that they are given in."""
    points = surface - (surface.min(axis=0) + surface.max(axis=0)) / 2
    probes = points[:: max(1, len(points) // _PROBED)]
    tree = cKDTree(points)
    # Points lie about a spacing apart: what a turn costs counts from there.
    spacing = _rms(tree.query(points, k=2)[0][:, 1])
    most = spacing + _TOLERANCE * float(np.ptp(points, axis=0).max())

    def stands(turn: Float[np.ndarray, "3 3"]) -> bool:
        return _rms(tree.query(probes @ turn.T)[0]) < most

    cube = Rotation.create_group("O").as_matrix()
    rotations = np.array([turn for turn in cube if stands(turn)])
    free = [
        axis
        for axis in np.eye(3)
        if all(stands(Rotation.from_rotvec(angle * axis).as_matrix()) for angle in _ODD_TURNS)
    ]
    return Symmetry(rotations, free[0] if len(free) == 1 else None, len(free) > 1)


def rotation_error(
    found: Float[np.ndarray, "*batch 3 3"], true: Float[np.ndarray, "3 3"], symmetry: Symmetry
) -> Float[np.ndarray, "*batch"]:
    """The smallest angle (...), radians, between rotations (..., 3, 3) and the true one (3, 3),
    turned by any of the object's own turns before."""
    found = np.asarray(found, float)
    if symmetry.round:
        return np.zeros(found.shape[:-2])
    same = true @ symmetry.rotations
    if symmetry.axis is not None:
        cosines = np.einsum("...i,si->...s", found @ symmetry.axis, same @ symmetry.axis)
    else:
        cosines = (np.einsum("...ij,sij->...s", found, same) - 1) / 2
    return np.arccos(np.clip(cosines, -1, 1)).min(axis=-1)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))

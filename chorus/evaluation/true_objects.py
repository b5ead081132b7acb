"""Objects of known shape and place, as reconstructions are compared with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from chorus.evaluation.object_symmetry import Symmetry, symmetry_of
from chorus.geometry.surfaces import evenly_spread

_SPACING, _STEPS, _FEWEST = 0.03, 24, 7
"""Points are probed inside of an object every 3 cm, at least 24 along its largest extent, so that
small ones have some, and at least 7 along any, so that boards have some."""
_ENOUGH = 500
"""With fewer points inside, as of a bent sheet, the lattice is made finer, at most 8 times."""
_SURFACE = 4000


@dataclass(frozen=True, eq=False)
class TrueObject:
    """One object and where it is."""

    kind: str
    """What it is called."""
    vertices: Float[np.ndarray, "V 3"]
    """In the object's own frame, metres."""
    faces: Int[np.ndarray, "F 3"]
    """Triangles of vertices; the parts may overlap and stand for their union."""
    object_to_body: Float[np.ndarray, "4 4"]
    """From its own frame to the body frame of the person's zero-shape body: a similarity, since
    persons of another size count as the zero-shape body from another distance."""
    contains: Callable[[Float[np.ndarray, "P 3"]], Bool[np.ndarray, " P"]]
    """Which points (P, 3) of its own frame lie inside."""

    @property
    def scale(self) -> float:
        """How much larger it is in the body frame than in its own."""
        return float(np.cbrt(abs(np.linalg.det(self.object_to_body[:3, :3]))))

    @property
    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """From its own axes to the body frame's."""
        return self.object_to_body[:3, :3] / self.scale

    @property
    def size(self) -> float:
        """Its largest extent along its own axes, in the body frame's metres."""
        return self.scale * float(np.ptp(self.vertices, axis=0).max())

    def placed(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        """Points (P, 3) of its own frame in the body frame, metres."""
        return points @ self.object_to_body[:3, :3].T + self.object_to_body[:3, 3]

    @cached_property
    def surface(self) -> Float[np.ndarray, "P 3"]:
        """Points spread evenly over its surface, body frame."""
        return self.placed(surface_points(self.vertices, self.faces, _SURFACE))

    @cached_property
    def volume(self) -> Float[np.ndarray, "P 3"]:
        """Points of an even lattice inside of it, body frame; of its surface if none is inside."""
        for finer in (1, 2, 4, 8):
            lattice = _lattice(self.vertices, finer)
            within = lattice[self.contains(lattice)]
            if len(within) >= _ENOUGH:
                break
        return self.placed(within) if len(within) else self.surface

    @cached_property
    def centroid(self) -> Float[np.ndarray, " 3"]:
        """Of its volume, body frame, metres."""
        return self.volume.mean(axis=0)

    @cached_property
    def symmetry(self) -> Symmetry:
        """Which turns of it leave it as it is."""
        return symmetry_of(surface_points(self.vertices, self.faces, _SURFACE))


def _lattice(vertices: Float[np.ndarray, "V 3"], finer: int) -> Float[np.ndarray, "P 3"]:
    """Points of an even lattice in the box around vertices."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    spacing = min(_SPACING, float((high - low).max()) / _STEPS) / finer
    counts = np.maximum(np.ceil((high - low) / spacing).astype(int), _FEWEST)
    shares = [(np.arange(count) + 0.5) / count for count in counts]
    return low + (high - low) * np.stack(np.meshgrid(*shares, indexing="ij"), -1).reshape(-1, 3)


def surface_points(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], count: int
) -> Float[np.ndarray, "P 3"]:
    """`count` points spread evenly over a surface, the same in every run."""
    corners = np.asarray(vertices, float)[faces]
    face, shares = evenly_spread(corners, count)
    return (shares[..., None] * corners[face]).sum(axis=1)

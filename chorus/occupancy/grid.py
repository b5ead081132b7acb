"""The voxel grid of the canonical space and of posed spaces (method.md 7, docs/conventions.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from chorus.errors import BadInput


@dataclass(frozen=True)
class VoxelGrid:
    """`resolution`^3 cubes that fill a cube of `side` metres centred at the body frame's origin.

    Volumes over it are indexed [ix, iy, iz] in C order. BadInput if the resolution is not a
    positive whole number or the side not a positive length.
    """

    resolution: int = 48
    """Voxels along each axis."""
    side: float = 3.0
    """Length of the whole cube's edge, metres."""

    def __post_init__(self) -> None:
        if not isinstance(self.resolution, (int, np.integer)) or self.resolution < 1:
            raise BadInput(
                f"a voxel grid has a resolution of 1 or more, not {self.resolution!r}; "
                "the paper's is 48."
            )
        if not (math.isfinite(self.side) and self.side > 0):
            raise BadInput(
                f"a voxel grid has a side of more than 0 metres, not {self.side!r}; "
                "the paper's is 3.0."
            )

    @property
    def size(self) -> float:
        """Edge of one voxel, metres."""
        return self.side / self.resolution

    @property
    def start(self) -> float:
        """The lowest coordinate, the same on all axes, metres."""
        return -self.side / 2

    @property
    def count(self) -> int:
        """Number of voxels, N^3."""
        return self.resolution**3

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, N, N)."""
        return (self.resolution,) * 3

    def axis(self) -> Float[np.ndarray, " N"]:
        """(N,) float32: coordinates of the voxel centres along one axis, metres."""
        return (self.start + self.size * (np.arange(self.resolution) + 0.5)).astype(np.float32)

    def centres(self) -> Float[np.ndarray, "N3 3"]:
        """(N^3, 3) float32: voxel centres in C order of [ix, iy, iz], metres."""
        axis = self.axis()
        return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)

    def index_of(
        self, points: Float[np.ndarray, "*batch 3"], truncate: bool = False
    ) -> Int[np.ndarray, "*batch"]:
        """Flat index (...) int64 of the voxel that contains each point (..., 3) in metres.

        -1 where a point is outside the grid or not finite. A voxel owns its lower faces.
        `truncate` rounds toward zero as the published release does (method.md 13), so that points
        less than one voxel below the grid fall into its first voxels.
        """
        scaled = (np.asarray(points, np.float64) - self.start) / self.size
        with np.errstate(invalid="ignore"):
            low = scaled > -1 if truncate else scaled >= 0
            inside = (low & (scaled < self.resolution)).all(axis=-1)
        cell = np.where(inside[..., None], scaled, 0).astype(np.int64)
        flat = (cell[..., 0] * self.resolution + cell[..., 1]) * self.resolution + cell[..., 2]
        return np.where(inside, flat, -1)

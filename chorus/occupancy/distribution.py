"""`Distribution`: the learned occupancy of an object around a body (method.md 8-10)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt32

from chorus.errors import BadInput
from chorus.occupancy.archive import read_archive, write_archive
from chorus.occupancy.counts import BinCounts, grid_of
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.presets import FieldSettings, Projection, Weighting

if TYPE_CHECKING:
    import trimesh
    from torch import Tensor

    from chorus.body.model import BodyModel
    from chorus.occupancy.density import PointDensity

SCHEMA = "chorus.distribution/1"


@dataclass(frozen=True, eq=False)
class Distribution:
    """Per voxel the probability that the object occupies it, around a body in one pose.

    The canonical body's frame (docs/conventions.md): metres, x to the person's left, y up, z
    forward, arrays [ix, iy, iz].
    """

    probability: Float[np.ndarray, "N N N"]
    """(N, N, N) float32 in [0, 1], 0 where never seen."""
    grid: VoxelGrid
    """Where the voxels are."""
    seen: UInt32[np.ndarray, "N N N"]
    """(N, N, N) uint32: in how many images each voxel was."""
    category: str = ""
    """The object's category."""
    prompt: str = ""
    """The interaction, or the name of the total aggregation."""
    part: str = ""
    """The body part of the cluster."""
    body: str = ""
    """Fingerprint of the body model that the canonical space belongs to."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Provenance: settings, sample counts and whatever else JSON holds."""
    counts: BinCounts | None = None
    """The counts it was made from, so that views can be weighted anew and aggregations merged."""

    def __post_init__(self) -> None:
        for name in ("probability", "seen"):
            shape = getattr(self, name).shape
            if shape != self.grid.shape:
                raise BadInput(
                    f"a distribution's {name} is {shape} where its grid is {self.grid.shape}."
                )
        if not ((self.probability >= 0) & (self.probability <= 1)).all():
            raise BadInput("a distribution's probabilities must lie between 0 and 1.")

    def __repr__(self) -> str:
        names = ", ".join(
            f"{name}={value!r}"
            for name in ("category", "prompt", "part")
            if (value := getattr(self, name))
        )
        largest = self.probability.max(initial=0)
        about = f"{self.grid.resolution}³ voxels, {self.grid.side:g} m, at most {largest:.3g}"
        return f"Distribution({names + ': ' if names else ''}{about})"

    @property
    def canonical(self) -> bool:
        """Whether it lives in canonical space, so that posing a body moves it."""
        settings = self.metadata.get("settings")
        stated = settings if isinstance(settings, dict) else self.metadata
        return stated.get("canonicalise", True) is not False

    @classmethod
    def from_counts(
        cls,
        counts: BinCounts,
        weighting: Weighting = "azimuth-uniform-fine",
        *,
        category: str = "",
        prompt: str = "",
        part: str = "",
        body: str = "",
        metadata: dict[str, Any] | None = None,
        probability: Float[np.ndarray, "N N N"] | None = None,
    ) -> Distribution:
        """The distribution of some counts with one weighting of views.

        probability: another estimate from these counts (`evidence.estimate`), if the weighted
        quotient is not wanted. metadata records the weighting, the samples of the aggregation and
        the cluster's members, and both without levels as `once` where there are levels; where posed
        meshes are counted, they are samples, too, and `observed` tells both kinds.
        """
        totals: dict[str, Any] = {
            "samples": int(counts.samples.sum()),
            "members": int(counts.members.sum()),
        }
        if counts.meshes is not None:
            totals["observed"] = {"masks": totals["samples"], "meshes": int(counts.meshes[0])}
            for name, lifted in zip(("samples", "members"), counts.meshes.tolist(), strict=True):
                totals[name] += lifted
        if counts.once is not None:
            totals["once"] = dict(
                zip(("samples", "members"), counts.once.sum(1).tolist(), strict=True)
            )
        return cls(
            probability=counts.probability(weighting) if probability is None else probability,
            grid=counts.grid,
            seen=counts.seen(),
            category=category,
            prompt=prompt,
            part=part,
            body=body,
            metadata={
                **(metadata or {}),
                "weighting": weighting,
                **totals,
            },
            counts=counts,
        )

    def reweighted(self, weighting: Weighting) -> Distribution:
        """The weighted quotient of the same counts with these view weights (method.md 8), whatever
        the estimate was before; BadInput without counts."""
        if self.counts is None:
            raise BadInput(
                "this distribution was saved without its counts, so its views cannot be weighted "
                "anew; aggregate again."
            )
        metadata = {**self.metadata, "weighting": weighting}
        if isinstance(metadata.get("settings"), dict):
            settings = {**metadata["settings"], "weighting": weighting}
            for name in ("estimator", "evidence"):
                settings.pop(name, None)
            metadata["settings"] = settings
        return replace(self, probability=self.counts.probability(weighting), metadata=metadata)

    def query(
        self, points: Float[np.ndarray, "*batch 3"] | Float[Tensor, "*batch 3"]
    ) -> Float[np.ndarray, "*batch"]:
        """Probability (...) float32 at points (..., 3) in metres; 0 outside the grid and at NaN."""
        points = np.asarray(points)
        if points.shape[-1:] != (3,):
            raise BadInput(f"points must have shape (..., 3), metres; found {points.shape}.")
        return _at(self.probability, self.grid.index_of(points))

    def log_density(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Natural log (...) of the density, per cubic metre, of the object's points (..., 3).

        Differentiable torch, of the points' dtype and device, and finite everywhere, so that an
        optimiser can pull an object to where it belongs (docs/reconstruction.md). Metres; NaN at
        NaN. BadInput for another shape, or a distribution that is zero everywhere.
        """
        return self._density.log(points)

    @cached_property
    def _density(self) -> PointDensity:
        from chorus.occupancy.density import PointDensity

        return PointDensity.of(self.probability, self.grid)

    def pose(
        self,
        body: BodyModel,
        pose: Float[Tensor, "24 3"],
        grid: VoxelGrid | None = None,
        *,
        projection: Projection = "exact",
        field_settings: FieldSettings | None = None,
        threads: int = 1,
    ) -> Distribution:
        """The same distribution around the body in another pose (method.md 10).

        pose (24, 3) axis-angle, radians; the result is in the body frame, so the global rotation
        (joint 0) counts as zero. `grid` is the posed space's, by default the same as here.
        projection="release" looks voxels up as the published code does. BadInput for a bad pose.
        """
        from chorus.occupancy.posing import canonical_points

        grid = grid or self.grid
        points = canonical_points(body, pose, grid, field_settings, threads)
        index = self.grid.index_of(points, truncate=projection == "release").reshape(grid.shape)
        return replace(
            self,
            probability=_at(self.probability, index),
            seen=_at(self.seen, index),
            grid=grid,
            counts=None,
            metadata={**self.metadata, "pose": np.asarray(pose, float).reshape(-1, 3).tolist()},
        )

    def mesh(self, threshold: float = 0.5) -> trimesh.Trimesh:
        """Closed surface around the voxels with at least this probability, metres.

        BadInput if no voxel reaches the threshold.
        """
        from chorus.occupancy.surface import isosurface

        return isosurface(self.probability, self.grid, threshold)

    def export(self, path: str | Path, threshold: float = 0.5) -> None:
        """Write `mesh(threshold)` to a .glb, .ply or .obj file; BadInput for another suffix."""
        from chorus.occupancy.surface import write_mesh

        write_mesh(self.mesh(threshold), path)

    def save(self, path: str | Path) -> None:
        """Write to an `.npz` file without pickle, whole or not at all."""
        seen = self.seen.astype(np.min_scalar_type(int(self.seen.max())))
        arrays = {"probability": self.probability.astype(np.float32), "seen": seen}
        if self.counts is not None:
            arrays |= self.counts.arrays()
        write_archive(
            path,
            SCHEMA,
            arrays,
            {
                "resolution": self.grid.resolution,
                "side": self.grid.side,
                "category": self.category,
                "prompt": self.prompt,
                "part": self.part,
                "body": self.body,
                "provenance": self.metadata,
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> Distribution:
        """A distribution that `save` wrote; BadInput if there is none or the file is another."""
        try:
            arrays, header = read_archive(path, SCHEMA)
        except FileNotFoundError as problem:
            raise BadInput(
                f"there is no distribution at {path}; aggregate first, or correct the path."
            ) from problem
        grid = grid_of(header, path)
        has_counts = "image_count" in arrays
        try:
            return cls(
                probability=arrays["probability"].astype(np.float32),
                grid=grid,
                seen=arrays["seen"].astype(np.uint32),
                **{name: header[name] for name in ("category", "prompt", "part", "body")},
                metadata=header["provenance"],
                counts=BinCounts.from_arrays(grid, arrays, path) if has_counts else None,
            )
        except KeyError as problem:
            raise BadInput(f"{path} lacks {problem}; aggregate again.") from problem


def _at(volume: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Values of a volume at flat voxel numbers, 0 where the number is -1."""
    return np.where(index >= 0, volume.reshape(-1)[index], 0).astype(volume.dtype)

"""The canonical space of one body, made once for all samples: grid, skinning field, regions."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.body.model import BodyModel, star_body
from chorus.occupancy.body_proxy import BodyProxy, body_proxy, check_faces
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.presets import AggregationSettings
from chorus.occupancy.regions import Part, interaction_region, joins, parts
from chorus.occupancy.skinning_field import skinning_field
from chorus.rendering.inside import body_depth_inside

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class CanonicalSpace:
    """All of the canonical space that does not change from sample to sample (method.md 7)."""

    body: BodyModel
    """The body whose zero-shape star pose is canonical."""
    settings: AggregationSettings
    """How samples are aggregated into it."""
    grid: VoxelGrid
    """Its voxels."""
    centres: Float[np.ndarray, "N3 3"]
    """Their centres, float32, metres."""
    weights: Float[np.ndarray, "N3 24"]
    """Skinning weights of the voxel centres, float32."""
    star_inverse: Float[Tensor, "24 4 4"]
    """Per joint the map from the star pose back to the rest pose, float64."""
    parts: tuple[Part, ...]
    """The clusters."""
    regions: dict[tuple[str, ...], Int[np.ndarray, " R"]]
    """Voxels of the interaction region of every segment set that some part names."""

    def transforms(self, pose: Float[Tensor, "B 24 3"]) -> Float[Tensor, "B 24 4 4"]:
        """(B, 24, 4, 4) float64: per joint the map from the star pose to poses, axis-angle.

        A_pose A_star^-1 at the zero shape; the global rotation (joint 0) counts as zero. A voxel's
        posed place is the blend of these by its skinning weights (method.md 7).
        """
        return self.body.skinning_transforms(self.unturned(pose)).double() @ self.star_inverse

    def unturned(self, pose: Float[Tensor, "B 24 3"]) -> Float[Tensor, "B 24 3"]:
        """The poses in the body's number type and without their global rotation (joint 0)."""
        pose = pose.to(self.body.v_template.dtype).clone()
        pose[:, 0] = 0
        return pose

    def with_parts(self, clusters: tuple[Part, ...]) -> CanonicalSpace:
        """The same space with other clusters. BadInput for an unknown segment."""
        vertices = star_body(self.body).vertices.numpy()
        distance = self.settings.region_distance
        regions = _regions(self.body, vertices, self.grid, distance, clusters)
        other = replace(self, parts=clusters, regions=regions)
        for name in ("proxy", "depth_inside"):  # cached, and not of the clusters
            if name in vars(self):
                vars(other)[name] = vars(self)[name]
        return other

    @cached_property
    def proxy(self) -> BodyProxy:
        """The body's coarse surface, which hides voxels; BadInput if the body has no triangles."""
        return body_proxy(self.body)

    @cached_property
    def depth_inside(self) -> Float[np.ndarray, "N N N"]:
        """(N, N, N) float64: how deep voxel centres lie below the canonical body's skin, metres, 0
        outside of it and for a body without triangles."""
        vertices = star_body(self.body).vertices.numpy()
        depth = body_depth_inside(vertices, self.body.faces.numpy(), self.centres)
        return depth.reshape(self.grid.shape)

    def members(self, touched: Bool[np.ndarray, "sets B"]) -> Bool[np.ndarray, "parts B"]:
        """(parts, B) bool: who joins which cluster, from who touches which region (in order)."""
        number = {segments: index for index, segments in enumerate(self.regions)}
        rows = [
            joins(
                touched,
                np.array([number[group] for group in part.pass_sets], np.int64),
                np.array([number[group] for group in part.block_sets], np.int64),
            )
            for part in self.parts
        ]
        return np.stack(rows)


def canonical_space(
    body: BodyModel,
    settings: AggregationSettings | None = None,
    cache_dir: str | Path | None = None,
    clusters: tuple[Part, ...] | None = None,
    threads: int = 1,
) -> CanonicalSpace:
    """The canonical space of a body (method.md 7, 9).

    The clusters are those of the settings' preset, or the `clusters` given. `cache_dir` keeps the
    skinning field. BadInput for an unknown preset or segment, a damaged body, or one without
    triangles where hidden voxels are to be counted.
    """
    settings = settings or AggregationSettings()
    if settings.hidden:
        check_faces(body)
    clusters = parts(settings.parts) if clusters is None else clusters
    grid = VoxelGrid(settings.resolution, settings.side)
    body = body.to("cpu")
    star = star_body(body)
    field = skinning_field(
        star.vertices, body.weights, grid, settings.field, cache_dir=cache_dir, threads=threads
    )
    return CanonicalSpace(
        body=body,
        settings=settings,
        grid=grid,
        centres=grid.centres(),
        weights=field.numpy(),
        star_inverse=torch.linalg.inv(star.transforms.double()),
        parts=clusters,
        regions=_regions(body, star.vertices.numpy(), grid, settings.region_distance, clusters),
    )


def _regions(
    body: BodyModel,
    vertices: Float[np.ndarray, "V 3"],
    grid: VoxelGrid,
    distance: float,
    clusters: tuple[Part, ...],
) -> dict[tuple[str, ...], Int[np.ndarray, " R"]]:
    """The region of every segment set that some cluster names, in order."""
    groups = {group for part in clusters for group in part.pass_sets + part.block_sets}
    segment_of_vertex = body.part_of_vertex.numpy()
    regions = {
        group: interaction_region(vertices, segment_of_vertex, group, grid, distance)
        for group in sorted(groups)
    }
    for group, region in regions.items():
        if not len(region):
            log.warning(
                "no voxel of %s lies within %g m of %s: no sample can touch it; use a finer grid",
                grid,
                distance,
                ", ".join(group),
            )
    return regions

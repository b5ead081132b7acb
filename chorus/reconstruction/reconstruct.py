"""`chorus.reconstruct`: where the object of a mask is, around a person whose pose and camera are
known (docs/reconstruction.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.body.model import BodyModel, PosedBody, check_pose
from chorus.errors import BadInput
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.posing import canonical_points
from chorus.occupancy.surface import isosurface
from chorus.reconstruction.cone import Cone, check_seen, cone_of
from chorus.reconstruction.posterior import (
    PosteriorSettings,
    distance_from,
    posterior,
    sharpened,
)
from chorus.records.rows import Camera

if TYPE_CHECKING:
    import trimesh

REGION = 0.7
"""Share of the object that the region of the likeliest voxels holds; chosen on seed 7."""
_DOUBT = 0.5
"""Standard deviation of the centroid as a part of the mass's own spread; rounded up from what
errors were on seed 7 (docs/reconstruction.md)."""
_EXTENT_FACTOR = 2.0
"""One standard deviation of the extents, as a factor; measured on seed 7."""
_FARTHEST = 0.75
"""A mask whose cone stays farther from the body than this, metres, where the distribution has
nothing either, shows the object of somebody else."""
_UNLIKELY = 1e-3
"""Sharpened occupancies below this are nothing."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Where an object is, in the person's body frame (docs/conventions.md), metres."""

    mass: Float[np.ndarray, "N N N"]
    """(N, N, N) float64: the share of the object that is in each voxel; sums to one."""
    grid: VoxelGrid
    """Where the voxels are."""
    centroid: Float[np.ndarray, " 3"]
    """(3,) of the object's volume, what is hidden included."""
    deviation: Float[np.ndarray, " 3"]
    """(3,) standard deviation of the centroid along the camera's right, down and forward."""
    axes: Float[np.ndarray, "3 3"]
    """(3, 3) rows: unit vectors along the object's length, width and thickness."""
    extent: Float[np.ndarray, " 3"]
    """(3,) how far it reaches along these, metres: of the box of the same second moments."""
    extent_factor: float
    """The extents are known up to this factor, one standard deviation of their logarithm."""
    interactions: dict[str, float]
    """How probable it is that the person does what each distribution is of."""
    log_evidence: float
    """Natural log of how well the distributions foretold the mask, per cell that it covers."""

    @cached_property
    def level(self) -> float:
        """The mass of the least likely voxel of the region that holds REGION of the object."""
        ranked = np.sort(self.mass.reshape(-1))[::-1]
        return float(ranked[np.searchsorted(ranked.cumsum(), REGION)])

    @property
    def region(self) -> Bool[np.ndarray, "N N N"]:
        """(N, N, N) the likeliest voxels, which together hold REGION of the object."""
        return self.mass >= self.level

    @property
    def points(self) -> Float[np.ndarray, "P 3"]:
        """(P, 3) centres of the region's voxels, metres."""
        return self.grid.centres()[self.region.reshape(-1)].astype(np.float64)

    def surface(self) -> trimesh.Trimesh:
        """Closed surface around the region, metres."""
        return isosurface(self.mass, self.grid, self.level)


def reconstruct(
    fields: Distribution | Sequence[Distribution],
    body: BodyModel,
    pose: Float[Tensor, "24 3"],
    camera: Camera,
    mask: Bool[np.ndarray, "H W"],
    settings: PosteriorSettings | None = None,
) -> Reconstruction:
    """Where the object is whose visible pixels a mask (H, W) bool covers.

    fields: the distribution of the object, or of each interaction with it that comes into question.
    pose: of the person, axis-angle, radians; the global rotation is the camera's (joint 0 counts as
    zero). camera: from the body frame to the image, metres and pixels. BadInput for an empty mask,
    one far from the person, numbers that are not finite, and fields of another body or of nothing.
    """
    settings = settings or PosteriorSettings()
    check_seen(mask, camera)
    fields = [fields] if isinstance(fields, Distribution) else list(fields)
    person = PersonInSpace.of(body, pose, common_grid(fields, body))
    return person_and_mask(person, fields, camera, mask, settings)


def person_and_mask(
    person: PersonInSpace,
    fields: Sequence[Distribution],
    camera: Camera,
    mask: Bool[np.ndarray, "H W"],
    settings: PosteriorSettings,
) -> Reconstruction:
    """`reconstruct` for a person whose surroundings are known already, as for several masks."""
    occupancies = person.occupancies(fields, settings)
    cone = person.cone(camera, mask, occupancies)
    found = posterior(occupancies, cone, person.centres, settings)
    names = [field.prompt or field.category or "object" for field in fields]
    evidence = found.log_evidence / float(cone.coverage.sum())
    interactions = dict(zip(names, found.weights.tolist(), strict=True))
    return described(person, found.mass, camera, interactions, evidence)


def described(
    person: PersonInSpace,
    mass: Float[np.ndarray, " N3"],
    camera: Camera,
    interactions: dict[str, float],
    log_evidence: float,
) -> Reconstruction:
    """What a distribution of mass (N^3,) says of the object: place, extent, how sure both are."""
    centroid = mass @ person.centres
    away = person.centres - centroid
    covariance = (mass[:, None] * away).T @ away
    R = np.asarray(camera.R, np.float64)
    deviation = _DOUBT * np.sqrt(np.diag(R @ covariance @ R.T))
    # a point's spread is the object's extent and the doubt about its place together
    variances, vectors = np.linalg.eigh(covariance - R.T @ np.diag(deviation**2) @ R)
    extent = np.sqrt(12 * np.maximum(variances, (person.grid.size / 4) ** 2))
    return Reconstruction(
        mass=mass.reshape(person.grid.shape),
        grid=person.grid,
        centroid=centroid,
        deviation=deviation,
        axes=vectors.T[::-1],
        extent=extent[::-1],
        extent_factor=_EXTENT_FACTOR,
        interactions=interactions,
        log_evidence=log_evidence,
    )


@dataclass(frozen=True, eq=False)
class PersonInSpace:
    """A posed body and the voxels around it: the same for every mask and distribution."""

    grid: VoxelGrid
    vertices: Float[np.ndarray, "V 3"]
    """The body's, body frame, metres."""
    faces: Int[np.ndarray, "F 3"]
    index: Int[np.ndarray, " N3"]
    """Where in canonical space each voxel comes from, flat numbers, -1 for nowhere."""
    distance: Float[np.ndarray, " N3"]
    """Of the voxels from the body, metres; infinite where it is more than matters."""

    @classmethod
    def of(cls, body: BodyModel, pose: Float[Tensor, "24 3"], grid: VoxelGrid) -> PersonInSpace:
        """The zero-shape body in a pose (24, 3), axis-angle; BadInput for a bad one."""
        check_pose(pose)
        vertices = posed_body(body, pose).vertices.double().cpu().numpy()
        return cls(
            grid,
            vertices,
            body.faces.cpu().numpy(),
            grid.index_of(canonical_points(body, pose, grid)),
            distance_from(vertices, grid.centres(), _FARTHEST),
        )

    @cached_property
    def centres(self) -> Float[np.ndarray, "N3 3"]:
        """Of the voxels, metres."""
        return self.grid.centres().astype(np.float64)

    def occupancies(
        self, fields: Sequence[Distribution], settings: PosteriorSettings
    ) -> list[Float[np.ndarray, " N3"]]:
        """Each field around the person, sharpened."""
        stays = np.arange(self.grid.count)
        found = []
        for field in fields:
            at = self.index if field.canonical else stays
            posed = np.where(at >= 0, field.probability.reshape(-1)[at], 0)
            found.append(sharpened(posed, self.distance, settings))
        return found

    def cone(
        self,
        camera: Camera,
        mask: Bool[np.ndarray, "H W"],
        occupancies: Sequence[Float[np.ndarray, " N3"]],
    ) -> Cone:
        """What an image sees of the voxels; BadInput for a mask far from the person and from where
        objects may be."""
        cone = cone_of(mask, camera, (self.vertices, self.faces), self.grid)
        met = cone.covered > 0
        if np.isinf(self.distance[met]).all() and not any(
            (each[met] > _UNLIKELY).any() for each in occupancies
        ):
            raise BadInput(
                f"the object's mask is far from the person: what it shows is more than {_FARTHEST} "
                "m from the body, where this object is never met. Check that mask, person and "
                "image belong together, or give the person who uses it."
            )
        return cone


def posed_body(body: BodyModel, pose: Float[Tensor, "24 3"]) -> PosedBody:
    """The zero-shape body in a pose (24, 3), in its body frame: joint 0 counts as zero."""
    pose = torch.as_tensor(np.asarray(pose), dtype=body.v_template.dtype).clone()
    pose[0] = 0
    return body.pose(pose)


def common_grid(fields: Sequence[Distribution], body: BodyModel) -> VoxelGrid:
    """The grid that fields share; BadInput if they cannot be used together with this body."""
    if not fields:
        raise BadInput("reconstruct needs the distribution of at least one interaction.")
    for field in fields:
        if field.body and field.body != body.fingerprint:
            raise BadInput(
                f"the distribution of {field.category or 'this object'!r} was made on another body "
                f"model (fingerprint {field.body[:12]}) than the one given "
                f"({body.fingerprint[:12]}); aggregate and reconstruct with the same --body."
            )
        if not field.probability.any():
            raise BadInput(
                f"the distribution of {field.prompt or field.category or 'this object'!r} is zero "
                "everywhere; aggregate samples that were retained."
            )
        if field.grid != fields[0].grid:
            raise BadInput(
                "the distributions are over different voxel grids; aggregate them with one preset."
            )
    return fields[0].grid

"""The methods that `chorus evaluate --task reconstruction` compares: from a scene an estimate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial

import torch

from chorus.body.model import BodyModel
from chorus.commands.reconstructing.true_scenes import TrueScene
from chorus.evaluation.reconstruction_scores import Estimate
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.reconstruction.baselines import mask_at_depth, nearest_depth, pelvis_depth
from chorus.reconstruction.posterior import PosteriorSettings
from chorus.reconstruction.reconstruct import (
    PersonInSpace,
    Reconstruction,
    described,
    person_and_mask,
    posed_body,
)
from chorus.records.rows import Camera

Method = Callable[[TrueScene], Estimate]
PELVIS, NEAREST = "mask at the pelvis' depth", "mask at the nearest surface's depth"
"""The baselines, which know no distribution."""


def baselines(body: BodyModel) -> dict[str, Method]:
    """What a user without a distribution does."""

    def at_pelvis(scene: TrueScene) -> Estimate:
        pelvis = _posed(scene, body).joints[0].double().numpy()
        return _sheet(scene, pelvis_depth(pelvis, camera_of(scene)))

    def at_nearest(scene: TrueScene) -> Estimate:
        vertices = _posed(scene, body).vertices.double().numpy()
        return _sheet(scene, nearest_depth(scene.image.mask, vertices, camera_of(scene)))

    return {PELVIS: at_pelvis, NEAREST: at_nearest}


def of_distributions(
    fields: Mapping[str, Sequence[Distribution]], body: BodyModel
) -> dict[str, Method]:
    """The prior alone, and prior and mask, by the distributions of a category's interactions.

    fields: by the name of their preset, which the rows have.
    """

    @lru_cache(maxsize=1)  # one scene after the other goes through all methods
    def person_in(scene: TrueScene, grid: VoxelGrid) -> PersonInSpace:
        return PersonInSpace.of(body, torch.from_numpy(scene.image.pose), grid)

    methods: dict[str, Method] = {}
    for name, of in fields.items():
        methods[f"prior alone, {name}"] = partial(_prior, person_in, of)
        methods[f"prior and mask, {name}"] = partial(_both, person_in, of)
    return methods


PersonIn = Callable[[TrueScene, VoxelGrid], PersonInSpace]


def _prior(person_in: PersonIn, fields: Sequence[Distribution], scene: TrueScene) -> Estimate:
    person = person_in(scene, fields[0].grid)
    occupancies = person.occupancies(fields, PosteriorSettings())
    mass = sum(each / each.sum() for each in occupancies) / len(occupancies)
    return _filled(described(person, mass, camera_of(scene), {}, 0.0))


def _both(person_in: PersonIn, fields: Sequence[Distribution], scene: TrueScene) -> Estimate:
    person, settings = person_in(scene, fields[0].grid), PosteriorSettings()
    found = person_and_mask(person, fields, camera_of(scene), scene.image.mask, settings)
    return _filled(found)


def camera_of(scene: TrueScene) -> Camera:
    """The camera of a test image."""
    return Camera(scene.image.R, scene.image.t, scene.image.K)


def _posed(scene: TrueScene, body: BodyModel):
    return posed_body(body, torch.from_numpy(scene.image.pose))


def _sheet(scene: TrueScene, depth: float) -> Estimate:
    points = mask_at_depth(scene.image.mask, camera_of(scene), depth)
    return Estimate(points.mean(axis=0), points)


def _filled(found: Reconstruction) -> Estimate:
    return Estimate(found.centroid, found.points)

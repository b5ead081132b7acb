"""The methods that `chorus evaluate --task reconstruction` compares: from a scene an estimate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch

from chorus.body.model import BodyModel
from chorus.commands.reconstructing.true_scenes import TrueScene
from chorus.evaluation.reconstruction_scores import Estimate
from chorus.occupancy.distribution import Distribution
from chorus.reconstruction.baselines import mask_at_depth, nearest_depth, pelvis_depth
from chorus.reconstruction.posterior import Posterior, PosteriorSettings, posterior
from chorus.reconstruction.reconstruct import (
    PersonInSpace,
    Reconstruction,
    described,
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
    fields: Sequence[Distribution], body: BodyModel, name: str
) -> dict[str, Method]:
    """The prior alone, and prior and mask, by the distributions of a category's interactions.

    name: of their preset, for the rows.
    """
    settings = PosteriorSettings()

    @lru_cache(maxsize=1)  # the two methods look at a scene one after the other
    def person_in(scene: TrueScene) -> PersonInSpace:
        return PersonInSpace.of(fields, body, torch.from_numpy(scene.image.pose), settings)

    def prior(scene: TrueScene) -> Estimate:
        person = person_in(scene)
        mass = sum(each / each.sum() for each in person.occupancies) / len(person.occupancies)
        weights = np.full(len(person.occupancies), 1 / len(person.occupancies))
        cone = person.cone(camera_of(scene), scene.image.mask)
        return _filled(described(person, cone, Posterior(mass, weights, 0.0), camera_of(scene)))

    def both(scene: TrueScene) -> Estimate:
        person = person_in(scene)
        camera = camera_of(scene)
        cone = person.cone(camera, scene.image.mask)
        found = posterior(person.occupancies, cone, person.centres, settings)
        return _filled(described(person, cone, found, camera))

    return {f"prior alone, {name}": prior, f"prior and mask, {name}": both}


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

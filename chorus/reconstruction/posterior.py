"""Where the object of a mask is: the distribution around the person and the mask's cone together.

Along a ray through the mask the object's surface is met exactly once, so the voxels of a cell that
the mask covers share one unit, each by its occupancy (`first_hits`); where the image shows no
object in front of the person there is none. What the person hides is completed: the distribution
says how much of the object lies there for what lies in sight (`completed`). Learned occupancies are
blurred, by poses, shapes and sides, and so wide that their sum outweighs their peak; a power
sharpens them. Where the distribution has nothing at all, the object is taken to be near the body.
All numbers of `PosteriorSettings` were chosen on seed 7 (docs/reconstruction.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.special import logsumexp

from chorus.errors import BadInput
from chorus.reconstruction.cone import Cone

_HIGHEST = 0.9
"""Of sharpened occupancies: a certain voxel would hide all behind it."""
_LEAST, _MOST = 0.01, 0.99
"""Bounds of a cell's probability to show the object: masks err too."""


@dataclass(frozen=True)
class PosteriorSettings:
    """How a distribution and a mask are put together."""

    sharpness: float = 8.0
    """Power of the occupancies, as shares of their highest."""
    reach: float = 0.4
    """How far about what is in sight the rest of the object lies, a standard deviation, metres."""
    background: float = 1e-3
    """Occupancy next to the body where the distribution has none."""
    falloff: float = 0.25
    """How far from the body that reaches, a standard deviation, metres."""
    temperature: float = 20.0
    """What log likelihoods of masks are divided by: neighbouring cells are far from independent."""

    def __post_init__(self) -> None:
        wrong = [name for name, value in vars(self).items() if not value > 0]
        if wrong:
            raise BadInput(
                f"settings of a posterior are numbers above 0; found {wrong[0]} "
                f"{getattr(self, wrong[0])}."
            )


def sharpened(
    probability: Float[np.ndarray, " n"],
    distance: Float[np.ndarray, " n"],
    settings: PosteriorSettings,
) -> Float[np.ndarray, " n"]:
    """(n,) occupancies of voxels, sharpened, with the background by their distance (n,) from the
    body's surface, metres."""
    highest = float(probability.max(initial=0))
    share = (probability / highest) ** settings.sharpness if highest > 0 else probability
    near = settings.background * np.exp(-0.5 * (distance / settings.falloff) ** 2)
    return np.minimum(_HIGHEST * share + near, _HIGHEST).astype(np.float64)


def distance_from(
    vertices: Float[np.ndarray, "V 3"], centres: Float[np.ndarray, "n 3"], farthest: float
) -> Float[np.ndarray, " n"]:
    """(n,) distance of voxel centres from the nearest vertex of the body, metres; infinite beyond
    the farthest that matters, which makes the search quick."""
    return cKDTree(vertices).query(centres, distance_upper_bound=farthest)[0]


def shown(occupancy: Float[np.ndarray, " N3"], cone: Cone) -> Float[np.ndarray, " C"]:
    """(C,) probability that a cell of the image shows the object: that any visible voxel in it is
    occupied."""
    empty = np.zeros(len(cone.coverage))
    seen = cone.visible
    np.add.at(empty, cone.cell[seen], np.log1p(-occupancy[seen]))
    return -np.expm1(empty)


def log_likelihood(occupancy: Float[np.ndarray, " N3"], cone: Cone) -> float:
    """Natural log of the probability of the mask's cells, covered or not, each by its share."""
    probability = np.clip(shown(occupancy, cone), _LEAST, _MOST)
    covered = cone.coverage
    return float((covered * np.log(probability) + (1 - covered) * np.log1p(-probability)).sum())


def first_hits(occupancy: Float[np.ndarray, " N3"], cone: Cone) -> Float[np.ndarray, " N3"]:
    """(N^3,) how much of the object's visible part is in each voxel: the occupancies of a cell's
    visible voxels, as parts of what the mask covers of the cell."""
    found = np.zeros(len(occupancy))
    at = np.flatnonzero(cone.covered > 0)
    cells = cone.cell[at]
    any_of_cell = shown(occupancy, cone)[cells]
    found[at] = cone.coverage[cells] * occupancy[at] / np.maximum(any_of_cell, 1e-12)
    return found


def completed(
    occupancy: Float[np.ndarray, " N3"],
    in_sight: Float[np.ndarray, " N3"],
    cone: Cone,
    centres: Float[np.ndarray, "N3 3"],
    reach: float,
) -> Float[np.ndarray, " N3"]:
    """(N^3,) the visible part and what is hidden: about the visible part's centroid, hidden voxels
    get as much for their occupancy as all visible ones got for theirs."""
    total = in_sight.sum()
    if not total > 0:
        return in_sight
    middle = in_sight @ centres / total
    near = occupancy * np.exp(-0.5 * ((centres - middle) ** 2).sum(axis=1) / reach**2)
    visible = near[cone.visible].sum()
    rate = total / visible if visible > 0 else 0.0
    return np.where(cone.visible, in_sight, near * rate)


@dataclass(frozen=True, eq=False)
class Posterior:
    """Where the object is, from a mask and the distributions of several interactions."""

    mass: Float[np.ndarray, " N3"]
    """(N^3,) share of the object in each voxel; sums to one."""
    weights: Float[np.ndarray, " D"]
    """(D,) probability of each interaction, by how well it foretold the mask."""
    log_evidence: float
    """Log likelihood of the mask over all interactions, as `log_likelihood`."""


def posterior(
    occupancies: Sequence[Float[np.ndarray, " N3"]],
    cone: Cone,
    centres: Float[np.ndarray, "N3 3"],
    settings: PosteriorSettings,
) -> Posterior:
    """The posterior of sharpened occupancies (N^3,) around the person, one of each interaction.

    BadInput if the mask's cone meets no voxel that may be occupied.
    """
    likelihoods = np.array([log_likelihood(each, cone) for each in occupancies])
    tempered = likelihoods / settings.temperature
    weights = np.exp(tempered - logsumexp(tempered))
    mass = np.zeros(len(centres))
    for weight, occupancy in zip(weights, occupancies, strict=True):
        part = completed(occupancy, first_hits(occupancy, cone), cone, centres, settings.reach)
        total = part.sum()
        if not total > 0:
            raise BadInput(
                "the object's mask does not meet the space around the person in which the "
                "distribution is; check that mask, person and image belong together."
            )
        mass += weight * part / total
    return Posterior(mass, weights, float(logsumexp(likelihoods) - np.log(len(likelihoods))))

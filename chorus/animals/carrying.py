"""Where animals carry things: a distribution in a species' canonical space, from masks of the
object and the animals' poses, by the same aggregation and estimators as around persons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from chorus.animals.body import quadruped_body
from chorus.animals.free_quadruped import free_quadruped
from chorus.animals.pasture.scenes import CELLS, LABELLED, sample_scene
from chorus.animals.pasture.tack import tack, tack_inside, tack_views
from chorus.body.model import BodyModel
from chorus.errors import BadInput
from chorus.occupancy.accumulate import accumulate
from chorus.occupancy.canonical import canonical_space
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.evidence import estimate
from chorus.occupancy.presets import AggregationSettings, Estimator

_BATCH = 20
_LEVELS = np.arange(0.05, 1.0, 0.05)


@dataclass(frozen=True)
class Agreement:
    """A distribution against the object that it was learned from. inside, outside: its mean in and
    out of the object; overlap: the highest intersection over union of a level of it, in [0, 1]."""

    inside: float
    outside: float
    overlap: float


def learn_carried(
    category: str,
    name: str,
    samples: int,
    seed: int,
    estimator: Estimator,
    threads: int,
    advance: Callable[[int], object],
) -> tuple[Distribution, BodyModel, Agreement]:
    """The distribution of an object around a species, of `samples` pictures of its pasture.

    Animals have their species' shape. BadInput for an unknown object or no sample.
    """
    if samples < 1:
        raise BadInput(f"a distribution needs one sample or more, found {samples}.")
    carried = tack(category, name)
    body = quadruped_body(free_quadruped(category, CELLS))
    settings = AggregationSettings(estimator=estimator, hidden=estimator == "evidence")
    space = canonical_space(body, settings, threads=threads)
    scenes = replace(LABELLED, spread=0.0)
    counts = None
    for start in range(0, samples, _BATCH):
        numbers = range(start, min(samples, start + _BATCH))
        drawn = [sample_scene(category, seed * 1_000_000 + each, scenes) for each in numbers]
        counts = accumulate(space, tack_views(drawn, carried), counts, threads).counts
        advance(len(numbers))
    part = space.parts[0].name
    probability = estimate(counts[part], space)
    distribution = Distribution.from_counts(
        counts[part],
        settings.weighting,
        category=name,
        prompt=f"A {category} carries a {name}",
        part=part,
        body=body.fingerprint,
        metadata={"settings": settings.recorded()},
        probability=probability,
    )
    inside = tack_inside(category, carried, space.centres).reshape(probability.shape)
    return distribution, body, agreement(probability, inside)


def agreement(
    probability: Float[np.ndarray, "N N N"], inside: Bool[np.ndarray, "N N N"]
) -> Agreement:
    """How well probabilities agree with the voxels (N, N, N) of an object, some of which there
    must be."""
    overlaps = [0.0]
    for level in _LEVELS * probability.max():
        reached = (probability >= level) & (probability > 0)
        overlaps.append((reached & inside).sum() / (reached | inside).sum())
    return Agreement(
        float(probability[inside].mean()), float(probability[~inside].mean()), float(max(overlaps))
    )

"""Which pseudo-labels to train on: four criteria over the files of an animal's web images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from chorus.animals.accuracy import errors
from chorus.animals.annotations import Labels, read_labels
from chorus.animals.pose.pseudo_labels import read_transformed
from chorus.animals.tree import AnimalTree
from chorus.errors import BadInput
from chorus.selection.criteria import visible_keypoints
from chorus.selection.deviation import (
    best_first,
    deviation,
    mean_place,
    stretched_deviation,
    total_confidence,
)

Criterion = Literal["kpconf", "cf_mt", "cf_cm", "cf_cm_sq"]
"""kpconf: the network's confidence. cf_mt: its consistency under transforms of the image. cf_cm:
its agreement with a second network. cf_cm_sq: its agreement with the fitted shape."""
CRITERIA: tuple[str, ...] = get_args(Criterion)
Measure = Literal["published", "visible"]
"""published: the release's formulas. visible: the same in both directions of the image, and over
visible keypoints alone."""


@dataclass(frozen=True, eq=False)
class Scored:
    """N pseudo-labels, their scores (N,), whether a high one is good, and their order (N,), best
    first. left_out: how many lack what the criterion compares with."""

    labels: Labels
    score: Float[np.ndarray, " N"]
    high_is_good: bool
    left_out: int

    @property
    def order(self) -> np.ndarray:
        """The labels' numbers, best first; ties keep the file's order."""
        return best_first(self.score, self.high_is_good)


def score_labels(
    tree: AnimalTree, category: str, name: str, criterion: str, measure: Measure = "published"
) -> Scored:
    """Score the pseudo-labels that a run `name` made of a category. BadInput for what is missing.

    An image that one of the compared files lacks is left out, for which the release stops.
    """
    labels = read_labels(tree.labels_2d(name))
    if criterion == "kpconf":
        confidence = labels.joints[..., 2]
        visible = visible_keypoints(labels.joints) if measure == "visible" else None
        return Scored(labels, total_confidence(confidence, visible), True, 0)
    if criterion == "cf_mt":
        found, _ = read_transformed(tree.transformed(name))
        others = found.__contains__
    elif criterion in ("cf_cm", "cf_cm_sq"):
        path = tree.labels_2d(name, aux=True) if criterion == "cf_cm" else tree.labels_3d(name)
        second = read_labels(path)
        others = set(second.ids).__contains__
    else:
        raise BadInput(f"--filter must be one of {', '.join(CRITERIA)}, found {criterion!r}.")
    ids = [each for each in labels.ids if others(each)]
    if not ids:
        raise BadInput(
            f"no image of {tree.labels_2d(name)} is in the file that {criterion} compares it "
            "with; make both from the same boxes."
        )
    left_out = len(labels.ids) - len(ids)
    labels = labels.chosen(ids, category)
    if criterion == "cf_mt":
        everything = np.stack([found[each] for each in ids])
        first, second_places = everything[:, 0, :, :2], mean_place(everything[:, 1:, :, :2])
    else:
        first, second_places = labels.joints[..., :2], second.chosen(ids, "").joints[..., :2]
    return Scored(labels, _apart(first, second_places, labels, measure), False, left_out)


def _apart(
    first: np.ndarray, second: np.ndarray, labels: Labels, measure: Measure
) -> Float[np.ndarray, " N"]:
    if measure == "published":
        return stretched_deviation(first, second, labels.boxes)
    return deviation(first, second, labels.boxes, visible_keypoints(labels.joints))


@dataclass(frozen=True)
class Gain:
    """PCK, percent, of selected pseudo-labels and of all, which is what a random selection has on
    average; low and high: the 95 percent interval of the difference."""

    selected: float
    everything: float
    low: float
    high: float


_ROUNDS = 1000


def selection_gain(
    labels: Labels, order: Int[np.ndarray, " N"], count: int, truth: Labels, threshold: float = 0.1
) -> Gain:
    """How much better the first `count` of an order are than all, by the truth of the web images.

    The interval is that of images drawn anew, each with its place in the order. BadInput for an
    image that the truth lacks, or without any visible keypoint.
    """
    true = truth.chosen(labels.ids, "the truth")
    error, counted = errors(labels.joints[..., :2], true.joints, true.boxes)
    near, count = ((error <= threshold) & counted).sum(1)[order], min(count, len(order))
    counts = counted.sum(1)[order]
    chosen = np.arange(len(order)) < count
    if not counts[chosen].sum():
        raise BadInput("none of the selected images has a visible keypoint.")
    draws = np.random.default_rng(0).multinomial(
        len(order), np.full(len(order), 1 / len(order)), size=_ROUNDS
    )

    def score(weight: np.ndarray) -> np.ndarray:
        return 100 * (weight @ near) / np.maximum(weight @ counts, 1)

    difference = score(draws * chosen) - score(draws)
    low, high = np.percentile(difference, [2.5, 97.5])
    return Gain(float(score(1.0 * chosen)), float(score(np.ones(len(order)))), low, high)

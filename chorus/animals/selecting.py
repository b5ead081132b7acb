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
from chorus.selection.criteria import (
    detector_agreement,
    reprojection_agreement,
    transform_consistency,
    visible_keypoints,
)
from chorus.selection.deviation import (
    best_first,
    confirmed,
    mean_place,
    stretched_deviation,
    total_confidence,
)

Criterion = Literal["kpconf", "cf_mt", "cf_cm", "cf_cm_sq"]
"""kpconf: the network's confidence. cf_mt: its consistency under transforms of the image. cf_cm:
its agreement with a second network. cf_cm_sq: its agreement with the fitted shape."""
CRITERIA: tuple[str, ...] = get_args(Criterion)
Measure = Literal["published", "confirmed"]
"""published: the release's formulas. confirmed: how many visible keypoints the comparison confirms,
by the criteria of CHORUS' soft selection."""


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
    if criterion not in CRITERIA:
        raise BadInput(f"--filter must be one of {', '.join(CRITERIA)}, found {criterion!r}.")
    labels = read_labels(tree.labels_2d(name))
    if criterion == "kpconf":
        return _by_confidence(labels, measure)
    if criterion == "cf_mt":
        found, _ = read_transformed(tree.transformed(name))
    else:
        path = tree.labels_2d(name, aux=True) if criterion == "cf_cm" else tree.labels_3d(name)
        second = read_labels(path)
        found = dict(zip(second.ids, second.joints, strict=True))
    ids = [each for each in labels.ids if each in found]
    if not ids:
        raise BadInput(
            f"no image of {tree.labels_2d(name)} is in the file that {criterion} compares it "
            "with; make both from the same boxes."
        )
    left_out = len(labels.ids) - len(ids)
    labels = labels.chosen(ids, category)
    compared = np.stack([found[each] for each in ids])
    if measure == "published":
        score = _published(labels, compared, criterion)
        return Scored(labels, score, high_is_good=False, left_out=left_out)
    score = _confirmed(labels, compared, criterion)
    return Scored(labels, score, high_is_good=True, left_out=left_out)


def _by_confidence(labels: Labels, measure: Measure) -> Scored:
    confidence, visible = labels.joints[..., 2], visible_keypoints(labels.joints)
    if measure == "confirmed":
        confidence = np.where(visible, np.clip(confidence, 0, 1), 0)
    return Scored(labels, total_confidence(confidence), high_is_good=True, left_out=0)


def _published(
    labels: Labels, compared: Float[np.ndarray, "N *T K 3"], criterion: str
) -> Float[np.ndarray, " N"]:
    """Published distances (N,) from keypoints (N, 16, 3), or of transforms (N, T, 16, 3)."""
    if criterion == "cf_mt":
        first, second = compared[:, 0, :, :2], mean_place(compared[:, 1:, :, :2])
    else:
        first, second = labels.joints[..., :2], compared[..., :2]
    return stretched_deviation(first, second, labels.boxes)


def _confirmed(
    labels: Labels, compared: Float[np.ndarray, "N *T K 3"], criterion: str
) -> Float[np.ndarray, " N"]:
    """Numbers (N,) of confirmed keypoints, of what `_published` takes."""
    joints, extent = labels.joints, labels.boxes[:, 2:].max(1)
    visible = visible_keypoints(joints)
    if criterion == "cf_mt":
        others = compared[:, 1:, :, :2]
        quality = transform_consistency(compared[:, 0, :, :2], others, extent, visible)
    elif criterion == "cf_cm":
        quality = detector_agreement(joints, compared, extent)
        visible = visible | visible_keypoints(compared)
    else:
        quality = reprojection_agreement(joints, compared[..., :2], extent)
    return confirmed(quality, visible)


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

"""Body parts found in samples instead of listed by hand (method.md 9, "Automatic clusters").

Segments that an object touches in the same samples belong together. Pure functions of who touches
what, (24, S) bool in SMPL's order of segments; the order of the samples does not matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.cluster.hierarchy import cut_tree, fcluster, linkage
from scipy.spatial.distance import squareform

from chorus.body.skeleton import SEGMENT_NAMES
from chorus.errors import BadInput
from chorus.occupancy.part_names import part_names
from chorus.occupancy.presets import DiscoverySettings

_SEED = 42
_EXCHANGES = 999


@dataclass(frozen=True)
class FoundPart:
    """A set of segments that are touched together."""

    name: str
    """In words people use, unique within a discovery."""
    segments: tuple[str, ...]
    """In SMPL's order."""
    stability: float
    """Mean over resamples of the Jaccard index with the most similar set found in them, 0 to 1."""
    samples: int
    """Samples in which any of the segments is touched."""
    stable: bool
    """Whether the stability reaches the settings' threshold."""


@dataclass(frozen=True)
class Discovery:
    """The sets found, most samples first, and the number of samples they were found in."""

    parts: tuple[FoundPart, ...]
    samples: int


def discover(
    touched: Bool[np.ndarray, "24 S"], settings: DiscoverySettings | None = None
) -> Discovery:
    """Divide the touched segments into sets that are touched together.

    Average-linkage clustering of 1 - phi, phi being the correlation of two segments' being touched;
    the number of sets is that of the largest mean silhouette (Rousseeuw 1987), and no set holds
    segments that on average avoid each other while `max_sets` allows it. Stability as in Hennig
    (2007), for the same number of sets. BadInput for another shape or type of array.
    """
    settings = settings or DiscoverySettings()
    touched = _checked(touched)
    count = touched.shape[1]
    patterns, times = _patterns(touched)
    sets, divided = _sets(*_frequencies(patterns, times), settings) if count else ([], 0)
    if not sets:
        return Discovery((), count)
    masks = np.stack(sets)
    stability = _stability(patterns, times, masks, settings, divided)
    samples = np.array([touched[mask].any(axis=0).sum() for mask in masks])
    order = np.lexsort((masks.argmax(axis=1), -samples))
    segments = [tuple(np.array(SEGMENT_NAMES)[masks[i]].tolist()) for i in order]
    found = zip(part_names(segments), segments, order, strict=True)
    return Discovery(
        tuple(
            FoundPart(
                name,
                members,
                round(float(stability[i]), 4),
                int(samples[i]),
                bool(stability[i] >= settings.min_stability),
            )
            for name, members, i in found
        ),
        count,
    )


def joined_prompts(
    touched: dict[str, Bool[np.ndarray, "24 S"]], settings: DiscoverySettings | None = None
) -> list[tuple[str, ...]]:
    """Groups of prompts that show the same interaction, in the given order; alone, they are left
    out.

    Two prompts may be joined if the difference of their touched shares, the root mean square over
    segments touched at all, is at most `max_difference` and no larger than what exchanging samples
    between them makes by chance (a permutation test, which allows for segments that go together).
    In a group any two may be joined (complete linkage). Prompts without samples are left out.
    BadInput for another shape or type of array.
    """
    settings = settings or DiscoverySettings()
    arrays = {prompt: _checked(array) for prompt, array in touched.items()}
    prompts = [prompt for prompt, array in arrays.items() if array.shape[1]]
    if len(prompts) < 2:
        return []
    distances = []
    for first, second in combinations(prompts, 2):
        difference, chance = prompt_difference(arrays[first], arrays[second])
        alike = difference <= settings.max_difference and chance > settings.significance
        distances.append(difference if alike else 2.0)
    tree = linkage(np.array(distances), "complete")
    label = fcluster(tree, 1.0, "distance")
    groups = [tuple(p for p, of in zip(prompts, label, strict=True) if of == one) for one in label]
    return [group for group in dict.fromkeys(groups) if len(group) > 1]


def prompt_difference(
    first: Bool[np.ndarray, "24 S"], second: Bool[np.ndarray, "24 T"]
) -> tuple[float, float]:
    """How much the touched shares of two prompts differ, 0 to 1, and the share of exchanges of
    their samples (of 999, and the samples as they are) that differ as much or more."""
    patterns, times = _patterns(np.concatenate([first, second], axis=1))
    used = patterns.any(axis=1)
    if not used.any():
        return 0.0, 1.0
    few, total = min(first.shape[1], second.shape[1]), int(times.sum())
    rng = np.random.default_rng(_SEED)
    exchanged = rng.multivariate_hypergeometric(times, few, _EXCHANGES, method="marginals")
    ones = patterns[used].astype(float)
    by_chance = exchanged @ ones.T / few - (times - exchanged) @ ones.T / (total - few)
    actual = (first.mean(axis=1) - second.mean(axis=1))[used]
    size = math.sqrt(np.mean(actual**2))
    as_much = np.sqrt(np.mean(by_chance**2, axis=1)) >= size - 1e-9
    return size, (1 + int(as_much.sum())) / (1 + _EXCHANGES)


def _checked(touched: Bool[np.ndarray, "24 S"]) -> Bool[np.ndarray, "24 S"]:
    touched = np.asarray(touched)
    if touched.ndim != 2 or len(touched) != len(SEGMENT_NAMES) or touched.dtype != bool:
        raise BadInput(
            f"touched segments must be bool of shape ({len(SEGMENT_NAMES)}, samples); found "
            f"{touched.dtype} {touched.shape}. `touched_segments` makes them."
        )
    return touched


def _patterns(
    touched: Bool[np.ndarray, "24 S"],
) -> tuple[Bool[np.ndarray, "24 P"], Int[np.ndarray, " P"]]:
    """The different sets of segments that samples touch, and how many samples touch each."""
    return np.unique(touched, axis=1, return_counts=True)


def _frequencies(
    patterns: Bool[np.ndarray, "24 P"], times: Int[np.ndarray, " P"]
) -> tuple[Float[np.ndarray, " 24"], Float[np.ndarray, "24 24"]]:
    """Shares of the samples that touch each segment, and each pair of segments."""
    ones = patterns.astype(float)
    joint = (ones * times) @ ones.T / times.sum()
    return joint.diagonal(), joint


def _sets(
    share: Float[np.ndarray, " 24"],
    joint: Float[np.ndarray, "24 24"],
    settings: DiscoverySettings,
    count: int | None = None,
) -> tuple[list[Bool[np.ndarray, " 24"]], int]:
    """The sets of segments as masks, what is nearly always touched first, and how many the other
    segments are divided into: `count` or fewer, or what suits them best."""
    # Shares are multiples of 1/S: a bound that is met exactly must not depend on rounding.
    always = share > settings.max_share + 1e-9
    others = np.flatnonzero((share >= settings.min_share - 1e-9) & ~always)
    sets = [always] if always.any() else []
    if not len(others):
        return sets, 0
    label = _division(_avoidance(share[others], joint[np.ix_(others, others)]), settings, count)
    for one in np.unique(label):
        mask = np.zeros(len(share), bool)
        mask[others[label == one]] = True
        sets.append(mask)
    return sets, int(label.max())


def _avoidance(
    share: Float[np.ndarray, " n"], joint: Float[np.ndarray, "n n"]
) -> Float[np.ndarray, "n n"]:
    """1 - phi: 0 for segments touched in the same samples, 1 for independent ones, up to 2."""
    spread = np.sqrt(share * (1 - share))  # above 0, as no share is 0 or 1 here
    phi = (joint - np.outer(share, share)) / np.outer(spread, spread)
    distance = np.clip(1 - phi, 0, 2)
    np.fill_diagonal(distance, 0)
    # Equal values must not differ by rounding, or the order of the samples would break ties.
    return np.round((distance + distance.T) / 2, 9)


def _division(
    distance: Float[np.ndarray, "n n"], settings: DiscoverySettings, count: int | None
) -> Int[np.ndarray, " n"]:
    """The set (a number from 1) of each of n segments."""
    size = len(distance)
    if size == 1:
        return np.ones(1, int)
    tree = linkage(squareform(distance, checks=False), "average")
    if count is not None:
        return _cut(tree, min(count, size))
    most = min(settings.max_sets, size)
    fewest = min(most, int((tree[:, 2] >= 1 - 1e-9).sum()) + 1)
    labels = [_cut(tree, number) for number in range(fewest, most + 1)]
    scores = [_silhouette(distance, label) for label in labels]
    best = int(np.argmax(np.round(scores, 9)))
    if fewest == 1 and scores[best] < settings.min_silhouette:
        return np.ones(size, int)
    return labels[best]


def _cut(tree: Float[np.ndarray, "m 4"], count: int) -> Int[np.ndarray, " n"]:
    """Exactly `count` sets of a linkage tree, also where several joins are equally high."""
    return cut_tree(tree, count)[:, 0] + 1


def _silhouette(distance: Float[np.ndarray, "n n"], label: Int[np.ndarray, " n"]) -> float:
    """Mean silhouette width (Rousseeuw 1987), -1 to 1; 0 for members alone and for one set."""
    belongs = label[:, None] == np.unique(label)
    if belongs.shape[1] == 1:
        return 0.0
    sums, sizes = distance @ belongs, belongs.sum(axis=0)
    own = (sums * belongs).sum(axis=1) / np.maximum(sizes[belongs.argmax(axis=1)] - 1, 1)
    other = np.where(belongs, np.inf, sums / sizes).min(axis=1)
    largest = np.maximum(own, other)
    width = np.divide(other - own, largest, out=np.zeros(len(label)), where=largest > 0)
    return float(np.where(sizes[belongs.argmax(axis=1)] > 1, width, 0).mean())


def _stability(
    patterns: Bool[np.ndarray, "24 P"],
    times: Int[np.ndarray, " P"],
    masks: Bool[np.ndarray, "sets 24"],
    settings: DiscoverySettings,
    divided: int,
) -> Float[np.ndarray, " sets"]:
    """Per set the mean Jaccard index with its best match in bootstrap resamples."""
    rng = np.random.default_rng(_SEED)
    samples = int(times.sum())
    best = np.zeros(len(masks))
    for resample in rng.multinomial(samples, times / samples, settings.resamples):
        # Divided into as many sets, at least one: a segment may fall below the upper bound.
        again, _ = _sets(*_frequencies(patterns, resample), settings, max(divided, 1))
        if again:
            best += _jaccard(masks, np.stack(again)).max(axis=1)
    return best / settings.resamples


def _jaccard(
    first: Bool[np.ndarray, "a n"], second: Bool[np.ndarray, "b n"]
) -> Float[np.ndarray, "a b"]:
    """The Jaccard index of every set of one division with every set of another; none is empty."""
    both = first.astype(float) @ second.T
    return both / (first.sum(axis=1)[:, None] + second.sum(axis=1) - both)

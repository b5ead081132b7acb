"""What the three synthetic networks share: they look up the truth row of a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from chorus.errors import BadInput
from chorus.geometry import boxes as box_geometry
from chorus.records.keys import GLOBAL_SEED, SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import read_table
from chorus.synthetic.perceive.noise_settings import NoiseSettings

TruthOf = Callable[[SampleKey], Mapping | None]
"""The row of `synthetic_truth` of a sample, None if the synthetic world did not make it."""

_SAME_PERSON = 0.3  # overlap (IoU) at which a box is taken for a true person's


class DegradedTruth:
    """What the three networks are made of: a look-up of truth rows, the noise, the global seed."""

    def __init__(
        self, truth_of: TruthOf, noise: NoiseSettings | None = None, seed: int = GLOBAL_SEED
    ):
        self._truth_of = truth_of
        self._noise = noise or NoiseSettings()
        self._seed = seed


class TruthRows:
    """The synthetic world's truth rows, read from the results tree a shard at a time."""

    def __init__(self, tree: ResultsTree):
        self._tree = tree
        self._shard: ShardKey | None = None
        self._rows: dict[int, dict] = {}

    def __call__(self, key: SampleKey) -> dict | None:
        """The truth row of a sample, None if the synthetic world did not make it."""
        if key.shard != self._shard:
            path = self._tree.table("synthetic_truth", key.shard)
            self._rows = read_table(path, "synthetic_truth").rows
            self._shard = key.shard
        return self._rows.get(key.index)


def drawn_by_the_world(tree: ResultsTree, shards: Iterable[ShardKey]) -> list[ShardKey]:
    """The shards whose images the synthetic world drew, and whose truth it so knows."""
    return [shard for shard in shards if tree.table("synthetic_truth", shard).is_file()]


def known_truth(truth_of: TruthOf, key: SampleKey) -> Mapping:
    """The truth row of a sample; BadInput if there is none."""
    truth = truth_of(key)
    if truth is None:
        raise BadInput(
            f"{key}: the table synthetic_truth has no row for this sample; the synthetic models "
            "only understand images that the synthetic image model made. Generate it anew, or "
            "choose another profile."
        )
    return truth


def matching_person(box: np.ndarray, truth: Mapping) -> int:
    """Number of the true person that a box fits best, -1 if it fits none."""
    if not len(truth["persons"]):
        return -1
    true = np.array([person["box"] for person in truth["persons"]], np.float32)
    overlap = box_geometry.iou(np.asarray(box, np.float32)[None], true)
    best = int(np.argmax(overlap))
    return best if overlap[best] >= _SAME_PERSON else -1

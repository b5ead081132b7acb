"""Judged samples of a results tree, and what of them pictures show: image, pose, verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from chorus.errors import ChorusError
from chorus.occupancy.presets import Anchor
from chorus.records.image_files import read_what_is_kept
from chorus.records.joining import Columns, joined, read_tables, rows_of
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import person_array
from chorus.records.tables import DONE

BODY_TABLES: dict[Anchor, tuple[str, ...]] = {
    "calibrated": ("humans", "filtered_cameras"),
    "refined": ("refined",),
}
"""Where an anchor's poses and cameras are taken from; the last one says whether there is one."""


class JudgedSample(NamedTuple):
    """A sample with its verdict and, once they are read, its rows in the other tables."""

    key: SampleKey
    rows: dict[str, dict | None]


def judged(tree: ResultsTree, shard: ShardKey) -> list[JudgedSample]:
    """Samples of a shard with their verdicts, which is all that choosing among many needs."""
    tables = read_tables(tree, shard, ("filtered",), {"filtered": ("verdicts",)})
    return [JudgedSample(key, rows) for key, rows in joined(shard, tables, "filtered")]


def completed(
    tree: ResultsTree,
    samples: Sequence[JudgedSample],
    names: Sequence[str],
    columns: Columns | None = None,
) -> list[JudgedSample]:
    """The samples with their rows in other tables too, None where there are none."""
    tables = {
        shard: read_tables(tree, shard, names, columns, optional=names)
        for shard in dict.fromkeys(sample.key.shard for sample in samples)
    }
    return [
        JudgedSample(key, {**rows, **rows_of(key.index, tables[key.shard])})
        for key, rows in samples
    ]


def spread(samples: Sequence[JudgedSample], count: int) -> Iterable[JudgedSample]:
    """At most `count` of the samples, evenly from the first to the last."""
    places = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return [samples[at] for at in dict.fromkeys(places.tolist())]


def camera_row(rows: Mapping[str, dict | None], anchor: Anchor) -> dict | None:
    """The row with the camera of the body that an aggregation of this anchor takes, None for a
    sample without one."""
    row = rows.get(BODY_TABLES[anchor][-1])
    return None if row is None or row["status"] != DONE else row


def pose_of(rows: Mapping[str, dict | None], anchor: Anchor) -> Float[np.ndarray, "24 3"] | None:
    """The pose that an aggregation of this anchor takes, axis-angle without its global rotation;
    None for a sample without one."""
    row = camera_row(rows, anchor)
    if row is None or (anchor == "calibrated" and rows.get("humans") is None):
        return None
    person = row if anchor == "refined" else rows["humans"]["persons"][0]
    pose = person_array(person, "pose")
    pose[0] = 0  # the camera is that of the body's own frame
    return pose


def pixels_of(tree: ResultsTree, sample: JudgedSample) -> UInt8[np.ndarray, "H W 3"] | None:
    """The image, or None for one that was not kept or cannot be read; `verify` says what is
    wrong."""
    row = sample.rows.get("images")
    try:
        kept = None if row is None else read_what_is_kept(tree, sample.key, row)
    except ChorusError:
        return None
    return None if kept is None else kept.pixels

"""The samples that an aggregation takes: retained, and selected by their quality (method.md 5c)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput, StaleResults
from chorus.occupancy.presets import AggregationSettings
from chorus.records.gathering import Retained, gather, gathered
from chorus.records.joining import check_origins
from chorus.records.keys import SampleKey, ShardKey, sample_seed
from chorus.records.lifted_objects import Anchored, lifted_samples
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import Camera
from chorus.records.tables import DONE, Table, read_table
from chorus.selection.choosing import COMBINED, CRITERIA, combined, levels, top_share

_LEFT_OUT = "not among the best by {}"
_TOO_LOW = "{} below {}"


def tables_read(settings: AggregationSettings) -> tuple[str, ...]:
    """The tables that `chosen_samples` reads, verdicts first."""
    return (*gathered(settings.anchor), *(("quality",) if settings.selection else ()))


def chosen_samples(
    tree: ResultsTree,
    shards: Sequence[ShardKey],
    rules: Sequence[int],
    settings: AggregationSettings,
) -> Retained:
    """The retained samples of a prompt that the settings choose, by share and by quality; where
    meshes are evidence, those with lifted objects."""
    masks = shards
    if settings.observed != "masks":  # then some may have meshes alone
        masks = [shard for shard in shards if tree.table("filtered", shard).is_file()]
    samples = gather(tree, masks, rules, settings.anchor).share(settings.share)
    chosen = selected(
        tree,
        samples,
        settings.selection,
        settings.selection_least,
        settings.selection_share,
        settings.selection_levels,
    )
    if settings.observed == "masks":
        return chosen
    columns = zip(chosen.keys, chosen.pose, chosen.R, chosen.t, chosen.K, chosen.level, strict=True)
    anchors = {key: Anchored(pose, Camera(R, t, K), level) for key, pose, R, t, K, level in columns}
    lifted, reasons = lifted_samples(tree, shards, anchors)
    kept = chosen if settings.observed == "both" else chosen.take([])
    dropped = chosen.dropped + reasons
    return replace(kept, lifted=lifted, dropped=dropped, left_out=chosen.left_out)


def selected(
    tree: ResultsTree,
    samples: Retained,
    selection: str,
    least: float = 0.0,
    share: float = 1.0,
    level_count: int = 1,
) -> Retained:
    """Of one prompt's samples those of at least a quality, and of these the share that is best, in
    the same order, with levels by their quality; all as they are if `selection` is empty.

    selection: a criterion, or `combined`. A quality that is not known is below any but 0. BadInput
    if the table `quality` is missing or lacks the criterion, StaleResults if it was made from other
    tables than those that are there.
    """
    if not selection or not len(samples):
        return samples
    quality = _qualities(tree, samples.keys, selection)
    good = np.flatnonzero(quality >= least) if least else np.arange(len(samples))
    order = np.array([sample_seed(samples.keys[at], "share") for at in good])
    chosen = good[top_share(quality[good], share, order)] if len(good) else good
    best = samples.take(chosen.tolist())
    best.level = levels(quality[chosen], level_count).tolist() if len(chosen) else []
    best.left_out = samples.left_out + len(samples) - len(chosen)
    best.dropped = samples.dropped + Counter(
        {
            _TOO_LOW.format(selection, least): len(samples) - len(good),
            _LEFT_OUT.format(selection): len(good) - len(chosen),
        }
    )
    return best


def _qualities(
    tree: ResultsTree, keys: Sequence[SampleKey], selection: str
) -> Float[np.ndarray, " S"]:
    """(S,): the quality of each sample, NaN where the table has none."""
    tables = {
        shard: _read(tree, shard, selection) for shard in dict.fromkeys(k.shard for k in keys)
    }
    computed = {tuple(table.settings["criteria"]) for table in tables.values()}
    if len(computed) > 1:
        raise StaleResults(
            f"the tables of quality of {keys[0].category} / {keys[0].prompt} have different "
            f"criteria ({' and '.join(', '.join(names) for names in sorted(computed))}); make them "
            "again with chorus quality --overwrite."
        )
    rows = [tables[key.shard].rows.get(key.index) for key in keys]
    values = {
        name: np.array(
            [row[name] if row is not None and row["status"] == DONE else np.nan for row in rows]
        )
        for name in computed.pop()
    }
    return combined(values, tuple(values)) if selection == COMBINED else values[selection]


def _read(tree: ResultsTree, shard: ShardKey, selection: str) -> Table:
    path = tree.table("quality", shard)
    if not path.is_file():
        raise BadInput(
            f"samples cannot be selected by {selection}: there is no {path}; run chorus quality "
            "first."
        )
    table = read_table(path, "quality", columns=CRITERIA)
    criteria = table.settings["criteria"]
    if selection not in (COMBINED, *criteria):
        raise BadInput(
            f"{path} has no {selection}, but {', '.join(criteria)}; run chorus quality --criteria "
            f"{' '.join([*criteria, selection])} --overwrite."
        )
    check_origins(tree, shard, {"quality": table})
    return table

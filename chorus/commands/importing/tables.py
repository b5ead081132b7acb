"""The tables that `chorus import` makes of images and their annotations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from chorus.commands.importing.sources import Shard
from chorus.commands.importing.workers import ImageWorker
from chorus.engine.loop import Stage, Worker
from chorus.errors import StaleResults
from chorus.models.registry import IMPORTED
from chorus.perception.clean_up import ALWAYS_KEEP, MIN_OVERLAP
from chorus.pipeline import Step, step
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import read_settings

Kind = Literal["persons", "objects"]
"""What instances are of."""


def images_stage(
    tree: ResultsTree,
    folder: Path,
    shard: Shard,
    most_pixels: int | None = None,
    writes: bool = True,
) -> Stage:
    """Copies images into the tree; those without annotations with at most so many pixels.

    writes: whether the pictures are written, not the table alone.
    """
    settings = {"image_model": IMPORTED, "files": shard.digest(folder)}
    if most_pixels is not None:
        settings["most_pixels"] = most_pixels
    return Stage(
        Step("import images", writes=("images",)),
        settings=settings,
        make_worker=functools.partial(ImageWorker, tree, folder, shard, most_pixels, writes),
        count=len(shard.images),
    )


def instances_stage(
    only: Kind | None, source: dict[str, Any], make_worker: Callable[[], Worker]
) -> Stage:
    """Takes instances: the segmentations, or, if `only` persons or objects are annotated, the
    annotations that `segment` completes.

    source: what the table keeps of the files.
    """
    settings = {
        "segmenter": IMPORTED,
        **source,
        "min_overlap": MIN_OVERLAP,
        "always_keep": ALWAYS_KEEP,
    }
    made = replace(step("segment"), name="import segmentations")
    if only is not None:
        made = replace(made, name="import annotations", writes=("annotations",))
        settings["annotated"] = only
    return Stage(made, settings=settings, make_worker=make_worker)


def keypoints_stage(source: dict[str, Any], make_worker: Callable[[], Worker]) -> Stage:
    """Takes keypoints of the persons of the segmentations."""
    made = replace(step("keypoints"), name="import keypoints")
    return Stage(made, settings=source, make_worker=make_worker)


def settle_what_was_imported(
    tree: ResultsTree, shard: ShardKey, makes: tuple[str, ...], overwrite: bool
) -> None:
    """Remove what an earlier import said about a shard's instances if this one, which `makes` some
    tables, says something else. StaleResults unless `overwrite`."""
    for name in {"annotations", "segmentations"}.difference(makes):
        path = tree.table(name, shard)
        if not path.is_file() or read_settings(path).get("segmenter") != IMPORTED:
            continue
        if not overwrite:
            raise StaleResults(
                f"{path} was imported with annotations of "
                f"{read_settings(path).get('annotated', 'persons and objects')}, which is not what "
                "is given now. Run again with --overwrite to replace it, or give another "
                "--results_dir or --model_key to keep both."
            )
        path.unlink()

"""`chorus prune`: images that every network has seen → thumbnails, or nothing.

The networks' tables are a sixth of an image's size, and nothing after them looks at pixels but the
contact sheet and two criteria of `chorus quality` (consistency and agreement, both off by default),
which have to be computed before. A shard is pruned once its images are segmented and have bodies
and keypoints; the images table keeps its rows, so nothing is generated again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput, ChorusError
from chorus.files import atomic_write
from chorus.pipeline import STEPS
from chorus.records.image_files import THUMBNAIL, is_pruned, read_what_is_kept, thumbnail_shape
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, Table, read_table, write_table
from chorus.settings import ImageTreeOptions, SampleOptions, ShardOptions

_QUALITY = 80


@dataclass(frozen=True)
class Options(ShardOptions, ImageTreeOptions, SampleOptions):
    """Give back the space of images that no stage needs any more."""

    keep: Literal["thumbnails", "none"] = "thumbnails"
    """What stays of each image: a thumbnail of at most 128 pixels a side for the contact sheet, or
    nothing."""


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Prune the shards that are seen; the others are named."""
    started = time.monotonic()
    tree = options.tree
    shards = options.my_shards(
        tree.shards("images", options.models.model_key, options.categories, options.prompts)
    )
    report = CommandResult("")
    pruned = freed = 0
    with progress_bar(progress, len(shards), "prune", "shard") as advance:
        for shard in shards:
            try:
                images, bytes_less = _prune(tree, shard, options.keep)
                pruned, freed = pruned + images, freed + bytes_less
            except ChorusError as error:
                report.problems.append(str(error))
            advance(1)
    report.ok = not report.problems
    report.line = (
        f"prune: {pruned} images made {'thumbnails' if options.keep == 'thumbnails' else 'away'}, "
        f"{freed / 1e6:.1f} MB less in {time.monotonic() - started:.1f} s → {tree.folder('images')}"
    )
    return report


def _prune(tree: ResultsTree, shard: ShardKey, keep: str) -> tuple[int, int]:
    """Prune one shard; how many images, and how many bytes fewer there are."""
    path = tree.table("images", shard)
    folder = path.with_suffix("")
    with tree.lock(path):
        table = read_table(path, "images")
        _check_seen(tree, shard, table)
        before = sum(file.stat().st_size for file in _files(folder))
        changed = 0
        for index, row in table.rows.items():
            if row["status"] != DONE or not row["file"]:
                continue
            if keep == "none":
                row["file"] = ""
            elif not is_pruned(row):
                row["file"] = _thumbnail(tree, SampleKey(*shard, index), row)
            else:
                continue
            changed += 1
        if changed:
            write_table(path, "images", table)
        # Last, so that a killed run leaves no row without its file; a rerun removes the rest.
        named = {row["file"] for row in table.rows.values() if row["status"] == DONE}
        for file in _files(folder):
            if file.name not in named:
                file.unlink()
        return changed, before - sum(file.stat().st_size for file in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    """The shard's own files, named by their sample's number."""
    return (file for file in folder.glob("[0-9]" * 6 + ".*") if file.is_file())


def _check_seen(tree: ResultsTree, shard: ShardKey, images: Table) -> None:
    """BadInput if a network has yet to see an image of the shard."""
    for step in STEPS:
        if not step.looks_at_images:
            continue
        name = step.writes[0]
        path = tree.table(name, shard)
        seen = read_table(path, name, columns=()).finished() if path.is_file() else set()
        unseen = images.rows.keys() - seen
        if unseen:
            raise BadInput(
                f"{shard} keeps its images: {len(unseen)} of {len(images.rows)} are not in {name} "
                f"yet; run {step.name} first."
            )


def _thumbnail(tree: ResultsTree, key: SampleKey, row: dict) -> str:
    """Write the thumbnail of an image; its file's name."""
    import cv2

    image = read_what_is_kept(tree, key, row)
    height, width = thumbnail_shape(row["height"], row["width"])
    small = cv2.resize(image.pixels, (width, height), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    path = tree.image(key, THUMBNAIL)
    atomic_write(path, data.tobytes())
    return path.name

"""The images that `chorus export` writes of, with their rows; COCO's files of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from chorus.commands.exporting.options import Options
from chorus.commands.importing.sources import image_names
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput
from chorus.files import atomic_write
from chorus.records.joining import joined, read_tables
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.tables import DONE, read_settings


@dataclass(frozen=True)
class Exported:
    """One image that is done in the first table asked for, with its rows in the others, if done."""

    key: SampleKey
    name: str
    rows: dict[str, dict | None]


def images(options: Options, tables: tuple[str, ...]) -> Iterator[Exported]:
    """Images whose row in the first of `tables` is done, in the order of shards and indexes."""
    tree = options.tree
    for shard in tree.shards(
        tables[0], options.models.model_key, options.categories, options.prompts
    ):
        names = image_names(tree, shard)
        read = read_tables(tree, shard, tables, optional=tables[1:])
        for key, rows in joined(shard, read, tables[0]):
            done = {name: _done(rows.get(name)) for name in tables}
            if done[tables[0]] is not None and key.index in names:
                yield Exported(key, names[key.index], done)


def _done(row: dict | None) -> dict | None:
    return row if row is not None and row["status"] == DONE else None


def humans_settings(options: Options) -> dict[ShardKey, dict]:
    """The settings of the tables `humans` that are exported."""
    tree, model = options.tree, options.models.model_key
    shards = tree.shards("humans", model, options.categories, options.prompts)
    return {shard: read_settings(tree.table("humans", shard)) for shard in shards}


def write_coco(options: Options, report: CommandResult, progress: Progress) -> str:
    """instances.json; an image of several categories' shards is written once for each."""
    from chorus.perception.coco_writing import CocoFile

    del progress
    coco = CocoFile()
    for image in images(options, ("segmentations", "human_kps")):
        segmentation, keypoints = image.rows["segmentations"], image.rows["human_kps"]
        shard = image.key.shard
        coco.add(
            {
                "file_name": image.name,
                "width": segmentation["width"],
                "height": segmentation["height"],
                "category": shard.category,
                "prompt": shard.prompt,
                "augprompt": shard.augprompt,
            },
            segmentation["detections"],
            None if keypoints is None else keypoints["persons"],
        )
    if not coco.images:
        raise BadInput("no image has segmentations that are done; run segment or import first.")
    if coco.repeated:
        report.problems.append(
            f"{coco.repeated} images are in several shards and were written with the instances of "
            "the first; export one category at a time for the others"
        )
    atomic_write(options.out / "instances.json", coco.content())
    return f"{len(coco.images)} images with {len(coco.annotations)} annotations"


def write_keypoints(options: Options, report: CommandResult, progress: Progress) -> str:
    """person_keypoints.json and keypoint_results.json, as COCO's keypoint evaluation reads them."""
    from chorus.perception.coco_writing import CocoKeypoints

    del report, progress
    coco = CocoKeypoints()
    for image in images(options, ("segmentations", "human_kps")):
        segmentation, keypoints = image.rows["segmentations"], image.rows["human_kps"]
        if keypoints is not None:
            size = {name: segmentation[name] for name in ("width", "height")}
            coco.add(
                {"file_name": image.name, **size},
                segmentation["detections"],
                keypoints["persons"],
            )
    if not coco.annotations:
        raise BadInput("no image has keypoints of persons; run keypoints or import first.")
    for name, content in (
        ("person_keypoints.json", coco.content()),
        ("keypoint_results.json", coco.results),
    ):
        text = json.dumps(content, separators=(",", ":"))
        atomic_write(options.out / name, text.encode())
    return f"keypoints of {len(coco.annotations)} persons in {len(coco.images)} images"

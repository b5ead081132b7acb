"""What `chorus import` says: what was not used, and what is left to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus.commands.importing.options import Options
from chorus.commands.importing.sources import PoseIndex, Shard, pictures_of
from chorus.commands.importing.tables import Kind
from chorus.engine.command_result import CommandResult
from chorus.records.keys import ShardKey
from chorus.records.tables import DONE, read_table
from chorus.vocabulary import PERSON

if TYPE_CHECKING:
    from chorus.perception.coco_instances import Annotations
    from chorus.perception.recorded_poses import Recording

SHOWN = 3
"""Names and reasons of one kind that are shown."""
_THRESHOLD = 0.8  # as `segment` has it for the paper's segmenter


def least_score(options: Options, annotations: Annotations) -> float:
    """The score below which annotations are dropped. Those of our own files have passed their
    network's already, which may be lower."""
    if options.threshold is not None:
        return options.threshold
    return 0.0 if annotations.ours else _THRESHOLD


def what_segment_adds(options: Options, shards: Sequence[Shard], only: Kind | None) -> list[str]:
    """The line that says what is left to `chorus segment`; none if there is nothing left."""
    tree = options.tree
    if all(tree.table("segmentations", shard.key).is_file() for shard in shards):
        return []
    missing = {"persons": "objects", "objects": "persons"}.get(only, "persons and objects")
    profile = options.network_profile
    command = f"chorus segment --profile {profile} --model_key {options.models.model_key} ..."
    return [f"no {missing} are annotated: `{command}` adds those that it finds"]


def report_annotations(
    report: CommandResult, options: Options, annotations: Annotations, shards: Sequence[Shard]
) -> None:
    """What of the annotations and the folder was not used, and what is left to do."""
    report_images(report, options, annotations, shards)
    if not annotations.has_keypoints and not options.without_keypoints:
        report.problems.append(
            "the annotations hold no keypoints: detect them with `chorus keypoints --profile "
            f"{options.network_profile} --model_key {options.models.model_key} ...`, or import "
            "with --without_keypoints and aggregate with --aggr_setting_names quant:full "
            "--filter_setting_nums 15"
        )


def report_images(
    report: CommandResult, options: Options, annotations: Annotations, shards: Sequence[Shard]
) -> None:
    """What of the annotations and the folder was not used."""
    used = {image.name for shard in shards for image in shard.images}
    known = {image.name for image in annotations.images}
    there = set(pictures_of(options.images))
    objects = ", ".join(sorted({shard.key.category for shard in shards}))
    report.problems += named(used - there, f"annotated images that are not in {options.images}")
    report.problems += named(there - known, f"images in {options.images} that are not annotated")
    if known - used:
        left = len(known - used)
        report.problems.append(f"annotated images without {objects}, or of other prompts: {left}")
    half = {i.name for shard in shards for i in annotations.unjudged(shard.key.category)}
    report.problems += named(
        half, f"images in which not all of {objects} or the persons are annotated (LVIS), left out"
    )
    report.problems += _unsure(annotations, shards, least_score(options, annotations))
    if annotations.crowds:
        report.problems.append(
            f"crowd annotations (iscrowd), left out: {annotations.crowds}; --take_crowds takes "
            "each as one instance"
        )
    orphans = "annotations of images or categories that the file lacks, left out"
    report.problems += named(set(annotations.orphans), orphans)
    if annotations.scraps:
        report.problems.append(
            f"polygons of fewer than three points beside others, left out: {annotations.scraps}"
        )


def report_empty_masks(
    rows: Iterable[Mapping[str, Any]], folders: Mapping[Kind, Path]
) -> list[str]:
    """A line for every folder of masks of which none has a pixel; rows: the table of instances."""
    done = [row["detections"] for row in rows if row["status"] == DONE]
    found = {"persons" if each["label"] == PERSON else "objects" for some in done for each in some}
    return [
        f"the masks in {folder} are all empty ({len(done)} images), so that there are no {kind}: "
        "pixels that are not 0, or not transparent, are what a mask is of"
        for kind, folder in folders.items()
        if done and kind not in found
    ]


def report_poses(
    report: CommandResult, recording: Recording, index: PoseIndex, matched: int
) -> None:
    """Which recorded persons cannot be used, and how many are not."""
    report.problems += named(set(index.homeless), "images of poses that are not among the samples")
    report.problems += recording.notes[:SHOWN]
    report.problems += recording.faults[:SHOWN]
    if len(recording.faults) > SHOWN:
        report.problems.append(f"{len(recording.faults)} recorded persons in all cannot be used")
    count = len(recording.poses)
    if matched < count:
        report.problems.append(
            f"{count - matched} of {count} poses are not used: their image is no sample, "
            "no person's box overlaps theirs enough, or another person of the image has no pose"
        )


def matched(options: Options, shards: Sequence[ShardKey]) -> int:
    """How many persons with poses the tables hold."""
    paths = [options.tree.table("humans", shard) for shard in shards]
    rows = [r for p in paths if p.is_file() for r in read_table(p, "humans").rows.values()]
    return sum(len(row["persons"]) for row in rows if row["status"] == DONE)


def named(names: set[str], what: str) -> list[str]:
    """A line that counts names and shows the first of them; nothing for none."""
    if not names:
        return []
    shown = ", ".join(sorted(names)[:SHOWN])
    return [f"{what}: {len(names)} ({shown}{', …' if len(names) > SHOWN else ''})"]


def _unsure(annotations: Annotations, shards: Sequence[Shard], threshold: float) -> list[str]:
    """A line that counts the annotations of a lower score; none without any."""
    of_persons = [
        each["category_id"] == annotations.categories.get(PERSON)
        for image in {image.name: image for shard in shards for image in shard.images}.values()
        for each in image.annotations
        if isinstance(score := each.get("score", 1.0), int | float) and score < threshold
    ]
    if not of_persons:
        return []
    return [
        f"annotations of a score below --threshold {threshold:g}, left out: {len(of_persons)}, "
        f"{sum(of_persons)} of them of persons"
    ]

"""`chorus import`: photographs, instance annotations, masks and poses of one's own → tables.

What `images`, `segment`, `keypoints` and `humans` would make is taken from files instead, so that
`filter`, `refine`, `calibrate` and `aggregate` go on from there. With --as test_set NAME they
become test images instead, for `evaluate --test_set NAME`. With --lifted, objects' meshes become
evidence beside their masks. Formats: docs/bring-your-own.md.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from chorus.commands.importing.dry_run import outcome_table, scratch_copy
from chorus.commands.importing.lifted_images import Doubts, lifted_shards, lifted_stage
from chorus.commands.importing.lifted_meshes import import_lifted_objects
from chorus.commands.importing.options import Options
from chorus.commands.importing.photo_folder import digest_of_masks, photographs, scaled_down
from chorus.commands.importing.reports import (
    SHOWN,
    least_score,
    matched,
    named,
    report_annotations,
    report_empty_masks,
    report_images,
    report_poses,
    what_segment_adds,
)
from chorus.commands.importing.sources import (
    PoseIndex,
    Shard,
    digest_of,
    image_names,
    pictures_of,
    plan,
    read_annotations,
    with_annotated_boxes,
)
from chorus.commands.importing.tables import (
    images_stage,
    instances_stage,
    keypoints_stage,
    settle_what_was_imported,
)
from chorus.commands.importing.test_images import (
    Photographs,
    import_photographs,
    left_out,
    rows_of,
    test_shards,
)
from chorus.commands.importing.workers import (
    NOT_THERE,
    InstanceWorker,
    KeypointWorker,
    MaskWorker,
    PoseWorker,
)
from chorus.engine import loop
from chorus.engine.command_result import CommandResult
from chorus.engine.loop import Stage
from chorus.engine.progress import Progress
from chorus.models.registry import IMPORTED
from chorus.pipeline import step
from chorus.records.keys import ShardKey
from chorus.records.lifted_objects import TABLE
from chorus.records.tables import read_table

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.perception.coco_instances import Annotations
    from chorus.perception.recorded_poses import Recording


@dataclass
class Work:
    """What one run does: its options, how it is shown, and the sum of its stages."""

    options: Options
    progress: Progress
    summaries: dict[str, loop.Summary] = field(default_factory=dict)
    made: dict[tuple[str, str], bool] = field(default_factory=dict)
    """By table and category, whether it has a row that is done."""
    names: dict[ShardKey, Sequence[str]] = field(default_factory=dict)
    """What the images of a shard are called, by sample index."""
    annotations_digest: str = ""
    """Fingerprint of the files of annotations."""

    def run(self, stage: Stage, shard: ShardKey) -> None:
        """Bring one table up to date."""
        options = self.options
        if stage.output in ("annotations", "segmentations"):
            settle_what_was_imported(options.tree, shard, (stage.output,), options.fresh)
        summary = loop.run(
            stage,
            options.tree,
            [shard],
            overwrite=options.fresh,
            progress=self.progress,
        )
        self.summaries.setdefault(stage.output, loop.Summary()).add(summary)
        of = (stage.output, shard.category)
        self.made[of] = self.made.get(of, False) or bool(summary.done + summary.already_done)

    def take(self, shard: Shard) -> None:
        """Note what the images of a shard are called."""
        self.names[shard.key] = [image.name for image in shard.images]

    def nothing_of(self) -> list[str]:
        """A line for every table of which nothing of a category came."""
        lacking = [of for of, made in self.made.items() if not made]
        return [f"{name}: nothing of {category!r} was imported" for name, category in lacking]


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Import what is missing; the report counts what fits together and what does not."""
    if not options.dry_run:
        return _import(Work(options, progress))
    with scratch_copy(options.tree, options.models.model_key) as scratch:
        work = Work(replace(options, results_dir=scratch, image_dir=None), progress)
        report = _import(work)
        report.text = outcome_table(work.options.tree, work.names)
    report.line = f"would be {report.line.rpartition(' → ')[0]}; nothing was written"
    return report


def _import(work: Work) -> CommandResult:
    started = time.monotonic()
    options, report = work.options, CommandResult("")
    annotations = None
    if options.annotations is not None:
        source = read_annotations(options.annotations, options.images, options.take_crowds)
        annotations, work.annotations_digest = source.annotations, source.digest
        report.problems += source.notes
    if options.open3dhoi is not None:
        _import_lifted(work, report)
    elif options.test_set:
        _import_test_set(work, report, annotations)
    elif annotations is not None:
        _import_annotations(work, report, annotations)
    elif options.images is not None:
        _import_photographs(work, report)
    if options.poses is not None and not options.test_set:
        _import_poses(work, report, annotations)
    if options.lifted is not None:
        shards, problems = import_lifted_objects(options, work.run)
        report.problems += problems
        for shard, names in shards.items():
            work.names.setdefault(shard, names)
    for name, summary in work.summaries.items():
        report.problems += summary.errors
        report.ok = report.ok and not summary.errors and not summary.nothing_made
        if name == "test_set":  # whose images are all named with their reasons
            continue
        own = {r: n for r, n in summary.reasons.items() if not _is_reported_elsewhere(r)}
        common = sorted(own.items(), key=lambda item: -item[1])[:SHOWN]
        report.problems += [f"{name}: {count} x {reason}" for reason, count in common]
    nothing = work.nothing_of()
    report.ok = report.ok and not nothing
    report.problems += nothing
    counts = "; ".join(_counted(name, summary) for name, summary in work.summaries.items())
    seconds = time.monotonic() - started
    report.line = f"import: {counts} in {seconds:.1f} s → {options.tree.root}"
    return report


def _is_reported_elsewhere(reason: str) -> bool:
    """Whether a reason is that of the table before, or of the files that are not there."""
    return reason == NOT_THERE or reason.startswith(("images failed:", "segmentations failed:"))


def _counted(name: str, summary: loop.Summary) -> str:
    skipped = {"test_set": "left out", TABLE: "without an object"}.get(name, "without a pose")
    parts = [f"{name} {summary.done} done"]
    parts += [f"{summary.already} already there"] if summary.already else []
    parts += [f"{summary.skipped} {skipped}"] if summary.skipped else []
    parts += [f"{summary.failed} failed"] if summary.failed else []
    return ", ".join(parts)


def _import_test_set(work: Work, report: CommandResult, annotations: Annotations) -> None:
    """The table test_set of every category, and its images."""
    from chorus.body.loading import load_body

    options = work.options
    body = load_body(options.body, options.imports_dir)
    planned = plan(annotations, options.test_set, options.categories, options.prompts, None)
    shards = test_shards(options.test_set, planned)
    recording, digest = _recording(options, body)
    poses = with_annotated_boxes(recording.poses, annotations)
    source = Photographs(
        options.tree,
        options.images,
        annotations,
        least_score(options, annotations),
        PoseIndex(poses, {image.name for shard in shards for image in shard.images}),
        body,
        {
            "annotations": work.annotations_digest,
            "poses": digest,
            "body": options.body_name,
        },
    )
    problems, used = import_photographs(source, shards, work.run)
    report.problems += problems
    report_images(report, options, annotations, shards)
    report_poses(report, recording, source.index, used)


def _import_annotations(work: Work, report: CommandResult, annotations: Annotations) -> None:
    """The tables images, segmentations (or annotations, if only persons or only objects are
    annotated) and, where there are keypoints, human_kps."""
    options = work.options
    model = options.models.model_key
    shards = plan(annotations, model, options.categories, options.prompts, options.prompt)
    threshold = least_score(options, annotations)
    source = {"annotations": work.annotations_digest, "threshold": threshold}
    if options.take_crowds:
        source["crowds"] = "taken"
    writes = not options.dry_run
    detector = "none" if options.without_keypoints else IMPORTED
    for shard in shards:
        made_of = (threshold, shard, annotations)
        work.take(shard)
        work.run(images_stage(options.tree, options.images, shard, writes=writes), shard.key)
        instances = instances_stage(
            annotations.only, source, functools.partial(InstanceWorker, *made_of)
        )
        work.run(instances, shard.key)
        keypoints = keypoints_stage(
            {"keypoint_model": detector, **source}, functools.partial(KeypointWorker, *made_of)
        )
        known = annotations.has_keypoints or options.without_keypoints
        if known and options.tree.table("segmentations", shard.key).is_file():
            work.run(keypoints, shard.key)
    report_annotations(report, options, annotations, shards)
    report.problems += what_segment_adds(options, shards, annotations.only)


def _import_photographs(work: Work, report: CommandResult) -> None:
    """The table images and, where there are masks, segmentations (or annotations, if there are
    those of persons or of objects alone)."""
    options = work.options
    folders = options.mask_folders
    taken = photographs(options.images, folders)
    (category,) = options.categories
    shard = taken.shard(options.models.model_key, category, options.prompt)
    only = next(iter(folders)) if len(folders) == 1 else None
    if not folders:
        settle_what_was_imported(options.tree, shard.key, (), options.fresh)
    most = None if folders else round(options.max_megapixels * 1e6)
    work.take(shard)
    images = images_stage(options.tree, options.images, shard, most, writes=not options.dry_run)
    work.run(images, shard.key)
    if folders:
        source = {f"masks of {kind}": digest_of_masks(taken.photos, kind) for kind in folders}
        instances = instances_stage(only, source, functools.partial(MaskWorker, shard))
        work.run(instances, shard.key)
        table = read_table(options.tree.table(instances.output, shard.key), instances.output)
        report.problems += report_empty_masks(table.rows.values(), folders)
    for reason, names in taken.left_out.items():
        report.problems += named(set(names), reason)
    if most:
        large = set(scaled_down(options.images, taken.photos, most))
        what = f"photographs scaled down to {options.max_megapixels:g} megapixels"
        report.problems += named(large, what)
    report.problems += what_segment_adds(options, [shard], only)


def _import_lifted(work: Work, report: CommandResult) -> None:
    """The table test_set of every category of Open3DHOI, its images, meshes and pictures."""
    from chorus.body.loading import load_body

    options = work.options
    shards = lifted_shards(options.test_set, options.open3dhoi, options.categories)
    body, doubts = load_body(options.body, options.imports_dir), Doubts()
    for shard in shards:
        work.run(lifted_stage(options.tree, shard, body, options.body_name, doubts), shard.key)
        rows = rows_of(options.tree, shard.key)
        report.problems += left_out(
            shard.key.category, [(shard.folders[at].name, row) for at, row in rows.items()]
        )
    report.problems += doubts.found


def _import_poses(work: Work, report: CommandResult, annotations: Annotations | None) -> None:
    """The table humans, for every shard that has segmentations."""
    from chorus.body.loading import load_body

    options = work.options
    body = load_body(options.body, options.imports_dir)
    tree, model = options.tree, options.models.model_key
    shards = tree.shards("segmentations", model, options.categories, options.prompts)
    recording, digest = _recording(options, body)
    poses = recording.poses
    if annotations is not None:
        poses = with_annotated_boxes(poses, annotations)
    names = {shard: image_names(tree, shard) for shard in shards}
    for shard, of_shard in names.items():
        last = max(of_shard, default=-1)
        work.names.setdefault(shard, [of_shard.get(at, f"({at})") for at in range(last + 1)])
    sampled = [name for of_shard in names.values() for name in of_shard.values()]
    beside = pictures_of(options.images) if options.images is not None else []
    index = PoseIndex(poses, sampled, beside)
    settings = {
        "human_model": IMPORTED,
        "poses": digest,
        "body": options.body_name,
    }
    for shard in shards:
        stage = Stage(
            replace(step("humans"), name="import poses"),
            settings=settings,
            make_worker=functools.partial(PoseWorker, body, index, names[shard]),
        )
        work.run(stage, shard)
    report_poses(report, recording, index, matched(options, shards))


def _recording(options: Options, body: BodyModel) -> tuple[Recording, str]:
    """The recorded poses, of this body where they had none, and the digest of all their files."""
    from chorus.perception.keypoint_bodies import with_bodies
    from chorus.perception.pose_files import companions, files_of, read_poses

    recording = with_bodies(read_poses(options.poses), body, options.correspondence)
    files = files_of(options.poses)
    correspondence = [options.correspondence] if options.correspondence else []
    return recording, digest_of(*files, *companions(files), *correspondence)

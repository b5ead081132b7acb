"""`chorus import`: photographs, instance annotations, masks and poses of one's own → tables.

What `images`, `segment`, `keypoints` and `humans` would make is taken from files instead, so that
`filter`, `refine`, `calibrate` and `aggregate` go on from there. Formats: docs/bring-your-own.md.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from chorus.commands.importing.dry_run import outcome_table, scratch_copy
from chorus.commands.importing.photo_folder import digest_of_masks, photographs, scaled_down
from chorus.commands.importing.sources import (
    IMPORTED,
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
    Kind,
    images_stage,
    instances_stage,
    keypoints_stage,
    settle_what_was_imported,
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
from chorus.errors import BadInput
from chorus.pipeline import step
from chorus.records.keys import TOTAL, ShardKey
from chorus.records.tables import DONE, read_table
from chorus.settings import BodyOptions, ImageTreeOptions, RedoOptions, SampleOptions

if TYPE_CHECKING:
    from chorus.perception.coco_instances import Annotations

_SHOWN = 3
_THRESHOLD = 0.8  # as `segment` has it for the paper's segmenter


@dataclass(frozen=True)
class Options(BodyOptions, RedoOptions, ImageTreeOptions, SampleOptions):
    """Take images, masks, keypoints and poses from files instead of our own perception."""

    images: Path | None = None
    """Folder of the images."""
    annotations: Path | None = None
    """COCO instances (.json) of these images; persons may have keypoints."""
    masks: Path | None = None
    """Folder of PNG masks of the objects in these images, in place of --annotations: a.png is the
    mask of a.jpg."""
    person_masks: Path | None = None
    """Folder of PNG masks of the persons."""
    max_megapixels: float = 16.0
    """Images without annotations or masks that are larger are scaled down to this."""
    poses: Path | None = None
    """Human poses: .npz, 4D-Humans' or WHAM's .pkl, or a folder of these."""
    prompt: str | None = None
    """The interaction the images show; 'imported' if left out and not in the annotations."""
    threshold: float | None = None
    """Annotations with a score below this are dropped; 0.8 if left out, none of those that `chorus
    export` wrote."""
    take_crowds: bool = False
    """Take each annotation of a crowd (iscrowd 1) as one instance; CVAT writes masks of the brush
    so."""
    dry_run: bool = False
    """Say what would be taken, matched and dropped, and why, and write nothing."""
    without_keypoints: bool = False
    """Write keypoints of confidence 0; aggregate then with --aggr_setting_names quant:full
    --filter_setting_nums 15, a preset and a filter rule that need none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images is None and self.poses is None:
            raise BadInput("give --images or --poses, or both.")
        if self.images is None and (self.annotations or self.mask_folders):
            raise BadInput("annotations and masks belong to images; give their folder, --images.")
        if self.annotations and self.mask_folders:
            raise BadInput("--annotations holds masks itself; give either it or masks.")
        if self.images and not self.annotations and len(self.categories) != 1:
            raise BadInput(
                "without --annotations, name the one category that the images show: --categories "
                f"bicycle; found {' '.join(self.categories) or 'none'}."
            )
        for name in ("without_keypoints", "take_crowds"):
            if getattr(self, name) and not self.annotations:
                raise BadInput(f"--{name} belongs to --annotations; give these.")
        for path in self.mask_folders.values():
            if not path.is_dir():
                raise BadInput(f"{path} is not a folder; give the folder of the PNG masks.")
        if not self.max_megapixels > 0:
            raise BadInput(f"--max_megapixels must be above 0, found {self.max_megapixels}.")
        if self.images is not None and not self.images.is_dir():
            raise BadInput(f"--images {self.images} is not a folder; give the folder of images.")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise BadInput(f"--threshold must lie between 0 and 1, found {self.threshold}.")
        if self.prompt is not None and (not self.prompt.strip() or self.prompt == TOTAL):
            raise BadInput(f"--prompt {self.prompt!r} cannot be an interaction's name.")

    @property
    def mask_folders(self) -> dict[Kind, Path]:
        """The folders of masks, by what they are masks of."""
        folders: dict[Kind, Path | None] = {"objects": self.masks, "persons": self.person_masks}
        return {kind: path for kind, path in folders.items() if path is not None}


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
        annotations = read_annotations(options.annotations, options.take_crowds)
        _import_annotations(work, report, annotations)
    elif options.images is not None:
        _import_photographs(work, report)
    if options.poses is not None:
        _import_poses(work, report, annotations)
    for name, summary in work.summaries.items():
        report.problems += summary.errors
        report.ok = report.ok and not summary.errors
        own = {r: n for r, n in summary.reasons.items() if not _is_reported_elsewhere(r)}
        common = sorted(own.items(), key=lambda item: -item[1])[:_SHOWN]
        report.problems += [f"{name}: {count} x {reason}" for reason, count in common]
    nothing = work.nothing_of()
    report.ok = report.ok and not nothing
    report.problems += nothing
    counts = "; ".join(f"{name} {_counted(summary)}" for name, summary in work.summaries.items())
    seconds = time.monotonic() - started
    report.line = f"import: {counts} in {seconds:.1f} s → {options.tree.root}"
    return report


def _is_reported_elsewhere(reason: str) -> bool:
    """Whether a reason is that of the table before, or of the files that are not there."""
    return reason == NOT_THERE or reason.startswith(("images failed:", "segmentations failed:"))


def _counted(summary: loop.Summary) -> str:
    parts = [f"{summary.done} done"]
    parts += [f"{summary.already} already there"] if summary.already else []
    parts += [f"{summary.skipped} without a pose"] if summary.skipped else []
    parts += [f"{summary.failed} failed"] if summary.failed else []
    return ", ".join(parts)


def _import_annotations(work: Work, report: CommandResult, annotations: Annotations) -> None:
    """The tables images, segmentations (or annotations, if only persons or only objects are
    annotated) and, where there are keypoints, human_kps."""
    options = work.options
    model = options.models.model_key
    shards = plan(annotations, model, options.categories, options.prompts, options.prompt)
    threshold = options.threshold
    if threshold is None:
        threshold = 0.0 if annotations.from_tables else _THRESHOLD
    source = {"annotations": digest_of(options.annotations), "threshold": threshold}
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
    _report_annotations(report, options, annotations, shards)
    report.problems += _what_segment_adds(options, annotations.only)


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
        work.run(instances_stage(only, source, functools.partial(MaskWorker, shard)), shard.key)
    for reason, names in taken.left_out.items():
        report.problems += _named(set(names), reason)
    if most:
        large = set(scaled_down(options.images, taken.photos, most))
        what = f"photographs scaled down to {options.max_megapixels:g} megapixels"
        report.problems += _named(large, what)
    report.problems += _what_segment_adds(options, only, nothing=not folders)


def _what_segment_adds(options: Options, only: Kind | None, nothing: bool = False) -> list[str]:
    """The line that says what is left to `chorus segment`; none if it has nothing to add."""
    if only is None and not nothing:
        return []
    missing = {"persons": "objects", "objects": "persons"}.get(only, "persons and objects")
    command = f"chorus segment --profile modern --model_key {options.models.model_key} ..."
    return [f"no {missing} are annotated: `{command}` adds those that it finds"]


def _report_annotations(
    report: CommandResult, options: Options, annotations: Annotations, shards: Sequence[Shard]
) -> None:
    """What of the annotations and the folder was not used, and what is left to do."""
    used = {image.name for shard in shards for image in shard.images}
    known = {image.name for image in annotations.images}
    there = set(pictures_of(options.images))
    objects = ", ".join(sorted({shard.key.category for shard in shards}))
    report.problems += _named(used - there, f"annotated images that are not in {options.images}")
    report.problems += _named(there - known, f"images in {options.images} that are not annotated")
    if known - used:
        left = len(known - used)
        report.problems.append(f"annotated images without {objects}, or of other prompts: {left}")
    if annotations.crowds:
        report.problems.append(
            f"crowd annotations (iscrowd), left out: {annotations.crowds}; --take_crowds takes "
            "each as one instance"
        )
    orphans = "annotations of images or categories that the file lacks, left out"
    report.problems += _named(set(annotations.orphans), orphans)
    if annotations.scraps:
        report.problems.append(
            f"polygons of fewer than three points beside others, left out: {annotations.scraps}"
        )
    if not annotations.has_keypoints and not options.without_keypoints:
        report.problems.append(
            "the annotations hold no keypoints: detect them with `chorus keypoints --profile "
            f"modern --model_key {options.models.model_key} ...`, or import with "
            "--without_keypoints and aggregate with --aggr_setting_names quant:full "
            "--filter_setting_nums 15"
        )


def _import_poses(work: Work, report: CommandResult, annotations: Annotations | None) -> None:
    """The table humans, for every shard that has segmentations."""
    from chorus.body.loading import load_body
    from chorus.perception.tracker_poses import read_poses

    options = work.options
    body = load_body(options.body, options.imports_dir)
    tree, model = options.tree, options.models.model_key
    shards = tree.shards("segmentations", model, options.categories, options.prompts)
    recording = read_poses(options.poses)
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
        "poses": digest_of(options.poses),
        "body": options.body_name,
    }
    for shard in shards:
        stage = Stage(
            replace(step("humans"), name="import poses"),
            settings=settings,
            make_worker=functools.partial(PoseWorker, body, index, names[shard]),
        )
        work.run(stage, shard)
    report.problems += _named(set(index.homeless), "images of poses that are not among the samples")
    report.problems += recording.faults[:_SHOWN]
    if len(recording.faults) > _SHOWN:
        report.problems.append(f"{len(recording.faults)} recorded persons in all cannot be used")
    matched = _matched(options, shards)
    if matched < len(poses):
        report.problems.append(
            f"{len(poses) - matched} of {len(poses)} poses are not used: their image is no sample, "
            "no person's box overlaps theirs enough, or another person of the image has no pose"
        )


def _matched(options: Options, shards: Sequence[ShardKey]) -> int:
    """How many persons with poses the tables hold."""
    paths = [options.tree.table("humans", shard) for shard in shards]
    rows = [r for p in paths if p.is_file() for r in read_table(p, "humans").rows.values()]
    return sum(len(row["persons"]) for row in rows if row["status"] == DONE)


def _named(names: set[str], what: str) -> list[str]:
    """A line that counts names and shows the first of them; nothing for none."""
    if not names:
        return []
    shown = ", ".join(sorted(names)[:_SHOWN])
    return [f"{what}: {len(names)} ({shown}{', …' if len(names) > _SHOWN else ''})"]

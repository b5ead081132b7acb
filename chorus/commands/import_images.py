"""`chorus import`: photographs, instance annotations, masks and poses of one's own → tables.

What `images`, `segment`, `keypoints` and `humans` would make is taken from files instead, so that
`filter`, `refine`, `calibrate` and `aggregate` go on from there. With --as test_set NAME they
become test images instead, for `evaluate --test_set NAME`. Formats: docs/bring-your-own.md.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from chorus.commands.importing.dry_run import outcome_table, scratch_copy
from chorus.commands.importing.lifted_images import Doubts, lifted_shards, lifted_stage
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
from chorus.errors import BadInput
from chorus.evaluation.labelled_sets import MADE_BY
from chorus.pipeline import step
from chorus.records.keys import TOTAL, ShardKey
from chorus.records.tables import DONE, read_table
from chorus.settings import BodyOptions, ImageTreeOptions, RedoOptions, SampleOptions

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.perception.coco_instances import Annotations
    from chorus.perception.recorded_poses import Recording

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
    """Human poses: .npz, or what 4D-Humans, TokenHMR, GVHMR, GEM, WHAM, TRAM, PromptHMR, SMPLer-X
    or SAM 3D Body wrote; a file, or a folder of these (docs/bring-your-own.md)."""
    correspondence: Path | None = None
    """Where the body's vertices lie on SAM 3D Body's meshes (.npz: faces, weights): the body is
    then fitted to these, not to their keypoints."""
    prompt: str | None = None
    """The interaction the images show; 'imported' if left out and not in the annotations."""
    threshold: float | None = None
    """Annotations with a score below this are dropped; 0.8 if left out, none of those that `chorus
    export` or `chorus perceive` wrote."""
    take_crowds: bool = False
    """Take each annotation of a crowd (iscrowd 1) as one instance; CVAT writes masks of the brush
    so."""
    dry_run: bool = False
    """Say what would be taken, matched and dropped, and why, and write nothing."""
    without_keypoints: bool = False
    """Write keypoints of confidence 0; aggregate then with --aggr_setting_names quant:full
    --filter_setting_nums 15, a preset and a filter rule that need none."""
    as_: Annotated[tuple[Literal["test_set"], str] | None, tyro.conf.arg(name="as")] = None
    """`test_set NAME`: make test images for `evaluate --test_set NAME` instead of training ones."""
    open3dhoi: Path | None = None
    """Folder of Open3DHOI, of one of its categories or samples: test images with 3D truth."""

    @property
    def test_set(self) -> str:
        """The name of the test set to be made; empty if none is."""
        return self.as_[1] if self.as_ else ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.as_:
            self._check_test_set()
        if self.open3dhoi is not None and not self.as_:
            raise BadInput("--open3dhoi makes test images; give them a name, --as test_set NAME.")
        if self.images is None and self.poses is None and self.open3dhoi is None:
            raise BadInput("give --images or --poses, or both.")
        self._check_masks()
        if self.images is not None and not self.images.is_dir():
            raise BadInput(f"--images {self.images} is not a folder; give the folder of images.")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise BadInput(f"--threshold must lie between 0 and 1, found {self.threshold}.")
        if self.prompt is not None and (not self.prompt.strip() or self.prompt == TOTAL):
            raise BadInput(f"--prompt {self.prompt!r} cannot be an interaction's name.")

    def _check_masks(self) -> None:
        """BadInput for annotations and masks that do not belong together."""
        if self.images is None and (self.annotations or self.mask_folders):
            raise BadInput("annotations and masks belong to images; give their folder, --images.")
        if self.correspondence is not None and self.poses is None:
            raise BadInput("--correspondence belongs to poses; give these, --poses.")
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

    def _check_test_set(self) -> None:
        """BadInput for a name or inputs of which no test set can be made."""
        if not self.test_set.strip() or self.test_set in MADE_BY:
            made = "".join(f", {name} is made by chorus {by}" for name, by in MADE_BY.items())
            raise BadInput(
                f"--as test_set {self.test_set!r}: a test set of your own needs a name of its "
                f"own{made}."
            )
        if self.open3dhoi is not None:
            if self.images is not None or self.poses is not None or self.prompts:
                raise BadInput(
                    "--open3dhoi has images, masks and poses of its own, and no prompts; leave out "
                    "--images, --annotations, --poses and --prompts."
                )
        elif self.images is None or self.annotations is None or self.poses is None:
            raise BadInput(
                "--as test_set needs what PAP needs of every image: give --images, --annotations "
                "and --poses, or --open3dhoi."
            )
        if self.prompt is not None or self.without_keypoints:
            raise BadInput(
                "--prompt and --without_keypoints say nothing of test images; leave them out with "
                "--as test_set."
            )

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
    for name, summary in work.summaries.items():
        report.problems += summary.errors
        report.ok = report.ok and not summary.errors and not summary.nothing_made
        if name == "test_set":  # whose images are all named with their reasons
            continue
        own = {r: n for r, n in summary.reasons.items() if not _is_reported_elsewhere(r)}
        common = sorted(own.items(), key=lambda item: -item[1])[:_SHOWN]
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
    skipped = "left out" if name == "test_set" else "without a pose"
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
        _threshold(options, annotations),
        PoseIndex(poses, {image.name for shard in shards for image in shard.images}),
        body,
        {
            "annotations": digest_of(options.annotations),
            "poses": digest,
            "body": options.body_name,
        },
    )
    problems, matched = import_photographs(source, shards, work.run)
    report.problems += problems
    _report_images(report, options, annotations, shards)
    _report_poses(report, recording, source.index, matched)


def _threshold(options: Options, annotations: Annotations) -> float:
    """The score below which annotations are dropped. Those of our own files have passed their
    network's already, which may be lower."""
    if options.threshold is not None:
        return options.threshold
    return 0.0 if annotations.ours else _THRESHOLD


def _import_annotations(work: Work, report: CommandResult, annotations: Annotations) -> None:
    """The tables images, segmentations (or annotations, if only persons or only objects are
    annotated) and, where there are keypoints, human_kps."""
    options = work.options
    model = options.models.model_key
    shards = plan(annotations, model, options.categories, options.prompts, options.prompt)
    threshold = _threshold(options, annotations)
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
    report.problems += _what_segment_adds(options, shards, annotations.only)


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
    report.problems += _what_segment_adds(options, [shard], only)


def _what_segment_adds(options: Options, shards: Sequence[Shard], only: Kind | None) -> list[str]:
    """The line that says what is left to `chorus segment`; none if there is nothing left."""
    tree = options.tree
    if all(tree.table("segmentations", shard.key).is_file() for shard in shards):
        return []
    missing = {"persons": "objects", "objects": "persons"}.get(only, "persons and objects")
    profile = options.network_profile
    command = f"chorus segment --profile {profile} --model_key {options.models.model_key} ..."
    return [f"no {missing} are annotated: `{command}` adds those that it finds"]


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


def _report_annotations(
    report: CommandResult, options: Options, annotations: Annotations, shards: Sequence[Shard]
) -> None:
    """What of the annotations and the folder was not used, and what is left to do."""
    _report_images(report, options, annotations, shards)
    if not annotations.has_keypoints and not options.without_keypoints:
        report.problems.append(
            "the annotations hold no keypoints: detect them with `chorus keypoints --profile "
            f"{options.network_profile} --model_key {options.models.model_key} ...`, or import with "
            "--without_keypoints and aggregate with --aggr_setting_names quant:full "
            "--filter_setting_nums 15"
        )


def _report_images(
    report: CommandResult, options: Options, annotations: Annotations, shards: Sequence[Shard]
) -> None:
    """What of the annotations and the folder was not used."""
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
    _report_poses(report, recording, index, _matched(options, shards))


def _recording(options: Options, body: BodyModel) -> tuple[Recording, str]:
    """The recorded poses, of this body where they had none, and the digest of all their files."""
    from chorus.perception.keypoint_bodies import with_bodies
    from chorus.perception.pose_files import companions, files_of, read_poses

    recording = with_bodies(read_poses(options.poses), body, options.correspondence)
    files = files_of(options.poses)
    correspondence = [options.correspondence] if options.correspondence else []
    return recording, digest_of(*files, *companions(files), *correspondence)


def _report_poses(
    report: CommandResult, recording: Recording, index: PoseIndex, matched: int
) -> None:
    """Which recorded persons cannot be used, and how many are not."""
    report.problems += _named(set(index.homeless), "images of poses that are not among the samples")
    report.problems += recording.notes[:_SHOWN]
    report.problems += recording.faults[:_SHOWN]
    if len(recording.faults) > _SHOWN:
        report.problems.append(f"{len(recording.faults)} recorded persons in all cannot be used")
    count = len(recording.poses)
    if matched < count:
        report.problems.append(
            f"{count - matched} of {count} poses are not used: their image is no sample, "
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

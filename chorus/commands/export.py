"""`chorus export`: tables and distributions → COCO JSON, npz, GLB for other programs.

    <out>/instances.json        images, masks, keypoints: COCO's form, which `chorus import` reads
    <out>/poses.npz             human poses, shapes and cameras, a row per person
    <out>/<category>/<prompt>/<aggregation>/<cluster>.glb   distribution around the canonical body

docs/bring-your-own.md describes every key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from chorus.body.skeleton import KINEMATIC
from chorus.commands.importing.sources import image_names
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput, ChorusError, unknown_name
from chorus.files import atomic_write, display_name, replacing
from chorus.records import aggregations
from chorus.records.joining import joined, read_tables
from chorus.records.keys import ShardKey
from chorus.records.rows import CAMERA_SHAPES, PERSON_SHAPES, Person
from chorus.records.tables import DONE, read_settings
from chorus.settings import BodyOptions, ImageTreeOptions, SampleOptions

if TYPE_CHECKING:
    from chorus.body.model import BodyModel

Format = Literal["coco", "npz", "glb"]


@dataclass(frozen=True)
class Options(BodyOptions, ImageTreeOptions, SampleOptions):
    """Write results in forms that other programs read."""

    formats: tuple[Format, ...] = ("coco", "npz", "glb")
    """coco: images, masks, keypoints. npz: human poses and cameras. glb: distributions."""
    out: Path = Path("export")
    """Folder to write into; files of the same names are replaced."""
    threshold: float | None = None
    """Probability at which a distribution's surface lies; 0.66 of its peak if left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise BadInput(f"--threshold must be above 0 and at most 1, found {self.threshold}.")
        if self.out.exists() and not self.out.is_dir():
            raise BadInput(f"--out {self.out} is a file; give a folder.")
        if not self.formats:
            raise BadInput("give at least one of coco, npz and glb to --formats.")


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Write every format that is asked for; what one of them lacks does not stop the others."""
    started = time.monotonic()
    report = CommandResult("")
    _check_categories(options)
    written = []
    writers = {"coco": _write_coco, "npz": _write_poses, "glb": _write_meshes}
    for name in dict.fromkeys(options.formats):
        try:
            written.append(writers[name](options, report, progress))
        except ChorusError as error:
            if len(options.formats) == 1:
                raise
            report.problems.append(f"{name}: {error}")
            report.ok = False
    seconds = time.monotonic() - started
    report.line = f"export: {'; '.join(written) or 'nothing'} in {seconds:.1f} s → {options.out}"
    return report


def _check_categories(options: Options) -> None:
    """BadInput for a category of which the tree has nothing at all."""
    tree, model = options.tree, options.models.model_key
    tables = ("segmentations", "humans")
    known = {s.category for name in tables for s in tree.shards(name, model, required=False)}
    known |= {display_name(folder.parts[-3]) for folder in aggregations.stored(tree, model)}
    for category in options.categories:
        if category not in known:
            raise unknown_name(f"category in {tree.root}:", category, known - {None})


@dataclass(frozen=True)
class Exported:
    """One image that has a row in the segmentations, with its rows in the other tables, if done."""

    shard: ShardKey
    name: str
    rows: dict[str, dict | None]


def _images(options: Options, tables: tuple[str, ...]) -> Iterator[Exported]:
    """Images whose row in the first of `tables` is done, in the order of shards and indexes."""
    tree = options.tree
    model = options.models.model_key
    for shard in tree.shards(tables[0], model, options.categories, options.prompts):
        names = image_names(tree, shard)
        read = read_tables(tree, shard, tables, optional=tables[1:])
        for key, rows in joined(shard, read, tables[0]):
            done = {name: _done(rows.get(name)) for name in tables}
            if done[tables[0]] is not None and key.index in names:
                yield Exported(shard, names[key.index], done)


def _done(row: dict | None) -> dict | None:
    return row if row is not None and row["status"] == DONE else None


def _write_coco(options: Options, report: CommandResult, progress: Progress) -> str:
    """instances.json; an image of several categories' shards is written once for each."""
    from chorus.perception.coco_writing import CocoFile

    del progress
    coco = CocoFile()
    for image in _images(options, ("segmentations", "human_kps")):
        segmentation, keypoints = image.rows["segmentations"], image.rows["human_kps"]
        coco.add(
            {
                "file_name": image.name,
                "width": segmentation["width"],
                "height": segmentation["height"],
                "category": image.shard.category,
                "prompt": image.shard.prompt,
                "augprompt": image.shard.augprompt,
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


_PERSON = {field.name: PERSON_SHAPES.get(field.name, ()) for field in fields(Person)}
_CAMERA = {**CAMERA_SHAPES, "residual": ()}


def _write_poses(options: Options, report: CommandResult, progress: Progress) -> str:
    """poses.npz: a row per person; perspective cameras are NaN where there is none."""
    del report, progress
    columns: dict[str, list[Any]] = {name: [] for name in ("image", *_PERSON, *_CAMERA)}
    for image in _images(options, ("humans", "filtered_cameras")):
        camera = image.rows["filtered_cameras"] or {}
        for person in image.rows["humans"]["persons"]:
            columns["image"].append(image.name)
            for name, shape in _PERSON.items():
                columns[name].append(np.reshape(person[name], shape))
            for name, shape in _CAMERA.items():
                columns[name].append(np.reshape(camera.get(name, np.full(shape, np.nan)), shape))
    if not columns["image"]:
        raise BadInput("no image has human poses; run humans or import first.")
    arrays = {
        name: np.array(values) if name == "image" else np.array(values, np.float32)
        for name, values in columns.items()
    }
    if any(
        settings.get("joints", KINEMATIC) != KINEMATIC for settings in _humans_settings(options)
    ):
        del arrays["joints"]  # who reads the file takes them for the kinematic ones
    options.out.mkdir(parents=True, exist_ok=True)
    with replacing(options.out / "poses.npz") as temporary:
        np.savez_compressed(temporary, body=np.array(_family(options)), **arrays)
    return f"{len(arrays['image'])} human poses"


def _humans_settings(options: Options) -> list[dict]:
    tree, model = options.tree, options.models.model_key
    shards = tree.shards("humans", model, options.categories, options.prompts)
    return [read_settings(tree.table("humans", shard)) for shard in shards]


def _family(options: Options) -> str:
    """Whose shape parameters the poses have; BadInput if different tables differ."""
    from chorus.perception.recorded_poses import FREE_BODY, SMPL

    bodies = {str(settings.get("body", "")) for settings in _humans_settings(options)}
    families = {FREE_BODY if body.startswith("free body") else SMPL for body in bodies}
    if len(families) > 1:
        raise BadInput(
            "some poses have the free body's shape and others SMPL's; export them apart, with "
            "--categories or --prompts."
        )
    return families.pop()


def _write_meshes(options: Options, report: CommandResult, progress: Progress) -> str:
    """A GLB for every cluster of every aggregation."""
    from chorus.body.loading import load_body
    from chorus.viewing.gltf import distribution_glb

    tree, model = options.tree, options.models.model_key
    categories = set(options.categories) or None
    folders = [
        folder
        for folder in aggregations.stored(tree, model, categories)
        if not options.prompts or display_name(folder.parts[-2]) in options.prompts
    ]
    if not folders:
        where = tree.folder("aggregations") / model
        raise BadInput(f"no aggregation of what is asked for in {where}; run aggregate first.")
    body = load_body(options.body, options.imports_dir)
    root = tree.folder("aggregations")
    count = 0
    with progress_bar(progress, len(folders), "glb", "aggregation") as advance:
        for folder in folders:
            for part, distribution in aggregations.load(folder).items():
                try:
                    _check_body(distribution.body, body, options)
                    content = distribution_glb(distribution, body, options.threshold)
                except BadInput as error:
                    report.problems.append(f"{folder.relative_to(root)}/{part}: {error}")
                    continue
                below = Path(*folder.parts[-3:]) / f"{part}.glb"
                atomic_write(options.out / below, content)
                count += 1
            advance(1)
    report.ok = report.ok and count > 0
    return f"{count} GLB files"


def _check_body(fingerprint: str, body: BodyModel, options: Options) -> None:
    if fingerprint and fingerprint != body.fingerprint:
        given = options.body or "the free body"
        raise BadInput(
            f"it was aggregated with another body than {given}; give its file as --body."
        )

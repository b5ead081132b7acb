"""Persons' poses and cameras as files: our own npz, .smpl files, and SMPL-X's npz."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chorus.body.skeleton import KINEMATIC
from chorus.commands.exporting.images import humans_settings, images
from chorus.commands.exporting.options import Options
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput
from chorus.files import atomic_write, portable_name, replacing
from chorus.records.keys import SampleKey
from chorus.records.rows import CAMERA_SHAPES, PERSON_SHAPES, Camera, Person

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.perception.smpl_writing import PosedPerson

_PERSON = {field.name: PERSON_SHAPES.get(field.name, ()) for field in fields(Person)}
_CAMERA = {**CAMERA_SHAPES, "residual": ()}


def write_npz(options: Options, report: CommandResult, progress: Progress) -> str:
    """poses.npz: a row per person; perspective cameras are NaN where there is none."""
    del report, progress
    columns: dict[str, list[Any]] = {name: [] for name in ("image", *_PERSON, *_CAMERA)}
    for image in images(options, ("humans", "filtered_cameras")):
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
    joints = {settings.get("joints", KINEMATIC) for settings in humans_settings(options).values()}
    if joints != {KINEMATIC}:
        del arrays["joints"]  # who reads the file takes them for the kinematic ones
    _save(options.out / "poses.npz", {"body": np.array(_family(options)), **arrays})
    return f"{len(arrays['image'])} human poses"


def _family(options: Options) -> str:
    """Whose shape parameters the poses have; BadInput if different tables differ."""
    from chorus.perception.recorded_poses import FREE_BODY, SMPL

    bodies = {str(settings.get("body", "")) for settings in humans_settings(options).values()}
    families = {FREE_BODY if body.startswith("free body") else SMPL for body in bodies}
    if len(families) > 1:
        raise BadInput(
            "some poses have the free body's shape and others SMPL's; export them apart, with "
            "--categories or --prompts."
        )
    return families.pop()


def write_smpl(options: Options, report: CommandResult, progress: Progress) -> str:
    """smpl/<category>/<prompt>/<augprompt>/<index>.smpl: one calibrated person each."""
    from chorus.perception.smpl_writing import check_smpl_codec, smpl_file

    del progress
    body = _body(options)
    check_smpl_codec(body)
    count = 0
    for key, person in _calibrated(options, report):
        names = map(portable_name, key.shard[1:])
        path = options.out / "smpl" / Path(*names) / f"{key.index:06d}.smpl"
        atomic_write(path, smpl_file(person, body))
        count += 1
    return f"{count} .smpl files"


def write_smplx(options: Options, report: CommandResult, progress: Progress) -> str:
    """smplx/<category>/<prompt>.npz: the calibrated persons of a prompt, a frame each."""
    from chorus.perception.smpl_writing import smplx_arrays

    del progress
    body = _body(options)
    by_prompt: dict[tuple[str, str], list[PosedPerson]] = {}
    for key, person in _calibrated(options, report):
        by_prompt.setdefault((key.shard.category, key.shard.prompt), []).append(person)
    for names, persons in by_prompt.items():
        category, prompt = map(portable_name, names)
        path = options.out / "smplx" / category / f"{prompt}.npz"
        _save(path, smplx_arrays(persons, body))
    frames = sum(map(len, by_prompt.values()))
    return f"{len(by_prompt)} SMPL-X animations of {frames} persons"


def _body(options: Options) -> BodyModel:
    """The body; BadInput if poses of the tree belong to another one."""
    from chorus.body.loading import load_body

    for shard, settings in humans_settings(options).items():
        if settings.get("body", options.body_name) != options.body_name:
            raise BadInput(
                f"the poses of {shard.category} / {shard.prompt} belong to another body than "
                f"{options.body or 'the free body'}; give its file as --body."
            )
    return load_body(options.body, options.imports_dir)


def _calibrated(options: Options, report: CommandResult) -> Iterator[tuple[SampleKey, PosedPerson]]:
    """The persons that have a calibrated camera; BadInput in the end if nobody has."""
    from chorus.perception.smpl_writing import PosedPerson

    found: Counter[bool] = Counter()
    for image in images(options, ("humans", "filtered_cameras")):
        row, persons = image.rows["filtered_cameras"], image.rows["humans"]["persons"]
        found[row is not None and len(persons) == 1] += 1
        if row is not None and len(persons) == 1:
            person, camera = Person.of_row(persons[0]), Camera.of_row(row)
            yield image.key, PosedPerson(image.name, person.pose, person.betas, camera)
    if not found[True]:
        raise BadInput("no person has a calibrated camera; run filter and calibrate first.")
    if found[False]:
        report.problems.append(
            f"{found[False]} images were left out whose person has no calibrated camera"
        )


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)

"""The images that `chorus reconstruct` takes: persons with cameras, and objects' masks."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chorus.body.model import BodyModel
from chorus.commands.importing.photo_folder import mask_files
from chorus.errors import BadInput
from chorus.evaluation.known_camera import body_camera
from chorus.generation.augprompts import full_text
from chorus.geometry import masks as masks_of_runs
from chorus.occupancy.presets import preset
from chorus.perception.mask_files import mask_of_png
from chorus.perception.poses_of_npz import NpzArrays
from chorus.perception.recorded_persons import body_family
from chorus.records.aggregations import AggregationKind
from chorus.records.gathering import gather
from chorus.records.image_files import read_image
from chorus.records.keys import SampleKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import Camera
from chorus.records.tables import read_table


class SeenPerson(NamedTuple):
    """One person: pose (24, 3) axis-angle and the camera from the zero-shape body's frame."""

    pose: np.ndarray
    camera: Camera


@dataclass(frozen=True, eq=False)
class Case:
    """One image."""

    name: str
    """How its files are called."""
    title: str
    """How people call it."""
    persons: Sequence[SeenPerson]
    objects: Sequence[np.ndarray]
    """Masks (H, W) bool of what is visible of each object."""
    pixels: Callable[[], np.ndarray]
    """Reads the image (H, W, 3) uint8; BadInput if it is not there."""


def tree_cases(
    tree: ResultsTree,
    model: str,
    category: str,
    prompts: tuple[str, ...],
    kind: AggregationKind,
    most: int,
) -> Iterator[Case]:
    """The first retained samples of a category, prompts by turns. BadInput if there is none."""
    shards = tree.shards("filtered", model, (category,), prompts)
    by_prompt = []
    for prompt in dict.fromkeys(shard.prompt for shard in shards):
        own = [shard for shard in shards if shard.prompt == prompt]
        by_prompt.append(gather(tree, own, kind.rules, preset(kind.preset).anchor))
    longest = max(map(len, by_prompt), default=0)
    turns = [(of, at) for at in range(longest) for of in by_prompt if at < len(of)]
    if not turns:
        raise BadInput(f"{category}: no sample is retained, so there is nothing to reconstruct.")
    for samples, at in turns[:most]:
        key = samples.keys[at]
        camera = Camera(samples.R[at], samples.t[at], samples.K[at])
        mask = masks_of_runs.union(*samples.mask[at])
        name = f"{key.prompt} - {key.augprompt} {key.index:06d}"
        title = f"{full_text(key.prompt, key.augprompt)}, image {key.index}"
        yield Case(
            name,
            title,
            [SeenPerson(samples.pose[at], camera)],
            [mask],
            lambda key=key: _sample_pixels(tree, key),
        )


def _sample_pixels(tree: ResultsTree, key: SampleKey) -> np.ndarray:
    rows = read_table(tree.table("images", key.shard), "images").rows
    return read_image(tree, key, rows[key.index]).pixels


def photograph_cases(
    photographs: Sequence[Path], seen: Path, masks: Path, body: BodyModel
) -> Iterator[Case | BadInput]:
    """Photographs with what `chorus perceive` wrote of them into `seen`, and the PNG masks of their
    objects, found as `chorus import` finds them; for one that cannot be taken, why."""
    by_name, _ = mask_files(masks, [path.name for path in photographs])
    for path in photographs:
        try:
            yield _photograph(path, seen, by_name.get(path.name, ()), masks, body)
        except BadInput as error:
            yield BadInput(f"{path.name}: {error}")


def _photograph(
    path: Path, seen: Path, files: Sequence[Path], masks: Path, body: BodyModel
) -> Case:
    if not path.is_file():
        raise BadInput("it is not a file; give photographs.")
    if not files:
        raise BadInput(
            f"it has no mask in {masks}; expected {path.stem}.png, or a folder {path.stem} with a "
            "PNG file for each object."
        )
    pixels = _pixels(path)
    persons = _persons(seen / f"{path.name}.npz", body)
    objects = [_mask(file, pixels.shape[:2]) for file in files]
    return Case(path.name, path.name, persons, objects, lambda: pixels)


def _mask(file: Path, shape: tuple[int, int]) -> np.ndarray:
    try:
        mask = mask_of_png(file.read_bytes())
    except BadInput as error:
        raise BadInput(f"its mask {file}: {error}") from error
    if mask.shape != shape:
        raise BadInput(
            f"its mask {file} has {mask.shape[1]} x {mask.shape[0]} pixels, the photograph "
            f"{shape[1]} x {shape[0]}; a mask lies on the whole photograph."
        )
    return mask


def _persons(path: Path, body: BodyModel) -> list[SeenPerson]:
    """The persons with a body that `chorus perceive` found."""
    if not path.is_file():
        raise BadInput(f"{path} is missing; run chorus perceive on the photograph first.")
    stored = NpzArrays(path)
    try:
        if "pose" not in stored:
            raise BadInput("no person with a body was found in it, so nothing can be around one.")
        if str(stored["body"]) != body_family(body):
            raise BadInput(
                f"{path} has the shapes of another body ({stored['body']}); perceive and "
                "reconstruct with the same --body."
            )
        names = ("pose", "betas", "translation", "focal_length", "principal_point")
        rows = zip(*(np.asarray(stored[name], np.float64) for name in names), strict=True)
    except KeyError as error:
        raise BadInput(f"{path} lacks {error}; run chorus perceive again.") from error
    return [_person(body, *row) for row in rows]


def _person(
    body: BodyModel,
    pose: np.ndarray,
    betas: np.ndarray,
    translation: np.ndarray,
    focal_length: float,
    principal_point: np.ndarray,
) -> SeenPerson:
    K = np.diag([focal_length, focal_length, 1.0])
    K[:2, 2] = principal_point
    pose = pose.reshape(24, 3)
    seen = body_camera(body, pose, betas, translation, np.eye(3), np.zeros(3), K)
    return SeenPerson(pose, Camera(seen.R, seen.t, K))


def _pixels(path: Path) -> np.ndarray:
    """A photograph upright, RGB."""
    from PIL import Image

    from chorus.perception.photographs import upright_rgb

    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"it cannot be read ({error.strerror})") from error
    return np.asarray(Image.open(io.BytesIO(upright_rgb(content).content)))

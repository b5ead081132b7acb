"""`chorus import --lifted`: objects lifted to 3D → the table `lifted` and the meshes beside it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from chorus.commands.importing.options import Options
from chorus.commands.importing.reports import SHOWN, named
from chorus.commands.importing.sources import (
    DEFAULT_AUGPROMPT,
    DEFAULT_PROMPT,
    PoseIndex,
    digest_of,
    image_names,
    pictures_of,
)
from chorus.engine.loop import Outcome, Sample, Stage
from chorus.errors import BadInput
from chorus.pipeline import Step
from chorus.records.keys import ShardKey
from chorus.records.lifted_objects import TABLE, mesh_folder, store_mesh
from chorus.records.results_tree import ResultsTree

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.perception.lifted_records import LiftedObject
    from chorus.perception.recorded_poses import RecordedPose

NO_OBJECT = "no lifted object of it"
_FARTHEST = 3.0
"""Metres from the person beyond which an object is not beside them: its numbers are no metres, or
its axes others."""


def import_lifted_objects(
    options: Options, run: Callable[[Stage, ShardKey], None]
) -> tuple[dict[ShardKey, Sequence[str]], list[str]]:
    """The table of every shard of the category, by the names of its images; of a category without
    images, one shard that is numbered as the files are. What the images are called, by shard, and
    lines about what was left out."""
    from chorus.body.loading import load_body
    from chorus.perception.lifted_objects import read_lifted

    tree = options.tree
    recording = read_lifted(options.lifted, options.lifted_mesh)
    body = load_body(options.body, options.imports_dir)
    settings = {"lifted": digest_of(*recording.files), "body": options.body_name}
    names = {shard: image_names(tree, shard) for shard in _shards_with_images(options)}
    problems = recording.faults[:SHOWN]
    if len(recording.faults) > SHOWN:
        problems.append(f"{len(recording.faults)} lifted objects in all cannot be used")
    if names:
        beside = pictures_of(options.images) if options.images is not None else []
        sampled = [name for of_shard in names.values() for name in of_shard.values()]
        index = PoseIndex(recording.objects, sampled, beside)
        what = "images of lifted objects that are not among the samples"
        problems += named(set(index.homeless), what)
        reads, find = ("images",), index.of
    else:
        (category,) = options.categories
        prompt = options.prompt or next(iter(options.prompts), DEFAULT_PROMPT)
        by_image: dict[str, list[LiftedObject]] = {}
        for thing in recording.objects:
            by_image.setdefault(_called(thing), []).append(thing)
        key = ShardKey(options.models.model_key, category, prompt, DEFAULT_AUGPROMPT)
        names = {key: dict(enumerate(by_image))}
        reads, find = (), by_image.__getitem__
    for shard, of_shard in names.items():
        stage = Stage(
            Step("import lifted", reads=reads, writes=(TABLE,)),
            settings=settings,
            make_worker=functools.partial(LiftedObjectWorker, tree, shard, body, find, of_shard),
            count=None if reads else len(of_shard),
            processes=False,
        )
        run(stage, shard)
    last = {shard: max(of_shard, default=-1) for shard, of_shard in names.items()}
    called = {
        shard: [of_shard.get(at, f"({at})") for at in range(last[shard] + 1)]
        for shard, of_shard in names.items()
    }
    return called, problems


def _shards_with_images(options: Options) -> list[ShardKey]:
    """The category's shards that have images, of the prompts that are meant."""
    shards = options.tree.shards("images", options.models.model_key, required=False)
    prompts = (options.prompt,) if options.prompt is not None else options.prompts
    return [
        shard
        for shard in shards
        if shard.category in options.categories and (not prompts or shard.prompt in prompts)
    ]


def _called(thing: LiftedObject) -> str:
    return f"frame {thing.image}" if isinstance(thing.image, int) else thing.image


class LiftedObjectWorker:
    """Places lifted objects beside their person, and writes their meshes."""

    def __init__(
        self,
        tree: ResultsTree,
        shard: ShardKey,
        body: BodyModel,
        find: Callable[[str], Sequence[LiftedObject]],
        names: Mapping[int, str],
    ):
        self._folder: Path = mesh_folder(tree, shard)
        self._body = body
        self._find = find
        self._names = names

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """The row of each sample."""
        return [self._row(self._names[sample.key.index]) for sample in samples]

    def _row(self, name: str) -> Outcome:
        things = self._find(name)
        if not things:
            return Outcome(skipped=NO_OBJECT)
        person, K = things[0].person, things[0].K
        if any((thing.person is None) != (person is None) for thing in things):
            raise BadInput(f"{name}: some of its lifted objects have a person, and some have none")
        to_frame = np.eye(4) if person is None else camera_to_person(self._body, person)
        objects = []
        for thing in things:
            mesh = thing.mesh()
            transform = to_frame @ thing.to_camera
            _check_place(mesh.vertices, thing.to_camera, transform, person is not None)
            stored = store_mesh(self._folder, mesh.vertices, mesh.faces)
            objects.append({"mesh": stored, "transform": transform.ravel().tolist()})
        pose = np.zeros(72) if person is None else np.asarray(person.pose, float).ravel()
        return Outcome(
            {
                "text": name,
                "body": "" if person is None else self._body.fingerprint,
                "pose": pose.tolist(),
                "K": (np.zeros(9) if K is None else K.ravel()).tolist(),
                "objects": objects,
            }
        )


def camera_to_person(body: BodyModel, person: RecordedPose) -> Float[np.ndarray, "4 4"]:
    """From a recorded person's camera to the zero-shape body's frame with zero global rotation,
    metres: turned and moved about the pelvis, and divided by the person's size."""
    import roma
    import torch

    from chorus.evaluation.truth_scores import body_scale
    from chorus.perception.recorded_persons import betas_for, origin_of

    betas = betas_for(person, body)
    own = body.rest()[1][0].double().numpy()
    pelvis = body.rest(torch.from_numpy(betas))[1][0].double().numpy() + origin_of(person, body)
    turned = roma.rotvec_to_rotmat(torch.from_numpy(np.asarray(person.pose[0], np.float64)))
    matrix = np.eye(4)
    matrix[:3, :3] = turned.numpy().T / body_scale(body, betas)
    matrix[:3, 3] = own - matrix[:3, :3] @ pelvis
    return matrix


def _check_place(
    vertices: Float[np.ndarray, "V 3"],
    to_camera: Float[np.ndarray, "4 4"],
    to_frame: Float[np.ndarray, "4 4"],
    beside_person: bool,
) -> None:
    """BadInput for an object behind the camera, or far from its person."""
    if (vertices.mean(axis=0) @ to_camera[2, :3] + to_camera[2, 3]) <= 0:
        raise BadInput(
            "its lifted object lies behind the camera; axes are x right, y down, z forward"
        )
    if not beside_person:
        return
    placed = vertices @ to_frame[:3, :3].T + to_frame[:3, 3]
    nearest = float(np.linalg.norm(placed, axis=1).min())
    if nearest > _FARTHEST:
        raise BadInput(
            f"its lifted object lies {nearest:.1f} m from its person; both must be in metres, and "
            "in one camera's frame"
        )

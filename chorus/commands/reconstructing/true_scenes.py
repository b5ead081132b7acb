"""The synthetic test set's scenes with their objects, drawn again: the table has no objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chorus.body.model import BodyModel
from chorus.errors import BadInput, StaleResults
from chorus.evaluation.labelled_images import LabelledImage, check_one_body, labelled_image
from chorus.evaluation.labelled_sets import SYNTHETIC, shard_of, table_of
from chorus.evaluation.true_objects import TrueObject
from chorus.evaluation.truth_scores import to_own_size
from chorus.records.keys import SampleKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, Table, read_table
from chorus.synthetic.look.truth import world_to_body
from chorus.synthetic.world.objects import contains
from chorus.synthetic.world.scene import Scene
from chorus.synthetic.world.scene_settings import SceneSettings
from chorus.synthetic.world.test_images import candidate_scenes, faultless, prompt_of


@dataclass(frozen=True, eq=False)
class TrueScene:
    """One test image and what is really in it."""

    row: dict[str, Any]
    """Of the table `test_set`."""
    image: LabelledImage
    """The person's pose, the camera and the object's mask, as scoring has them."""
    prompt: str
    """What the person does."""
    thing: TrueObject
    """The object, in the frame of the zero-shape body that the camera is of."""


def true_scenes(tree: ResultsTree, category: str, body: BodyModel) -> Iterator[TrueScene]:
    """The scenes of a category's synthetic test images, in their order.

    BadInput if there are none or they were made with another body than this one; StaleResults if
    a scene cannot be drawn again, because the synthetic world has changed since.
    """
    path = table_of(tree, SYNTHETIC, category)
    table = read_table(path, "test_set")
    done = {index: row for index, row in table.rows.items() if row["status"] == DONE}
    check_one_body(done.values(), body.fingerprint)
    if not done:
        raise BadInput(f"{category}: none of the candidates in {path} is a test image.")
    for index, row in sorted(done.items()):
        key = SampleKey(*shard_of(SYNTHETIC, category), index)
        yield _true_scene(key, row, _drawn_again(key, row, table, body), body)


def _drawn_again(key: SampleKey, row: dict[str, Any], table: Table, body: BodyModel) -> Scene:
    """The first of the sample's scenes whose person and camera are the row's."""
    settings = faultless(_world(table.settings))
    for scene in candidate_scenes(key, table.settings["seed"], body, settings):
        pose, K = (
            np.asarray(value, float).ravel() for value in (scene.persons[0].pose, scene.camera.K)
        )
        if np.allclose(pose, row["pose"], atol=1e-5) and np.allclose(K, row["K"], atol=1e-3):
            return scene
    raise StaleResults(
        f"the scene of the test image {row['image']} of {key.category!r} cannot be drawn again: "
        "the synthetic world has changed since. Make the test set again: chorus testset "
        f"--categories {key.category!r} --overwrite."
    )


def _world(settings: dict[str, Any]) -> SceneSettings:
    """The world that a test set's settings record."""
    changed = settings.get("world", {})
    as_made = {k: tuple(v) if isinstance(v, list) else v for k, v in changed.items()}
    return SceneSettings(**as_made)


def _true_scene(key: SampleKey, row: dict[str, Any], scene: Scene, body: BodyModel) -> TrueScene:
    person, item = scene.persons[0], scene.objects[0]
    to_zero_shape = np.linalg.inv(to_own_size(body, person.betas)) @ world_to_body(person, body)
    thing = TrueObject(
        kind=item.kind,
        vertices=np.asarray(item.mesh.vertices, float),
        faces=np.asarray(item.mesh.faces),
        object_to_body=to_zero_shape @ item.transform,
        contains=lambda points: contains(item.mesh, points),
    )
    return TrueScene(row, labelled_image(row), prompt_of(key), thing)

"""Scenes: one draw of person, object, surroundings, camera and fault for a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch
import trimesh

from chorus.body.model import BodyModel
from chorus.synthetic.world import objects
from chorus.synthetic.world.arranging import Arrangement, arrange, arrange_alone, rigid
from chorus.synthetic.world.expressions import Figure
from chorus.synthetic.world.interactions import (
    Interaction,
    ObjectKind,
    Pose,
    Sided,
    find_interaction,
    interactions,
    read_pose,
)
from chorus.synthetic.world.posing import Skeleton, angles_to_matrix
from chorus.synthetic.world.reading import read_yaml
from chorus.synthetic.world.scene import Scene, SceneCamera, SceneObject, ScenePerson
from chorus.synthetic.world.scene_settings import SceneSettings
from chorus.synthetic.world.viewpoints import Subject, sample_camera

FLOATING = {"sea": 0.04}
"""Settings on whose ground things float, and how high their origin comes, metres."""

FAULTS = ("no person", "no object", "second person", "second object", "wrong interaction")

_HARSHER = 31  # what the seed of the draws that only other than default settings need is made of


def sample_scene(
    category: str,
    prompt: str,
    augprompt: str,
    seed: int,
    body: BodyModel,
    settings: SceneSettings | None = None,
) -> Scene:
    """Draw the scene of a seed; the same arguments give the same scene.

    BadInput for a category or prompt that the synthetic world does not know.
    """
    settings = settings or SceneSettings()
    rng = np.random.default_rng(seed)
    unusual = _Unusual.drawn(seed, settings)
    sided = find_interaction(category, prompt)
    rates = np.array(settings.fault_rates())
    fault = ("", *FAULTS)[rng.choice(len(FAULTS) + 1, p=[1 - rates.sum(), *rates])]
    apart = False
    if fault == "wrong interaction":
        others = [other for other in interactions(category) if other is not sided]
        apart = not others or rng.random() < 0.5
        sided = sided if apart else others[rng.integers(len(others))]
    interaction = _pick_side(sided, rng)
    setting = _pick(interaction.settings, rng)
    arrangement, items = _subject(interaction, setting, fault, apart, body, rng, unusual)
    persons = [] if arrangement is None else [arrangement.person]
    subject = Subject.of(arrangement, _figure(persons, body), _vertices(items))
    size = (settings.width, settings.height)
    camera = sample_camera(augprompt, subject, rng, size, unusual.field_of_view)
    if fault == "second person":
        persons.append(_bystander(subject, camera, setting, body, rng, unusual))
    if fault == "second object":
        items.append(_lying(interaction, _background_spot(subject, camera, rng), setting, rng))
    return Scene(
        persons=[replace(p, look_seed=int(rng.integers(2**31))) for p in persons],
        objects=[replace(o, look_seed=int(rng.integers(2**31))) for o in items],
        camera=camera,
        setting=setting,
        seed=seed,
        fault=fault,
        body_faces=body.faces.numpy(),
        cloth_thickness=settings.cloth_thickness,
    )


@dataclass(frozen=True)
class _Unusual:
    """What settings other than the default ones change about a scene, from a generator of its own:
    scenes of a seed have the same poses, objects and faults in every world.

    field_of_view: vertical, degrees, None for the lens of viewpoints.yaml.
    """

    shape_spread: float
    field_of_view: float | None
    stature: float
    bystander_stature: float

    @classmethod
    def drawn(cls, seed: int, settings: SceneSettings) -> _Unusual:
        rng = np.random.default_rng([seed, _HARSHER])
        lens, angle = settings.field_of_view, rng.random()
        field_of_view = None if lens is None else lens[0] + angle * (lens[1] - lens[0])
        low, high = settings.stature
        statures = low + rng.random(2) * (high - low)
        return cls(settings.shape_spread, field_of_view, *map(float, statures))


def _subject(
    interaction: Interaction,
    setting: str,
    fault: str,
    apart: bool,
    body: BodyModel,
    rng: np.random.Generator,
    unusual: _Unusual,
) -> tuple[Arrangement | None, list[SceneObject]]:
    """The prompt's own person and object, spoiled as the fault says."""
    if fault == "no person":
        return None, [_lying(interaction, np.zeros(3), setting, rng)]
    shape = (unusual.shape_spread, unusual.stature)
    if apart:
        alone = arrange_alone(body, bystanders().poses, rng, *shape)
        alone = _sunk(alone, setting, unusual.stature)
        way = angles_to_matrix(0, rng.uniform(-180, 180), 0)[:, 2]
        return alone, [_lying(interaction, way * rng.uniform(1.0, 1.6), setting, rng)]
    parameters, mesh = draw_object(interaction.object, rng)
    missing = fault == "no object"
    made = arrange(body, interaction, None if missing else mesh, rng, *shape)
    if made.transform is None:
        return made, []
    category = interaction.category
    item = SceneObject(category, interaction.object.kind, parameters, mesh, made.transform)
    return made, [item]


def draw_object(kind: ObjectKind, rng: np.random.Generator) -> tuple[dict, trimesh.Trimesh]:
    """Parameters of one object of a kind, and its mesh in the kind's own frame."""
    parameters = objects.sample_parameters(kind.kind, rng)
    for name, value in kind.parameters.items():
        parameters[name] = (
            round(float(rng.uniform(*value)), 4) if isinstance(value, list) else value
        )
    return parameters, objects.build(kind.kind, **parameters)


@dataclass(frozen=True)
class Bystanders:
    """Poses of people without an object, and how deep they stand in a setting's ground, metres."""

    poses: tuple[Pose, ...]
    sunk: dict[str, float]


@cache
def bystanders() -> Bystanders:
    """The bystanders that come with the package."""
    top = read_yaml(Path(str(resources.files("chorus.synthetic"))) / "data" / "bystanders.yaml")
    people = Bystanders(tuple(read_pose(row) for row in top.rows("poses")), top.numbers("sunk", {}))
    top.finish()
    return people


def _pick_side(sided: Sided, rng: np.random.Generator) -> Interaction:
    return sided.mirrored if rng.random() < sided.mirror_rate else sided.plain


def _pick(weights: dict[str, float], rng: np.random.Generator) -> str:
    names, values = list(weights), np.array(list(weights.values()))
    return names[rng.choice(len(names), p=values / values.sum())]


def _vertices(items: Sequence[SceneObject]) -> np.ndarray:
    """World vertices (N, 3) of all objects."""
    parts = [
        item.mesh.vertices @ item.transform[:3, :3].T + item.transform[:3, 3] for item in items
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 3))


def _figure(persons: Sequence[ScenePerson], body: BodyModel) -> Figure | None:
    """The first person as a figure on which places can be looked up."""
    if not persons:
        return None
    person = persons[0]
    _, rest = body.rest(torch.from_numpy(person.betas))
    rotations, _ = Skeleton.from_pose(rest.numpy(), person.pose).forward()
    return Figure(person.joints, rotations, person.vertices, body.part_of_vertex.numpy())


def _background_spot(subject: Subject, camera: SceneCamera, rng: np.random.Generator) -> np.ndarray:
    """A place (3,) on the ground beside and behind the subject, inside the picture's width."""
    eye = -camera.R.T @ camera.t
    points = subject.points("group")
    distance = np.linalg.norm(points.mean(0) - eye)
    # Level directions of the view: ahead and to the right of the image.
    right = camera.R[0] * [1, 0, 1]
    right /= np.linalg.norm(right)
    ahead = np.cross([0.0, 1.0, 0.0], right)
    if ahead @ (points.mean(0) - eye) < 0:
        ahead = -ahead
    depth = distance + rng.uniform(1.0, 4.0)
    half = 0.8 * depth * camera.width / 2 / camera.K[0, 0]
    middle = np.median(points[:, [0, 2]], axis=0)
    for _ in range(10):
        spot = eye + depth * ahead + rng.uniform(-half, half) * right
        if np.linalg.norm(spot[[0, 2]] - middle) > 1.2:
            break
    return spot * [1, 0, 1]


def _bystander(
    subject: Subject,
    camera: SceneCamera,
    setting: str,
    body: BodyModel,
    rng: np.random.Generator,
    unusual: _Unusual,
) -> ScenePerson:
    stature = unusual.bystander_stature
    alone = arrange_alone(body, bystanders().poses, rng, unusual.shape_spread, stature)
    person = _sunk(alone, setting, stature).person
    return moved(person, _background_spot(subject, camera, rng))


def _sunk(arrangement: Arrangement, setting: str, stature: float) -> Arrangement:
    """Lower a standing person into water, the small ones less."""
    down = np.array([0.0, -bystanders().sunk.get(setting, 0.0) * stature, 0.0])
    return replace(arrangement, person=moved(arrangement.person, down))


def moved(person: ScenePerson, way: np.ndarray) -> ScenePerson:
    """The person moved by a vector (3,), metres."""
    way = np.asarray(way, np.float32)
    return replace(
        person,
        translation=person.translation + way,
        vertices=person.vertices + way,
        joints=person.joints + way,
    )


def _lying(
    interaction: Interaction, spot: np.ndarray, setting: str, rng: np.random.Generator
) -> SceneObject:
    """An object of the category lying on the ground at a spot (3,), its top up, any heading."""
    kind = interaction.object
    parameters, mesh = draw_object(kind, rng)
    own = np.stack([kind.axes[name] for name in ("long", "side", "top")], axis=1)
    lying = np.stack([[0.0, 0, 1], [1.0, 0, 0], [0.0, 1, 0]], axis=1) @ own.T
    rotation = angles_to_matrix(0, rng.uniform(-180, 180), 0) @ lying
    low = (mesh.vertices @ rotation[1]).min()
    if setting in FLOATING:
        low = -FLOATING[setting]  # its origin is that far over the water
    place = spot + np.array([0.0, -low, 0.0])
    return SceneObject(interaction.category, kind.kind, parameters, mesh, rigid(rotation, place))

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
from chorus.errors import BadInput
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
from chorus.synthetic.world.viewpoints import Subject, sample_camera

FLOATING = {"sea": 0.04}
"""Settings on whose ground things float, and how high their origin comes, metres."""

FAULTS = ("no person", "no object", "second person", "second object", "wrong interaction")


@dataclass(frozen=True)
class SceneSettings:
    """What the synthetic image model draws. Fault rates are shares of all pictures, one fault each.

    The rates are assumptions, chosen so that every check of the filter has work.
    """

    width: int = 512
    """Image width in pixels."""
    height: int = 512
    """Image height in pixels."""
    shape_spread: float = 1.0
    """Standard deviation of the body's shape parameters."""
    no_person: float = 0.02
    """Share of pictures without a person."""
    no_object: float = 0.06
    """Share of pictures without the object."""
    second_person: float = 0.12
    """Share of pictures with another person in the background."""
    second_object: float = 0.08
    """Share of pictures with another object of the category lying about."""
    wrong_interaction: float = 0.08
    """Share of pictures that show another interaction, or the object lying beside the person."""

    def __post_init__(self) -> None:
        rates = self.fault_rates()
        if min(rates) < 0 or sum(rates) > 1:
            raise BadInput(f"fault rates must lie in 0..1 and sum to at most 1, found {rates}.")

    def fault_rates(self) -> tuple[float, ...]:
        """The rates in the order of FAULTS."""
        return (
            self.no_person,
            self.no_object,
            self.second_person,
            self.second_object,
            self.wrong_interaction,
        )


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
    arrangement, items = _subject(interaction, setting, fault, apart, body, rng, settings)
    persons = [] if arrangement is None else [arrangement.person]
    subject = Subject.of(arrangement, _figure(persons, body), _vertices(items))
    camera = sample_camera(augprompt, subject, rng, (settings.width, settings.height))
    if fault == "second person":
        persons.append(_bystander(subject, camera, setting, body, rng, settings))
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
    )


def _subject(
    interaction: Interaction,
    setting: str,
    fault: str,
    apart: bool,
    body: BodyModel,
    rng: np.random.Generator,
    settings: SceneSettings,
) -> tuple[Arrangement | None, list[SceneObject]]:
    """The prompt's own person and object, spoiled as the fault says."""
    if fault == "no person":
        return None, [_lying(interaction, np.zeros(3), setting, rng)]
    if apart:
        alone = arrange_alone(body, bystanders().poses, rng, settings.shape_spread)
        alone = _sunk(alone, setting)
        way = angles_to_matrix(0, rng.uniform(-180, 180), 0)[:, 2]
        return alone, [_lying(interaction, way * rng.uniform(1.0, 1.6), setting, rng)]
    parameters, mesh = draw_object(interaction.object, rng)
    missing = fault == "no object"
    made = arrange(body, interaction, None if missing else mesh, rng, settings.shape_spread)
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
    settings: SceneSettings,
) -> ScenePerson:
    alone = arrange_alone(body, bystanders().poses, rng, settings.shape_spread)
    person = _sunk(alone, setting).person
    return moved(person, _background_spot(subject, camera, rng))


def _sunk(arrangement: Arrangement, setting: str) -> Arrangement:
    """Lower a standing person into water."""
    down = np.array([0.0, -bystanders().sunk.get(setting, 0.0), 0.0])
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

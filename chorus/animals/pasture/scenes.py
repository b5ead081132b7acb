"""Which animal stands where, in what pose, before which camera, and what hides it.

World frame: metres, y up, the floor at y = 0 (docs/conventions.md). Everything of a scene follows
from its category, its seed and the settings.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float

from chorus.animals.articulation import pose_template, reshaped
from chorus.animals.free_quadruped import free_quadruped
from chorus.animals.keypoints import CATEGORIES
from chorus.animals.template import Template
from chorus.errors import BadInput, unknown_name
from chorus.geometry.cameras import look_at
from chorus.synthetic.world.scene import SceneCamera

BACKGROUNDS = ("park", "trail", "snow", "beach", "street", "plaza")
CELLS = 40
"""Resolution of the templates (free_quadruped): enough for small pictures."""
_GRAZING = 0.25


@dataclass(frozen=True)
class PastureSettings:
    """How hard the pictures are. The last five are shares of the pictures."""

    width: int = 320
    """Width of a picture, pixels."""
    height: int = 256
    """Height of a picture, pixels."""
    spread: float = 1.0
    """How far animals differ from their species, 0 not at all."""
    occluded: float = 0.1
    """Something stands before the animal."""
    truncated: float = 0.05
    """The animal reaches beyond the picture."""
    second: float = 0.1
    """Another animal of the species stands near."""
    wrong_box: float = 0.0
    """The box is not that of the animal."""
    backlit: float = 0.1
    """The picture is dark."""

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 32:
            raise BadInput(
                f"a picture needs 32 pixels each way, found {self.width} x {self.height}."
            )
        if not 0 <= self.spread <= 1.5:
            raise BadInput(f"spread must lie between 0 and 1.5, found {self.spread}.")
        for field in fields(self)[3:]:
            if not 0 <= getattr(self, field.name) <= 1:
                raise BadInput(
                    f"{field.name} is a share between 0 and 1, found {getattr(self, field.name)}."
                )


LABELLED = PastureSettings()
"""Pictures that somebody chose to label."""
WEB = PastureSettings(occluded=0.35, truncated=0.3, second=0.3, wrong_box=0.12, backlit=0.2)
"""Pictures that a search and a detector found."""


@dataclass(frozen=True, eq=False)
class Placed:
    """One animal in the world: its template, the angles (P,) of its hinges in radians, its turn
    (3, 3) and place (3,), and the seed of its coat."""

    template: Template
    angles: Float[np.ndarray, " P"]
    turn: Float[np.ndarray, "3 3"]
    place: Float[np.ndarray, " 3"]
    coat_seed: int

    def posed(self) -> Float[np.ndarray, "V 3"]:
        """Vertices (V, 3) in the template's frame, posed."""
        return pose_template(self.template, self.angles)

    def in_world(self) -> Float[np.ndarray, "V 3"]:
        """Vertices (V, 3) in the world."""
        return self.posed() @ self.turn.T + self.place


@dataclass(frozen=True, eq=False)
class PastureScene:
    """A picture before it is drawn. animals[0] is the one that is labelled."""

    category: str
    animals: tuple[Placed, ...]
    occluder: tuple[np.ndarray, np.ndarray] | None
    """Vertices (V, 3) and faces (F, 3) of what stands before the animal."""
    camera: SceneCamera
    background: str
    dark: bool
    wrong_box: bool
    seed: int


def sample_scene(category: str, seed: int, settings: PastureSettings = LABELLED) -> PastureScene:
    """Draw a scene. BadInput for an unknown category."""
    if category not in CATEGORIES:
        raise unknown_name("animal", category, CATEGORIES)
    rng = np.random.default_rng([seed, 1])
    shares = (settings.truncated, settings.second, settings.occluded, settings.wrong_box)
    truncated, second, occluded, wrong, dark = rng.uniform(size=5) < [*shares, settings.backlit]
    animal = _sample_animal(category, rng, settings.spread, np.zeros(3))
    vertices = animal.in_world()
    camera = _sample_camera(vertices, rng, settings, bool(truncated))
    animals = [animal]
    if second:
        animals.append(_neighbour(animal, category, camera, rng, settings.spread))
    return PastureScene(
        category=category,
        animals=tuple(animals),
        occluder=_sample_occluder(vertices, camera, rng) if occluded else None,
        camera=camera,
        background=BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))],
        dark=bool(dark),
        wrong_box=bool(wrong),
        seed=seed,
    )


def _sample_animal(
    category: str, rng: np.random.Generator, spread: float, place: np.ndarray
) -> Placed:
    """An animal of its own proportions, pose and coat, its lowest vertex on the floor."""
    template = free_quadruped(category, CELLS)
    template = reshaped(template, sample_proportions(template, rng, spread))
    angles = sample_pose(template, rng)
    yaw = rng.uniform(-np.pi, np.pi)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    standing = pose_template(template, angles) @ turn.T
    drop = np.array([0.0, standing[:, 1].min(), 0.0])
    return Placed(template, angles, turn, place - drop, int(rng.integers(1 << 31)))


def sample_proportions(
    template: Template, rng: np.random.Generator, spread: float
) -> Float[np.ndarray, "P 3"]:
    """Stretches (P, 3) of the parts, the same on both sides."""
    scales = np.exp(spread * rng.normal(0, [0.08, 0.05, 0.05], (len(template.parts), 3)))
    for part, other in enumerate(template.mirror_parts):
        scales[part] = scales[min(part, other)]
    return scales


def sample_pose(template: Template, rng: np.random.Generator) -> Float[np.ndarray, " P"]:
    """Angles (P,) within the limits, radians, most of them near the rest pose; some graze."""
    low, high = template.limits.astype(float).T
    drawn = rng.normal(0, 0.42, len(low))
    angles = np.where(drawn < 0, -drawn * low, drawn * high)
    if "neck" in template.parts and rng.uniform() < _GRAZING:
        neck = template.parts.index("neck")
        angles[neck] = rng.uniform(0.5, 1.0) * high[neck]
    return np.clip(angles, low, high)


def _sample_camera(
    vertices: np.ndarray, rng: np.random.Generator, settings: PastureSettings, truncated: bool
) -> SceneCamera:
    """A camera around the animal, near enough that it fills its share of the picture."""
    centre = (vertices.min(0) + vertices.max(0)) / 2
    azimuth = rng.uniform(0, 2 * np.pi)
    elevation = np.radians(rng.uniform(-4, 28))
    share = rng.uniform(1.05, 1.5) if truncated else rng.uniform(0.5, 0.92)
    focal = settings.width * rng.uniform(0.9, 2.2)
    K = np.array([[focal, 0, settings.width / 2], [0, focal, settings.height / 2], [0, 0, 1]])
    way = [np.cos(elevation) * np.cos(azimuth), np.sin(elevation)]
    direction = np.array([*way, np.cos(elevation) * np.sin(azimuth)])
    size = np.array([settings.width, settings.height])
    shift = size * rng.uniform(-0.5, 0.5, 2) * (0.5 if truncated else max(0.0, 1 - share))
    distance = 3 * np.ptp(vertices, axis=0).max()
    for _ in range(3):  # the extent is nearly inverse to the distance
        eye = centre + distance * direction
        eye[1] = max(eye[1], 0.2)
        R, t = (x.numpy() for x in look_at(torch.from_numpy(eye), torch.from_numpy(centre)))
        seen = (vertices @ R.T + t) @ K.T
        pixels = seen[:, :2] / np.maximum(seen[:, 2:], 0.1)
        distance *= (np.ptp(pixels, axis=0) / size).max() / share
    K[:2, 2] += shift + K[:2, 2] - (pixels.min(0) + pixels.max(0)) / 2
    return SceneCamera(R, t, K, settings.width, settings.height)


def _neighbour(
    animal: Placed, category: str, camera: SceneCamera, rng: np.random.Generator, spread: float
) -> Placed:
    """Another animal beside or behind the first, seldom before it."""
    size = np.ptp(animal.in_world(), axis=0)[[0, 2]].max()
    right, ahead = camera.R[0] * [1, 0, 1], camera.R[2] * [1, 0, 1]
    aside = rng.choice([-1, 1]) * rng.uniform(0.35, 1.0) * size
    behind = (rng.uniform(0.6, 1.5) if rng.uniform() < 0.75 else -rng.uniform(0.5, 0.8)) * size
    place = aside * right / np.linalg.norm(right) + behind * ahead / np.linalg.norm(ahead)
    return _sample_animal(category, rng, spread, place)


def _sample_occluder(
    vertices: np.ndarray, camera: SceneCamera, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A post, a bale or a bush between the camera and a random place of the animal."""
    from chorus.synthetic.world import shapes

    eye = -camera.R.T @ camera.t
    target = vertices[int(rng.integers(len(vertices)))]
    height = np.ptp(vertices[:, 1])
    place = eye + rng.uniform(0.55, 0.8) * (target - eye)
    kind = int(rng.integers(3))
    if kind == 0:
        tall = rng.uniform(0.5, 1.1) * height
        parts = [shapes.cylinder(0.03 * height, tall, 0.01).moved((0, tall / 2, 0))]
    elif kind == 1:
        bale = rng.uniform(0.15, 0.28) * height
        parts = [shapes.sphere(bale, 24).scaled((1.3, 0.8, 1.0)).moved((0, 0.7 * bale, 0))]
    else:
        balls = rng.uniform([-0.22, 0.0, -0.22], [0.22, 0.3, 0.22], (7, 3)) * height
        parts = [shapes.sphere(rng.uniform(0.06, 0.13) * height, 16).moved(b) for b in balls]
    mesh = shapes.assemble(parts)
    base = np.array([place[0], 0.0, place[2]])
    return np.asarray(mesh.vertices) + base, np.asarray(mesh.faces)

"""The free quadruped: a template built from the chains of balls of a species.

The surface is where a smooth union of all chains is zero, found by marching cubes in the half
space x >= 0 and mirrored, so that its vertices pair exactly. Nothing of it is taken from a
published mesh.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from chorus.animals.keypoints import KEYPOINTS
from chorus.animals.species import Species, species
from chorus.animals.template import Template

PARTS = ("body", "neck", "head", "LF_leg", "RF_leg", "LR_leg", "RR_leg")
PARENTS = (-1, 0, 1, 0, 0, 0, 0)
MIRROR_PARTS = (0, 1, 2, 4, 3, 6, 5)
LIMITS_DEGREES = ((0, 0), (-30, 60), (-35, 40), (-35, 40), (-35, 40), (-40, 30), (-40, 30))
"""Angles about x, the animal's left: a positive one lowers the neck and moves a leg back."""

CELLS = 64
"""Cells of the grid in the withers' height, where none is asked for."""
_SOFT_PARTS = 0.022
"""Distance over which a vertex passes from one part to the next, as a share of the height."""
_INNER = 0.35
"""Softness inside of a chain, as a share of that between chains."""
_STEPS = 3

Chain = tuple[str, Float[np.ndarray, "B 4"], float]
"""Part, balls and width as a share of the height."""


@cache
def free_quadruped(name: str, cells: int = CELLS) -> Template:
    """The template of a species in metres; takes a second. BadInput for an unknown species."""
    animal = species(name)
    vertices, faces, mirror = _surface(animal, animal.height / cells)
    centres = _centres(animal)
    limits = np.radians(np.array(LIMITS_DEGREES, float))
    return Template(
        name=name,
        vertices=vertices,
        faces=faces,
        membership=_membership(animal, vertices, mirror),
        parts=PARTS,
        parents=PARENTS,
        centres=centres,
        axes=np.tile([1.0, 0.0, 0.0], (len(PARTS), 1)),
        limits=limits,
        mirror_vertices=mirror,
        mirror_parts=MIRROR_PARTS,
        keypoint_vertices=_keypoint_vertices(animal, vertices, mirror),
    )


def _chains(animal: Species) -> list[Chain]:
    """The chains of the left half and of the middle."""
    return [
        ("body", animal.trunk, animal.trunk_width),
        ("body", animal.withers, 1.0),
        ("body", animal.tail, 0.9),
        ("neck", animal.neck, animal.neck_width),
        ("head", animal.head, animal.head_width),
        ("head", animal.ear, 1.0),
        ("head", animal.horn, 1.0),
        ("LF_leg", animal.front_leg, 1.0),
        ("LR_leg", animal.hind_leg, 1.0),
    ]


def _centres(animal: Species) -> Float[np.ndarray, "P 3"]:
    """Where the parts turn: the neck and the head at their first balls, legs at theirs."""
    mirror = np.array([-1.0, 1.0, 1.0])
    front, hind = animal.front_leg[0, :3], animal.hind_leg[0, :3]
    trunk = animal.trunk[:, :3].mean(0)
    neck, head = animal.neck[0, :3], animal.head[0, :3]
    return np.stack([trunk, neck, head, front, front * mirror, hind, hind * mirror])


def _chain_distance(
    points: Float[np.ndarray, "P 3"], balls: np.ndarray, width: float
) -> np.ndarray:
    """About how far points (P, 3) lie outside of a chain, per segment: (P, B - 1)."""
    squeeze = np.array([1 / width, 1.0, 1.0])
    points = points * squeeze
    start, end = balls[:-1, :3] * squeeze, balls[1:, :3] * squeeze
    along = end - start
    offset = points[:, None] - start
    share = np.einsum("psi,si->ps", offset, along) / np.maximum((along**2).sum(1), 1e-9)
    share = np.clip(share, 0, 1)
    radius = balls[:-1, 3] + share * (balls[1:, 3] - balls[:-1, 3])
    return np.linalg.norm(offset - share[..., None] * along, axis=2) - radius


def _soft_minimum(values: Float[np.ndarray, "P S"], softness: float) -> Float[np.ndarray, " P"]:
    """A smooth minimum over the last axis, never above the true one."""
    least = values.min(1)
    return least - softness * np.log(np.exp((least[:, None] - values) / softness).sum(1))


def _part_distances(animal: Species, points: np.ndarray) -> dict[str, Float[np.ndarray, " P"]]:
    """About how far points (P, 3) with x >= 0 lie outside of each part."""
    gathered: dict[str, list[np.ndarray]] = {}
    for part, balls, width in _chains(animal):
        if len(balls) > 1:
            gathered.setdefault(part, []).append(_chain_distance(points, balls, width))
    soft = _INNER * animal.blend
    return {
        part: _soft_minimum(np.concatenate(found, axis=1), soft) for part, found in gathered.items()
    }


def _distance(animal: Species, points: np.ndarray) -> Float[np.ndarray, " P"]:
    """About how far points (P, 3) with x >= 0 lie outside of the animal; the floor cuts it."""
    parts = np.stack(list(_part_distances(animal, points).values()), axis=1)
    distance = _soft_minimum(parts, animal.blend)
    if animal.fleece:
        distance = distance - animal.fleece * _curls(points, 5 * animal.fleece) * _woolly(
            animal, points
        )
    return np.maximum(distance, -points[:, 1])


def _curls(points: np.ndarray, period: float) -> Float[np.ndarray, " P"]:
    """Bumps in [-1, 1] that repeat in about `period`, even in x."""
    x, y, z = (2 * np.pi / period * points).T
    return np.cos(x) * np.cos(0.9 * y + 0.4 * z) * np.cos(0.8 * z - 0.5 * y)


def _woolly(animal: Species, points: np.ndarray) -> Float[np.ndarray, " P"]:
    """1 on trunk and neck, falling to 0 on legs and face."""
    above = np.clip((points[:, 1] - 0.45 * animal.height) / (0.15 * animal.height), 0, 1)
    before = np.clip((animal.head[1, 2] - points[:, 2]) / (0.1 * animal.height), 0, 1)
    return above * before


def _surface(animal: Species, cell: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3), faces (F, 3) and mirror vertices (V,) of the whole animal."""
    from skimage.measure import marching_cubes

    balls = np.concatenate([chain for _, chain, _ in _chains(animal)])
    margin = animal.blend + 3 * cell
    low = (balls[:, :3] - balls[:, 3:]).min(0) - margin
    high = (balls[:, :3] + balls[:, 3:]).max(0) + margin
    low[0] = 0.0
    sizes = [math.ceil((high[axis] - low[axis]) / cell) + 1 for axis in range(3)]
    axes = [low[axis] + cell * np.arange(size) for axis, size in enumerate(sizes)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    field = np.concatenate([_distance(animal, part) for part in np.array_split(points, 40)])
    field = _one_piece(field.reshape(sizes))
    half, faces, _, _ = marching_cubes(field, 0.0, spacing=(cell,) * 3)
    half = half.astype(float) + low
    half[half[:, 0] < 1e-6 * cell, 0] = 0.0
    half = _on_surface(animal, half, cell)
    return _mirrored(half, faces.astype(np.int64))


def _one_piece(field: Float[np.ndarray, "X Y Z"]) -> Float[np.ndarray, "X Y Z"]:
    """The field without what does not hang together with the largest piece: a curl of the fleece,
    or the tip of a horn that is thinner than a cell."""
    from scipy.ndimage import label

    pieces, _ = label(field < 0)
    largest = np.bincount(pieces[pieces > 0]).argmax()
    return np.where((pieces > 0) & (pieces != largest), np.abs(field), field)


def _on_surface(animal: Species, points: np.ndarray, cell: float) -> np.ndarray:
    """Points (P, 3) moved onto the surface along its gradient; x = 0 stays, the sole stays."""
    step = 0.05 * cell
    for _ in range(_STEPS):
        value = _distance(animal, points)
        gradient = np.stack(
            [
                (_distance(animal, points + shift) - _distance(animal, points - shift)) / (2 * step)
                for shift in step * np.eye(3)
            ],
            axis=1,
        )
        gradient[points[:, 0] < step, 0] = 0.0
        square = np.maximum((gradient**2).sum(1), 0.1)
        move = np.clip(value / square, -cell / 2, cell / 2)
        points = points - move[:, None] * gradient
        points[:, 0] = np.maximum(points[:, 0], 0.0)
    return points


def _mirrored(
    half: Float[np.ndarray, "H 3"], faces: Int[np.ndarray, "F 3"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The whole surface of its half x >= 0; vertices at x = 0 are shared."""
    shared = half[:, 0] == 0.0
    other = np.arange(len(half))
    other[~shared] = len(half) + np.arange((~shared).sum())
    vertices = np.concatenate([half, half[~shared] * [-1.0, 1.0, 1.0]])
    mirror = np.concatenate([other, np.flatnonzero(~shared)])
    both = np.concatenate([faces, other[faces][:, ::-1]])
    corners = vertices[both]
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return vertices, both if volume > 0 else both[:, ::-1], mirror


def _membership(
    animal: Species, vertices: np.ndarray, mirror: np.ndarray
) -> Float[np.ndarray, "V P"]:
    """How far vertices (V, 3) move with each part: a soft choice of the nearest."""
    left = vertices * np.where(vertices[:, :1] < 0, [-1.0, 1.0, 1.0], 1.0)
    distances = _part_distances(animal, left)
    soft = _SOFT_PARTS * animal.height
    weights = np.zeros((len(vertices), len(PARTS)))
    for part, distance in distances.items():
        weights[:, PARTS.index(part)] = np.exp(-np.maximum(distance, -soft) / soft)
    right = vertices[:, 0] < 0
    weights[right] = weights[right][:, MIRROR_PARTS]
    weights /= weights.sum(1, keepdims=True)
    weights = (weights + weights[mirror][:, MIRROR_PARTS]) / 2
    weights[weights < 1e-3] = 0.0
    return weights / weights.sum(1, keepdims=True)


def _keypoint_vertices(
    animal: Species, vertices: np.ndarray, mirror: np.ndarray
) -> Int[np.ndarray, " K"]:
    """The vertices at the keypoints; those of the right are the mirrored ones of the left."""
    throat = animal.head[0, :3] + [0.0, -1.2 * animal.neck[-1, 3], -0.2 * animal.neck[-1, 3]]
    withers = animal.withers[-1, :3] + [0.0, animal.withers[-1, 3], 0.0]
    nose = animal.head[-1, :3] + animal.head[-1, 3] * _direction(animal.head[-2:, :3])
    middle = {"Nose": nose, "Throat": throat, "Tail": animal.tail[0, :3], "Withers": withers}
    sided = {"eye": animal.eye, "ear": animal.ear[0, :3] + [animal.ear[0, 3], 0.0, 0.0]}
    for end, leg in (("F", animal.front_leg), ("B", animal.hind_leg)):
        sided[f"{end}_elbow"] = leg[1, :3] + [leg[1, 3], 0.0, 0.0]
        sided[f"{end}_paw"] = leg[-1, :3] + [0.0, 0.0, leg[-1, 3]]
    found = np.zeros(len(KEYPOINTS), np.int64)
    on_plane, off_plane = np.flatnonzero(mirror == np.arange(len(vertices))), vertices[:, 0] > 0
    off_plane = np.flatnonzero(off_plane)
    for number, name in enumerate(KEYPOINTS):
        if name in middle:
            found[number] = _nearest(vertices, on_plane, middle[name])
        else:
            left = _nearest(vertices, off_plane, sided[name[2:]])
            found[number] = left if name.startswith("L_") else mirror[left]
    return found


def _nearest(vertices: np.ndarray, among: np.ndarray, point: np.ndarray) -> int:
    return int(among[np.linalg.norm(vertices[among] - point, axis=1).argmin()])


def _direction(ends: np.ndarray) -> np.ndarray:
    along = ends[1] - ends[0]
    return along / np.linalg.norm(along)

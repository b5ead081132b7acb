"""Procedural objects to real size: what can be built, from which numbers, and what lies inside.

    parameters = sample_parameters("surfboard", rng)
    mesh = build("surfboard", **parameters)          # trimesh.Trimesh, metres, own frame
    inside = contains(mesh, points)                  # (P,) bool

A kind is a builder and the ranges of its parameters. The four sports kinds have builders of
their own (chorus/synthetic/world/equipment.py); the generic kinds (box, cylinder, disc, sphere,
capsule, composite) and everything in data/objects.yaml are data only.

Meshes may consist of several watertight parts that overlap: they stand for the union.
`mesh.metadata["parts"]` names the materials, `["part_of_face"]` (F,) tells each face's.

Local frames: every kind's `frame` says where its origin is and where its axes point. Kinds that
have a front follow the body frame: x left, y up, z forward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
import trimesh
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from chorus.errors import BadInput, unknown_name
from chorus.rendering.raycast import RayScene, unit
from chorus.synthetic.world import equipment, shapes

# Off every axis and diagonal, so that a ray does not run along a face of an axis-aligned part.
_PROBE = unit(np.array([0.3781, 0.8912, 0.2503])).astype(np.float32)


@dataclass(frozen=True)
class Kind:
    """A kind of object.

    builder: keyword parameters -> list of parts.
    ranges: parameter name -> (low, high), drawn uniformly by `sample_parameters`; parameters
        outside the ranges keep the builder's default unless given.
    frame: where the origin lies and where the axes point.
    """

    builder: Callable[..., list[shapes.Part]]
    ranges: Mapping[str, tuple[float, float]]
    frame: str


def _primitive(shape: str) -> Callable[..., list[shapes.Part]]:
    return lambda **parameters: [shapes.from_data({"shape": shape, **parameters})]


def _composite(parts, scale=(1.0, 1.0, 1.0)) -> list[shapes.Part]:
    made = []
    for entry in parts:
        part = shapes.from_data({k: v for k, v in entry.items() if k != "twin"}).scaled(scale)
        made += [part, part.mirrored()] if entry.get("twin") else [part]
    return made


KINDS: dict[str, Kind] = {
    "surfboard": Kind(
        equipment.surfboard,
        {
            "length": (1.9, 2.7),
            "width": (0.48, 0.57),
            "thickness": (0.06, 0.08),
            "nose": (0.35, 0.75),
            "rocker": (0.05, 0.12),
        },
        "origin at the centre of the deck (its top surface); z toward the nose, y out of the deck",
    ),
    "skateboard": Kind(
        equipment.skateboard,
        {
            "length": (0.74, 0.86),
            "width": (0.19, 0.22),
            "kick": (0.035, 0.06),
            "wheel_radius": (0.025, 0.032),
        },
        "origin at the centre of the deck's top; z toward the nose, y up; wheels below",
    ),
    "backpack": Kind(
        equipment.backpack,
        {
            "width": (0.26, 0.33),
            "height": (0.38, 0.5),
            "depth": (0.14, 0.2),
            "strap_reach": (0.26, 0.29),
        },
        "origin at the centre of the panel that lies against the wearer's back; y up, z toward "
        "the wearer (forward), so the bag fills z < 0 and the straps z > 0; the wearer's shoulders "
        "have their tops 0.2 m above the origin",
    ),
    "tennis racket": Kind(
        equipment.tennis_racket,
        {"length": (0.66, 0.7), "head_width": (0.24, 0.275), "head_length": (0.32, 0.35)},
        "origin at the middle of the grip; y along the shaft to the head, z out of the strings",
    ),
    "box": Kind(_primitive("box"), {"rounding": (0.005, 0.02)}, "origin at the centre"),
    "cylinder": Kind(
        _primitive("cylinder"),
        {"radius": (0.1, 0.3), "height": (0.2, 0.6)},
        "origin at the centre; y along the axis",
    ),
    "disc": Kind(
        _primitive("disc"),
        {"radius": (0.1, 0.15), "height": (0.015, 0.03)},
        "origin at the centre; y along the axis",
    ),
    "sphere": Kind(_primitive("sphere"), {"radius": (0.1, 0.15)}, "origin at the centre"),
    "capsule": Kind(
        _primitive("capsule"),
        {"radius": (0.04, 0.08), "length": (0.3, 0.6)},
        "origin at the centre; y along the axis",
    ),
    "composite": Kind(_composite, {}, "the frame in which `parts` are given"),
}


def kind(name: str) -> Kind:
    """The registered kind of that name: KINDS or data/objects.yaml. Raises BadInput if unknown."""
    if name in KINDS:
        return KINDS[name]
    data = _data_kinds()
    if name not in data:
        raise unknown_name("kind of object", name, [*KINDS, *data])
    return data[name]


def build(name: str, **parameters) -> trimesh.Trimesh:
    """The mesh of an object of the kind `name`, metres, in its own frame (`kind(name).frame`).

    Parameters left out take the builder's defaults. Every connected component is watertight.
    Raises BadInput for an unknown kind or parameter, or sizes that are not positive numbers.
    """
    for key, value in parameters.items():
        if isinstance(value, (int, float)) and not (np.isfinite(value) and value >= 0):
            raise BadInput(f"{key} of a {name} must be a size of at least 0, not {value}.")
    try:
        parts = kind(name).builder(**parameters)
    except TypeError as problem:
        raise BadInput(f"a {name} cannot be built from {parameters}: {problem}.") from problem
    return shapes.assemble(parts)


def sample_parameters(name: str, rng: np.random.Generator) -> dict:
    """Real-size parameters of one object of the kind, JSON-ready numbers, drawn uniformly."""
    drawn = {key: float(rng.uniform(*bounds)) for key, bounds in kind(name).ranges.items()}
    return {key: round(value, 4) for key, value in drawn.items()}


def contains(mesh: trimesh.Trimesh, points: np.ndarray) -> np.ndarray:
    """Which points (P, 3), metres in the mesh's frame, lie inside any of its parts: (P,) bool.

    A point is inside a closed surface if the first face on its way out is met from within. Parts
    that overlap are asked one after the other, disjoint ones together. A point on the surface
    may fall either way.
    """
    points = np.asarray(points, np.float32)
    if points.ndim != 2 or points.shape[1] != 3:
        raise BadInput(f"points must have shape (P, 3), not {points.shape}.")
    inside = np.zeros(len(points), bool)
    near = np.flatnonzero(_within(points, *mesh.bounds))
    if not len(near):
        return inside
    for faces in _disjoint_groups(mesh):
        used = mesh.vertices[np.unique(faces)]
        low, high = used.min(0), used.max(0)
        candidates = near[_within(points[near], low, high) & ~inside[near]]
        if len(candidates):
            inside[candidates] = _sees_from_within(mesh.vertices, faces, points[candidates])
    return inside


def _sees_from_within(vertices, faces, points) -> np.ndarray:
    hits = RayScene([(vertices, faces)]).first(points, np.broadcast_to(_PROBE, points.shape))
    corners = vertices[faces[hits.face_id]]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return hits.found & (outward @ _PROBE > 0)


def _within(points, low, high) -> np.ndarray:
    return ((points >= low) & (points <= high)).all(1)


def _disjoint_groups(mesh: trimesh.Trimesh) -> list[np.ndarray]:
    """The faces of the mesh in groups whose components' bounding boxes do not touch."""
    edges = mesh.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    count = len(mesh.vertices)
    links = coo_matrix((np.ones(len(edges), bool), edges.T), shape=(count, count))
    number, of_vertex = connected_components(links, directed=False)
    low, high = np.full((number, 3), np.inf), np.full((number, 3), -np.inf)
    np.minimum.at(low, of_vertex, mesh.vertices)
    np.maximum.at(high, of_vertex, mesh.vertices)
    touch = ((low[:, None] <= high[None]) & (low[None] <= high[:, None])).all(-1)
    group = np.full(number, -1)
    for component in range(number):
        taken = set(group[touch[component]].tolist())
        group[component] = next(g for g in range(number) if g not in taken)
    of_face = group[of_vertex[mesh.faces[:, 0]]]
    return [mesh.faces[of_face == g] for g in range(group.max() + 1)]


@lru_cache(maxsize=1)
def _data_kinds() -> dict[str, Kind]:
    """Kinds that are data only: data/objects.yaml, name -> {frame, parts, scale}."""
    import yaml

    source = files("chorus.synthetic") / "data" / "objects.yaml"
    return {
        name: data_kind(entry)
        for name, entry in yaml.safe_load(source.read_text(encoding="utf-8")).items()
    }


def data_kind(entry: Mapping) -> Kind:
    """A kind from data: `parts` (see shapes.from_data; with `twin: true` also its mirror image in
    x), `frame`, and `size` (low, high), the range of a common factor on all lengths (default 1)."""
    parts = entry["parts"]
    low, high = entry.get("size", (1.0, 1.0))
    return Kind(
        lambda size=1.0: _composite(parts, size),
        {"size": (float(low), float(high))},
        str(entry["frame"]),
    )

"""Closed surfaces from a few numbers: lofts, sweeps and rounded primitives, in metres.

Every function returns a `Part` whose surface is watertight and oriented outward. Several parts
make a composite mesh (`assemble`), which stands for the union of its parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

from chorus.errors import BadInput, unknown_name
from chorus.rendering.raycast import unit


@dataclass(frozen=True)
class Part:
    """One watertight piece: vertices (V, 3) metres, faces (F, 3), and the name of its material."""

    vertices: np.ndarray
    faces: np.ndarray
    name: str = "body"

    def named(self, name: str) -> Part:
        """The same piece with another material name."""
        return replace(self, name=name)

    def moved(self, translation=(0.0, 0.0, 0.0), rotation=None) -> Part:
        """The piece rotated (Euler angles x, y, z in degrees, in this order), then translated."""
        vertices = self.vertices
        if rotation is not None:
            turn = Rotation.from_euler("xyz", rotation, degrees=True).as_matrix()
            vertices = vertices @ turn.T
        return replace(self, vertices=vertices + np.asarray(translation, float))

    def scaled(self, factors) -> Part:
        """The piece scaled about the origin by positive factors (3,) or one factor."""
        return replace(self, vertices=self.vertices * np.asarray(factors, float))

    def mirrored(self) -> Part:
        """The piece's mirror image in x, its surface still oriented outward."""
        return replace(self, vertices=self.vertices * [-1, 1, 1], faces=self.faces[:, ::-1])


def loft(rings: np.ndarray, closed: bool = False) -> Part:
    """Skin through successive rings of points.

    rings (S, K, 3): S rings of K points, all running in the same sense. The ends are closed
    by fans around the end rings' means, or, with `closed`, the last ring joins the first.
    """
    rings = np.asarray(rings, float)
    stations, count = rings.shape[:2]
    vertices = rings.reshape(-1, 3)
    index = np.arange(stations * count).reshape(stations, count)
    nearer = index if closed else index[:-1]
    further = np.roll(index, -1, axis=0) if closed else index[1:]
    a, b = nearer, np.roll(nearer, -1, axis=1)
    d, c = further, np.roll(further, -1, axis=1)
    faces = [np.stack(corners, -1).reshape(-1, 3) for corners in ((a, b, c), (a, c, d))]
    if not closed:
        first, last = len(vertices), len(vertices) + 1
        vertices = np.concatenate([vertices, [rings[0].mean(0), rings[-1].mean(0)]])
        start, end = index[0], index[-1]
        hub = np.full(count, first)
        faces.append(np.stack([hub, np.roll(start, -1), start], -1))
        faces.append(np.stack([hub + (last - first), end, np.roll(end, -1)], -1))
    return _outward(vertices, np.concatenate(faces))


def superellipse(half_width, half_height, exponent: float = 2.0, count: int = 24) -> np.ndarray:
    """Points (count, 2) of |x / a|^n + |y / b|^n = 1; n = 2 is an ellipse, larger is boxier."""
    angle = (np.arange(count) + 0.5) / count * 2 * np.pi
    cosine, sine = np.cos(angle), np.sin(angle)
    power = 2.0 / exponent
    return np.stack(
        [
            half_width * np.sign(cosine) * np.abs(cosine) ** power,
            half_height * np.sign(sine) * np.abs(sine) ** power,
        ],
        axis=-1,
    )


def sweep(path, section, side=(1.0, 0.0, 0.0), closed: bool = False, taper=None) -> Part:
    """A cross-section carried along a path.

    path (S, 3): points of the path. section (K, 2): the outline, its first coordinate along
    `side` (made perpendicular to the path), its second along path x side. `closed`: the path is
    a loop. taper (S,) or (S, 2): factor on the section, or on each of its coordinates, at each
    point.
    """
    path, section = np.asarray(path, float), np.asarray(section, float)
    if closed:
        tangent = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    else:
        tangent = np.gradient(path, axis=0)
    tangent = unit(tangent)
    side = np.broadcast_to(np.asarray(side, float), path.shape)
    side = unit(side - np.sum(side * tangent, -1, keepdims=True) * tangent)
    normal = np.cross(tangent, side)
    factor = np.ones((len(path), 1)) if taper is None else np.asarray(taper, float)
    flat = section[None] * factor.reshape(len(path), 1, -1)
    rings = path[:, None] + flat[..., :1] * side[:, None] + flat[..., 1:] * normal[:, None]
    return loft(rings, closed=closed)


def curve(points, count: int) -> np.ndarray:
    """A smooth path (count, 3) through control points (P, 3), evenly spaced in length."""
    from scipy.interpolate import CubicSpline

    points = np.asarray(points, float)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    fine = CubicSpline(along, points)(np.linspace(0, along[-1], 20 * count))
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    even = np.linspace(0, length[-1], count)
    return np.stack([np.interp(even, length, fine[:, axis]) for axis in range(3)], axis=-1)


def tube(start, end, radius: float, count: int = 12, rings: int = 2) -> Part:
    """A straight round rod from start (3,) to end (3,)."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    along = unit(end - start)
    side = np.eye(3)[np.argmin(np.abs(along))]
    path = start + np.linspace(0, 1, max(rings, 2))[:, None] * (end - start)
    return sweep(path, superellipse(radius, radius, count=count), side=side)


def lathe(profile, count: int = 40) -> Part:
    """A profile (S, 2) of (radius, height) turned about the y axis; radii must be positive."""
    profile = np.asarray(profile, float)
    angle = np.arange(count) / count * 2 * np.pi
    ring = np.stack([np.cos(angle), np.zeros(count), np.sin(angle)], -1)
    height = profile[:, 1, None, None] * np.array([0.0, 1.0, 0.0])
    return loft(profile[:, 0, None, None] * ring + height)


def box(size=(1.0, 1.0, 1.0), rounding: float = 0.0) -> Part:
    """A box centred at the origin with edges rounded by `rounding` metres. size (3,)."""
    half = np.asarray(size, float) / 2
    radius = float(np.clip(rounding, 1e-3 * half.min(), 0.98 * half.min()))
    bend = np.linspace(0, np.pi / 2, 5)
    quarter = np.arange(4)[:, None] * np.pi / 2
    # Each quadrant of a sphere keeps its own corner of the inner box, so the sphere is cut open
    # along its equator and meridians and the flat faces appear between the pieces.
    azimuth = (quarter + bend).ravel()
    corner = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]).repeat(len(bend), axis=0)
    tilt = np.linspace(0, np.pi / 2, 5)[:-1]
    elevation = np.concatenate([-tilt[::-1], tilt])
    level = np.concatenate([-np.ones(len(tilt)), np.ones(len(tilt))])
    inner = half - radius
    rings = np.empty((len(elevation), len(azimuth), 3))
    rings[..., 0] = corner[:, 0] * inner[0] + radius * np.cos(azimuth) * np.cos(elevation)[:, None]
    rings[..., 2] = corner[:, 1] * inner[2] + radius * np.sin(azimuth) * np.cos(elevation)[:, None]
    rings[..., 1] = (level * inner[1] + radius * np.sin(elevation))[:, None]
    rings[[0, -1], :, 1] = np.array([[-half[1]], [half[1]]])
    return loft(rings)


def sphere(radius: float = 0.5, count: int = 32) -> Part:
    """A ball of the given radius about the origin."""
    return capsule(radius, 0.0, count)


def capsule(radius: float = 0.1, length: float = 1.0, count: int = 32) -> Part:
    """A rod along y with hemispherical ends; `length` is the straight part (0 gives a ball)."""
    half = np.linspace(np.pi / 2 - np.pi / count / 2, 0, count // 4 + 1)
    angle = np.concatenate([-half, half[::-1] if length > 0 else half[-2::-1]])
    shift = np.concatenate([np.full(len(half), -0.5), np.full(len(angle) - len(half), 0.5)])
    part = lathe(
        np.stack([radius * np.cos(angle), radius * np.sin(angle) + shift * length], -1), count
    )
    vertices = part.vertices.copy()
    vertices[-2:, 1] = [-radius - length / 2, radius + length / 2]
    return replace(part, vertices=vertices)


def cylinder(radius: float = 0.5, height: float = 1.0, rounding: float = 0.0) -> Part:
    """A cylinder along y, centred, its rims rounded by `rounding` metres."""
    rounding = float(np.clip(rounding, 1e-3 * min(radius, height), 0.49 * min(2 * radius, height)))
    bend = np.linspace(0, np.pi / 2, 4)
    rim_radius = radius - rounding + rounding * np.sin(bend)
    rim_height = height / 2 - rounding + rounding * np.cos(bend)
    flat = np.linspace(0.25, 0.999, 3) * (radius - rounding)
    radii = np.concatenate([flat, rim_radius])
    heights = np.concatenate([np.full(3, height / 2), rim_height])
    profile = np.stack(
        [np.concatenate([radii, radii[::-1]]), np.concatenate([heights, -heights[::-1]])], -1
    )
    return lathe(profile, 40)


def torus(radius: float = 0.3, thickness: float = 0.05, flatness: float = 1.0) -> Part:
    """A ring about y. radius: of its middle line; thickness: half its section's width, which is
    `flatness` times as high."""
    angle = np.arange(56) / 56 * 2 * np.pi
    path = radius * np.stack([np.cos(angle), 0 * angle, np.sin(angle)], -1)
    section = superellipse(flatness * thickness, thickness, count=16)
    return sweep(path, section, side=(0, 1, 0), closed=True)


def bar(
    points,
    width: float,
    height: float | None = None,
    exponent: float = 2.0,
    side=(1.0, 0.0, 0.0),
    widths=(1.0,),
    heights=(1.0,),
    count: int = 24,
) -> Part:
    """A bent bar or ribbon along a smooth path through control points (P, 3).

    width: its extent along `side`; height: across both, the same if not given; exponent: see
    `superellipse`. widths, heights: factors on them, evenly spaced along the path.
    """
    path = curve(points, count)
    section = superellipse(width / 2, (width if height is None else height) / 2, exponent, 16)
    along = np.linspace(0, 1, count)
    taper = [np.interp(along, np.linspace(0, 1, len(f)), f) for f in (widths, heights)]
    return sweep(path, section, side=side, taper=np.stack(taper, -1))


SHAPES = {
    "box": box,
    "cylinder": cylinder,
    "disc": cylinder,
    "sphere": sphere,
    "capsule": capsule,
    "tube": tube,
    "torus": torus,
    "bar": bar,
    "lathe": lathe,
}


def from_data(entry: dict) -> Part:
    """A primitive from plain data (a YAML or JSON mapping).

    `shape` names one of SHAPES; `scale` (3,), then `rotation` (3,) degrees, then `at` (3,) metres
    and `part` (material name) are optional; everything else is passed to the shape. BadInput.
    """
    entry = dict(entry)
    shape = entry.pop("shape", None)
    if shape not in SHAPES:
        raise unknown_name("shape", str(shape), SHAPES)
    at, rotation = entry.pop("at", (0.0, 0.0, 0.0)), entry.pop("rotation", None)
    factors = entry.pop("scale", 1.0)
    name = entry.pop("part", "body")
    try:
        part = SHAPES[shape](**entry)
    except TypeError as problem:
        raise BadInput(f"a {shape!r} cannot be made from {entry}: {problem}.") from problem
    return part.scaled(factors).moved(at, rotation).named(name)


def assemble(parts: Sequence[Part]) -> trimesh.Trimesh:
    """One mesh from several watertight parts, standing for their union.

    metadata["parts"]: material names; metadata["part_of_face"] (F,) uint8: index into them.
    Raises BadInput if there is no part.
    """
    if not parts:
        raise BadInput("an object needs at least one part, but its list of parts is empty.")
    names = list(dict.fromkeys(part.name for part in parts))
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts])
    vertices = np.concatenate([part.vertices for part in parts])
    faces = np.concatenate(
        [part.faces + offset for part, offset in zip(parts, offsets, strict=False)]
    )
    labels = np.concatenate([np.full(len(p.faces), names.index(p.name), np.uint8) for p in parts])
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    mesh.metadata["parts"] = names
    mesh.metadata["part_of_face"] = labels
    return mesh


def _outward(vertices: np.ndarray, faces: np.ndarray) -> Part:
    corners = vertices[faces] - vertices.mean(0)
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return Part(vertices, faces if volume >= 0 else faces[:, ::-1])

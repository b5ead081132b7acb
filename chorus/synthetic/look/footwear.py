"""Shoes: rigid shells around the feet of the body at rest, carried along with the posed feet."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from chorus.synthetic.look.colours import linear, mix
from chorus.synthetic.world.shapes import loft, superellipse

_STATIONS = 22
_SOLE = 0.012  # metres of sole under the foot


class Shoe:
    """One shoe fitted to a foot at rest.

    rest (S, 3) vertices and faces (M, 3) in the rest frame; foot (F,): the body's vertices that
    carry it, bare (F, 3) at rest; floor, collar: heights of the bare sole and the ankle at rest.
    """

    def __init__(self, vertices: np.ndarray, joints: np.ndarray, side: int):
        ankle = joints[7 if side > 0 else 8]
        near = (vertices[:, 0] * side > 0) & (np.abs(vertices[:, 0] - ankle[0]) < 0.12)
        self.foot = np.flatnonzero(near & (vertices[:, 1] < ankle[1] + 0.015))
        points = vertices[self.foot]
        self.bare, self.collar = points, float(ankle[1])
        self.floor = float(points[:, 1].min())
        self.rest, self.faces = _shell(points, ankle, self.floor)
        self._middle = points.mean(0)
        self._centred = points - self._middle

    def posed(self, vertices: np.ndarray) -> np.ndarray:
        """The shoe's vertices (S, 3) on a posed body's vertices (V, 3): best rigid motion."""
        points = np.asarray(vertices, float)[self.foot]
        middle = points.mean(0)
        u, _, vt = np.linalg.svd(self._centred.T @ (points - middle))
        turn = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
        rotation = u @ turn @ vt
        return (self.rest - self._middle) @ rotation + middle


@lru_cache(maxsize=4)
def _pair(vertices: bytes, joints: bytes) -> tuple[Shoe, Shoe]:
    points = np.frombuffer(vertices, np.float32).reshape(-1, 3)
    centres = np.frombuffer(joints, np.float32).reshape(-1, 3)
    return Shoe(points, centres, 1), Shoe(points, centres, -1)


def tucked(dressed: np.ndarray, shoe: Shoe) -> np.ndarray:
    """Dressed vertices (V, 3) with the foot drawn in a little, so that no toe shows."""
    points = dressed[shoe.foot]
    middle = points.mean(0)
    low = np.clip((shoe.collar - shoe.bare[:, 1]) / 0.04, 0, 1)[:, None]
    result = dressed.copy()
    result[shoe.foot] = points + 0.2 * low * (middle - points)
    return result


def fitted(vertices: np.ndarray, joints: np.ndarray) -> tuple[Shoe, Shoe]:
    """Left and right shoe for a body at rest: vertices (V, 3), joints (24, 3), float32."""
    return _pair(vertices.tobytes(), joints.tobytes())


def shoe_albedo(points: np.ndarray, soft, shoe: Shoe, colour, accent) -> np.ndarray:
    """Colour (P, 3) at rest positions points (P, 3): upper, pale sole, toe guard, stripe."""
    up = points[:, 1] - shoe.floor
    heel, toe = shoe.rest[:, 2].min(), shoe.rest[:, 2].max()
    along = (points[:, 2] - heel) / (toe - heel)

    def edge(inside):
        return np.clip(inside / soft + 0.5, 0, 1)

    stripe = edge(0.009 - np.abs(along * 0.26 - 0.105 - 0.4 * (up - 0.03)))
    albedo = mix(colour, accent, stripe * edge(0.055 - up))
    guard = edge(0.26 * (along - 0.86)) * edge(0.028 - up)
    return mix(albedo, linear("#f1eee8"), np.maximum(edge(0.012 - up), guard))


def _shell(points, ankle, floor) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces around a foot (F, 3): rounded slices from heel to toe."""
    heel, toe = points[:, 2].min() - 0.008, points[:, 2].max() + 0.010
    slices = np.linspace(points[:, 2].min(), points[:, 2].max(), 12)
    reach = 0.6 * (slices[1] - slices[0])
    groups = [points[np.abs(points[:, 2] - z) < reach] for z in slices]
    inner = np.array([group[:, 0].min() for group in groups])
    outer = np.array([group[:, 0].max() for group in groups])
    top = np.array([group[:, 1].max() for group in groups])
    s = np.linspace(-1, 1, _STATIONS)
    round_off = np.sin(0.5 * np.pi * s)  # stations crowd at heel and toe
    z = 0.5 * (heel + toe) + 0.5 * (toe - heel) * round_off
    left, right, high = (np.interp(z, slices, _smooth(v)) for v in (inner, outer, top))
    end = (1 - np.abs(round_off * 0.998) ** 5) ** 0.45
    width = (0.5 * (right - left) + 0.006) * end
    height = (high - floor + 0.006 + _SOLE) * np.maximum(end, 0.12) ** 0.5
    outline = superellipse(1.0, 1.0, exponent=2.7, count=28)
    rings = np.empty((_STATIONS, len(outline), 3))
    # Broad at the sole, narrower above: the upper half of each slice leans in.
    lean = np.where(outline[:, 1] > 0, 1 - 0.18 * outline[:, 1], 1.0)
    rings[..., 0] = (0.5 * (left + right))[:, None] + width[:, None] * outline[:, 0] * lean
    rings[..., 1] = floor - _SOLE + height[:, None] * (0.5 + 0.5 * outline[:, 1])
    rings[..., 2] = z[:, None]
    part = loft(rings)
    return part.vertices, part.faces


def _smooth(values: np.ndarray) -> np.ndarray:
    padded = np.concatenate([values[:1], values, values[-1:]])
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4

"""Sun, sky, shadows and ambient occlusion of a synthetic scene."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from chorus.rendering.raycast import RayScene, unit

# How far shadow rays start above their surface, metres: over float32 rounding, under a sole.
LIFT = 0.004
_FLOOR_TEXELS = 160


@dataclass(frozen=True)
class Light:
    """Light of a scene, linear RGB. `toward_sun` (3,) unit; `sun`, `sky`, `bounce` (3,): light on a
    surface facing the sun, facing up, facing down. softness: radius of the sun's disc, radians."""

    toward_sun: np.ndarray
    sun: np.ndarray
    sky: np.ndarray
    bounce: np.ndarray
    softness: float

    def ambient(self, up: np.ndarray) -> np.ndarray:
        """Light (..., 3) from the surroundings on surfaces whose normal has vertical part `up`."""
        share = (0.5 + 0.5 * up)[..., None].astype(np.float32)
        return self.bounce + (self.sky - self.bounce) * share


@lru_cache(maxsize=8)
def sphere_directions(count: int) -> np.ndarray:
    """Evenly spread unit vectors, (count, 3) float32, on a Fibonacci spiral."""
    index = np.arange(count) + 0.5
    height = 1 - 2 * index / count
    angle = index * np.pi * (1 + np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    points = np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], -1)
    return points.astype(np.float32)


def openness(rays: RayScene, points, normals, count: int = 40) -> np.ndarray:
    """Cosine-weighted share of the sky and surroundings each point sees: (P,) in 0..1.

    points, normals (P, 3), world frame, metres. `count` directions on the whole sphere, the
    same for all points, so that the result is smooth over a surface.
    """
    directions = sphere_directions(count)
    cosine = np.clip(normals @ directions.T, 0, None).astype(np.float32)
    point, direction = np.nonzero(cosine > 0.05)
    start = points + LIFT * normals
    blocked = rays.occluded(start[point], directions[direction])
    weight = cosine[point, direction]
    total = np.bincount(point, weight, len(points))
    free = np.bincount(point, weight * ~blocked, len(points))
    return (free / np.maximum(total, 1e-6)).astype(np.float32)


@dataclass(frozen=True)
class FloorLight:
    """Sun and sky visibility on a rectangle of the floor, 1 outside it.

    low (2,): x, z of the rectangle's corner; texel (2,): size of a cell in metres; visible
    (n, n, 2) float32, rows along z: sun, sky.
    """

    low: np.ndarray
    texel: np.ndarray
    visible: np.ndarray

    def at(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sun and sky visibility, 0..1, at positions x, z (H, W) of the floor: (H, W), (H, W)."""
        column = ((x - self.low[0]) / self.texel[0] - 0.5).astype(np.float32)
        row = ((z - self.low[1]) / self.texel[1] - 0.5).astype(np.float32)
        limit = 3.0 * _FLOOR_TEXELS
        visibility = cv2.remap(
            self.visible,
            np.clip(column, -limit, limit),
            np.clip(row, -limit, limit),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(1.0, 1.0, 1.0, 1.0),
        )
        return visibility[..., 0], visibility[..., 1]


def floor_light(rays: RayScene, light: Light) -> FloorLight:
    """Bake the shadow and contact shade that the scene's meshes cast on the floor y = 0."""
    points = np.concatenate([*rays.vertices, np.zeros((1, 3), np.float32)])
    points = points[points[:, 1] < 4.0]
    above = np.clip(points[:, 1:2], 0, None)
    cast = points[:, [0, 2]] - above * light.toward_sun[[0, 2]] / light.toward_sun[1]
    ground = np.concatenate([points[:, [0, 2]], cast])
    # Far shadows of a low sun are cut: beyond 6 m of the scene nobody looks for them.
    centre = points[:, [0, 2]].mean(0)
    low = np.clip(ground.min(0) - 0.6, centre - 6, centre + 6)
    high = np.clip(ground.max(0) + 0.6, centre - 6, centre + 6)
    texel = (high - low) / _FLOOR_TEXELS
    sun = _floor_sun(rays, light, low, texel)
    sky = _floor_sky(rays, low, texel)
    visible = np.stack([sun, sky], -1)
    visible[[0, -1]], visible[:, [0, -1]] = 1.0, 1.0
    return FloorLight(low, texel, np.ascontiguousarray(visible, np.float32))


def _floor_points(low, texel, step: int, shift=(0.5, 0.5)) -> np.ndarray:
    cells = np.arange(0, _FLOOR_TEXELS, step)
    x = low[0] + (cells + step * shift[0]) * texel[0]
    z = low[1] + (cells + step * shift[1]) * texel[1]
    x, z = np.meshgrid(x, z)
    return np.stack([x, np.full_like(x, 0.001), z], -1).reshape(-1, 3).astype(np.float32)


def _floor_sun(rays, light, low, texel) -> np.ndarray:
    side = unit(np.cross(light.toward_sun, [0.0, 0.0, 1.0]))
    other = np.cross(light.toward_sun, side)
    total = np.zeros((_FLOOR_TEXELS, _FLOOR_TEXELS), np.float32)
    spots = [(-0.6, -0.25), (0.25, -0.6), (0.6, 0.25), (-0.25, 0.6)]
    for a, b in spots:
        direction = unit(light.toward_sun + light.softness * (a * side + b * other))
        points = _floor_points(low, texel, 1, (0.5 + 0.4 * a, 0.5 + 0.4 * b))
        total += ~rays.occluded(points, direction).reshape(total.shape)
    blur = 0.8 + light.softness * 0.35 / float(texel.mean())
    return cv2.GaussianBlur(total / len(spots), (0, 0), blur, borderType=cv2.BORDER_REPLICATE)


def _floor_sky(rays, low, texel) -> np.ndarray:
    points = _floor_points(low, texel, 4)
    normals = np.broadcast_to(np.float32([0, 1, 0]), points.shape)
    side = _FLOOR_TEXELS // 4
    coarse = openness(rays, points, normals, count=48).reshape(side, side)
    coarse = cv2.GaussianBlur(coarse, (0, 0), 0.8, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(coarse, (_FLOOR_TEXELS, _FLOOR_TEXELS), interpolation=cv2.INTER_LINEAR)

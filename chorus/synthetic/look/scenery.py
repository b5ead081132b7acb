"""Settings of the synthetic world and how their surroundings are painted.

A setting is data: floor, horizon, sky, light, and what people wear there. The world's floor, or
the water's surface, is the plane y = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chorus.rendering.raycast import unit
from chorus.synthetic.look import backdrops, grounds
from chorus.synthetic.look.colours import linear, mix, smoothstep
from chorus.synthetic.look.lighting import FloorLight, Light
from chorus.synthetic.look.textures import look_up, noise, waves


@dataclass(frozen=True)
class Setting:
    """One kind of place.

    ground: albedo of the floor (see grounds.py), None for open water.
    layers: silhouettes at the horizon, far to near (backdrops.LAYERS).
    skies: (zenith, horizon) colours to choose from.
    elevation: range of the sun's height, degrees. sun, sky: strength of the two lights.
    softness: radius of the sun's disc, radians. shore: water begins some metres away.
    indoors: walls and a ceiling instead of sky; `studio`: seamless paper all around.
    wardrobe: outfits that fit (appearance.OUTFITS).
    """

    ground: Callable | None
    wardrobe: tuple[str, ...]
    layers: tuple[str, ...] = ()
    skies: tuple[tuple[str, str], ...] = (("#4f8fd0", "#cfe3f1"), ("#5b9bd5", "#e3ecf0"))
    elevation: tuple[float, float] = (34.0, 58.0)
    sun: float = 0.92
    sky: float = 0.46
    softness: float = 0.03
    shore: bool = False
    indoors: bool = False
    studio: bool = False


_SEASIDE = (("#3f8bd0", "#cde6f3"), ("#58a3d8", "#f2e6d2"), ("#4a86c5", "#f6d9c0"))
_GYM = (("#e9edf2", "#d6dbe2"), ("#f0ebe4", "#ddd6cc"))

SETTINGS: dict[str, Setting] = {
    "beach": Setting(grounds.sand, ("swim", "wetsuit", "summer"), ("hills",), _SEASIDE, shore=True),
    "sea": Setting(None, ("swim", "wetsuit"), (), _SEASIDE),
    "street": Setting(grounds.asphalt, ("casual", "summer"), ("city", "city")),
    "park": Setting(grounds.grass, ("casual", "summer", "sport"), ("hills", "trees")),
    "court": Setting(grounds.court, ("sport",), ("trees", "fence")),
    "room": Setting(
        grounds.wood, ("casual", "home"), skies=_GYM, elevation=(42.0, 62.0), sun=0.62, sky=0.6,
        softness=0.14, indoors=True,
    ),
    "studio": Setting(
        grounds.paper, ("casual", "summer", "sport"), skies=_GYM, elevation=(40.0, 60.0), sun=0.62,
        sky=0.58, softness=0.14, studio=True,
    ),
    "plaza": Setting(grounds.plaza, ("casual", "summer", "sport"), ("city", "trees")),
    "trail": Setting(grounds.dirt, ("casual", "sport"), ("mountains", "hills", "trees")),
    "snow": Setting(
        grounds.snow, ("winter",), ("mountains", "mountains"), elevation=(24.0, 42.0), sun=0.85,
        sky=0.42,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Surroundings:
    """The picture without people and objects.

    colour (H, W, 3) linear light; floor_depth (H, W) float32: camera z of the floor, inf where
    there is none; water (H, W) float32: share of water in the pixel.
    """

    colour: np.ndarray
    floor_depth: np.ndarray
    water: np.ndarray


@dataclass(frozen=True)
class View:
    """Rays of a camera in the world: centre (3,), rays (H, W, 3) with camera z 1, unit (H, W, 3),
    focal length in pixels."""

    centre: np.ndarray
    rays: np.ndarray
    unit: np.ndarray
    focal: float


def make_light(setting: Setting, forward: np.ndarray, rng: np.random.Generator) -> Light:
    """Sun and sky for a picture taken in direction `forward` (3,): the sun stands behind or
    beside the photographer, as in most photographs."""
    turn = np.radians(rng.uniform(28, 78)) * rng.choice([-1, 1])
    bearing = np.arctan2(-forward[2], -forward[0]) + turn
    height = np.radians(rng.uniform(*setting.elevation))
    toward = np.array(
        [np.cos(height) * np.cos(bearing), np.sin(height), np.cos(height) * np.sin(bearing)]
    )
    warm = np.float32([1.0, 0.93, 0.82]) if not (setting.indoors or setting.studio) else 1.0
    cool = np.float32([0.84, 0.94, 1.1]) if not (setting.indoors or setting.studio) else 1.0
    bounce = np.float32([0.62, 0.56, 0.48]) * setting.sky
    return Light(
        toward_sun=toward,
        sun=np.float32([1, 1, 1]) * warm * np.float32(setting.sun),
        sky=np.float32([1, 1, 1]) * cool * np.float32(setting.sky),
        bounce=bounce.astype(np.float32),
        softness=setting.softness,
    )


def paint(setting: Setting, view: View, light: Light, floor: FloorLight, seed: int) -> Surroundings:
    """The surroundings of a picture, with the shadows of `floor` on the ground."""
    rng = np.random.default_rng([seed, 11])
    skies = [tuple(linear(code) for code in pair) for pair in setting.skies]
    colours = skies[int(rng.integers(len(skies)))]
    cloudiness, shift = rng.uniform(0.2, 0.75), rng.uniform(0, 40)
    height, width = view.unit.shape[:2]
    depth = np.full((height, width), np.inf, np.float32)
    water = np.zeros((height, width), np.float32)
    under = view.centre[1] <= 0.01
    down = view.rays[..., 1] < -1e-5
    if setting.studio:
        return _studio(setting, view, light, floor, seed)
    if setting.indoors:
        colour, walls = _room(view, light, rng)
    elif under and setting.ground is None:
        colour = backdrops.depths(view.unit, np.float32(1.0))
    else:
        colour = np.zeros((height, width, 3), np.float32)
        above = np.flatnonzero(under | ~down.all(1))
        if len(above):
            part = slice(above[0], above[-1] + 1)
            colour[part] = backdrops.sky(view.unit[part], colours, light, cloudiness, shift)
            layers = setting.layers
            backdrops.silhouettes(colour[part], view.unit[part], layers, colours[1], light, rng)
    if under or not down.any():
        return Surroundings(colour, depth, water)
    rows = np.flatnonzero(down.any(1))
    part = slice(rows[0], rows[-1] + 1)
    ground, wet, reach = _floor(setting, view, part, colours, light, floor, seed)
    seen = down[part]
    if setting.indoors:
        seen = seen & (reach < walls[part])
    colour[part][seen] = ground[seen]
    depth[part] = np.where(seen, reach, np.float32(np.inf))
    water[part] = np.where(seen, wet, np.float32(0))
    return Surroundings(colour, depth, water)


def _floor(setting, view, part, colours, light, floor, seed):
    """Lit colour (h, W, 3), share of water (h, W) and camera z (h, W) of the floor in rows."""
    rays, directions = view.rays[part], view.unit[part]
    fall = np.minimum(rays[..., 1], np.float32(-1e-5))
    reach = np.minimum(np.float32(-view.centre[1]) / fall, np.float32(3000))
    x = view.centre[0] + reach * rays[..., 0]
    z = view.centre[2] + reach * rays[..., 2]
    slant = np.minimum(-directions[..., 1], 1).clip(0.02)
    footprint = np.minimum(reach / view.focal / slant**0.5, 50).astype(np.float32)
    sun, sky = floor.at(x, z)
    wet, damp = np.zeros(x.shape, np.float32), np.zeros(x.shape, np.float32)
    if setting.ground is None:
        wet[:] = 1
    elif setting.shore:
        wet, damp = _shore(view, x, z, footprint, seed)
    lit = np.zeros((*x.shape, 3), np.float32)
    if setting.ground is not None:
        albedo = setting.ground(x, z, footprint, np.random.default_rng([seed, 12]))
        direct = light.sun * np.float32(light.toward_sun[1])
        lit = albedo * (direct * sun[..., None] + light.sky * (0.35 + 0.65 * sky)[..., None])
        lit = lit * (1 - 0.4 * damp)[..., None]
    if wet.any():
        sea = _water(x, z, footprint, directions, colours, light, sun, sky)
        lit = mix(lit, sea, np.clip(wet, 0, 1))
    if not setting.indoors:
        haze = 0.45 * (1 - np.exp(-reach / np.float32(150.0)))
        lit = mix(lit, colours[1], haze)
    return lit.astype(np.float32), wet, reach


def _shore(view, x, z, footprint, seed):
    """Share of water and dampness of the sand, (h, W) each; the sea lies roughly where the camera
    looks, some metres away."""
    rng = np.random.default_rng([seed, 13])
    forward = view.rays[view.rays.shape[0] // 2, view.rays.shape[1] // 2]
    bearing = np.arctan2(forward[2], forward[0]) + rng.normal(0, 0.6)
    along = x * np.cos(bearing) + z * np.sin(bearing)
    across = -x * np.sin(bearing) + z * np.cos(bearing)
    swash = look_up(noise(2.0), across, 0.15 * along, 30.0)[..., 0]
    soft = np.maximum(footprint * 0.7, 0.25)
    beyond = (along - rng.uniform(5.5, 11.0) - 0.8 * swash).astype(np.float32)
    return np.clip(beyond / soft, 0, 1), smoothstep(-1.3, -0.2, beyond)


def _water(x, z, footprint, directions, colours, light, sun, sky):
    """Colour (h, W, 3) of sea water: depth colour, mirrored sky, sun glints, foam at contacts."""
    ripple = look_up(waves(), x, z, 4.5)
    swell = look_up(waves(), x, z, 21.0)
    fine, broad = 1 / (1 + (footprint / 0.03) ** 2), 1 / (1 + (footprint / 0.15) ** 2)
    slope = 0.045 * fine[..., None] * ripple[..., :2] + 0.065 * broad[..., None] * swell[..., :2]
    normals = np.stack([-slope[..., 0], np.ones_like(x), -slope[..., 1]], -1).astype(np.float32)
    normals = unit(normals).astype(np.float32)
    facing = np.clip(-np.sum(directions * normals, -1), 0, 1)
    fresnel = 0.03 + 0.62 * (1 - facing) ** 4
    mirror = backdrops.reflected(directions, normals)
    above = backdrops.sky(mirror, colours, light)
    crest = np.clip(0.5 + 0.22 * (ripple[..., 2] * fine + swell[..., 2] * broad), 0, 1)
    body = mix(linear("#0d5a78"), linear("#2fa3b0"), crest) * np.float32(0.95)
    body = body * (0.62 + 0.38 * sun * sky)[..., None]
    colour = mix(body, above, fresnel)
    glint = np.clip(mirror @ light.toward_sun.astype(np.float32), 0, 1)
    for _ in range(7):
        glint *= glint
    colour = colour + (glint * sun * 1.6)[..., None] * light.sun
    # Close under a hull little sky is mirrored; a little foam marks where it meets the water.
    touch = smoothstep(0.55, 0.1, sky + 0.22 * ripple[..., 2])
    colour = colour * (0.55 + 0.45 * smoothstep(0.0, 0.6, sky))[..., None]
    return mix(colour, np.float32([0.8, 0.88, 0.9]), 0.3 * touch)


def _studio(setting, view, light, floor, seed) -> Surroundings:
    height, width = view.unit.shape[:2]
    base = np.asarray(
        setting.ground(np.zeros((1, 1)), None, None, np.random.default_rng([seed, 12]))
    )
    middle = np.hypot(*(np.indices((height, width)) / [[[height]], [[width]]] - 0.45)).astype(
        np.float32
    )
    wall = base * (1.06 - 0.5 * middle**1.6)[..., None] * np.float32(0.92)
    depth = np.full((height, width), np.inf, np.float32)
    water = np.zeros((height, width), np.float32)
    down = view.rays[..., 1] < -1e-5
    if view.centre[1] > 0.01 and down.any():
        reach = np.where(down, -view.centre[1] / np.minimum(view.rays[..., 1], -1e-5), 1e4)
        reach = np.minimum(reach, 1e4).astype(np.float32)
        x = view.centre[0] + reach * view.rays[..., 0]
        z = view.centre[2] + reach * view.rays[..., 2]
        sun, sky = floor.at(x, z)
        shade = (0.62 + 0.38 * sun) * (0.45 + 0.55 * sky)
        wall = wall * np.where(down, shade, 1)[..., None]
        depth = np.where(down, reach, np.float32(np.inf))
    return Surroundings(wall.astype(np.float32), depth, water)


def _room(view, light, rng) -> tuple[np.ndarray, np.ndarray]:
    """Walls and ceiling (H, W, 3) of a room that holds the camera, and their depth (H, W)."""
    centre, rays = view.centre.astype(np.float32), view.rays
    half = np.maximum([3.4, 3.4], np.abs(centre[[0, 2]]) + 0.8).astype(np.float32)
    top = np.float32(max(2.7, centre[1] + 0.4))
    away = np.where(np.abs(rays) < 1e-6, np.float32(1e-6), rays)
    leave_x = (np.sign(away[..., 0]) * half[0] - centre[0]) / away[..., 0]
    leave_z = (np.sign(away[..., 2]) * half[1] - centre[2]) / away[..., 2]
    leave_y = np.where(away[..., 1] > 0, (top - centre[1]) / away[..., 1], np.float32(1e6))
    reach = np.minimum(np.minimum(leave_x, leave_z), leave_y)
    point = centre + reach[..., None] * rays
    on_x = (leave_x <= leave_z) & (leave_x <= leave_y)
    ceiling = (leave_y < leave_x) & (leave_y < leave_z)
    paints = ["#d9d2c5", "#c9d3d6", "#d7c4b4", "#c4cdbd", "#cfc7d2", "#e0dcd3"]
    wall = linear(paints[int(rng.integers(len(paints)))])
    along = np.where(on_x, point[..., 2], point[..., 0])
    span = np.where(on_x, half[1], half[0])
    level = point[..., 1]
    shade = 0.72 + 0.1 * np.where(on_x, 1, 0) + 0.08 * level / top
    corner = np.minimum(span - np.abs(along), top - level)
    shade = (
        shade
        * (0.82 + 0.18 * smoothstep(0, 0.7, corner))
        * (0.85 + 0.15 * smoothstep(0.0, 0.8, level))
    )
    colour = wall * shade[..., None].astype(np.float32)
    colour = mix(colour, linear("#efece6") * 0.85, (level < 0.11) & ~ceiling)
    colour = _hang(colour, along, level, span, ~ceiling, rng)
    flat = linear("#f2f0ec") * np.float32(0.8)
    return np.where(ceiling[..., None], flat, colour).astype(np.float32), reach


def _hang(colour, along, level, span, wall, rng) -> np.ndarray:
    """Pictures and a window on the walls."""
    place = rng.uniform(-1.9, 0.4) + np.zeros_like(span)
    for width, low, high, inner in [
        (0.62, 1.0, 2.15, "#cfe4f3"),
        (0.36, 1.25, 1.9, "#c97b4a"),
        (0.28, 1.35, 1.8, "#48707d"),
    ]:
        inside = wall & (np.abs(along - place) < width) & (level > low) & (level < high)
        frame = inside & (
            (np.abs(along - place) > width - 0.05) | (level < low + 0.05) | (level > high - 0.05)
        )
        tone = linear(inner) * (0.75 + 0.35 * (level - low) / (high - low))[..., None]
        colour = np.where(inside[..., None], tone, colour)
        colour = np.where(frame[..., None], linear("#f0ede6") * np.float32(0.85), colour)
        place = place + rng.uniform(1.2, 1.5)
    return colour

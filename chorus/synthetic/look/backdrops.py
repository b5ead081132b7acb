"""Everything behind the floor: sky, clouds, and silhouettes at the horizon, by ray direction."""

from __future__ import annotations

import numpy as np

from chorus.rendering.raycast import unit
from chorus.synthetic.look.colours import linear, mix, pick, smoothstep
from chorus.synthetic.look.lighting import Light
from chorus.synthetic.look.textures import look_up, noise

_TABLE = 8192


def sky(directions: np.ndarray, colours, light: Light, cloudiness: float = 0.0, shift=0.0):
    """Sky colour for unit directions (H, W, 3): gradient, glow around the sun, clouds.

    colours: (zenith, horizon) linear RGB. cloudiness 0..1. shift moves the clouds.
    """
    zenith, horizon = colours
    up = np.clip(directions[..., 1], 0, 1)
    colour = mix(np.asarray(horizon), np.asarray(zenith), np.sqrt(up))
    toward = np.clip(directions @ light.toward_sun.astype(np.float32), 0, 1)
    wide = toward * toward * toward
    wide *= wide
    tight = wide * wide * wide
    glow = 0.22 * wide + 0.5 * tight * tight * tight
    colour += glow[..., None] * np.float32([1.0, 0.85, 0.62])
    if cloudiness > 0:
        flat = 1 / (directions[..., 1].clip(0.03) + 0.1)
        x, z = directions[..., 0] * flat + shift, directions[..., 2] * flat + 2 * shift
        field = look_up(noise(1.9, 0.6), x, z, 14.0)
        body = field[..., 0] + 0.25 * look_up(noise(1.3), x, z, 3.0)[..., 1]
        cover = smoothstep(1.3 - 2.0 * cloudiness, 2.6 - 2.0 * cloudiness, body)
        cover = cover * smoothstep(0.02, 0.2, directions[..., 1])
        shade = 1.02 - 0.12 * np.clip(field[..., 2], -1, 1)
        colour = mix(colour, shade[..., None] * np.float32([1, 0.99, 0.98]), 0.8 * cover)
    return colour.astype(np.float32)


def silhouettes(colour, directions, layers, horizon, light: Light, rng) -> np.ndarray:
    """Draw layers (names of LAYERS, far to near) over the sky colour (H, W, 3), in place."""
    flat = np.hypot(directions[..., 0], directions[..., 2])
    rise = directions[..., 1] / np.maximum(flat, 1e-6)
    band = (rise > -0.01) & (rise < 0.75)
    if not layers or not band.any():
        return colour
    bearing = np.arctan2(directions[..., 2][band], directions[..., 0][band])
    place = ((bearing / (2 * np.pi)) % 1.0).astype(np.float32)
    level = rise[band]
    piece = colour[band]
    for number, layer in enumerate(layers):
        near = (number + 1) / len(layers)
        piece = LAYERS[layer](piece, place, level, horizon, light, near, rng)
    colour[band] = piece
    return colour


def _outline(rng, rough: float, waves: int, first: int = 2) -> np.ndarray:
    """A periodic random outline over the full circle: (_TABLE,), mean 0, deviation 1."""
    number = np.arange(first, waves)
    coefficient = np.zeros(_TABLE // 2 + 1, complex)
    phase = rng.uniform(0, 2 * np.pi, len(number))
    coefficient[number] = number ** -float(rough) * np.exp(1j * phase)
    line = np.fft.irfft(coefficient, _TABLE)
    return line / line.std()


def _height(table: np.ndarray, place: np.ndarray) -> np.ndarray:
    position = place * _TABLE
    index = position.astype(np.int64)
    share = (position - index).astype(np.float32)
    table = table.astype(np.float32)
    return table[index % _TABLE] * (1 - share) + table[(index + 1) % _TABLE] * share


def _cover(level, height, soft: float = 0.003) -> np.ndarray:
    return smoothstep(soft, -soft, level - height)


def _hills(piece, place, level, horizon, light, near, rng):
    table = 0.04 + 0.035 * near + 0.022 * _outline(rng, 1.6, 60)
    green = pick(["#5d7a4c", "#6b8350", "#4f7058"], rng) * 0.8
    colour = mix(np.asarray(horizon), green, 0.35 + 0.4 * near)
    return mix(piece, colour, _cover(level, _height(table, place)))


def _trees(piece, place, level, horizon, light, near, rng):
    table = 0.09 + 0.06 * near + 0.02 * _outline(rng, 1.1, 40)
    table = table + 0.022 * np.abs(_outline(rng, 0.4, 420, 60))
    height = _height(table, place)
    leaf = look_up(noise(1.15), place * 60, level * 10, 1.6)[:, 0]
    green = pick(["#4c6b35", "#587a3b", "#3f6240"], rng) * 0.75
    lit = np.clip(0.75 + 0.28 * leaf + 0.5 * (level / np.maximum(height, 0.02) - 0.5), 0.25, 1.6)
    colour = mix(np.asarray(horizon), green * lit[:, None], 0.55 + 0.4 * near)
    return mix(piece, colour, _cover(level, height, 0.006))


def _mountains(piece, place, level, horizon, light, near, rng):
    """Peaks: rock with snow above, lit from one side as the relief of a noise."""
    ridge = 1 - np.abs(_outline(rng, 1.5, 260, 4)).clip(0, 1.6)
    table = 0.05 + (0.09 + 0.06 * near) * (0.75 + 0.25 * _outline(rng, 1.5, 24) + 0.5 * ridge)
    height = _height(table.clip(0.03), place)
    # The bearing runs over a full turn, so equal steps on the mountain are 2 pi apart.
    x, y = place * (2 * np.pi * 6), level * 6 + 3 * near
    relief = look_up(noise(1.6), x, y, 5.0)[:, 0]
    lit = np.tanh(6 * (relief - look_up(noise(1.6), x + 0.05, y - 0.03, 5.0)[:, 0]))
    snowy = smoothstep(0.3, 0.45, level / height + 0.12 * relief + 0.1 * lit)
    rock = mix(linear("#65707f"), linear("#f0f4fa"), snowy) * (0.88 + 0.13 * lit)[:, None]
    colour = mix(np.asarray(horizon), rock, 0.35 + 0.45 * near)
    return mix(piece, colour, _cover(level, height, 0.002))


def _city(piece, place, level, horizon, light, near, rng):
    count = 46
    edges = np.sort(rng.uniform(0, 1, count))
    tall = rng.uniform(0.1, 0.5, count) * (0.6 + 0.6 * near)
    walls = np.stack(
        [pick(["#b9a893", "#9aa3ad", "#c5b7a6", "#a4816b", "#d2c8ba"], rng) for _ in edges]
    )
    index = np.searchsorted(edges, place, side="right") - 1
    height = tall[index]
    across = (place - edges[index]) % 1.0
    wall = walls[index] * (0.62 + 0.3 * rng.uniform(0, 1, count)[index])[:, None]
    column, row = (across * 210) % 1, (level * 26) % 1
    pane = smoothstep(0.2, 0.27, column) * smoothstep(0.82, 0.75, column)
    pane = pane * smoothstep(0.25, 0.33, row) * smoothstep(0.85, 0.77, row)
    pane = pane * (level < height - 0.015) * (level > 0.03)
    glass = mix(linear("#4e5f70"), np.asarray(horizon) * 0.9, np.clip(level * 2.2, 0, 1))
    colour = mix(wall, glass, 0.75 * pane)
    colour = mix(np.asarray(horizon), colour, 0.5 + 0.4 * near)
    return mix(piece, colour, _cover(level, height, 0.002))


def _fence(piece, place, level, horizon, light, near, rng):
    height = 0.17
    post = np.abs((place * 70) % 1 - 0.5) > 0.485
    rail = np.abs(level - height + 0.006) < 0.006
    green = linear("#33543f")
    cover = np.where(post | rail, 0.95, 0.6) * _cover(level, np.float32(height), 0.002)
    return mix(piece, green * np.where(post | rail, 0.6, 1.0)[:, None], cover)


LAYERS = {
    "hills": _hills,
    "trees": _trees,
    "mountains": _mountains,
    "city": _city,
    "fence": _fence,
}


def depths(directions: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """Under water: light from above fading to a deep blue, for unit directions (H, W, 3)."""
    up = directions[..., 1]
    colour = mix(linear("#0b3f5c"), linear("#5fb6c4"), np.clip(0.45 + 0.6 * up, 0, 1) ** 1.5)
    return (colour * bright).astype(np.float32)


def reflected(directions: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Mirror directions (..., 3) about unit normals (..., 3), kept above the horizon."""
    mirror = directions - 2 * np.sum(directions * normals, -1, keepdims=True) * normals
    mirror[..., 1] = np.abs(mirror[..., 1]) + 0.02
    return unit(mirror)

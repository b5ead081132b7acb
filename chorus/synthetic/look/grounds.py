"""What the floor of each setting looks like: albedo at positions of the plane y = 0.

Every ground is a function (x, z, footprint, rng) -> albedo (H, W, 3) linear RGB, where x, z
(H, W) are metres on the plane and footprint (H, W) is a pixel's size there: detail finer than a
pixel fades instead of flickering.
"""

from __future__ import annotations

import numpy as np

from chorus.synthetic.look.colours import linear, mix, pick
from chorus.synthetic.look.textures import look_up, noise


def _fade(footprint: np.ndarray, grain: float) -> np.ndarray:
    return 1 / (1 + (footprint / grain) ** 2)


def _line(distance: np.ndarray, half_width: float, footprint: np.ndarray) -> np.ndarray:
    """Coverage of a pixel by a painted line, 0..1, from the distance to the line's middle."""
    soft = np.maximum(1.7 * footprint, 0.002)
    return np.clip((half_width - np.abs(distance)) / soft + 0.5, 0, 1) * np.clip(
        2 * half_width / soft, 0, 1
    )


def _grain(x, z, footprint, coarse: float, fine: float) -> tuple[np.ndarray, np.ndarray]:
    """Noise at a coarse and a fine period (metres), both faded by distance: (H, W), (H, W)."""
    low = look_up(noise(1.3), x, z, coarse)[..., 0] * _fade(footprint, coarse / 12)
    high = look_up(noise(0.7), x, z, fine)[..., 1] * _fade(footprint, fine / 130)
    return low, high


def _tinted(colour, amount) -> np.ndarray:
    return np.asarray(colour) * np.clip(1 + amount, 0.2, 2.0)[..., None].astype(np.float32)


def sand(x, z, footprint, rng) -> np.ndarray:
    """Pale sand with shallow ripples."""
    low, high = _grain(x, z, footprint, 5.0, 1.1)
    turn = rng.uniform(0, np.pi)
    across = x * np.cos(turn) + z * np.sin(turn)
    ripple = np.sin(across * 34 + 4.0 * low) * _fade(footprint, 0.05)
    return _tinted(
        pick(["#cdb78d", "#c4ae83", "#d3c09a"], rng), 0.07 * low + 0.05 * high + 0.03 * ripple
    )


def grass(x, z, footprint, rng) -> np.ndarray:
    """A mown lawn."""
    low, high = _grain(x, z, footprint, 6.0, 0.7)
    turn = rng.uniform(0, np.pi)
    across = x * np.cos(turn) + z * np.sin(turn)
    mown = np.tanh(4 * np.sin(across * 2 * np.pi / 2.4)) * _fade(footprint, 0.4)
    base = mix(linear("#5d8246"), linear("#83995a"), np.clip(0.45 + 0.25 * low, 0, 1))
    return base * np.clip(1 + 0.2 * high + 0.06 * mown, 0.3, 2)[..., None].astype(np.float32)


def asphalt(x, z, footprint, rng) -> np.ndarray:
    """A street along x or z: asphalt, lane marks, kerbs and pavements."""
    if rng.random() < 0.5:
        x, z = z, x
    low, high = _grain(x, z, footprint, 4.0, 0.5)
    road = _tinted(pick(["#5b5d63", "#66676b", "#54575e"], rng), 0.06 * low + 0.1 * high)
    offset = z - rng.uniform(1.0, 2.2)
    dashes = _line((x % 5.0) - 2.5, 1.1, footprint)
    road = mix(road, linear("#dcdad2"), 0.85 * dashes * _line(offset, 0.06, footprint))
    edge = np.abs(offset) - 3.6
    walk = _tinted(linear("#a9a49b"), 0.04 * low + 0.05 * high)
    joint = _line((x % 1.2) - 0.6, 0.006, footprint) + _line((z % 1.2) - 0.6, 0.006, footprint)
    walk = walk * (1 - 0.3 * np.clip(joint, 0, 1))[..., None]
    share = np.clip(edge / np.maximum(footprint, 0.01) + 0.5, 0, 1)
    kerb = _line(edge - 0.07, 0.07, footprint)
    return mix(mix(road, walk, share), linear("#c4c0b6"), kerb)


def plaza(x, z, footprint, rng) -> np.ndarray:
    """Smooth concrete slabs."""
    low, high = _grain(x, z, footprint, 5.0, 0.8)
    base = _tinted(pick(["#b9b4aa", "#a8a9a8", "#c2b9aa"], rng), 0.05 * low + 0.05 * high)
    pitch = rng.uniform(1.6, 2.4)
    joint = _line((x % pitch) - pitch / 2, 0.008, footprint)
    joint = np.maximum(joint, _line((z % pitch) - pitch / 2, 0.008, footprint))
    return base * (1 - 0.35 * joint)[..., None]


def court(x, z, footprint, rng) -> np.ndarray:
    """A tennis court; the lines have the sport's true distances, the world origin is in play."""
    if rng.random() < 0.5:
        x, z = z, x
    low, high = _grain(x, z, footprint, 6.0, 0.6)
    inner, outer = [("#3f6fa8", "#4d8a5b"), ("#4a7a52", "#9a5a41"), ("#b5653f", "#b5653f")][
        int(rng.integers(3))
    ]
    # Half a court: baseline at 0, service line 5.485 m further, singles 8.23 m, doubles 10.97 m.
    along = z + rng.uniform(-0.8, 2.2)
    across = x + rng.uniform(-2.5, 2.5)
    soft = np.maximum(footprint, 0.01)
    inside = np.clip((5.485 - np.abs(across)) / soft + 0.5, 0, 1) * np.clip(
        along / soft + 0.5, 0, 1
    )
    base = mix(linear(outer), linear(inner), inside)
    base = base * np.clip(1 + 0.03 * low + 0.05 * high, 0, 2)[..., None].astype(np.float32)
    within = inside * np.clip((11.885 - along) / soft, 0, 1)
    lines = _line(along, 0.05, footprint) * (np.abs(across) < 5.5)
    for distance in (4.115, 5.46):
        lines = np.maximum(lines, _line(np.abs(across) - distance, 0.025, footprint) * (along > 0))
    singles = np.abs(across) < 4.115
    lines = np.maximum(lines, _line(along - 6.4, 0.025, footprint) * singles)
    lines = np.maximum(lines, _line(across, 0.025, footprint) * (along > 6.4))
    return mix(base, linear("#eeeeea"), 0.92 * lines * np.maximum(within, along > -0.1))


def wood(x, z, footprint, rng) -> np.ndarray:
    """A plank floor."""
    if rng.random() < 0.5:
        x, z = z, x
    plank, long = 0.16, 1.9
    row = np.floor(z / plank)
    shift = np.modf(np.abs(np.sin(row * 12.9898)) * 43758.5453)[0]
    place = x / long + shift
    tint = np.modf(np.abs(np.sin(row * 78.233 + np.floor(place) * 37.719)) * 43758.5453)[0] - 0.5
    fibre = look_up(noise(1.0, 6.0), x, z + 0.37 * row, 1.5)[..., 0] * _fade(footprint, 0.02)
    base = pick(["#b98d5f", "#a9794b", "#c9a578", "#8f6a48"], rng)
    floor = _tinted(base, 0.22 * tint * _fade(footprint, 0.2) + 0.05 * fibre)
    gap = _line((z % plank) - plank / 2, 0.0022, footprint)
    gap = np.maximum(gap, _line(((place % 1) - 0.5) * long, 0.0022, footprint))
    return floor * (1 - 0.55 * gap)[..., None]


def paper(x, z, footprint, rng) -> np.ndarray:
    """Seamless studio paper: the colour alone."""
    base = pick(["#d9dde2", "#e6dfd5", "#c9d6df", "#dcd3e0", "#cfdccf", "#e8d2c5"], rng)
    return np.broadcast_to(base, (*x.shape, 3))


def snow(x, z, footprint, rng) -> np.ndarray:
    """Packed snow with faint tracks."""
    low, high = _grain(x, z, footprint, 9.0, 1.3)
    turn = rng.uniform(0, np.pi)
    across = x * np.cos(turn) + z * np.sin(turn)
    tracks = np.sin(across * 40) * np.clip(low, 0, 1) * _fade(footprint, 0.04)
    return _tinted(linear("#eef3fb"), 0.03 * low + 0.02 * high + 0.02 * tracks)


def dirt(x, z, footprint, rng) -> np.ndarray:
    """Trodden earth."""
    low, high = _grain(x, z, footprint, 5.0, 0.9)
    return _tinted(pick(["#a27f5a", "#937252", "#b08a63"], rng), 0.1 * low + 0.1 * high)

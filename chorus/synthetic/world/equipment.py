"""Builders of the objects that primitives cannot show: boards, backpack, racket.

Each function returns watertight parts in metres; the frames are those of objects.KINDS.
Sizes are those of ordinary products (a shortboard is 1.9 m, a longboard 2.7 m; a racket at most
0.737 m by the rules of tennis; a street deck 0.8 x 0.2 m).
"""

from __future__ import annotations

import numpy as np

from chorus.synthetic.world.shapes import (
    Part,
    box,
    curve,
    cylinder,
    loft,
    superellipse,
    sweep,
    tube,
)


def surfboard(
    length: float = 2.2,
    width: float = 0.52,
    thickness: float = 0.07,
    nose: float = 0.55,
    rocker: float = 0.08,
) -> list[Part]:
    """A surfboard with three fins.

    length, width, thickness: overall, metres. nose in 0..1: how pointed it is. rocker: how far
    the nose rises above the middle, metres (the tail rises a third of it).
    """
    # Stations crowd toward the ends, where the outline turns fastest.
    s = np.sin(np.linspace(-0.5, 0.5, 64) * np.pi * 0.996)
    front = np.clip(s, 0, 1)
    back = np.clip(-s, 0, 1)
    taper_front = (1 - front ** (2.6 - nose)) ** (0.55 + 0.3 * nose)
    taper_back = 1 - back**2.4 * (1 - 0.42 * np.sqrt(np.clip(1 - back**10, 0, 1)))
    half_width = 0.5 * width * np.where(s > 0, taper_front, taper_back)
    half_height = 0.5 * thickness * np.clip(1 - 0.55 * np.abs(s) ** 3.0, 0, 1)
    half_height = np.minimum(half_height, 0.75 * half_width + 0.003)
    rise = np.where(s > 0, rocker * front**2.4, rocker / 3 * back**2.6)
    flat = superellipse(1.0, 1.0, exponent=2.5, count=36)
    rings = np.empty((len(s), len(flat), 3))
    rings[..., 0] = half_width[:, None] * flat[:, 0]
    # A flatter bottom and a softly crowned deck: the two halves share the rail line.
    belly = np.where(flat[:, 1] < 0, 0.9, 1.0) * flat[:, 1]
    rings[..., 1] = rise[:, None] + half_height[:, None] * (belly - 0.1 * flat[:, 0] ** 2)
    rings[..., 2] = 0.5 * length * s[:, None]
    rings[..., 1] -= 0.5 * thickness
    hull = loft(rings).named("hull")
    tail = -0.5 * length
    under = -thickness
    centre = _fin(0.0, under, tail + 0.11, cant=0.0)
    sides = [
        _fin(x, under, tail + 0.27, cant=5.0 * np.sign(x)) for x in (-0.3 * width, 0.3 * width)
    ]
    return [hull, centre, *sides]


def _fin(x: float, y: float, z: float, cant: float) -> Part:
    """A swept-back fin, its root at (x, y, z) reaching 2 cm into the board. cant in degrees."""
    height = np.linspace(-0.02, 0.11, 9)
    share = np.clip(height / 0.11, 0, 1)
    chord = 0.055 * np.sqrt(np.clip(1.02 - share**2.2, 0, 1))
    back = -0.05 * share**1.5
    foil = superellipse(1.0, 1.0, count=16)
    rings = np.empty((len(height), len(foil), 3))
    rings[..., 0] = 0.004 * foil[:, 0] * (0.35 + chord[:, None] / 0.055)
    rings[..., 1] = -height[:, None]
    rings[..., 2] = back[:, None] + chord[:, None] * foil[:, 1]
    return loft(rings).moved((x, y + 0.012, z), rotation=(0, 0, cant)).named("fin")


def skateboard(
    length: float = 0.8, width: float = 0.205, kick: float = 0.05, wheel_radius: float = 0.027
) -> list[Part]:
    """A street skateboard: concave deck with kicks, two trucks, four wheels.

    length, width: of the deck, metres. kick: how far nose and tail rise.
    """
    s = np.sin(np.linspace(-0.5, 0.5, 56) * np.pi * 0.995)
    z = 0.5 * length * s
    bend = np.clip((np.abs(z) - 0.29 * length) / (0.21 * length), 0, 1)
    rise = kick * bend**1.6
    end = np.clip((np.abs(z) - (0.5 * length - 0.5 * width)) / (0.5 * width), 0, 1)
    half_width = 0.5 * width * np.sqrt(np.clip(1 - end**2.2, 0, 1))
    rim = superellipse(1.0, 1.0, exponent=5, count=36)
    rings = np.empty((len(s), len(rim), 3))
    rings[..., 0] = np.maximum(half_width, 0.004)[:, None] * rim[:, 0]
    concave = 0.008 * (rim[:, 0] ** 2) * (half_width[:, None] / (0.5 * width)) ** 2
    rings[..., 1] = rise[:, None] + concave + 0.0055 * rim[:, 1] - 0.0055
    rings[..., 2] = z[:, None]
    parts = [loft(rings).named("deck")]
    axle = -0.011 - 0.05
    for z in (-0.27 * length, 0.27 * length):
        parts.append(box((0.055, 0.012, 0.08), 0.003).moved((0, -0.016, z)).named("truck"))
        hanger = [
            [-0.062, axle, z],
            [-0.03, axle, z],
            [0, axle + 0.012, z],
            [0.03, axle, z],
            [0.062, axle, z],
        ]
        section = superellipse(0.013, 0.013, count=16)
        parts.append(sweep(curve(hanger, 15), section, side=(0, 0, 1)).named("truck"))
        parts.append(tube((0, axle, z), (0, -0.015, z), 0.016, count=16).named("truck"))
        reach = 0.5 * width + 0.004
        parts.append(tube((-reach, axle, z), (reach, axle, z), 0.005, count=10).named("truck"))
        for x in (-1, 1):
            wheel = cylinder(wheel_radius, 0.034, rounding=0.007)
            at = (x * (0.5 * width - 0.017), axle, z)
            parts.append(wheel.moved(at, rotation=(0, 0, 90)).named("wheel"))
    return parts


def backpack(
    width: float = 0.3, height: float = 0.45, depth: float = 0.17, strap_reach: float = 0.27
) -> list[Part]:
    """A backpack with a front pocket, side pockets, a handle and two shoulder straps.

    width, height, depth: of the bag, metres. strap_reach: how far the straps come
    forward. They fit an average adult whose shoulders' tops lie 0.2 m above the origin.
    """
    level = np.linspace(-1, 1, 26)
    swell = (1 - np.abs(level) ** 4.0) ** 0.42 * 0.92 + 0.08
    # The bag leans: its top is shallower than its bottom, its back panel stays flat.
    thick = depth * swell * (1 - 0.13 * (level + 1) / 2)
    across = 0.5 * width * (0.3 + 0.7 * swell) * (1 - 0.08 * level)
    outline = superellipse(1.0, 1.0, exponent=3.2, count=36)
    rings = np.empty((len(level), len(outline), 3))
    rings[..., 0] = across[:, None] * outline[:, 0]
    rings[..., 1] = 0.5 * height * level[:, None]
    rings[..., 2] = -0.5 * thick[:, None] * (1 - outline[:, 1])
    parts = [loft(rings).named("bag")]
    pocket = box((0.74 * width, 0.42 * height, 0.09), 0.04)
    parts.append(
        pocket.moved((0, -0.2 * height, -depth * 0.97), rotation=(-3, 0, 0)).named("pocket")
    )
    for x in (-1, 1):
        side = box((0.06, 0.3 * height, 0.62 * depth), 0.028)
        parts.append(side.moved((x * 0.5 * width, -0.27 * height, -0.5 * depth)).named("pocket"))
        parts.append(_strap(x, width, height, strap_reach))
    handle = curve(
        [
            [-0.04, 0.48 * height, -0.02],
            [-0.03, 0.5 * height + 0.035, -0.02],
            [0.03, 0.5 * height + 0.035, -0.02],
            [0.04, 0.48 * height, -0.02],
        ],
        20,
    )
    parts.append(sweep(handle, superellipse(0.012, 0.005, 3, 12), side=(0, 0, 1)).named("strap"))
    return parts


def _strap(side: float, width: float, height: float, reach: float) -> Part:
    """A shoulder strap on side -1 or 1: up the back, over the shoulder, under the arm, back."""
    path = curve(
        [
            [side * 0.075, min(0.4 * height, 0.17), -0.012],
            [side * 0.09, 0.215, 0.025],
            [side * 0.1, 0.226, 0.075],
            [side * 0.105, 0.165, 0.68 * reach],
            [side * 0.105, 0.09, 0.9 * reach],
            [side * 0.11, 0.0, reach],
            [side * 0.122, -0.06, 0.99 * reach],
            [side * 0.155, -0.112, 0.84 * reach],
            [side * 0.19, -0.145, 0.5 * reach],
            [side * 0.195, -0.175, 0.18 * reach],
            [side * 0.42 * width, -0.42 * height, -0.02],
        ],
        52,
    )
    return sweep(path, superellipse(0.027, 0.006, 4, 16)).named("strap")


def tennis_racket(
    length: float = 0.685, head_width: float = 0.26, head_length: float = 0.34
) -> list[Part]:
    """A tennis racket: grip, open throat, head ring, and the string bed as one thin plate.

    The strings themselves are thinner than a pixel; the plate is what an annotator would outline,
    and the renderer lets the background show through its meshes.
    """
    grip, reach = 0.19, length - 0.095
    centre = reach - 0.5 * head_length
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    a, b = 0.5 * head_width - 0.006, 0.5 * head_length - 0.006
    narrow = 1 + 0.10 * np.sin(angle)  # egg-shaped: wider toward the tip
    ring = np.stack([a * np.cos(angle) * narrow, centre + b * np.sin(angle), 0 * angle], -1)
    beam = superellipse(0.011, 0.006, 3, 16)
    parts = [sweep(ring, beam, side=(0, 0, 1), closed=True).named("frame")]
    handle = [
        [0, -0.5 * grip - 0.005, 0],
        [0, -0.5 * grip, 0],
        [0, -0.5 * grip + 0.012, 0],
        [0, 0, 0],
        [0, 0.5 * grip - 0.004, 0],
        [0, 0.5 * grip, 0],
    ]
    octagon = superellipse(0.0165, 0.0145, 2.6, 16)
    flare = np.array([1.1, 1.16, 1.0, 1.0, 1.0, 0.9])
    parts.append(sweep(handle, octagon, taper=flare).named("grip"))
    for x in (-1, 1):
        yoke = [
            [0.006 * x, 0.5 * grip - 0.02, 0],
            [0.010 * x, 0.5 * grip + 0.05, 0],
            [0.045 * x, centre - b - 0.02, 0],
            [0.62 * a * x, centre - 0.72 * b, 0],
        ]
        parts.append(sweep(curve(yoke, 18), beam, side=(0, 0, 1)).named("frame"))
    flat = ring - [0, centre, 0]
    share, sheet = [0.35, 0.7, 1.0], [0.0, 0.0, 0.0012]
    rings = [flat * f - sheet for f in share] + [flat * f + sheet for f in share[::-1]]
    parts.append(loft(np.array(rings)).moved((0, centre, 0)).named("strings"))
    return parts

"""What people and objects look like: albedo and gloss at points of their surfaces.

People are dressed by position on the body at rest (T-pose), so hems and sleeves stay crisp at
any pose and resolution. Objects are painted by position in their own frame and by material.
All colours are linear RGB; looks are drawn from the `look_seed` of the person or object.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chorus.synthetic.colours import linear, mix, pick, smoothstep

_SKIN = ["#f3cdb0", "#eab794", "#d99e77", "#c1845c", "#9c6442", "#74472d", "#573424"]
_HAIR = ["#2a1d16", "#3f2a1d", "#5d3b22", "#8a5d33", "#c49a5e", "#1b1a1c", "#7e3b22", "#8c8884"]
_BRIGHT = ["#e4572e", "#f2b134", "#2e86ab", "#3aa17e", "#d1495b", "#5b5ea6", "#f6f1e5", "#20304a"]
_SOFT = ["#f4efe6", "#c8d5b9", "#8fc0a9", "#f6bd60", "#f28482", "#84a59d", "#9fb8d9", "#e9d8c0"]
_DENIM = ["#33475f", "#4a6583", "#23303f", "#6f7f91", "#7a6a56", "#3b3b40", "#a89878"]
_SHOES = ["#f2f0ec", "#2b2d33", "#c8453b", "#3c6e91", "#8a8d91"]


@dataclass(frozen=True)
class Outfit:
    """sleeve: share of the arm from shoulder (0) to wrist (1). leg: share of the leg from hip to
    ankle. waist: metres above the pelvis joint. dip: metres of the neckline below the neck joint.
    one_piece: top and bottom are one garment. shirt: whether there is a top at all."""

    sleeve: float
    leg: float
    waist: float
    dip: float
    shoes: bool
    shirt: bool = True
    one_piece: bool = False
    tops: tuple[str, ...] = tuple(_BRIGHT + _SOFT)
    bottoms: tuple[str, ...] = tuple(_DENIM)


_DARK = ("#20242b", "#1d2f45", "#2c2c34", "#123a4a")

OUTFITS: dict[str, tuple[Outfit, ...]] = {
    "casual": (
        Outfit(0.42, 0.93, 0.06, 0.0, True),
        Outfit(0.97, 0.93, 0.05, 0.01, True),
        Outfit(0.40, 0.45, 0.05, 0.02, True),
    ),
    "summer": (
        Outfit(0.36, 0.42, 0.06, 0.02, True, bottoms=tuple(_DENIM + _SOFT)),
        Outfit(0.06, 0.40, 0.06, 0.05, True, bottoms=tuple(_DENIM + _SOFT)),
    ),
    "sport": (
        Outfit(0.34, 0.38, 0.07, 0.02, True, bottoms=("#f2f2f0", "#20304a", "#2b2d33", "#c8453b")),
        Outfit(0.04, 0.34, 0.07, 0.05, True, bottoms=("#f2f2f0", "#20304a", "#2b2d33", "#3aa17e")),
    ),
    "home": (Outfit(0.97, 0.96, 0.05, 0.01, False, tops=tuple(_SOFT), bottoms=tuple(_SOFT)),),
    "swim": (
        Outfit(0.0, 0.40, 0.03, 0.0, False, shirt=False, bottoms=tuple(_BRIGHT)),
        Outfit(0.02, 0.06, 0.05, 0.09, False, one_piece=True, tops=tuple(_BRIGHT)),
        Outfit(0.36, 0.36, 0.03, 0.0, False, tops=tuple(_BRIGHT), bottoms=tuple(_BRIGHT)),
    ),
    "wetsuit": (
        Outfit(0.97, 0.95, 0.05, 0.0, False, one_piece=True, tops=_DARK),
        Outfit(0.40, 0.42, 0.05, 0.0, False, one_piece=True, tops=_DARK),
    ),
    "winter": (
        Outfit(0.99, 0.97, -0.02, -0.02, True, tops=tuple(_BRIGHT), bottoms=_DARK),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class BodyMap:
    """The body at rest that all persons share: vertices (V, 3) in the T-pose and the 24 joints."""

    vertices: np.ndarray
    joints: np.ndarray


@dataclass(frozen=True)
class Surface:
    """Albedo (P, 3) linear RGB, and gloss (P,): 0 matt, 1 polished."""

    albedo: np.ndarray
    gloss: np.ndarray


def person_surface(
    points: np.ndarray, footprint: np.ndarray, body: BodyMap, wardrobe, seed: int
) -> Surface:
    """Skin, hair and clothes at rest positions points (P, 3).

    footprint (P,): a pixel's size there, metres: edges of garments are that soft.
    wardrobe: names of OUTFITS to choose from.
    """
    rng = np.random.default_rng([seed, 21])
    outfits = OUTFITS[wardrobe[int(rng.integers(len(wardrobe)))]]
    outfit = outfits[int(rng.integers(len(outfits)))]
    skin = pick(_SKIN, rng)
    top, second = pick(outfit.tops, rng), pick(outfit.tops, rng)
    bottom = pick(outfit.bottoms, rng)
    soft = np.maximum(footprint, 0.0015)

    def edge(inside):
        return np.clip(inside / soft + 0.5, 0, 1)

    albedo = np.broadcast_to(skin, points.shape).astype(np.float32)
    albedo = _face(albedo, points, body, edge, skin, rng)
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    joints = body.joints
    shoulder, wrist, neck = np.abs(joints[16, 0]), np.abs(joints[20, 0]), joints[12, 1]
    hip, ankle, waist = joints[1, 1], joints[7, 1], joints[0, 1] + outfit.waist
    sleeve = shoulder + outfit.sleeve * (wrist - shoulder)
    hem = hip - outfit.leg * (hip - ankle)
    torso = x - shoulder - 0.03  # negative on trunk and legs
    # The neckline runs around the neck, a little lower in front.
    front = smoothstep(-0.02, 0.06, z - joints[12, 2])
    collar = neck + 0.035 - (outfit.dip + 0.035) * front + 0.25 * np.minimum(x, 0.12)
    shirt = edge(np.minimum(np.minimum(y - waist, collar - y), sleeve - x))
    trousers = edge(np.minimum(np.minimum(waist - y, y - hem), -torso))
    cloth = np.zeros(len(points), np.float32)
    if outfit.one_piece:
        suit = np.maximum(shirt, trousers)
        panel = edge(np.minimum(x - 0.115, 0.02 - np.abs(torso) * 0 + 0 * x)) * 0
        panel = np.maximum(panel, edge(0.016 - np.abs(y - waist)))
        albedo = mix(albedo, mix(top, second, 0.9 * panel), suit)
        cloth = suit
    else:
        albedo = mix(albedo, bottom, trousers)
        if outfit.shirt:
            albedo = mix(albedo, _pattern(points, body, top, second, edge, rng), shirt)
        cloth = np.maximum(trousers, shirt if outfit.shirt else 0)
    if outfit.shoes:
        shoe = edge(np.minimum(ankle + 0.025 - y, -torso))
        sole = edge(body.vertices[:, 1].min() + 0.022 - y)
        colour = mix(pick(_SHOES, rng), linear("#f4f2ee"), sole)
        albedo, cloth = mix(albedo, colour, shoe), np.maximum(cloth, shoe)
    gloss = 0.22 * (1 - cloth) + (0.25 if outfit.one_piece else 0.03) * cloth
    return Surface(albedo.astype(np.float32), gloss.astype(np.float32))


def _pattern(points, body, first, second, edge, rng):
    """Cloth of a top: plain, hooped, with a chest band or with contrasting sleeves."""
    style = rng.choice(["plain", "hoops", "band", "sleeves", "plain"])
    x, y = points[:, 0], points[:, 1]
    share = np.zeros(len(points), np.float32)
    if style == "hoops":
        pitch = rng.uniform(0.05, 0.09)
        share = edge(np.abs((y / pitch) % 1 - 0.5) * pitch - 0.3 * pitch)
        share = share * (np.abs(x) < np.abs(body.joints[16, 0]) + 0.01)
    elif style == "band":
        share = edge(0.05 - np.abs(y - body.joints[9, 1] - 0.02))
        share = share * (np.abs(x) < np.abs(body.joints[16, 0]))
    elif style == "sleeves":
        share = edge(np.abs(x) - np.abs(body.joints[16, 0]) - 0.015)
    return mix(first, second, share)


def _face(albedo, points, body, edge, skin, rng):
    """Hair, eyes, brows and lips, placed by the proportions of the head."""
    head = body.joints[15]
    crown = body.vertices[:, 1].max()
    size = crown - head[1]
    near = np.abs(body.vertices[:, 0]) < 0.02
    face = body.vertices[near & (body.vertices[:, 1] > head[1])]
    nose = face[:, 2].max()
    x, y, z = np.abs(points[:, 0]), points[:, 1] - head[1], points[:, 2]
    hair = pick(_HAIR, rng)
    line = rng.uniform(0.62, 0.72) * size
    length = rng.choice([0.05, 0.1, -0.25]) * size
    back = nose - rng.uniform(0.095, 0.105)
    cap = edge(y - line - 0.25 * np.clip(0.05 - x, 0, 1))
    nape = edge(np.minimum(back - z, y - length)) * (y > -0.5 * size) * (x < 0.12)
    lips = edge(1 - np.hypot(x / 0.024, (y - 0.1 * size) / 0.008)) * (z > nose - 0.05)
    eyes = edge((1 - np.hypot((x - 0.031) / 0.014, (y - 0.43 * size) / 0.007)) * 0.008)
    brow = edge((1 - np.hypot((x - 0.033) / 0.02, (y - 0.52 * size) / 0.0045)) * 0.006)
    front = z > nose - 0.06
    albedo = mix(albedo, skin * np.float32([0.82, 0.55, 0.52]), 0.7 * lips)
    albedo = mix(albedo, linear("#2a201c"), eyes * front)
    albedo = mix(albedo, hair * 0.8, 0.85 * brow * front)
    return mix(albedo, hair, np.maximum(cap, nape))

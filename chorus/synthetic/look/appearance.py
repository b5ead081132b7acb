"""What people look like: skin, face, hair and clothes by position on the body at rest.

Hems, sleeves and hairlines are functions of the rest position (T-pose), so they stay crisp at
any pose and resolution and need no texture map. The same functions say where cloth and hair add
volume (`tailored`). Colours are linear RGB; a look is drawn from the person's `look_seed`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from chorus.rendering.raycast import vertex_normals
from chorus.synthetic.look.colours import linear, mix, pick, smoothstep

_SKIN = ["#e9c0a0", "#dfae8a", "#d99e77", "#c1845c", "#9c6a48", "#755038", "#5c4030"]
_HAIR = [
    "#2a1d16",
    "#1b1a1c",
    "#3f2a1d",
    "#2f2320",
    "#5d3b22",
    "#8c8884",
    "#8a5d33",
    "#c49a5e",
    "#7e3b22",
]
_BRIGHT = ["#e4572e", "#f2b134", "#2e86ab", "#3aa17e", "#d1495b", "#5b5ea6", "#f6f1e5", "#20304a"]
_SOFT = ["#f4efe6", "#c8d5b9", "#8fc0a9", "#f6bd60", "#f28482", "#84a59d", "#9fb8d9", "#e9d8c0"]
_DENIM = ["#33475f", "#4a6583", "#23303f", "#6f7f91", "#7a6a56", "#3b3b40", "#a89878"]
_DARK = ["#20242b", "#1d2f45", "#2c2c34", "#123a4a"]
_NEOPRENE = ["#20242b", "#1d2f45", "#15505f", "#6b2230", "#2e86ab", "#4a3f6b"]
_SHORTS = ["#f2f2f0", "#20304a", "#2b2d33", "#c8453b", "#3aa17e"]
_SHOES = ["#f2f0ec", "#2b2d33", "#c8453b", "#3c6e91", "#8a8d91"]


@dataclass(frozen=True)
class Outfit:
    """Cut and colours of clothes.

    sleeve: share of the arm from shoulder (0) to wrist (1). leg: share of the leg from hip (0) to
    ankle (1). waist: metres above the pelvis joint. dip: metres of the neckline in front. shoes,
    shirt: whether there are any. suit: top and bottom are one tight garment. loose: metres that
    cloth stands off the body.
    """

    sleeve: float
    leg: float
    waist: float
    dip: float
    shoes: bool = True
    shirt: bool = True
    suit: bool = False
    loose: float = 0.012
    tops: tuple[str, ...] = tuple(_BRIGHT + _SOFT)
    bottoms: tuple[str, ...] = tuple(_DENIM)


OUTFITS: dict[str, tuple[Outfit, ...]] = {
    "casual": (
        Outfit(0.42, 0.93, 0.02, 0.0),
        Outfit(0.97, 0.93, 0.02, 0.01),
        Outfit(0.40, 0.45, 0.02, 0.02),
    ),
    "summer": (
        Outfit(0.36, 0.42, 0.02, 0.02, bottoms=tuple(_DENIM + _SOFT)),
        Outfit(0.06, 0.40, 0.02, 0.05, bottoms=tuple(_DENIM + _SOFT)),
    ),
    "sport": (
        Outfit(0.34, 0.38, 0.02, 0.02, bottoms=tuple(_SHORTS)),
        Outfit(0.04, 0.34, 0.02, 0.05, bottoms=tuple(_SHORTS)),
    ),
    "home": (Outfit(0.97, 0.96, 0.02, 0.01, False, tops=tuple(_SOFT), bottoms=tuple(_SOFT)),),
    "swim": (
        Outfit(0.0, 0.42, 0.03, 0.0, False, shirt=False, bottoms=tuple(_BRIGHT)),
        Outfit(0.02, 0.04, 0.05, 0.09, False, suit=True, loose=0.002, tops=tuple(_BRIGHT)),
        Outfit(0.36, 0.40, 0.03, 0.0, False, tops=tuple(_BRIGHT), bottoms=tuple(_BRIGHT)),
    ),
    "wetsuit": (
        Outfit(0.97, 0.95, 0.05, -0.02, False, suit=True, loose=0.004, tops=tuple(_NEOPRENE)),
        Outfit(0.40, 0.42, 0.05, -0.02, False, suit=True, loose=0.004, tops=tuple(_NEOPRENE)),
    ),
    "winter": (
        Outfit(0.99, 0.97, -0.03, -0.03, loose=0.022, tops=tuple(_BRIGHT), bottoms=tuple(_DARK)),
    ),
}

# The hairline seen from the side: metres above the nose tip over metres behind it, for a head
# whose crown is 0.148 m above the nose tip.
_HAIRLINE = ([0.0, 0.03, 0.06, 0.085, 0.1, 0.125, 0.15, 0.19],
             [0.092, 0.09, 0.075, 0.03, 0.012, 0.035, -0.025, -0.05])  # fmt: skip
_HEAD = 0.148


@dataclass(frozen=True)
class BodyMap:
    """The body at rest that all persons share.

    vertices (V, 3) in the T-pose, faces (F, 3), joints (24, 3); nose (3,): tip of the nose, found
    as the foremost vertex of the head's middle; head: crown above nose tip over that of an
    average head; neighbours (V, V): averages each vertex with those it shares an edge with.
    """

    vertices: np.ndarray
    faces: np.ndarray
    joints: np.ndarray
    nose: np.ndarray
    head: float
    neighbours: csr_matrix


def body_map(vertices: np.ndarray, faces: np.ndarray, joints: np.ndarray) -> BodyMap:
    """Landmarks and mesh topology for dressing: vertices (V, 3) at rest, faces, joints (24, 3)."""
    middle = (np.abs(vertices[:, 0]) < 0.015) & (vertices[:, 1] > joints[15, 1] - 0.05)
    profile = vertices[middle]
    nose = profile[np.argmax(profile[:, 2])] * [0, 1, 1]
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    own = np.arange(len(vertices))
    rows, columns = np.concatenate([start, end, own]), np.concatenate([end, start, own])
    links = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)))
    links.data[:] = 1.0
    links = links.multiply(1 / links.sum(1)).tocsr().astype(np.float32)
    head = float((vertices[:, 1].max() - nose[1]) / _HEAD)
    return BodyMap(vertices, faces, joints, nose.astype(np.float32), head, links)


@dataclass(frozen=True)
class Surface:
    """Albedo (P, 3) linear RGB; gloss (P,): 0 matt, 1 polished; opacity (P,): 0 clear, 1 solid
    (None is solid)."""

    albedo: np.ndarray
    gloss: np.ndarray
    opacity: np.ndarray | None = None


@dataclass(frozen=True)
class Look:
    """One person's outfit, colours and hair. hair_volume: metres that hair stands off."""

    outfit: Outfit
    skin: np.ndarray
    hair: np.ndarray
    top: np.ndarray
    second: np.ndarray
    bottom: np.ndarray
    shoe: np.ndarray
    pattern: str
    pitch: float
    hair_volume: float
    hairline: float


def draw_look(wardrobe, seed: int) -> Look:
    """A person's look for a seed; wardrobe: names of OUTFITS to choose from."""
    rng = np.random.default_rng([seed, 21])
    outfits = OUTFITS[wardrobe[int(rng.integers(len(wardrobe)))]]
    outfit = outfits[int(rng.integers(len(outfits)))]
    tone = int(rng.integers(len(_SKIN)))
    # Fair hair (the end of the list) goes with fair skin (the start of the other).
    shades = _HAIR if tone < 3 else _HAIR[:6]
    return Look(
        outfit,
        skin=pick(_SKIN[tone : tone + 1], rng),
        hair=pick(shades, rng),
        top=pick(outfit.tops, rng),
        second=pick(_BRIGHT if outfit.suit else outfit.tops, rng),
        bottom=pick(outfit.bottoms, rng),
        shoe=pick(_SHOES, rng),
        pattern=str(rng.choice(["plain", "plain", "hoops", "band", "sleeves"])),
        pitch=float(rng.uniform(0.05, 0.09)),
        hair_volume=float(rng.choice([0.006, 0.012, 0.018, 0.026, 0.036])),
        hairline=float(rng.uniform(-0.008, 0.006)),
    )


@dataclass(frozen=True)
class Coverage:
    """How much of each garment lies over points (P,): 0..1 each."""

    shirt: np.ndarray
    trousers: np.ndarray
    hair: np.ndarray


def coverage(points: np.ndarray, soft, body: BodyMap, look: Look) -> Coverage:
    """Where clothes and hair are, at rest positions points (P, 3), with borders `soft` wide."""
    outfit, joints = look.outfit, body.joints
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    shoulder, wrist = np.abs(joints[16, 0]), np.abs(joints[20, 0])
    hip, ankle, waist = joints[1, 1], joints[7, 1], joints[0, 1] + outfit.waist
    sleeve = shoulder + outfit.sleeve * (wrist - shoulder)
    hem = hip - outfit.leg * (hip - ankle)
    if outfit.leg < 0.1:  # cut high at the side of the hip
        hem = hip - 0.1 + 0.9 * np.clip(x - 0.02, 0, 0.2)
    trunk = shoulder + 0.03 - x  # positive on trunk and legs, negative on the arms
    # The neckline runs around the neck, a little lower in front.
    front = smoothstep(-0.02, 0.06, z - joints[12, 2])
    collar = joints[12, 1] + 0.035 - (outfit.dip + 0.035) * front + 0.25 * np.minimum(x, 0.12)
    nothing = np.zeros(len(points), np.float32)

    def edge(inside):
        return np.clip(inside / soft + 0.5, 0, 1)

    shirt = edge(np.minimum(np.minimum(y - waist, collar - y), sleeve - x))
    trousers = edge(np.minimum(np.minimum(waist + 0.004 - y, y - hem), trunk))
    return Coverage(
        shirt=shirt if outfit.shirt else nothing,
        trousers=trousers,
        hair=edge(_hair(points, body, look)),
    )


def _hair(points, body: BodyMap, look: Look) -> np.ndarray:
    """Signed distance, roughly: positive inside the hair."""
    up = (points[:, 1] - body.nose[1]) / body.head
    behind = (body.nose[2] - points[:, 2]) / body.head
    x = np.abs(points[:, 0]) / body.head
    line = np.interp(behind, *_HAIRLINE) + look.hairline * (behind < 0.09)
    line = line - 0.006 * np.cos(x * 60) * (behind < 0.06)
    ear = np.minimum(0.0745 - x, 1.0)
    above = np.where((behind > 0.095) & (up < 0.05), np.minimum(up - line, ear), up - line)
    return above * body.head


def tailored(posed: np.ndarray, body: BodyMap, look: Look, thickness: float = 0.0) -> np.ndarray:
    """Posed vertices (V, 3) with the volume of clothes and hair, (V, 3) float32.

    Cloth bridges small hollows (the surface under it is smoothed) and stands off the skin.
    thickness: how far at most it does so beside what the outfit says, metres; not that of suits.
    """
    posed = np.asarray(posed, np.float32)
    cover = coverage(body.vertices, 0.02, body, look)
    cloth = np.maximum(cover.shirt, cover.trousers)
    smooth = posed
    for _ in range(6):
        smooth = body.neighbours @ smooth
    outward = vertex_normals(smooth, body.faces)
    share = cloth[:, None] * (0.35 if look.outfit.suit else 0.9)
    result = posed + share * (smooth - posed) + (cloth * look.outfit.loose)[:, None] * outward
    if thickness and not look.outfit.suit:
        result = result + (thickness * cloth * _bulge(body.vertices, look))[:, None] * outward
    hair = (cover.hair * look.hair_volume)[:, None] * outward
    return (result + hair).astype(np.float32)


def _bulge(points: np.ndarray, look: Look) -> np.ndarray:
    """How much of their thickness wide clothes have at rest positions (V, 3): 0.4..1."""
    phase = 100 * look.pitch  # any number that the look fixes
    around = np.sin(20 * points[:, 0] + 14 * points[:, 2] + phase)
    return 0.7 + 0.3 * around * np.cos(16 * points[:, 1] + 2 * phase)


def person_surface(points: np.ndarray, footprint: np.ndarray, body: BodyMap, look: Look) -> Surface:
    """Skin, hair and clothes at rest positions points (P, 3).

    footprint (P,): a pixel's size there, metres: edges of garments are that soft.
    """
    soft = np.maximum(footprint, 0.0015)
    cover = coverage(points, soft, body, look)
    outfit = look.outfit
    albedo = _face(points, soft, body, look)
    if outfit.suit:
        cloth = np.maximum(cover.shirt, cover.trousers)
        panel = _edge(np.abs(points[:, 0]) - np.abs(body.joints[16, 0]) + 0.06, soft)
        albedo = mix(albedo, mix(look.top, look.second * 0.9, 0.8 * panel), cloth)
    else:
        albedo = mix(albedo, look.bottom, cover.trousers)
        albedo = mix(albedo, _pattern(points, soft, body, look), cover.shirt)
    albedo = mix(albedo, look.hair * _strands(points, body)[:, None], cover.hair)
    cloth = np.maximum(cover.trousers, cover.shirt)
    bare = np.clip(1 - cloth - cover.hair, 0, 1)
    gloss = 0.2 * bare + (0.3 if outfit.suit else 0.03) * cloth + 0.25 * cover.hair
    return Surface(albedo.astype(np.float32), gloss.astype(np.float32))


def _edge(inside, soft):
    return np.clip(inside / soft + 0.5, 0, 1)


def _strands(points, body: BodyMap) -> np.ndarray:
    angle = np.arctan2(points[:, 0], points[:, 2] - body.nose[2] + 0.11)
    return 1 + 0.05 * np.sin(angle * 80 + 2 * np.sin(points[:, 1] * 40))


def _pattern(points, soft, body: BodyMap, look: Look):
    """Cloth of a top: plain, hooped, with a chest band or with contrasting sleeves."""
    x, y = np.abs(points[:, 0]), points[:, 1]
    seam = np.abs(body.joints[16, 0]) + 0.01
    if look.pattern == "hoops":
        share = _edge(np.abs((y / look.pitch) % 1 - 0.5) * look.pitch - 0.3 * look.pitch, soft)
        along = _edge(np.abs((x / look.pitch) % 1 - 0.5) * look.pitch - 0.3 * look.pitch, soft)
        share = np.where(x < seam, share, along)
    elif look.pattern == "band":
        share = _edge(0.05 - np.abs(y - body.joints[9, 1] - 0.02), soft) * (x < seam)
    elif look.pattern == "sleeves":
        share = _edge(x - seam, soft)
    else:
        share = np.zeros(len(points), np.float32)
    return mix(look.top, look.second, share)


def _face(points, soft, body: BodyMap, look: Look):
    """Skin with lips, eyes and brows, placed from the nose tip."""
    size = body.head
    x = np.abs(points[:, 0]) / size
    y = (points[:, 1] - body.nose[1]) / size
    front = (body.nose[2] - points[:, 2]) / size < 0.06
    soft = soft / size

    def oval(cx, cy, rx, ry):
        return _edge((1 - np.hypot((x - cx) / rx, (y - cy) / ry)) * ry, soft) * front

    skin = look.skin
    flush = np.exp(-(((x - 0.042) / 0.02) ** 2) - ((y + 0.004) / 0.018) ** 2) * front
    albedo = mix(skin, skin * np.float32([1.0, 0.72, 0.66]), 0.35 * flush)
    albedo = mix(
        albedo, skin * np.float32([0.86, 0.55, 0.52]), 0.75 * oval(0, -0.034, 0.025, 0.009)
    )
    albedo = mix(albedo, np.float32([0.86, 0.85, 0.83]), oval(0.0305, 0.038, 0.0135, 0.0058))
    albedo = mix(albedo, linear("#33241a"), oval(0.0305, 0.0385, 0.0062, 0.0066))
    lash = oval(0.0305, 0.0395, 0.0155, 0.0075) * (y > 0.0425 - 6 * (x - 0.0305) ** 2)
    albedo = mix(albedo, linear("#241a16"), 0.8 * lash)
    arch = y - 0.0625 + 9 * (x - 0.034) ** 2
    brow = _edge(np.minimum(0.0032 - np.abs(arch), 0.02 - np.abs(x - 0.033)), soft) * front
    return mix(albedo, look.hair * 0.75, 0.85 * brow)

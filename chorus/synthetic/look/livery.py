"""Paint of the objects: colours by material, patterns by position in the object's own frame."""

from __future__ import annotations

import numpy as np

from chorus.synthetic.look.appearance import Surface
from chorus.synthetic.look.colours import linear, mix, pick, smoothstep

_VIVID = ["#e4572e", "#f2b134", "#2e86ab", "#2a9d8f", "#d1495b", "#5b5ea6", "#1f3a5f", "#ef8354"]
_PALE = ["#f7f3ea", "#fbe9d0", "#dcebf0", "#e6efd8", "#f9dcc9", "#f4f4f2"]

# Material name -> (colours to choose from, gloss). Materials not listed are vivid and half matt.
MATERIALS: dict[str, tuple[list[str], float]] = {
    "hull": ([*_PALE, "#f2b134", "#7fc8c2", "#f28482"], 0.75),
    "fin": (["#2b2d33", "#3b4a5a", "#e4572e"], 0.5),
    "deck": (_VIVID, 0.25),
    "truck": (["#b7bbc0", "#8f959c"], 0.7),
    "wheel": (["#f4efe3", "#f2b134", "#e4572e", "#7fc8c2"], 0.4),
    "bag": (_VIVID, 0.12),
    "pocket": (_VIVID, 0.12),
    "strap": (["#2b2d33", "#3b3f46", "#4a4038"], 0.08),
    "frame": (["#d1495b", "#2e86ab", "#20242b", "#f2b134", "#f4f4f2"], 0.6),
    "grip": (["#2b2d33", "#f1efe9", "#5b5ea6"], 0.1),
    "strings": (["#f4f2e4", "#e6ea8f"], 0.2),
    "ball": (["#f4f4f2", "#e4572e", "#f2b134"], 0.3),
    "plastic": (_VIVID, 0.4),
    "paint": (["#b3212d", "#1f3a5f", "#20242b", "#e4572e", "#f2b134", "#2a6f4e", "#eef0f2"], 0.9),
    "steel": (["#b7bbc0", "#9aa0a6"], 0.85),
    "metal": (["#2b2d33", "#3b3f46", "#4a4d52"], 0.45),
    "fins": (["#8f959c", "#5a5e64"], 0.5),
    "tyre": (["#26272a", "#2d2e31"], 0.12),
    "rubber": (["#26272a", "#34363a"], 0.1),
    "seat": (["#2b2724", "#3b2a20", "#5a3b26", "#26282c"], 0.35),
    "lamp": (["#f6f3e6"], 0.9),
    "indicator": (["#d9381e", "#e07b1a"], 0.8),
    "planks": (["#9c6b3f", "#7a5232", "#b58a5a", "#4f6b4a", "#8c8377"], 0.2),
    "iron": (["#2b2d33", "#3b4a3f", "#4a4d52"], 0.35),
    "leather": (["#8a4b2a", "#2b2724", "#b3212d", "#c9a06a", "#5b2a3a", "#1f3a5f", "#d9c3a5"], 0.4),
    "trim": (["#5a3420", "#2b2724", "#3b2a20"], 0.35),
    "brass": (["#cfae5a", "#c9ccd0"], 0.85),
    "silk": (["#b3212d", "#1f3a5f", "#5b2a5a", "#20242b", "#2a6f4e", "#d49a1f"], 0.3),
    "topsheet": (_VIVID, 0.6),
    "hide": (["#a5602f", "#8a4b2a", "#c08a4e", "#5a3420"], 0.25),
    "lacing": (["#6b3d20", "#4a2c1a", "#d9b98a"], 0.2),
    "casing": (["#26282c", "#e8e8ea", "#c9ccd0", "#b3212d", "#2e86ab"], 0.7),
    "screen": (["#7fb4e8", "#1c2230", "#d9e6f2", "#a5c9b8"], 0.9),
    "lens": (["#1a1c20"], 0.9),
}


def object_surface(item, face_id, points, normals, footprint) -> Surface:
    """Albedo and gloss of a scene object at points (P, 3) with normals (P, 3), both in its frame.

    item: SceneObject; face_id (P,): the faces met; footprint (P,): a pixel's size there, metres.
    """
    rng = np.random.default_rng([item.look_seed, 22])
    names = item.mesh.metadata.get("parts", ["body"])
    part = item.mesh.metadata.get("part_of_face", np.zeros(len(item.mesh.faces), np.uint8))[face_id]
    albedo = np.empty((len(points), 3), np.float32)
    gloss = np.empty(len(points), np.float32)
    soft = np.maximum(footprint, 0.001)
    for number, name in enumerate(names):
        codes, polish = MATERIALS.get(name, (_VIVID, 0.3))
        colour = pick(codes, rng)
        own = np.random.default_rng([item.look_seed, 23, number])
        rows = np.flatnonzero(part == number)
        pattern = PATTERNS.get((item.kind, name)) or WEAVES.get(name)
        if pattern is None:
            albedo[rows] = colour
        else:
            size = item.mesh.extents
            albedo[rows] = pattern(points[rows], normals[rows], soft[rows], colour, size, own)
        gloss[rows] = polish
    opacity = None
    if "strings" in names:
        strung = part == names.index("strings")
        opacity = np.where(strung, _string_cover(points, soft), np.float32(1))
    return Surface(albedo, gloss, opacity)


def _edge(inside, soft):
    return np.clip(inside / soft + 0.5, 0, 1)


def _thin(distance, half_width, soft):
    """Share of a pixel that a line covers, also where it is thinner than the pixel."""
    wide = 1.5 * soft
    return _edge(half_width - distance, wide) * np.minimum(1, 2 * half_width / wide)


def _hull(points, normals, soft, colour, size, rng):
    """Surfboards: stripes, dipped nose, band or two tones; a stringer; a tail pad."""
    x, z = points[:, 0], points[:, 2]
    half = 0.5 * size[2]
    accent, second = pick(_VIVID, rng), pick(_VIVID, rng)
    style = rng.choice(["rails", "dip", "bands", "diagonal", "racing"])
    if style == "rails":
        share, other = _edge(np.abs(x) - 0.34 * size[0], soft), 0
    elif style == "dip":
        share, other = _edge(z - 0.45 * half, soft), _edge(0.02 - np.abs(z - 0.38 * half), soft)
    elif style == "bands":
        share = _edge(0.16 - np.abs(z - 0.1 * half), soft)
        other = _edge(0.04 - np.abs(z - 0.1 * half - 0.24), soft)
    elif style == "diagonal":
        share = _edge(0.1 - np.abs(z + 1.1 * x - 0.3 * half), soft)
        other = _edge(0.06 - np.abs(z + 1.1 * x - 0.3 * half + 0.2), soft)
    else:
        share = _edge(0.022 - np.abs(np.abs(x) - 0.05), soft)
        other = _edge(0.007 - np.abs(np.abs(x) - 0.09), soft)
    paint = mix(mix(colour, accent, share), second, other)
    paint = mix(paint, linear("#7a5a3a"), 0.8 * _thin(np.abs(x), 0.003, soft))
    pad = np.minimum(0.42 * size[0] - np.abs(x), 0.16 - np.abs(z + half - 0.22))
    on_deck = (normals[:, 1] > 0.3) & (rng.random() < 0.5)
    return mix(paint, linear("#34383f"), _edge(pad, soft) * on_deck)


def _deck(points, normals, soft, colour, size, rng):
    """Skateboards: grip tape above, maple at the rim, a graphic below."""
    accent = pick(_VIVID, rng)
    swirl = np.sin(points[:, 2] * 16 + 3 * np.sin(points[:, 0] * 30))
    graphic = mix(colour, accent, _edge(swirl * 0.03, soft))
    above = normals[:, 1] > 0.5
    below = normals[:, 1] < -0.5
    maple = np.broadcast_to(linear("#c9a06a"), graphic.shape)
    tape = linear("#2f3136")
    return np.where(above[:, None], tape, np.where(below[:, None], graphic, maple))


def _bag(points, normals, soft, colour, size, rng):
    """Backpacks: a darker base, a zip over the top."""
    y, z = points[:, 1], points[:, 2]
    base = _edge(-0.24 * size[1] - y, soft)
    zipper = _thin(np.abs(z + 0.6 * size[2] * 0.4), 0.005, soft) * (y > -0.05)
    paint = mix(colour, colour * 0.45, base)
    return mix(paint, linear("#26282c"), 0.85 * zipper)


def _pocket(points, normals, soft, colour, size, rng):
    zipper = _thin(np.abs(points[:, 1] + 0.03), 0.004, soft)
    return mix(colour, linear("#26282c"), 0.85 * zipper)


def _frame(points, normals, soft, colour, size, rng):
    accent = pick(["#f4f4f2", "#20242b", "#f2b134"], rng)
    share = _edge(points[:, 1] - 0.46, soft) + _edge(0.05 - np.abs(points[:, 1] - 0.2), soft)
    return mix(colour, accent, np.clip(share, 0, 1))


def _grip(points, normals, soft, colour, size, rng):
    wrap = np.abs(((points[:, 1] + 0.25 * points[:, 0]) / 0.022) % 1 - 0.5)
    return colour * (0.75 + 0.25 * smoothstep(0.02, 0.1, wrap))[:, None]


def _string_cover(points, soft) -> np.ndarray:
    """Share of each point's pixel that strings cover, (P,)."""
    pitch, wire = 0.0125, 0.0011
    gaps = [np.abs((points[:, axis] / pitch) % 1 - 0.5) * pitch for axis in (0, 1)]
    sharp = np.maximum(*(_edge(wire - gap, soft) for gap in gaps))
    # Strings thinner than a pixel blend into their mean, which keeps them from flickering.
    far = smoothstep(0.25 * pitch, 0.7 * pitch, soft)
    return sharp + (0.42 - sharp) * far


PATTERNS = {
    ("surfboard", "hull"): _hull,
    ("skateboard", "deck"): _deck,
    ("backpack", "bag"): _bag,
    ("backpack", "pocket"): _pocket,
    ("tennis racket", "frame"): _frame,
    ("tennis racket", "grip"): _grip,
}


def _silk(points, normals, soft, colour, size, rng):
    """Cloth with slanting stripes, or plain."""
    pitch, slope = rng.uniform(0.03, 0.05), rng.choice([-0.8, 0.8])
    accent = pick(["#f4f2e4", "#f2b134", "#9fb8d9", "#20242b"], rng)
    away = np.abs(((points[:, 1] + slope * points[:, 0]) / pitch) % 1 - 0.5) * pitch
    share = _edge(0.2 * pitch - away, soft) * (rng.random() < 0.7)
    return mix(colour, accent, share)


def _planks(points, normals, soft, colour, size, rng):
    """Wood with its grain along x."""
    grain = np.sin(140 * points[:, 1] + 90 * points[:, 2] + 1.5 * np.sin(5 * points[:, 0]))
    return colour * (0.9 + 0.1 * grain * (soft < 0.01))[:, None]


def _topsheet(points, normals, soft, colour, size, rng):
    """A board's upper side: blocks of colour along it; below, one colour."""
    z, half = points[:, 2], 0.5 * size[2]
    accent, second, base = pick(_VIVID, rng), pick(_PALE, rng), pick(_VIVID, rng)
    slant = rng.uniform(-0.8, 0.8) * points[:, 0]
    share = _edge(np.abs(z + slant) - rng.uniform(0.35, 0.7) * half, soft)
    stripe = _edge(0.05 - np.abs(z + slant - rng.uniform(-0.3, 0.3) * half), soft)
    paint = mix(mix(colour, accent, share), second, stripe)
    return np.where((normals[:, 1] < -0.4)[:, None], base, paint)


# Corners of an icosahedron: the dark patches of a football.
_PATCHES = np.array([[0, s, t * 1.618] for s in (-1, 1) for t in (-1, 1)])
_PATCHES = np.concatenate([np.roll(_PATCHES, turn, axis=1) for turn in range(3)]) / 1.902


def _ball(points, normals, soft, colour, size, rng):
    """Balls: patches, two bands, or seams."""
    away = points / np.linalg.norm(points, axis=1, keepdims=True)
    radius = 0.5 * size[0]
    accent = pick(["#20242b", "#1f3a5f", "#b3212d"], rng)
    style = rng.choice(["patches", "bands", "seams"])
    if style == "patches":
        share = _edge(radius * ((away @ _PATCHES.T).max(1) - 0.93) * 2.5, soft)
    elif style == "bands":
        share = _edge(radius * (0.16 - np.abs(np.abs(away[:, 1]) - 0.45)), soft)
    else:
        curve = np.minimum(np.abs(away[:, 0]), np.abs(away[:, 1] ** 2 - 0.9 * away[:, 2] ** 2))
        share = _thin(radius * curve, 0.003, soft)
    return mix(colour, accent, share)


def _stitched(points, normals, soft, colour, size, rng):
    """Leather, a little uneven."""
    fold = np.sin(37 * points[:, 0] + 3 * np.sin(29 * points[:, 1])) * np.sin(41 * points[:, 1])
    return colour * (1 + 0.06 * fold)[:, None]


def _screen(points, normals, soft, colour, size, rng):
    """A lit display: a bar above, rows of symbols."""
    across, up = points[:, 0] / size[0], points[:, 1] / size[1]
    cell = np.maximum(np.abs((across * 4) % 1 - 0.5), np.abs((up * 8) % 1 - 0.5))
    symbols = _edge((0.3 - cell) * 0.018, soft) * (up < 0.32)
    bar = _edge((up - 0.38) * size[1], soft)
    return mix(mix(colour, pick(_VIVID, rng), 0.85 * symbols), pick(_PALE, rng), 0.8 * bar)


WEAVES = {
    "silk": _silk,
    "planks": _planks,
    "topsheet": _topsheet,
    "ball": _ball,
    "leather": _stitched,
    "hide": _stitched,
    "screen": _screen,
}
"""Patterns of a material, whatever the object is made of it."""

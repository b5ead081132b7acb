"""Paint of the objects: colours by material, patterns by position in the object's own frame."""

from __future__ import annotations

import numpy as np

from chorus.synthetic.appearance import Surface
from chorus.synthetic.colours import linear, mix, pick, smoothstep

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
        pattern = PATTERNS.get((item.kind, name))
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

"""What the animals' coats look like, by the place on the template at rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chorus.animals.species import Species
from chorus.rendering.raycast import Hits, blend_corners
from chorus.synthetic.look.appearance import Surface
from chorus.synthetic.look.colours import linear, mix, smoothstep
from chorus.synthetic.look.textures import look_up, noise

_HOOF, _EYE = "#1d1916", "#0d0b0a"
_CELLS = 2520


@dataclass(frozen=True, eq=False)
class Coat:
    """One animal's coat. base, mark (3,) linear RGB; shift (2,): where the noise is read; seed:
    places of the marks."""

    animal: Species
    base: np.ndarray
    mark: np.ndarray
    shift: np.ndarray
    seed: int


def draw_coat(animal: Species, rng: np.random.Generator) -> Coat:
    """A coat of the species."""
    base, mark = animal.coats[int(rng.integers(len(animal.coats)))]
    bright = rng.uniform(0.85, 1.12)
    return Coat(
        animal,
        np.clip(bright * linear(base), 0, 1),
        np.clip(bright * linear(mark), 0, 1),
        rng.uniform(0, 50, 2),
        int(rng.integers(1 << 31)),
    )


def paint_of(coat: Coat, vertices: np.ndarray, faces: np.ndarray):
    """The paint (see staging.Piece) of a mesh whose vertices at rest (V, 3) are given, metres."""

    def paint(hits: Hits, points, normals, footprint) -> Surface:
        rest = blend_corners(vertices[faces[hits.face_id]], hits.barycentric)
        gloss = np.full(len(rest), 0.0 if coat.animal.fleece else 0.12, np.float32)
        return Surface(albedo(coat, rest, footprint), gloss)

    return paint


def albedo(
    coat: Coat, rest: Float[np.ndarray, "P 3"], footprint: Float[np.ndarray, " P"]
) -> Float[np.ndarray, "P 3"]:
    """Linear RGB (P, 3) at points of the template at rest (P, 3), metres; footprint (P,): a
    pixel's size there, metres."""
    animal, height = coat.animal, coat.animal.height
    side = np.where(rest[:, 0] > 0, 0.0, 7.0)
    across = rest[:, 2] + coat.shift[0] + side
    up = rest[:, 1] + coat.shift[1] + 0.6 * np.abs(rest[:, 0])
    coarse = look_up(noise(1.5), across, up, 1.6 * height)
    fine = look_up(noise(0.9), across, 0.45 * up, 0.22 * height)[:, 0]
    fine = fine / (1 + (footprint / (0.01 * height)) ** 2)
    share = _marks(coat, rest, coarse, footprint)
    colour = mix(coat.base, coat.mark, share)
    belly = smoothstep(0.62 * height, 0.35 * height, rest[:, 1]) * smoothstep(
        0.2 * height, 0.45 * height, rest[:, 1]
    )
    colour = colour * (1 + 0.10 * fine + 0.05 * coarse[:, 2] + 0.10 * belly)[:, None]
    hoof = smoothstep(0.055 * height, 0.035 * height, rest[:, 1])
    colour = mix(colour, linear(_HOOF), 0.85 * hoof)
    muzzle = 1.15 * animal.head[-1, 3]
    near = np.linalg.norm(rest - animal.head[-1, :3], axis=1)
    colour = mix(colour, linear(_HOOF), 0.55 * smoothstep(muzzle, 0.75 * muzzle, near))
    eye = np.linalg.norm(np.abs(rest * [1, 0, 0]) + rest * [0, 1, 1] - animal.eye, axis=1)
    size = 0.3 * animal.head[1, 3]
    colour = mix(colour, linear(_EYE), smoothstep(size, 0.8 * size, eye))
    return np.clip(colour, 0, 1).astype(np.float32)


def _marks(coat: Coat, rest, coarse, footprint) -> Float[np.ndarray, " P"]:
    """Share of the second colour, (P,)."""
    animal, height = coat.animal, coat.animal.height
    share = np.zeros(len(rest))
    if animal.pattern == "blotches":
        share = smoothstep(0.15, 0.3, coarse[:, 0] + 0.15 * coarse[:, 1])
    elif animal.pattern == "cells":
        share = _cells(coat, rest, footprint)
        share = share * smoothstep(0.22 * height, 0.4 * height, rest[:, 1])
        share = share * smoothstep(-0.2, 0.4, animal.head[1, 1] - rest[:, 1] + 0.2)
    elif animal.pattern == "points":
        face = smoothstep(-0.04, 0.03, rest[:, 2] - animal.head[0, 2])
        legs = smoothstep(0.4 * height, 0.3 * height, rest[:, 1])
        share = np.maximum(face, legs)
    else:
        share = 0.85 * smoothstep(0.38 * height, 0.2 * height, rest[:, 1])
    if animal.mane:
        share = np.maximum(share, _mane(animal, rest))
    return share


def _mane(animal: Species, rest) -> Float[np.ndarray, " P"]:
    """The crest of the neck, and the tail."""
    neck = animal.neck
    crest = np.interp(rest[:, 2], neck[:, 2], neck[:, 1] + 0.55 * neck[:, 3])
    above = smoothstep(0.0, 0.12 * neck[0, 3], rest[:, 1] - crest)
    between = (rest[:, 2] > neck[0, 2] - 0.1) & (rest[:, 2] < neck[-1, 2] + 0.02)
    narrow = smoothstep(0.6, 0.35, np.abs(rest[:, 0]) / neck[-1, 3])
    rump = animal.tail[0, 2] - 0.4 * animal.tail[0, 3]
    low = animal.tail[0, 1] if animal.pattern == "plain" else animal.tail[-2, 1] + 0.1
    tail = (
        (rest[:, 2] < rump) & (rest[:, 1] < low) & (np.abs(rest[:, 0]) < 1.6 * animal.tail[-2, 3])
    )
    return np.maximum(above * between * narrow, tail)


def _cells(coat: Coat, rest, footprint) -> Float[np.ndarray, " P"]:
    """A giraffe's patches: 1 inside of a cell, 0 on the lines between two."""
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(coat.seed)
    animal = coat.animal
    low = np.array([-0.5, 0.0, animal.tail[-1, 2]])
    high = np.array([0.5, animal.head[0, 1] + 0.4, animal.head[-1, 2]])
    centres = rng.uniform(low, high, (_CELLS, 3))
    first, second = cKDTree(centres).query(rest, k=2)[0].T
    soft = np.maximum(footprint, 0.004)
    return smoothstep(0.012 - soft, 0.02 + soft, second - first)

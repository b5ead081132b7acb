"""Where an object touches the body, from its canonical distribution alone (docs/reconstruction.md).

Contact is an object within 2 cm of a vertex. A voxel is several times that wide and its neighbours
are far from independent, so neither a product over voxels nor a finer look into one can tell; what
tells is the occupancy x of the likeliest voxel within reach, and how it compares with the likeliest
anywhere on the body, x_max: an object that people use touches them
somewhere, however faint its distribution. Two logistic maps, fitted to true contacts of the
synthetic world, make probabilities of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit

from chorus.body.model import BodyModel, star_body
from chorus.body.skeleton import SEGMENT_NAMES
from chorus.errors import BadInput
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.rendering.inside import near_surface

CONTACT_DISTANCE = 0.02
"""How near an object touches, metres."""
TOUCHED_SHARE = 0.6
"""Vertices and parts count as touched from this share of x_max on; chosen on seed 7."""
SMPL_VERTICES = 6890
"""Vertices of the body that DECO and DAMON label."""


class LogisticMap(NamedTuple):
    """A probability from an occupancy x and the largest one, of log odds
    offset + absolute log x + relative log(x / x_max)."""

    offset: float
    absolute: float
    relative: float

    def __call__(self, x: Float[np.ndarray, " n"], largest: float) -> Float[np.ndarray, " n"]:
        """(n,) probabilities of occupancies (n,); 0 where nothing is anywhere."""
        if largest <= 0:
            return np.zeros_like(x)
        with np.errstate(divide="ignore"):  # log 0 is minus infinity, whose probability is 0
            log = np.log(x)
        odds = self.offset + self.absolute * log + self.relative * (log - np.log(largest))
        return expit(odds)


# Fitted by cross entropy to true contacts: seed 7, 6 categories, 19 prompts, 15 scenes each.
_OF_VERTEX = LogisticMap(-0.19, 0.33, 1.60)
_OF_PART = LogisticMap(0.93, 0.17, 2.59)


@dataclass(frozen=True, eq=False)
class PartContact:
    """How a body part is touched, and where the object is as seen from it."""

    segment: str
    """One of SMPL's 24 surface segments."""
    probability: float
    """That the object touches any of it."""
    touched: bool
    """Whether it counts as touched."""
    area: float
    """Expected touched area, square metres."""
    share: float
    """The same as a share of the part's area."""
    direction: Float[np.ndarray, " 3"]
    """Mean unit vector from the part's centroid to the object, canonical body frame: towards the
    person's left, up, forward. Its length is 1 if the object lies one way, near 0 if all around."""


@dataclass(frozen=True, eq=False)
class ContactMap:
    """Contact of one distribution's object with the canonical body."""

    probability: Float[np.ndarray, " V"]
    """(V,) float32: that the object is within `CONTACT_DISTANCE` of each vertex."""
    touched: Bool[np.ndarray, " V"]
    """(V,) vertices that count as touched."""
    parts: tuple[PartContact, ...]
    """The parts that the body has, in SMPL's order."""


def contact_map(distribution: Distribution, body: BodyModel) -> ContactMap:
    """Contact probabilities of a body's vertices and parts. No image is needed.

    BadInput if the distribution is of another body, or not in canonical space.
    """
    check_canonical(distribution, body)
    vertices = star_body(body).vertices.double().cpu().numpy()
    faces, part = body.faces.cpu().numpy(), body.part_of_vertex.cpu().numpy()
    x = reachable_occupancy(distribution, vertices)
    largest = float(x.max(initial=0))
    probability = _OF_VERTEX(x, largest)
    areas = vertex_areas(vertices, faces)
    segments = [number for number in range(len(SEGMENT_NAMES)) if (part == number).any()]
    likeliest = np.array([x[part == number].max() for number in segments])
    of_part = _OF_PART(likeliest, largest)
    parts = []
    for number, highest, any_of_it in zip(segments, likeliest, of_part, strict=True):
        own = part == number
        area = float((probability[own] * areas[own]).sum())
        parts.append(
            PartContact(
                segment=SEGMENT_NAMES[number],
                probability=float(any_of_it),
                touched=bool(highest >= TOUCHED_SHARE * largest > 0),
                area=area,
                share=area / max(float(areas[own].sum()), 1e-12),
                direction=mean_direction(
                    distribution.probability, distribution.grid, vertices[own].mean(axis=0)
                ),
            )
        )
    touched = (x >= TOUCHED_SHARE * largest) & (largest > 0)
    return ContactMap(probability.astype(np.float32), touched, tuple(parts))


def check_canonical(distribution: Distribution, body: BodyModel) -> None:
    """BadInput if the distribution is of another body, or not in canonical space."""
    if distribution.body and distribution.body != body.fingerprint:
        raise BadInput(
            f"the distribution of {distribution.category or 'this object'!r} was made on another "
            f"body (fingerprint {distribution.body[:12]}) than {body.name!r} "
            f"({body.fingerprint[:12]}), whose vertices lie elsewhere; give --body as when it was "
            "aggregated, or aggregate again."
        )
    if not distribution.canonical or "pose" in distribution.metadata:
        raise BadInput(
            "a distribution in canonical space is wanted here; this one is "
            f"{'posed' if distribution.canonical else 'not canonicalised'}. Give the canonical one."
        )


def reachable_occupancy(
    distribution: Distribution, vertices: Float[np.ndarray, "V 3"]
) -> Float[np.ndarray, " V"]:
    """(V,) float64: the highest probability of the voxels within reach of each vertex (V, 3).

    A voxel counts in full up to the contact distance and half its edge from its centre, and less
    and less over one edge more, so that the map has no steps where voxels come into reach.
    """
    grid = distribution.grid
    volume, axis = distribution.probability.astype(np.float64), grid.axis().astype(np.float64)
    end = CONTACT_DISTANCE + 1.5 * grid.size
    return _likeliest_near(volume, axis, np.asarray(vertices, np.float64), end, grid.size)


@numba.njit(cache=True, nogil=True)
def _likeliest_near(volume, axis, vertices, end, size):
    """(V,) highest value of a volume (N, N, N) around vertices (V, 3), weighted by a cone that
    falls from 1 to 0 over the last `size` metres before `end`; axis (N,): its voxels' centres."""
    count = len(axis)
    found = np.zeros(len(vertices))
    first, last = np.empty(3, np.int64), np.empty(3, np.int64)
    for vertex in range(len(vertices)):
        x, y, z = vertices[vertex]
        for side in range(3):
            place = (vertices[vertex, side] - axis[0]) / size
            first[side] = max(int(np.ceil(place - end / size)), 0)
            last[side] = min(int(np.floor(place + end / size)), count - 1)
        for i in range(first[0], last[0] + 1):
            for j in range(first[1], last[1] + 1):
                for k in range(first[2], last[2] + 1):
                    distance = np.sqrt((axis[i] - x) ** 2 + (axis[j] - y) ** 2 + (axis[k] - z) ** 2)
                    weight = min(max((end - distance) / size, 0.0), 1.0)
                    found[vertex] = max(found[vertex], weight * volume[i, j, k])
    return found


def vertex_areas(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> Float[np.ndarray, " V"]:
    """(V,) square metres of the surface that belong to each vertex: a third of its triangles."""
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    triangles = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    return np.bincount(faces.reshape(-1), np.repeat(triangles / 3, 3), minlength=len(vertices))


def mean_direction(
    probability: Float[np.ndarray, "N N N"], grid: VoxelGrid, place: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, " 3"]:
    """(3,) mean of the unit vectors from a place to the voxels with at least half of the highest
    probability, weighted by it; zero if nothing is anywhere.

    The faint rest is what was never ruled out, on all sides alike, and would drown the direction.
    """
    volume = probability.reshape(-1).astype(np.float64)
    highest = volume.max(initial=0)
    region = np.flatnonzero((volume >= highest / 2) & (highest > 0))
    towards = grid.centres()[region] - place
    length = np.linalg.norm(towards, axis=1)
    weight = volume[region] / np.maximum(length, 1e-9)
    return weight @ towards / max(float(volume[region].sum()), 1e-12)


def true_contact(
    vertices: Float[np.ndarray, "V 3"],
    object_to_body: Float[np.ndarray, "4 4"],
    surface: tuple[Float[np.ndarray, "W 3"], Int[np.ndarray, "F 3"]],
    contains: Callable[[Float[np.ndarray, "P 3"]], Bool[np.ndarray, " P"]],
) -> Bool[np.ndarray, " V"]:
    """(V,) vertices of a posed body that a known object touches: it is within the contact distance,
    or they lie inside it.

    vertices: body frame, metres. surface: the object's vertices and faces in its own frame, which
    the rigid object_to_body takes to the body's; contains: which points there are inside it.
    """
    corners, faces = surface
    inverse = np.linalg.inv(object_to_body)
    places = vertices @ inverse[:3, :3].T + inverse[:3, 3]
    low, high = corners.min(axis=0) - CONTACT_DISTANCE, corners.max(axis=0) + CONTACT_DISTANCE
    candidates = np.flatnonzero(((places >= low) & (places <= high)).all(axis=1))
    touched = np.zeros(len(vertices), bool)
    if len(candidates):
        near = near_surface(corners, faces, places[candidates], CONTACT_DISTANCE)
        touched[candidates] = near | contains(places[candidates])
    return touched


class Agreement(NamedTuple):
    """How well a set of vertices or parts agrees with true ones, each from 0 to 1."""

    precision: float
    recall: float
    f1: float


def agreement(
    found: Bool[np.ndarray, " n"],
    true: Bool[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"] | None = None,
) -> Agreement:
    """Precision, recall and F1 of (n,) found against true ones, each counted by its weight, or
    alike. Precision is 1 if nothing is found, recall if nothing is true."""
    weights = np.ones(len(found)) if weights is None else weights
    hits, predicted, wanted = (float(weights[of].sum()) for of in (found & true, found, true))
    return Agreement(
        hits / predicted if predicted else 1.0,
        hits / wanted if wanted else 1.0,
        2 * hits / (predicted + wanted) if predicted + wanted else 1.0,
    )

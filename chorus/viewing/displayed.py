"""What pictures and pages display: a probability grid with its labels, and the canonical body.

Both are plain arrays with names, so that figures can be made of anything that has a grid; the
pipeline fills them from a `Distribution` and a `BodyModel`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from chorus.errors import BadInput
from chorus.records.keys import TOTAL

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.occupancy.distribution import Distribution

WHOLE_BODY = ("all", "total", "full", "")
"""Part names that mean: no restriction to a body part."""

VISIBLE_PROBABILITY = 1.0 / 255.0
"""A distribution that never reaches this has nothing to draw (a step of the stored 8 bits)."""

SUPPORT = 0.2
"""Voxels inside fewer than this share of a cluster's images are not drawn: what a handful of
close-ups says of places that all other images leave out is mostly noise."""

FEW_SAMPLES = 20
"""A cluster of fewer shows silhouettes rather than a distribution, and its picture says so."""

PAPERS_RECIPE = "paper's recipe"
"""The estimate of the published recipe."""


@dataclass(frozen=True)
class DisplayedDistribution:
    """One distribution with the texts that belong to it.

    Raises `BadInput` if the grid is not a cube of finite numbers in [0, 1].
    """

    probability: np.ndarray
    """(N, N, N) float, indexed [ix, iy, iz] (x the person's left, y up, z forward)."""
    category: str
    """Object class, as displayed."""
    prompt: str
    """Display prompt, or the pseudo-prompt of the total."""
    part: str = "all"
    """Body part of the cluster, or `all`."""
    samples: int | None = None
    """Number of samples that were aggregated; None if unknown."""
    weight: int | None = None
    """As how many samples these count by their levels; None without levels."""
    facts: tuple[tuple[str, str], ...] = ()
    """Further (name, value) pairs for the page's panel: settings, scores."""
    side: float = 3.0
    """Side of the grid, metres, centred at the origin of the body frame."""
    estimate: str = ""
    """How it was estimated, in words; tells a page's distributions of the same samples apart."""

    def __post_init__(self) -> None:
        grid = np.asarray(self.probability)
        if grid.ndim != 3 or len(set(grid.shape)) != 1 or grid.shape[0] < 2:
            raise BadInput(
                f"a distribution must be a cube of at least 2 voxels a side, this one of "
                f"{self.label!r} has shape {grid.shape}."
            )
        if not np.isfinite(grid).all() or grid.min() < -1e-6 or grid.max() > 1 + 1e-4:
            raise BadInput(
                f"probabilities must be finite and lie in [0, 1], those of {self.label!r} do "
                "not; aggregate this cluster again."
            )
        object.__setattr__(self, "probability", np.clip(grid, 0, 1).astype(np.float32))

    @classmethod
    def of(
        cls,
        distribution: Distribution,
        facts: Sequence[tuple[str, str]] = (),
        estimate: str = "",
    ) -> DisplayedDistribution:
        """A distribution as it is displayed; samples are those that joined its cluster, if known.

        Voxels outside most images are left out (see `SUPPORT`).
        """
        members = distribution.metadata.get("members")
        if members is None and distribution.counts is not None:
            members = int(distribution.counts.members.sum())
        samples, weight = without_levels(distribution.metadata, "members")
        if weight is None:
            samples = members
        return cls(
            probability=np.where(
                distribution.seen >= SUPPORT * (members or 0), distribution.probability, 0
            ),
            category=distribution.category,
            prompt=distribution.prompt,
            part=distribution.part or "all",
            samples=samples,
            weight=weight,
            facts=tuple(facts),
            side=distribution.grid.side,
            estimate=estimate,
        )

    @property
    def title(self) -> str:
        """The prompt as a heading; the total is named after its category."""
        return f"{self.category}: all prompts" if self.is_total else self.prompt

    @property
    def is_total(self) -> bool:
        """Whether this is the distribution over all prompts."""
        return self.prompt == TOTAL

    @property
    def part_label(self) -> str:
        """The body part in words: `whole body`, `right arm`."""
        if self.part in WHOLE_BODY:
            return "whole body"
        return "".join(f" {c.lower()}" if c.isupper() else c for c in self.part).strip()

    @property
    def label(self) -> str:
        """Title and part in one line."""
        return f"{self.title} ({self.part_label})"

    @property
    def samples_label(self) -> str:
        """Number of samples in words, empty if unknown; says so if they are few. Their total weight
        follows where it is another number."""
        weight = "" if self.weight in (None, self.samples) else f"total weight {self.weight:,}"
        if self.samples is None:
            return weight
        few = "too few to rely on" if self.samples < FEW_SAMPLES else ""
        count = f"{self.samples:,} retained sample{'' if self.samples == 1 else 's'}"
        return ", ".join(filter(None, (count, weight, few)))

    @property
    def estimate_label(self) -> str:
        """The estimate as pictures name it, empty if unknown."""
        return f"estimate: {self.estimate}" if self.estimate else ""

    @property
    def peak(self) -> float:
        """Highest probability of the grid."""
        return float(self.probability.max())

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return self.peak < VISIBLE_PROBABILITY


def without_levels(metadata: Mapping[str, Any], name: str) -> tuple[int | None, int | None]:
    """A distribution's "samples" or "members": how many they are and as how many they count by
    their levels. None for a number that is not recorded, and for both without levels."""
    settings, once = metadata.get("settings"), metadata.get("once")
    if isinstance(once, dict):
        return once.get(name), metadata.get(name)
    levels = settings.get("selection_levels", 1) if isinstance(settings, dict) else 1
    return None, metadata.get(name) if levels != 1 else None


@dataclass(frozen=True)
class DisplayedBody:
    """The canonical body (zero shape, star pose) as a mesh.

    Raises `BadInput` if the arrays are not a triangle mesh.
    """

    vertices: np.ndarray = field(repr=False)
    """(V, 3) metres, body frame."""
    faces: np.ndarray = field(repr=False)
    """(F, 3) vertex indices, counter-clockwise seen from outside."""
    colours: np.ndarray | None = field(default=None, repr=False)
    """(V, 3) colours in [0, 1] of the vertices; None: the body's own everywhere."""

    def __post_init__(self) -> None:
        vertices = np.ascontiguousarray(self.vertices, dtype=np.float32)
        faces = np.ascontiguousarray(self.faces, dtype=np.int32)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
            raise BadInput(
                f"body vertices must be a finite (V, 3) array, found {vertices.shape}; pass the "
                "vertices of one posed body."
            )
        triangles = faces.ndim == 2 and faces.shape[1] == 3 and len(faces) > 0
        if not triangles or faces.min() < 0 or faces.max() >= len(vertices):
            raise BadInput(
                f"body faces must be a (F, 3) array of indices below {len(vertices)}, found shape "
                f"{faces.shape}."
            )
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "faces", faces)

    @classmethod
    def of(cls, body: BodyModel) -> DisplayedBody:
        """The canonical body of a model: zero shape, star pose."""
        from chorus.body.model import star_body

        vertices = star_body(body).vertices.detach().cpu().numpy()
        return cls(vertices, body.faces.detach().cpu().numpy())

    @cached_property
    def normals(self) -> np.ndarray:
        """(V, 3) unit vertex normals, area weighted."""
        return vertex_normals(self.vertices, self.faces)

    @cached_property
    def openness(self) -> np.ndarray:
        """(V,) share of the sky each vertex sees, in [0, 1]: ambient occlusion baked once."""
        return ambient_openness(self.vertices, self.faces, self.normals)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (V, 3) of a mesh; a vertex without a face gets (0, 0, 1)."""
    corners = vertices[faces]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [
            np.bincount(faces.ravel(), np.repeat(face[:, axis], 3), minlength=len(vertices))
            for axis in range(3)
        ],
        axis=1,
    )
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(length > 0, normals / np.maximum(length, 1e-20), (0.0, 0.0, 1.0))
    return normals.astype(np.float32)


def spread_directions(count: int) -> np.ndarray:
    """Unit vectors (count, 3) spread evenly over the sphere along a golden-angle spiral."""
    step = np.arange(count) + 0.5
    height = 1 - 2 * step / count
    angle = np.pi * (1 + 5**0.5) * step
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], axis=1)


def ambient_openness(
    vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray, rays: int = 48, reach: float = 0.4
) -> np.ndarray:
    """Share of directions (V,) over each vertex's hemisphere not blocked within `reach` metres.

    Directions are a fixed spiral on the sphere mirrored into each hemisphere, cosine weighted, so
    the result is the same on every run. Without embree (no ray engine installed) all ones: the
    pictures only lose their soft shadows.
    """
    import trimesh

    if not trimesh.ray.has_embree:
        return np.ones(len(vertices), dtype=np.float32)
    spiral = spread_directions(rays)
    cosine = normals @ spiral.T  # (V, rays)
    directions = spiral[None] * np.sign(cosine)[..., None]
    origins = np.repeat(vertices + 2e-3 * normals, rays, axis=0)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    directions = directions.reshape(-1, 3)
    hit, ray, where = mesh.ray.intersects_id(
        origins, directions, multiple_hits=False, return_locations=True
    )
    near = np.linalg.norm(where - origins[ray], axis=1) < reach
    blocked = np.zeros(len(origins), dtype=bool)
    blocked[ray[near & (hit >= 0)]] = True
    weight = np.abs(cosine)
    seen = (weight * ~blocked.reshape(weight.shape)).sum(1) / np.maximum(weight.sum(1), 1e-9)
    return seen.astype(np.float32)

"""Meshes of objects beside posed persons → counts: the second kind of evidence (method.md 8,
"Lifted meshes").

A mask says of a voxel that it is seen inside or outside an outline; a posed mesh says of every
voxel whether the object is there. So each sample counts for all voxels, and from no direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from chorus.body.model import mirror_pose
from chorus.errors import BadInput
from chorus.occupancy.canonical import CanonicalSpace
from chorus.occupancy.counts import PROBES, BinCounts
from chorus.rendering.inside import inside

_LEAST_VOLUME = 1e-12
"""Of a transform's determinant: what it makes of a unit cube."""


class PosedObject(NamedTuple):
    """An object of a sample: its mesh, vertices (V, 3) and faces (F, 3) counter-clockwise seen from
    outside, in its own frame; to_body (4, 4): from there to the zero-shape body's frame with zero
    global rotation, metres."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    to_body: Float[np.ndarray, "4 4"]


class PosedMeshes(NamedTuple):
    """A sample: the person's pose (24, 3), axis-angle, whose global rotation counts as zero; the
    objects of the category; as how many samples it counts."""

    pose: Float[np.ndarray, "24 3"]
    objects: Sequence[PosedObject]
    level: int = 1


class PlacedVoxels(NamedTuple):
    """Canonical voxels that may lie in an object: numbers (n,), and probes (n, S, 3) of each in the
    object's own frame, metres."""

    voxels: Int[np.ndarray, " n"]
    probes: Float[np.ndarray, "n S 3"]


def count_meshes(
    space: CanonicalSpace, samples: Iterable[PosedMeshes], counts: dict[str, BinCounts]
) -> None:
    """Count samples into every part's cluster, in place.

    A voxel counts with those of its `PROBES` that lie inside of any of the objects. A sample joins
    the clusters whose interaction regions hold such a voxel, as a mask's does (method.md 9). With
    symmetric settings each is also counted mirrored, as one more. BadInput for counts that have no
    place for meshes, and numbers that are not finite or transforms that cannot be inverted.
    """
    lacking = [name for name, one in counts.items() if one.meshes is None]
    if lacking:
        raise BadInput(
            f"the counts of {', '.join(lacking)} were begun without posed meshes and cannot be "
            "continued with them; begin anew with the same --evidence."
        )
    offsets = probe_offsets(space.grid.size, round(PROBES ** (1 / 3)))
    for sample in samples:
        for each in (sample, _mirrored(sample)) if space.settings.symmetric else (sample,):
            _add(space, each, offsets, counts)


def _add(
    space: CanonicalSpace,
    sample: PosedMeshes,
    offsets: Float[np.ndarray, "S 3"],
    counts: dict[str, BinCounts],
) -> None:
    hits = _inside(space, sample, offsets)
    filled = hits.sum(axis=1, dtype=np.uint32).reshape(space.grid.shape) * np.uint32(sample.level)
    occupied = hits.any(axis=1)
    touched = np.array([[occupied[voxels].any()] for voxels in space.regions.values()], bool)
    members = space.members(touched.reshape(len(space.regions), 1))
    for part, own in zip(space.parts, members[:, 0], strict=True):
        counts[part.name].meshes[0] += sample.level
        if own:
            counts[part.name].meshes[1] += sample.level
            np.add(counts[part.name].filled, filled, out=counts[part.name].filled)


def _inside(
    space: CanonicalSpace, sample: PosedMeshes, offsets: Float[np.ndarray, "S 3"]
) -> Bool[np.ndarray, "N3 S"]:
    """(N^3, S): which probes of which voxels lie inside of an object of a sample."""
    hits = np.zeros((space.grid.count, len(offsets)), bool)
    for thing in sample.objects:
        to_body = np.asarray(thing.to_body, np.float64)
        finite = all(np.isfinite(a).all() for a in (sample.pose, to_body, thing.vertices))
        if not finite or not abs(np.linalg.det(to_body[:3, :3])) > _LEAST_VOLUME:
            raise BadInput(
                "a posed mesh has a pose, a transform or a vertex that is not finite, or a "
                "transform that flattens it; import the lifted objects again."
            )
        used = thing.vertices[np.unique(thing.faces)]
        bounds = np.stack([used.min(axis=0), used.max(axis=0)])
        voxels, probes = placed_voxels(space, sample.pose, np.linalg.inv(to_body), bounds, offsets)
        found = inside(thing.vertices, thing.faces, probes.reshape(-1, 3))
        hits[voxels] |= found.reshape(probes.shape[:2])
    return hits


def _mirrored(sample: PosedMeshes) -> PosedMeshes:
    """The same sample in a mirror: left and right exchanged."""
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    pose = mirror_pose(torch.as_tensor(np.asarray(sample.pose, np.float32))).numpy()
    objects = [
        # mirrored on both sides, so that its faces still look outwards
        PosedObject(
            thing.vertices * [-1, 1, 1], thing.faces[:, ::-1], mirror @ thing.to_body @ mirror
        )
        for thing in sample.objects
    ]
    return PosedMeshes(pose, objects, sample.level)


def placed_voxels(
    space: CanonicalSpace,
    pose: Float[np.ndarray, "24 3"],
    to_object: Float[np.ndarray, "4 4"],
    bounds: Float[np.ndarray, "2 3"],
    offsets: Float[np.ndarray, "S 3"],
) -> PlacedVoxels:
    """Where voxels lie in an object's frame once their person takes a pose, of those near it.

    pose: axis-angle, radians; its global rotation counts as zero. to_object: from the zero-shape
    body's frame to the object's. bounds: the object's lowest and highest coordinates. offsets:
    probes of a voxel around its centre, metres. Without canonicalisation space stays where it is.
    """
    blend = np.broadcast_to(to_object[:3].astype(np.float32), (len(space.centres), 3, 4))
    if space.settings.canonicalise:
        pose = torch.as_tensor(np.asarray(pose, np.float32))
        joints = to_object @ space.transforms(pose[None])[0].numpy()
        flat = joints[:, :3].reshape(-1, 12).astype(np.float32)
        blend = (space.weights @ flat).reshape(-1, 3, 4)
    local = blend[..., :3]
    places = np.einsum("vij,vj->vi", local, space.centres) + blend[..., 3]
    # How far a voxel's probes stray from its centre along the object's axes.
    margin = np.abs(local) @ np.abs(offsets).max(axis=0).astype(np.float32)
    near = (places >= bounds[0] - margin) & (places <= bounds[1] + margin)
    voxels = np.flatnonzero(near[:, 0] & near[:, 1] & near[:, 2])
    return PlacedVoxels(voxels, places[voxels, None] + offsets @ local[voxels].transpose(0, 2, 1))


def probe_offsets(size: float, subdivisions: int) -> Float[np.ndarray, "S 3"]:
    """The middles of a voxel's subdivisions^3 equal parts, from its centre; metres."""
    steps = ((np.arange(subdivisions) + 0.5) / subdivisions - 0.5) * size
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)

"""Body parts and their interaction regions (method.md 9).

A part is data: sets of body segments that the object must reach (`pass`) or must not (`block`). The
region of a set is the voxels near its template vertices; a sample joins the part's cluster if the
region, deformed to the sample's pose and projected, meets the object's mask for every pass set and
for no block set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from chorus.body.skeleton import SEGMENT_NAMES
from chorus.errors import BadInput, unknown_name
from chorus.occupancy.grid import VoxelGrid


@dataclass(frozen=True)
class Part:
    """A named rule for joining a cluster. Without any set every sample joins."""

    name: str
    """The part's name in results and figures."""
    pass_sets: tuple[tuple[str, ...], ...] = ()
    """Segment sets that the object must all reach."""
    block_sets: tuple[tuple[str, ...], ...] = ()
    """Segment sets of which the object may reach none."""

    def __post_init__(self) -> None:
        for segment in (name for group in self.pass_sets + self.block_sets for name in group):
            if segment not in SEGMENT_NAMES:
                raise unknown_name("body segment", segment, SEGMENT_NAMES)


PARTS: dict[str, tuple[Part, ...]] = {
    "quant": (Part("fullbody", (SEGMENT_NAMES,)),),
    "qual:demo": (
        Part("rightArm", (("rightArm", "rightForeArm"),)),
        Part("leftFoot", (("leftFoot", "leftToeBase"),)),
        Part("torso", (("spine", "spine1", "spine2", "leftShoulder", "rightShoulder"),)),
    ),
    "auto": tuple(Part(segment, ((segment,),)) for segment in SEGMENT_NAMES),
}
"""Body-part presets (method.md 9); `auto` has the segments that `part_discovery` makes parts of."""


def parts(name: str) -> tuple[Part, ...]:
    """The body-part preset of that name; BadInput with near names for an unknown one."""
    if name not in PARTS:
        raise unknown_name("body-part preset", name, PARTS)
    return PARTS[name]


def interaction_region(
    vertices: Float[np.ndarray, "V 3"],
    part_of_vertex: Int[np.ndarray, " V"],
    segments: tuple[str, ...],
    grid: VoxelGrid,
    distance: float = 0.13,
) -> Int[np.ndarray, " R"]:
    """Flat numbers (R,) int64, ascending, of the voxels whose centre is near the segments.

    vertices (V, 3): the canonical body, metres; part_of_vertex (V,): each vertex's segment number.
    Near: closer than `distance` metres to some vertex of some of the segments. BadInput for an
    unknown segment.
    """
    from scipy.spatial import cKDTree

    for segment in segments:
        if segment not in SEGMENT_NAMES:
            raise unknown_name("body segment", segment, SEGMENT_NAMES)
    wanted = np.isin(part_of_vertex, [SEGMENT_NAMES.index(segment) for segment in segments])
    if not wanted.any():
        raise BadInput(
            f"no vertex of the body belongs to the segments {', '.join(segments)}; the body file's "
            "skinning weights leave them empty."
        )
    nearest, _ = cKDTree(vertices[wanted]).query(grid.centres(), distance_upper_bound=distance)
    return np.flatnonzero(nearest < distance)


def joins(
    touched: Bool[np.ndarray, "sets B"],
    passes: Int[np.ndarray, " p"],
    blocks: Int[np.ndarray, " b"],
) -> Bool[np.ndarray, " B"]:
    """(B,) bool: samples that touch all of the sets `passes` and none of `blocks`.

    touched (sets, B): whether each segment set's region met each sample's mask.
    """
    return touched[passes].all(axis=0) & ~touched[blocks].any(axis=0)

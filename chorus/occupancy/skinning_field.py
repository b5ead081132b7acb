"""The skinning field: how much each place in space follows each of the body's joints (method.md 7).

Metres throughout. Neighbours come from a compiled search on a CPU (`nearest`) and from brute force
on other devices, some places at a time; both agree to rounding. Memory is a few arrays of (places x
joints).
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from chorus.errors import BadInput
from chorus.occupancy.archive import read_archive, write_archive
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.nearest import CLOSEST, VertexGroups, nearest_blend
from chorus.occupancy.presets import FieldSettings
from chorus.occupancy.smoothing import smoothed

log = logging.getLogger(__name__)

_CACHE_SCHEMA = "chorus.skinning-field/1"
_PAIRS_AT_ONCE = 1 << 26
"""Point-vertex distances held at a time by the brute-force search (256 MB of float32)."""
_PLACES_AT_ONCE = 1 << 16
"""Places whose blends the search on a CPU holds at a time (12 MB for 24 joints)."""

Near = tuple[Int[Tensor, " near"], Float[Tensor, " near"], Float[Tensor, "near C"]]


def skinning_field(
    vertices: Float[Tensor, "V 3"],
    weights: Float[Tensor, "V J"],
    where: VoxelGrid | Float[Tensor, "P 3"],
    settings: FieldSettings | None = None,
    cache_dir: str | Path | None = None,
    threads: int = 1,
) -> Float[Tensor, "P J"]:
    """Skinning weights (P, J) float32 of voxel centres or free points; rows sum to one.

    vertices (V, 3): the body's surface in the space in question, metres; weights (V, J): their own
    skinning weights. `where`: a grid (P = N^3, C order, smoothed as method.md 7 says) or points (P,
    3), which have no neighbours to be smoothed with. `cache_dir` keeps the field of a grid on disk
    under a name made from the content of all inputs; a damaged file there is made again. `threads`
    bounds the search on a CPU. BadInput if the vertices, weights or points are not finite.
    """
    settings = settings or FieldSettings()
    vertices, weights = vertices.float(), weights.float()
    if cache_dir is None or not isinstance(where, VoxelGrid):
        return _compute(vertices, weights, where, settings, threads)
    path = Path(cache_dir) / f"field-{_content_key(vertices, weights, where, settings)}.npz"
    cached = _read_cache(path, (where.count, weights.shape[1]))
    if cached is not None:
        return cached.to(vertices.device)
    field = _compute(vertices, weights, where, settings, threads)
    _write_cache(path, field)
    return field


def _compute(
    vertices: Tensor,
    weights: Tensor,
    where: VoxelGrid | Tensor,
    settings: FieldSettings,
    threads: int,
) -> Tensor:
    """`skinning_field` without the cache."""
    identity = torch.zeros_like(weights[0])
    identity[0] = 1
    near, blended = blended_values(vertices, weights, identity, where, settings, threads)
    field = identity.repeat(where.count if isinstance(where, VoxelGrid) else len(where), 1)
    field[near] = blended / blended.sum(dim=1, keepdim=True)
    return field


def blended_values(
    vertices: Float[Tensor, "V 3"],
    values: Float[Tensor, "V C"],
    identity: Float[Tensor, " C"],
    where: VoxelGrid | Float[Tensor, "P 3"],
    settings: FieldSettings,
    threads: int = 1,
) -> tuple[Int[Tensor, " near"], Float[Tensor, "near C"]]:
    """Numbers of the places within reach of the body, and the blend (near, C) float32 there of what
    the vertices carry, mixed with the `identity` bone's (C,); elsewhere it is the identity's.

    The field of method.md 7 is linear in the weights, so blending anything that is linear in them,
    as joint transforms are, gives what the field's weights would give, with C instead of J
    channels. BadInput if the vertices, values or points are not finite.
    """
    if not (torch.isfinite(vertices).all() and torch.isfinite(values).all()):
        raise BadInput(
            "a skinning field needs finite vertices and weights; found NaN or infinity, so the "
            "pose or the body file is damaged."
        )
    grid = where if isinstance(where, VoxelGrid) else None
    points = torch.from_numpy(grid.centres()) if grid else where.float()
    if not torch.isfinite(points).all():
        raise BadInput(
            "a skinning field is asked for at finite points; found NaN or infinity among "
            f"{len(points)}. Leave those points out."
        )
    points = points.to(vertices.device)
    line = grid.resolution if grid else None
    near, distance, blended = _nearest_blend(points, vertices, values, settings, line, threads)
    ratio = (distance[:, None].double() / settings.reach).clamp(0, 1)
    hold = torch.exp(-settings.mixing * torch.atanh(ratio))
    blended = (hold * blended + (1 - hold) * identity).float()
    if grid:
        blended = _smooth(blended, near, identity.float(), grid.resolution, settings)
    return near, blended


def _nearest_blend(
    points: Tensor,
    vertices: Tensor,
    values: Tensor,
    settings: FieldSettings,
    line: int | None = None,
    threads: int = 1,
) -> Near:
    """Numbers of the points that have a vertex within reach, rising, the distance of the nearest
    one, and the blend (near, C) float64 of `values` there.

    A blend is the mean of the values of the nearest vertices by inverse distance; an exact hit
    takes that vertex's. line: see `nearest_blend`.
    """
    k = min(settings.neighbours, len(vertices))
    if vertices.device.type == "cpu":
        groups = VertexGroups.of(vertices.numpy(), values.numpy())
        size = max(1, _PLACES_AT_ONCE // (line or 1)) * (line or 1)

        def blend(chunk: Tensor) -> Near:
            found = nearest_blend(groups, chunk.numpy(), k, settings.reach, line, threads)
            return tuple(map(torch.from_numpy, found))
    else:
        size = max(1, _PAIRS_AT_ONCE // len(vertices))

        def blend(chunk: Tensor) -> Near:
            return _by_brute_force(vertices, values, chunk, k, settings.reach)

    pieces = []
    for first in range(0, max(len(points), 1), size):
        near, *rest = blend(points[first : first + size])
        pieces.append((near + first, *rest))
    return tuple(torch.cat(parts) for parts in zip(*pieces, strict=True))


def _by_brute_force(vertices: Tensor, values: Tensor, points: Tensor, k: int, reach: float) -> Near:
    """`nearest_blend` by all distances, on any device."""
    # The matrix-product form of cdist loses the digits that close neighbours differ in.
    distances = torch.cdist(points, vertices, compute_mode="donot_use_mm_for_euclid_dist")
    distance, index = distances.topk(k, dim=1, largest=False)
    near = torch.nonzero(distance[:, 0] <= reach)[:, 0]
    distance, index = distance[near], index[near]
    closeness = 1 / distance.double().clamp(min=CLOSEST)
    closeness /= closeness.sum(dim=1, keepdim=True)
    blend = embedding_bag(index, values.double(), per_sample_weights=closeness, mode="sum")
    return near, distance[:, 0], blend


def _smooth(
    blended: Tensor, near: Tensor, identity: Tensor, resolution: int, settings: FieldSettings
) -> Tensor:
    """Laplacian smoothing of the near voxels that have all six neighbours; the others stay.

    Far voxels stay the identity, and rows of weights sum to one throughout, since a mean of rows
    that sum to one does; so only the last round needs normalising.
    """
    n = resolution
    cell = torch.stack([near // (n * n), near // n % n, near % n], dim=1)
    inner = near[((cell > 0) & (cell < n - 1)).all(dim=1)]
    if not len(inner) or not settings.smoothing_rounds:
        return blended
    field = identity.repeat(n**3, 1)
    field[near] = blended
    return smoothed(field, inner, n, settings.smoothing_rounds, settings.smoothing_keep)[near]


def _content_key(
    vertices: Tensor, weights: Tensor, grid: VoxelGrid, settings: FieldSettings
) -> str:
    """Hash of everything the field of a grid depends on."""
    digest = hashlib.sha256(f"{_CACHE_SCHEMA} {grid!r} {settings!r}".encode())
    for tensor in (vertices, weights):
        digest.update(f"{tuple(tensor.shape)}".encode())
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    return digest.hexdigest()[:32]


def _read_cache(path: Path, shape: tuple[int, int]) -> Tensor | None:
    """The field kept at `path`, or None if there is none or it is damaged."""
    try:
        field = read_archive(path, _CACHE_SCHEMA)[0].get("field")
    except FileNotFoundError:
        return None
    except BadInput as problem:
        log.warning("making a cached skinning field again: %s", problem)
        return None
    if field is None or field.shape != shape or field.dtype != np.float32:
        log.warning("the cached skinning field %s is of another kind; making it again", path)
        return None
    return torch.from_numpy(field)


def _write_cache(path: Path, field: Tensor) -> None:
    """Keep the field; a cache that cannot be written is only a warning."""
    try:
        write_archive(path, _CACHE_SCHEMA, {"field": field.cpu().numpy()}, {}, compress=False)
    except OSError as problem:
        log.warning("the skinning field could not be cached at %s: %s", path, problem)

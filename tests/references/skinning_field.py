"""The skinning field as method.md 7 words it."""

from __future__ import annotations

import numpy as np

from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.presets import FieldSettings

_CHUNK = 1 << 23
"""Distances held at a time: 64 MB of float64."""


def plain_field(vertices, weights, grid: VoxelGrid, s: FieldSettings) -> np.ndarray:
    """(N^3, J): distances from every voxel to every vertex in float64, some voxels at a time, and
    smoothing on the whole volume."""
    vertices, weights = vertices.double().numpy(), weights.double().numpy()
    centres, step = grid.centres().astype(float), max(1, _CHUNK // len(vertices))
    chunks = [centres[at : at + step] for at in range(0, len(centres), step)]
    field, nearest = map(
        np.concatenate, zip(*(_blend(c, vertices, weights, s) for c in chunks), strict=True)
    )
    identity = np.eye(weights.shape[1])[0]
    with np.errstate(divide="ignore"):
        mix = 1 - np.exp(-s.mixing * np.arctanh(np.clip(nearest / s.reach, 0, 1)))
    field = (1 - mix)[:, None] * field + mix[:, None] * identity
    far = (nearest > s.reach).reshape(grid.shape)
    field = field.reshape(*grid.shape, -1)
    field[far] = identity
    for _ in range(s.smoothing_rounds):
        mean = (
            field[2:, 1:-1, 1:-1]
            + field[:-2, 1:-1, 1:-1]
            + field[1:-1, 2:, 1:-1]
            + field[1:-1, :-2, 1:-1]
            + field[1:-1, 1:-1, 2:]
            + field[1:-1, 1:-1, :-2]
        ) / 6
        inner = field[1:-1, 1:-1, 1:-1]
        field[1:-1, 1:-1, 1:-1] = mean + s.smoothing_keep * (inner - mean)
        field[far] = identity
        field /= field.sum(-1, keepdims=True)
    return field.reshape(grid.count, -1)


def _blend(centres, vertices, weights, s: FieldSettings) -> tuple[np.ndarray, np.ndarray]:
    """Mean weights of the nearest vertices by inverse distance, and the nearest one's distance."""
    square = sum((centres[:, None, k] - vertices[None, :, k]) ** 2 for k in range(3))
    k = min(s.neighbours, len(vertices))
    near = np.argpartition(square, k - 1, axis=1)[:, :k]
    distance = np.sqrt(np.take_along_axis(square, near, 1))
    closeness = 1 / np.maximum(distance, 1e-12)
    blend = np.einsum("pk,pkj->pj", closeness, weights[near]) / closeness.sum(1, keepdims=True)
    return blend, distance.min(1)

"""Where an object is by its mask alone, without a distribution: what to compare with."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from chorus.geometry.cameras import project
from chorus.records.rows import Camera

_PIXELS = 3000
"""At most so many of a mask's pixels are taken, evenly."""


def mask_at_depth(
    mask: Bool[np.ndarray, "H W"], camera: Camera, depth: float
) -> Float[np.ndarray, "P 3"]:
    """The mask's pixels (P, 3) put at one depth from the camera, body frame, metres."""
    R, t, K = (np.asarray(part, np.float64) for part in (camera.R, camera.t, camera.K))
    row, column = np.nonzero(mask)
    every = max(1, len(row) // _PIXELS)
    pixels = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], axis=1)[::every]
    return (depth * np.linalg.solve(K, pixels.T).T - t) @ R


def pelvis_depth(pelvis: Float[np.ndarray, " 3"], camera: Camera) -> float:
    """Depth of the person's pelvis (3,), body frame, metres."""
    return float(np.asarray(camera.R, np.float64)[2] @ pelvis + camera.t[2])


def nearest_depth(
    mask: Bool[np.ndarray, "H W"], vertices: Float[np.ndarray, "V 3"], camera: Camera
) -> float:
    """Depth of the vertex (V, 3) of the body that lies nearest to the mask's middle in the image,
    metres."""
    R, t, K = (np.asarray(part, np.float64) for part in (camera.R, camera.t, camera.K))
    pixels, depth = project(vertices, R, t, K)
    row, column = np.nonzero(mask)
    middle = np.array([column.mean() + 0.5, row.mean() + 0.5])
    away = np.where(depth > 0, np.linalg.norm(pixels - middle, axis=1), np.inf)
    return float(depth[away.argmin()])

"""What is drawn of a reconstruction: its surface in the picture, and a GLB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chorus.occupancy.grid import VoxelGrid
from chorus.reconstruction.reconstruct import Reconstruction, posed_body
from chorus.viewing.reconstruction_picture import PicturedReconstruction
from chorus.viewing.surface_panels import Surface
from chorus.viewing.surfaces import isosurface, refine

if TYPE_CHECKING:
    from torch import Tensor

    from chorus.body.model import BodyModel
    from chorus.records.rows import Camera


def smooth_surface(found: Reconstruction) -> Surface:
    """The surface around the likeliest region, of twice the resolution, body frame, metres."""
    field = refine(found.mass)
    field /= field.sum()
    ranked = np.sort(field.reshape(-1))[::-1]
    kept = float(found.mass[found.region].sum())
    level = float(ranked[min(np.searchsorted(ranked.cumsum(), kept), len(ranked) - 1)])
    grid = VoxelGrid(field.shape[0], found.grid.side)
    surface = isosurface(field, level, grid.side)
    return surface.vertices.astype(np.float64), surface.faces


def pictured(
    photograph: np.ndarray,
    mask: np.ndarray,
    camera: Camera,
    body: BodyModel,
    pose: Tensor,
    found: Reconstruction,
    title: str,
    subtitle: str,
    truth: Surface | None = None,
) -> PicturedReconstruction:
    """A row of the picture: photograph (H, W, 3) uint8 and mask (H, W) bool, the person, and where
    the object is."""
    R, t, K = (np.asarray(part, np.float64) for part in (camera.R, camera.t, camera.K))
    vertices = posed_body(body, pose).vertices.double().numpy()
    return PicturedReconstruction(
        photograph=photograph,
        mask=mask,
        R=R,
        t=t,
        K=K,
        body=(vertices, body.faces.numpy()),
        thing=smooth_surface(found),
        title=title,
        subtitle=subtitle,
        truth=truth,
    )

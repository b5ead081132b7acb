"""Whether a fitted body covers the person's mask (method.md 5b).

Points spread evenly over the body's surface are projected into coarse cells; a cell counts as the
body's, or the mask's, if any point, or pixel, of it lies there. This takes a few tenths of a
millisecond a person, and needs the triangles only once.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from chorus.body.model import BodyModel
from chorus.geometry import cameras
from chorus.geometry.surfaces import evenly_spread
from chorus.refinement.settings import DISAGREE, NOT_EXPLAINED, RefinementSettings

POINTS = 4000
"""Points on the surface: some five to a cell that the body fills."""

CELLS = 56
"""Cells along the longer side of the window that both shapes lie in."""

_NEAREST = 0.05  # metres: nearer points are not seen


@dataclass(frozen=True)
class BodySurface:
    """Points of the zero-shape body's surface in the rest pose: rest (P, 3) metres, their
    skinning weights (P, 24), and how they move with the shape, shapedirs (P, 3, S)."""

    rest: Float[Tensor, "P 3"]
    weights: Float[Tensor, "P 24"]
    shapedirs: Float[Tensor, "P 3 S"]

    def posed(
        self, transforms: Float[Tensor, "B 24 4 4"], betas: Float[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B P 3"]:
        """The points (B, P, 3) under `BodyModel.skinning_transforms`, of the zero shape if betas
        is None; pose blend shapes are left out: they move the skin by less than a cell."""
        blend = (self.weights @ transforms[..., :3, :].flatten(-2)).unflatten(-1, (3, 4))
        rest = self.rest
        if betas is not None:
            rest = rest + (self.shapedirs @ betas.mT).movedim(-1, 0)
        return (blend[..., :3] @ rest[..., None])[..., 0] + blend[..., 3]


def body_surface(body: BodyModel, count: int = POINTS) -> BodySurface | None:
    """Points evenly spread over the body's triangles, the same in every run; None without any."""
    if not len(body.faces):
        return None
    corners = body.v_template[body.faces].double().cpu().numpy()
    face, shares = map(torch.from_numpy, evenly_spread(corners, count))
    face, shares = face.to(body.device), shares.to(body.v_template)
    picked = body.faces[face]
    return BodySurface(
        rest=(shares[..., None] * body.v_template[picked]).sum(1),
        weights=(shares[..., None] * body.weights[picked]).sum(1),
        shapedirs=(shares[..., None, None] * body.shapedirs[picked]).sum(1),
    )


def surface_pixels(
    surface: BodySurface,
    transforms: Float[Tensor, "B 24 4 4"],
    R: Float[Tensor, "B 3 3"],
    t: Float[Tensor, "B 3"],
    K: Float[Tensor, "B 3 3"],
    betas: Float[Tensor, "B S"] | None = None,
) -> Float[Tensor, "B P 2"]:
    """Pixels (B, P, 2) of the surface's points under cameras from the body frame; NaN where a
    point is not in front of the camera. betas (B, S): None for the zero shape."""
    pixels, depth = cameras.project(surface.posed(transforms, betas), R, t, K, nearest=_NEAREST)
    return torch.where(depth[..., None] > _NEAREST, pixels, torch.nan)


def agreement(
    pixels: Float[np.ndarray, "P 2"],
    person: Bool[np.ndarray, "H W"],
    thing: Bool[np.ndarray, "H W"],
) -> float:
    """Intersection over union, 0 to 1, of a body's silhouette and the person's mask.

    pixels (P, 2): of points all over its surface. Where the mask of the object, `thing`, lies,
    neither counts. NaN if nothing is left of the mask, or nothing of the body is known.
    """
    if not np.isfinite(pixels).any():
        return float("nan")
    height, width = person.shape
    inside = ((pixels >= 0) & (pixels < [width, height])).all(1)  # False for NaN
    column, row = pixels[inside].astype(int).T
    window = _window(person, row, column)
    if window is None:
        return float("nan")
    top, bottom, left, right = window
    high, wide = bottom - top, right - left
    part = min(1.0, CELLS / max(high, wide))
    rows, columns = max(1, round(part * high)), max(1, round(part * wide))
    body = np.zeros((rows, columns), bool)
    body[(row - top) * rows // high, (column - left) * columns // wide] = True
    body = ndimage.binary_closing(np.pad(body, 1))[1:-1, 1:-1] | body
    # A cell's mean is above 0 if any pixel of it is set.
    mask, hidden = (
        cv2.resize(
            np.ascontiguousarray(each[top:bottom, left:right]).view(np.uint8) * 255,
            (columns, rows),
            interpolation=cv2.INTER_AREA,
        )
        > 0
        for each in (person, thing)
    )
    mask, body = mask & ~hidden, body & ~hidden
    return float((mask & body).sum() / (mask | body).sum()) if mask.any() else float("nan")


def _window(
    person: Bool[np.ndarray, "H W"], row: np.ndarray, column: np.ndarray
) -> tuple[int, int, int, int] | None:
    """Top, bottom, left, right of what the mask and the points fill; None without a mask."""
    rows, columns = np.flatnonzero(person.any(1)), np.flatnonzero(person.any(0))
    if not rows.size:
        return None
    rows, columns = np.concatenate([rows, row]), np.concatenate([columns, column])
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


def doubt(residual: float, agreement: float, settings: RefinementSettings) -> str:
    """What speaks against a fit: NOT_EXPLAINED (also without any keypoint), DISAGREE, or ""."""
    if not residual <= settings.doubt_residual:
        return NOT_EXPLAINED
    return DISAGREE if agreement < settings.doubt_agreement else ""

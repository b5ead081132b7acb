"""How stout a person is, from its mask: landmarks tell the lengths of bones and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from chorus.body.model import BodyModel
from chorus.refinement.agreement import agreement, body_surface, surface_pixels

_STEPS = torch.linspace(-2.0, 3.0, 11)
"""Stoutness tried, standard deviations of the shape components. Clothes count as stoutness."""
_BONES_SD = 0.03


class GirthFitter:
    """Makes bodies stouter or slimmer until they fill their masks, with bones as they are."""

    def __init__(self, body: BodyModel):
        self._body = body
        self._surface = body_surface(body)
        self.direction = stouter(body)

    def __call__(
        self,
        pose: Float[Tensor, "B 24 3"],
        betas: Float[Tensor, "B S"],
        root: Float[Tensor, "B 3"],
        K: Float[Tensor, "B 3 3"],
        masks: Sequence[Bool[np.ndarray, "H W"]],
    ) -> tuple[Float[Tensor, "B S"], list[float]]:
        """The shapes (B, S) whose silhouettes agree best with the persons' masks, and how well.

        pose (B, 24, 3) with the global rotation in the image's camera; root (B, 3) the pelvis joint
        in it, metres; K (B, 3, 3) pixels. The agreement is NaN, and the shape as it was, where the
        body has no triangles or nothing of the mask is left.
        """
        found, agreements = betas.clone(), []
        for at, mask in enumerate(masks):
            best, chosen = self._fit(pose[at], betas[at], root[at], K[at], mask)
            agreements.append(best)
            found[at] = chosen
        return found, agreements

    def _fit(
        self, pose: Tensor, betas: Tensor, root: Tensor, K: Tensor, mask: np.ndarray
    ) -> tuple[float, Tensor]:
        if self._surface is None:
            return float("nan"), betas
        tried = betas + _STEPS.to(betas)[:, None] * self.direction.to(betas)
        count = len(tried)
        transforms = self._body.skinning_transforms(pose.expand(count, -1, -1), tried)
        pelvis = self._body.posed_joints(pose.expand(count, -1, -1), tried)[:, 0]
        pixels = surface_pixels(
            self._surface,
            transforms,
            torch.eye(3).to(root).expand(count, 3, 3),
            root - pelvis,
            K.expand(count, 3, 3),
            tried,
        ).numpy()
        nothing = np.zeros_like(mask)
        scores = np.array([agreement(each, mask, nothing) for each in pixels])
        if not np.isfinite(scores).any():
            return float("nan"), betas
        best = int(np.nanargmax(scores))
        return float(scores[best]), tried[best]


def stouter(body: BodyModel) -> Float[Tensor, " S"]:
    """The direction (S,) of unit length among shapes that adds the most volume while moving joints
    the least: gradient of the volume under a penalty of _BONES_SD on the joints."""
    corners = body.v_template[body.faces].double()
    dirs = body.shapedirs.double()
    # Volume = sum of a . (b x c) / 6 over the triangles, and its derivative by each corner.
    a, b, c = corners.unbind(1)
    by_corner = torch.stack([torch.linalg.cross(*pair) for pair in ((b, c), (c, a), (a, b))], 1) / 6
    gradient = torch.einsum("fki,fkis->s", by_corner, dirs[body.faces])
    joints = body.joint_shapedirs.double().flatten(0, 1)
    moved = torch.eye(len(gradient)).to(gradient) + joints.mT @ joints / _BONES_SD**2
    direction = torch.linalg.solve(moved, gradient)
    return (direction / direction.norm().clamp(min=1e-12)).to(body.v_template)

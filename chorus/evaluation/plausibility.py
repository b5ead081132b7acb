"""Whether a test image's posed body and its person's mask agree (method.md 5b)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from chorus.body.model import BodyModel
from chorus.evaluation.labelled_images import labelled_image
from chorus.refinement.agreement import agreement, body_surface, surface_pixels
from chorus.refinement.settings import RefinementSettings

LEAST_AGREEMENT = RefinementSettings().doubt_agreement
"""Below it `chorus refine` doubts a person, and so do test sets."""


def body_agreement(
    rows: Sequence[Mapping[str, Any]],
    person_masks: Sequence[Bool[np.ndarray, "H W"]],
    body: BodyModel,
) -> Float[np.ndarray, " n"]:
    """(n,) intersection over union, 0 to 1, of test images' bodies and their persons' masks.

    rows: done rows of a table `test_set`. Where the object's mask lies, neither counts. NaN for a
    body without triangles. BadInput for a damaged mask.
    """
    surface = body_surface(body)
    if surface is None or not rows:
        return np.full(len(rows), np.nan)
    images = [labelled_image(row) for row in rows]

    def stacked(name: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([getattr(image, name) for image in images])).float()

    pose = stacked("pose")
    pose[:, 0] = 0  # the camera is that of the body's own frame
    camera = (stacked(name) for name in ("R", "t", "K"))
    pixels = surface_pixels(surface, body.skinning_transforms(pose), *camera).numpy()
    return np.array(
        [
            agreement(points, mask, image.mask)
            for points, mask, image in zip(pixels, person_masks, images, strict=True)
        ]
    )

"""A weak-perspective prediction as a pinhole camera: far away, with a long focal length.

See method.md 6.

What comes after calibration wants a pinhole camera. Seen from DISTANCE, a person's own depth
hardly changes any pixel, so the same code runs on the parallel projection itself; this is what the
perspective anchoring is compared with.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

DISTANCE = 10_000.0
"""Metres. A point 1 m nearer or farther than the joints moves by 1e-4 of its pixels from theirs."""


def far_camera(
    scale: Float[Tensor, " B"], shift: Float[Tensor, "B 2"], image_size: Float[Tensor, "B 2"]
) -> tuple[Float[Tensor, "B 3"], Float[Tensor, " B"]]:
    """The pinhole camera at DISTANCE that sees what a parallel projection does.

    scale (B,) pixels per metre, shift (B, 2) pixels, image_size (B, 2) width and height. Returns
    t (B, 3) metres and the focal length (B,) in units of the image width; the principal point is
    the image's middle.
    """
    across = (shift - image_size / 2) / scale[:, None]
    t = torch.cat([across, torch.full_like(across[:, :1], DISTANCE)], dim=-1)
    return t, scale * DISTANCE / image_size[:, 0]

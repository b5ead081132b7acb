"""Random samples for aggregation."""

from __future__ import annotations

import numpy as np
import torch

from chorus.geometry.cameras import look_at
from chorus.occupancy.views import Views


def random_views(count: int, seed: int = 0, size: tuple[int, int] = (40, 56)) -> Views:
    """Random poses seen by cameras all around at 1 to 3 m, with elliptic masks of (H, W)."""
    rng = np.random.default_rng(seed)
    angle = torch.from_numpy(rng.uniform(0, 2 * np.pi, count))
    eye = torch.stack([angle.cos(), torch.full_like(angle, 0.2), angle.sin()], dim=-1)
    eye = eye * torch.from_numpy(rng.uniform(1, 3, (count, 1)))
    # Not at the origin itself, whose voxels would fall exactly on the edges of the middle pixels.
    R, t = look_at(eye.float(), torch.from_numpy(rng.normal(0, 0.05, (count, 3))).float())
    height, width = size
    K = torch.tensor([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    rows, columns = np.mgrid[:height, :width]
    masks = [
        ((rows - rng.uniform(0, height)) / (height * rng.uniform(0.1, 0.6))) ** 2
        + ((columns - rng.uniform(0, width)) / (width * rng.uniform(0.1, 0.6))) ** 2
        < 1
        for _ in range(count)
    ]
    pose = torch.from_numpy(rng.normal(0, 0.4, (count, 24, 3))).float()
    return Views(pose, R, t, K.expand(count, 3, 3).clone(), masks)

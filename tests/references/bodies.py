"""A body that is quickly made."""

from __future__ import annotations

import numpy as np
import torch

from chorus.body.model import BodyModel
from chorus.body.skeleton import PARENTS


def stick_figure() -> BodyModel:
    """24 clouds of vertices around a stick figure's joints, each following its joint."""
    rng = np.random.default_rng(7)
    joints = np.array(
        [
            [0, 0, 0], [0.1, -0.1, 0], [-0.1, -0.1, 0], [0, 0.1, 0], [0.1, -0.5, 0],
            [-0.1, -0.5, 0], [0, 0.25, 0], [0.1, -0.9, 0], [-0.1, -0.9, 0], [0, 0.3, 0],
            [0.1, -0.95, 0.1], [-0.1, -0.95, 0.1], [0, 0.5, 0], [0.08, 0.4, 0], [-0.08, 0.4, 0],
            [0, 0.6, 0.05], [0.18, 0.42, 0], [-0.18, 0.42, 0], [0.45, 0.42, 0], [-0.45, 0.42, 0],
            [0.7, 0.42, 0], [-0.7, 0.42, 0], [0.78, 0.42, 0], [-0.78, 0.42, 0],
        ]
    )  # fmt: skip
    each = 12
    cloud = joints[:, None] + rng.normal(0, 0.04, (24, each, 3))
    cloud -= cloud.mean(axis=1, keepdims=True) - joints[:, None]
    weights = np.repeat(np.eye(24), each, axis=0) * 0.9
    parents = [max(parent, 0) for parent in PARENTS]
    weights[np.arange(24 * each), np.repeat(parents, each)] += 0.1
    return BodyModel(
        name="stick figure",
        v_template=torch.tensor(cloud.reshape(-1, 3), dtype=torch.float32),
        shapedirs=torch.zeros(24 * each, 3, 10),
        posedirs=None,
        weights=torch.tensor(weights, dtype=torch.float32),
        joint_regressor=torch.tensor(
            np.repeat(np.eye(24), each, axis=1) / each, dtype=torch.float32
        ),
        faces=torch.zeros(0, 3, dtype=torch.int64),
        parents=PARENTS,
    )

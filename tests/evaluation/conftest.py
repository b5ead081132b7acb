"""Bodies shared by the tests of the evaluation room."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chorus.body.model import BodyModel
from chorus.body.skeleton import PARENTS


@pytest.fixture(scope="session")
def reference_body(golden) -> BodyModel:
    """The body of the reference values; its first betas change its shape."""
    body = golden("body")
    return BodyModel(
        name="reference",
        v_template=torch.from_numpy(body["v_template"]),
        shapedirs=torch.from_numpy(body["shapedirs"]),
        posedirs=None,
        weights=torch.from_numpy(body["weights"]),
        joint_regressor=torch.from_numpy(body["J_regressor"]),
        faces=torch.from_numpy(body["faces"].astype(np.int64)),
        parents=tuple(body["parents"].tolist()),
    )


@pytest.fixture(scope="session")
def figure() -> BodyModel:
    """A person of 24 joints with a few vertices around each; its first beta makes it larger."""
    rng = np.random.default_rng(3)
    steps = {
        1: (0.1, -0.1, 0), 2: (-0.1, -0.1, 0), 3: (0, 0.12, 0), 4: (0, -0.4, 0), 5: (0, -0.4, 0),
        6: (0, 0.13, 0), 7: (0, -0.4, 0), 8: (0, -0.4, 0), 9: (0, 0.05, 0), 10: (0, -0.05, 0.12),
        11: (0, -0.05, 0.12), 12: (0, 0.22, 0), 13: (0.08, 0.12, 0), 14: (-0.08, 0.12, 0),
        15: (0, 0.1, 0.05), 16: (0.11, 0.02, 0), 17: (-0.11, 0.02, 0), 18: (0.27, 0, 0),
        19: (-0.27, 0, 0), 20: (0.25, 0, 0), 21: (-0.25, 0, 0), 22: (0.08, 0, 0), 23: (-0.08, 0, 0),
    }  # fmt: skip
    joints = np.zeros((24, 3))
    for joint, step in steps.items():
        joints[joint] = joints[PARENTS[joint]] + step
    each = 12
    cloud = rng.normal(0, 0.04, (24, each, 3))
    cloud += joints[:, None] - cloud.mean(axis=1, keepdims=True)
    template = torch.tensor(cloud.reshape(-1, 3), dtype=torch.float32)
    shapes = torch.zeros(24 * each, 3, 10)
    shapes[..., 0] = 0.1 * template
    spread = np.repeat(np.eye(24), each, axis=0)
    return BodyModel(
        name="figure",
        v_template=template,
        shapedirs=shapes,
        posedirs=None,
        weights=torch.tensor(spread, dtype=torch.float32),
        joint_regressor=torch.tensor(spread.T / each, dtype=torch.float32),
        faces=torch.zeros(0, 3, dtype=torch.int64),
        parents=PARENTS,
    )

"""Bodies and samples shared by the tests of the occupancy room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from chorus.body.model import BodyModel
from chorus.body.skeleton import PARENTS
from references.views import random_views


@pytest.fixture(scope="session")
def golden_body(golden):
    """The body of the reference values, `golden_body(posedirs=None)`."""

    def make(posedirs=None) -> BodyModel:
        body = golden("body")
        return BodyModel(
            name="reference",
            v_template=torch.from_numpy(body["v_template"]),
            shapedirs=torch.from_numpy(body["shapedirs"]),
            posedirs=posedirs,
            weights=torch.from_numpy(body["weights"]),
            joint_regressor=torch.from_numpy(body["J_regressor"]),
            faces=torch.from_numpy(body["faces"].astype(np.int64)),
            parents=tuple(body["parents"].tolist()),
        )

    return make


@pytest.fixture(scope="session")
def stick_body() -> BodyModel:
    """A body of 24 clouds of vertices around a stick figure's joints, each following its joint."""
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


@pytest.fixture(scope="session")
def clad_body(stick_body) -> BodyModel:
    """The stick figure with the hull of every joint's cloud as its surface."""
    clouds = stick_body.v_template.numpy().reshape(24, -1, 3)
    hulls = [trimesh.convex.convex_hull(cloud) for cloud in clouds]
    faces = []
    for number, (cloud, hull) in enumerate(zip(clouds, hulls, strict=True)):
        _, vertex = cKDTree(cloud).query(hull.vertices)
        faces.append(vertex[hull.faces] + number * len(cloud))
    return replace(stick_body, faces=torch.from_numpy(np.concatenate(faces)))


@pytest.fixture(scope="session")
def make_views():
    """`make_views(count, seed, size)`: random samples."""
    return random_views

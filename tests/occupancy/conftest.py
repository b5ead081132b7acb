"""Bodies and samples shared by the tests of the occupancy room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from chorus.body.model import BodyModel
from references.bodies import stick_figure
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
    return stick_figure()


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

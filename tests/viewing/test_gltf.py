from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import trimesh

from chorus.body.model import BodyModel
from chorus.body.skeleton import PARENTS
from chorus.errors import BadInput
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.viewing.gltf import distribution_glb


@pytest.fixture(scope="module")
def body() -> BodyModel:
    ball = trimesh.creation.icosphere(subdivisions=1, radius=0.3)
    vertices = torch.tensor(np.array(ball.vertices), dtype=torch.float32)
    weights = torch.zeros(len(vertices), 24)
    weights[:, 0] = 1
    regressor = torch.full((24, len(vertices)), 1 / len(vertices))
    return BodyModel(
        name="ball",
        v_template=vertices,
        shapedirs=torch.zeros(len(vertices), 3, 10),
        posedirs=None,
        weights=weights,
        joint_regressor=regressor,
        faces=torch.tensor(np.array(ball.faces), dtype=torch.int64),
        parents=PARENTS,
    )


@pytest.fixture(scope="module")
def distribution() -> Distribution:
    """A ball of radius 0.5 m at (0.5, 0, -0.25), probability falling from 1 to 0 at its edge."""
    grid = VoxelGrid(24, 3.0)
    places = np.stack(np.meshgrid(*[(np.arange(24) + 0.5) * 0.125 - 1.5] * 3, indexing="ij"), -1)
    away = np.linalg.norm(places - [0.5, 0, -0.25], axis=-1)
    probability = np.clip(1 - away / 1.0, 0, 1).astype(np.float32)
    seen = np.full(grid.shape, 9, np.uint32)
    return Distribution(probability, grid, seen, category="ball", prompt="A person sits")


def test_body_and_surface_are_where_they_belong(distribution, body):
    content = distribution_glb(distribution, body, threshold=0.5)
    scene = trimesh.load(io.BytesIO(content), file_type="glb")
    assert set(scene.geometry) == {"body", "distribution"}
    surface = scene.geometry["distribution"]
    assert surface.is_watertight
    np.testing.assert_allclose(surface.centroid, [0.5, 0, -0.25], atol=0.02)
    assert surface.volume == pytest.approx(4 / 3 * np.pi * 0.5**3, rel=0.1)
    shown = scene.geometry["body"]
    assert len(shown.vertices) == len(body.v_template)
    np.testing.assert_allclose(np.abs(shown.bounds), 0.3, atol=0.02)
    assert surface.visual.material.alphaMode == "BLEND"


def test_the_default_surface_is_the_one_in_pictures(distribution, body):
    content = distribution_glb(distribution, body)
    scene = trimesh.load(io.BytesIO(content), file_type="glb")
    peak = float(distribution.probability.max())
    assert scene.metadata["probability"] == pytest.approx(0.66 * peak, rel=1e-3)


def test_a_threshold_that_nothing_reaches_is_refused(distribution, body):
    with pytest.raises(BadInput, match="no surface at the threshold 1"):
        distribution_glb(distribution, body, threshold=1.0)

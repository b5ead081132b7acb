from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from chorus.body.model import BodyModel
from chorus.body.skeleton import PARENTS
from chorus.errors import BadInput
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.viewing.displayed import DisplayedDistribution
from chorus.viewing.gltf import distribution_glb
from chorus.viewing.scene import Shell, compose
from chorus.viewing.surfaces import refine


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
    shell = compose(DisplayedDistribution.of(distribution), None).shells[-1]
    assert scene.metadata["probability"] == shell.level
    peak = float(refine(distribution.probability).max())
    assert shell.level == pytest.approx(0.66 * peak, rel=1e-6)
    assert_same_surface(scene.geometry["distribution"], shell)


@pytest.mark.parametrize("layer", [0, 1, 12, 23])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("threshold", [None, 0.2])
def test_a_plate_one_voxel_thin_is_the_one_in_pictures(body, layer, axis, threshold):
    probability = np.zeros((24, 24, 24), np.float32)
    np.moveaxis(probability, axis, 0)[layer, 4:20, 8:] = 0.8
    seen = np.full(probability.shape, 9, np.uint32)
    plate = Distribution(probability, VoxelGrid(24, 3.0), seen, category="tie", prompt="A tie")
    content = distribution_glb(plate, body, threshold)
    scene = trimesh.load(io.BytesIO(content), file_type="glb")
    shell = compose(DisplayedDistribution.of(plate), None, threshold).shells[-1]
    assert scene.metadata["probability"] == shell.level
    assert scene.geometry["distribution"].is_watertight
    assert_same_surface(scene.geometry["distribution"], shell)


def assert_same_surface(mesh: trimesh.Trimesh, shell: Shell) -> None:
    """Vertices of both lie within a refined voxel of each other, their ends within half of one."""
    voxel = 3.0 / 48
    vertices, drawn = np.array(mesh.vertices), shell.surface.vertices
    assert cKDTree(vertices).query(drawn)[0].max() < voxel
    assert cKDTree(drawn).query(vertices)[0].max() < voxel
    np.testing.assert_allclose(mesh.bounds, [drawn.min(0), drawn.max(0)], atol=voxel / 2)


def test_a_threshold_that_nothing_reaches_is_refused(distribution, body):
    with pytest.raises(BadInput, match="no surface at the threshold 1"):
        distribution_glb(distribution, body, threshold=1.0)

"""Refined grids and isosurfaces."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from chorus.viewing.surfaces import isosurface, refine


def ball(n: int = 32, side: float = 3.0) -> np.ndarray:
    """Distance field that is 0.5 on a sphere of radius 0.8 m."""
    x = (np.arange(n) + 0.5) / n * side - side / 2
    X, Y, Z = np.meshgrid(x, x, x, indexing="ij")
    return np.clip(0.5 + 0.8 - np.sqrt(X**2 + Y**2 + Z**2), 0, 1).astype(np.float32)


def test_refine_keeps_constants_and_the_sum():
    flat = refine(np.full((6, 6, 6), 0.4))
    assert flat.shape == (12, 12, 12)
    np.testing.assert_allclose(flat[4:8, 4:8, 4:8], 0.4, atol=1e-6)
    grid = np.zeros((8, 8, 8))
    grid[3, 4, 5] = 1
    fine = refine(grid)
    assert fine.sum() == pytest.approx(8, rel=1e-5)
    # the spot stays where it was: two fine cells either side of the old centre
    centre = np.array([(fine.sum((1, 2)) * np.arange(16)).sum() / 8])
    assert centre == pytest.approx(2 * 3 + 0.5, abs=1e-4)


def test_sphere_has_its_size_and_faces_outward():
    surface = isosurface(ball(), 0.5, 3.0)
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.8**3, rel=0.02)
    radius = np.linalg.norm(surface.vertices, axis=1)
    assert np.abs(radius - 0.8).max() < 0.02
    outward = (surface.normals * surface.vertices / radius[:, None]).sum(1)
    assert outward.min() > 0.9


def test_surface_closes_at_the_border_of_the_grid():
    full = isosurface(np.ones((5, 5, 5)), 0.5, 3.0)
    mesh = trimesh.Trimesh(full.vertices, full.faces, process=False)
    assert mesh.is_watertight
    assert mesh.volume > 0.8 * 3.0**3


@pytest.mark.parametrize("grid", [np.zeros((5, 5, 5)), np.full((5, 5, 5), 0.2)])
def test_no_surface_above_the_field(grid):
    assert isosurface(grid, 0.5, 3.0).is_empty

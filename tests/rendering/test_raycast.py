"""Ray casting against analytic silhouettes, the pinhole model, and odd scenes."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull

from chorus.errors import BadInput
from chorus.rendering.raycast import (
    RayScene,
    blend_corners,
    camera_rays,
    cast,
    unit,
    vertex_normals,
)

SIZE = 160
K = np.array([[190.0, 0, 83.0], [0, 185.0, 78.5], [0, 0, 1]])


@pytest.fixture
def camera():
    """A camera 3 m away, tilted off every axis: R, t."""
    forward = unit(np.array([0.3, -0.4, 1.0]))
    right = unit(np.cross(forward, [0.1, 1.0, 0.05]))
    R = np.stack([right, np.cross(forward, right), forward])
    return R, -R @ (-3.0 * forward)


def test_sphere_silhouette_is_the_analytic_cone(camera):
    R, t = camera
    centre, radius = np.array([0.2, 0.1, -0.1]), 0.7
    ball = trimesh.creation.icosphere(subdivisions=5, radius=radius)
    hits = cast([(ball.vertices + centre, ball.faces)], R, t, K, SIZE, SIZE)
    rays = unit(camera_rays(K, SIZE, SIZE).astype(float))
    middle = R @ centre + t
    along = rays @ middle
    miss = np.sqrt(np.maximum(middle @ middle - along**2, 0))
    # The faceted ball lies within 0.1 % of its radius inside the true one.
    clear = np.abs(miss - radius) > 1e-3 * radius
    assert (hits.found == (miss < radius))[clear].all()
    assert clear.mean() > 0.99
    expected = (along - np.sqrt(np.maximum(radius**2 - miss**2, 0))) * rays[..., 2]
    deep = hits.found & (miss < 0.9 * radius)
    np.testing.assert_allclose(hits.depth[deep], expected[deep], atol=2e-3)


def test_box_silhouette_is_the_hull_of_its_projected_corners(camera):
    R, t = camera
    box = trimesh.creation.box((0.8, 1.1, 0.5))
    hits = cast([box], R, t, K, SIZE, SIZE)
    in_camera = box.vertices @ R.T + t
    corners = (in_camera @ K.T)[:, :2] / in_camera[:, 2:]
    hull = ConvexHull(corners)
    u, v = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
    outside = (np.stack([u, v], -1) @ hull.equations[:, :2].T + hull.equations[:, 2]).max(-1)
    clear = np.abs(outside) > 1e-3
    assert (hits.found == (outside < 0))[clear].all()


def test_a_projected_point_is_seen_in_its_own_pixel_at_its_depth(camera):
    R, t = camera
    rng = np.random.default_rng(4)
    for point in rng.uniform(-0.5, 0.5, (20, 3)):
        in_camera = R @ point + t
        u, v = (K @ in_camera)[:2] / in_camera[2]
        speck = trimesh.creation.icosphere(subdivisions=1, radius=0.02)
        hits = cast([(speck.vertices + point, speck.faces)], R, t, K, SIZE, SIZE)
        assert hits.mesh_id[int(np.floor(v)), int(np.floor(u))] == 0
        assert abs(hits.depth[int(np.floor(v)), int(np.floor(u))] - in_camera[2]) < 0.021


def test_nearer_mesh_wins_and_empty_meshes_keep_their_number(camera):
    R, t = camera
    wall = trimesh.creation.box((2, 2, 0.02))
    nearer = wall.vertices @ np.diag([0.3, 0.3, 1.0]) - [0, 0, 0.6]
    nothing = (np.zeros((0, 3)), np.zeros((0, 3), int))
    hits = cast([wall, nothing, (nearer, wall.faces)], R, t, K, SIZE, SIZE)
    assert set(np.unique(hits.mesh_id)) == {-1, 0, 2}
    assert hits.depth[hits.mesh_id == 2].max() < hits.depth[hits.mesh_id == 0].mean()


def test_barycentrics_rebuild_the_hit_point(camera):
    R, t = camera
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.8)
    hits = cast([ball], R, t, K, SIZE, SIZE)
    some = hits[hits.found]
    points = blend_corners(np.asarray(ball.vertices)[ball.faces[some.face_id]], some.barycentric)
    rays = camera_rays(K, SIZE, SIZE)[hits.found]
    np.testing.assert_allclose(points @ R.T + t, rays * some.depth[:, None], atol=1e-4)
    normals = vertex_normals(np.asarray(ball.vertices, np.float32), np.asarray(ball.faces))
    np.testing.assert_allclose(normals, ball.vertices / 0.8, atol=0.02)


def test_casting_only_where_needed_changes_nothing(camera):
    R, t = camera
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.2)
    scene = RayScene([(ball.vertices + np.array([0.9, -0.8, 0.3]), ball.faces)])
    partial = scene.cast(R, t, K, SIZE, SIZE)
    rays = (camera_rays(K, SIZE, SIZE) @ R).reshape(-1, 3)
    full = scene.first(np.broadcast_to(-R.T @ t, rays.shape), rays)
    assert 0 < partial.found.sum() < SIZE**2 / 4
    np.testing.assert_array_equal(partial.mesh_id.ravel(), full.mesh_id)
    np.testing.assert_allclose(partial.depth.ravel(), full.depth, rtol=1e-5)


def test_mesh_that_crosses_the_camera_plane_is_cut_there(camera):
    R, t = camera
    floor = trimesh.creation.box((40, 0.01, 40))
    hits = cast([(floor.vertices - [0, 2.5, 0], floor.faces)], R, t, K, SIZE, SIZE)
    assert hits.found.any()
    assert (hits.depth[hits.found] > 0).all()


def test_camera_inside_sees_the_inner_side_everywhere(camera):
    R, t = camera
    around = trimesh.creation.icosphere(subdivisions=2, radius=1.0)
    hits = cast([(around.vertices - R.T @ t, around.faces)], R, t, K, SIZE, SIZE)
    assert hits.found.all()


@pytest.mark.parametrize("meshes", [[], [(np.zeros((0, 3)), np.zeros((0, 3), int))]])
def test_nothing_to_see(camera, meshes):
    hits = cast(meshes, *camera, K, SIZE, SIZE)
    assert not hits.found.any()
    assert np.isinf(hits.depth).all()
    assert not RayScene(meshes).occluded(np.zeros((5, 3)), [0, 1, 0]).any()


def test_what_lies_behind_the_camera_is_not_seen(camera):
    R, t = camera
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.5)
    hits = cast([(ball.vertices - R.T @ t - 2 * R[2], ball.faces)], R, t, K, SIZE, SIZE)
    assert not hits.found.any()


def test_shadow_rays():
    roof = trimesh.creation.box((1, 0.1, 1))
    scene = RayScene([(roof.vertices + np.array([0, 2, 0]), roof.faces)])
    below, beside = [0.0, 0.0, 0.0], [3.0, 0.0, 0.0]
    assert scene.occluded([below, beside], [0, 1, 0]).tolist() == [True, False]
    assert scene.occluded([below], [0, -1, 0]).tolist() == [False]


def test_bad_meshes_are_named():
    box = trimesh.creation.box()
    broken = np.array(box.vertices)
    broken[3, 1] = np.nan
    with pytest.raises(BadInput, match="mesh 1 has 1 vertices"):
        RayScene([box, (broken, box.faces)])
    with pytest.raises(BadInput, match="names vertex 99"):
        RayScene([(box.vertices, np.array([[0, 1, 99]]))])

"""Lays a posed body over the image it was fitted to."""

from __future__ import annotations

import logging

import numpy as np

from chorus.geometry.cameras import to_camera
from chorus.viewing import gl, rasterise
from chorus.viewing.displayed import vertex_normals
from chorus.viewing.gl import Renderer
from chorus.viewing.scene import FILL_LIGHT, KEY_LIGHT

log = logging.getLogger(__name__)

OVERLAY_COLOUR = (0.55, 0.78, 0.95)
OVERLAY_OPACITY = 0.72


def body_overlay(
    image: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    R: np.ndarray,
    t: np.ndarray,
    K: np.ndarray,
    *,
    kind: Renderer = "cpu",
    base: np.ndarray | None = None,
) -> np.ndarray:
    """The image (H, W, 3) uint8 with a shaded, half transparent mesh over it.

    `vertices` (V, 3) metres, `faces` (F, 3); R (3, 3), t (3,), K (3, 3) map the mesh's frame to the
    image's pixels (docs/conventions.md, Cameras). base (V, 3): colours in [0, 1] before the light
    falls on them; all alike if left out. `gl` draws with pyrender where off-screen GL works and on
    the CPU otherwise. A mesh that is not finite or lies behind the camera leaves the image as it
    is.
    """
    vertices = np.asarray(vertices, dtype=np.float64)
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    R, t, K = (np.asarray(part, dtype=np.float64) for part in (R, t, K))
    usable = all(np.isfinite(part).all() for part in (vertices, R, t, K))
    if not usable or to_camera(vertices, R, t)[:, 2].max() <= rasterise.NEAR:
        log.warning("A fitted body is not drawn: it is not finite or lies behind the camera.")
        return image.copy()
    base = np.array(OVERLAY_COLOUR) if base is None else base
    colours = _mesh_colours(vertices, faces, R, base)
    if kind == "gl" and gl.pyrender_draws():
        layer, covered = _with_pyrender(image.shape[:2], vertices, faces, colours, R, t, K)
    else:
        layer, covered = _on_cpu(image.shape[:2], vertices, faces, colours, R, t, K)
    alpha = OVERLAY_OPACITY * covered[..., None]
    mixed = image * (1 - alpha) + 255 * layer * alpha
    return (mixed + 0.5).clip(0, 255).astype(np.uint8)


def _mesh_colours(
    vertices: np.ndarray, faces: np.ndarray, R: np.ndarray, base: np.ndarray
) -> np.ndarray:
    """(V, 4) matte colours, lit from the camera's upper left."""
    normals = vertex_normals(vertices, faces) @ R.T
    key, fill = (
        np.clip(normals @ (light / np.linalg.norm(light)), 0, 1)
        for light in (KEY_LIGHT, FILL_LIGHT)
    )
    light = 0.42 + 0.55 * key + 0.22 * fill
    rgb = np.clip(light[:, None] * base, 0, 1)
    return np.concatenate([rgb, np.ones((len(rgb), 1))], axis=1).astype(np.float32)


def _on_cpu(shape, vertices, faces, colours, R, t, K) -> tuple[np.ndarray, np.ndarray]:
    """Colour (H, W, 3) in [0, 1] and coverage (H, W) in [0, 1], twice oversampled."""
    factor = rasterise.OVERSAMPLING
    height, width = shape
    large = np.zeros((height * factor, width * factor, 4), dtype=np.float32)
    nearness = np.zeros(large.shape[:2], dtype=np.float32)
    scaled = K * np.array([[factor], [factor], [1.0]])
    pixels = rasterise.project(vertices, R, t, scaled)
    rasterise.fill_triangles(pixels, faces, colours, nearness, nearness, large)
    small = large.reshape(height, factor, width, factor, 4).mean((1, 3))
    covered = small[..., 3]
    return small[..., :3] / np.maximum(covered, 1e-6)[..., None], covered


def _with_pyrender(shape, vertices, faces, colours, R, t, K) -> tuple[np.ndarray, np.ndarray]:
    """As `_on_cpu`, by pyrender; the mesh's own colours, unlit."""
    import pyrender

    height, width = shape
    scene = pyrender.Scene(bg_color=(0, 0, 0, 0), ambient_light=(1.0, 1.0, 1.0))
    primitive = pyrender.Primitive(
        positions=vertices.astype(np.float32), indices=faces, color_0=colours
    )
    scene.add(pyrender.Mesh([primitive]))
    # OpenGL's camera looks along -z with y up
    camera_to_body = np.eye(4)
    camera_to_body[:3, :3] = R.T @ np.diag([1.0, -1.0, -1.0])
    camera_to_body[:3, 3] = -R.T @ t
    depth = to_camera(vertices, R, t)[:, 2]
    camera = pyrender.IntrinsicsCamera(
        K[0, 0],
        K[1, 1],
        K[0, 2],
        K[1, 2],
        znear=max(0.5 * depth.min(), 1e-2),
        zfar=2 * depth.max(),
    )
    scene.add(camera, pose=camera_to_body)
    window = pyrender.OffscreenRenderer(width, height)
    try:
        colour, _ = window.render(
            scene, flags=pyrender.RenderFlags.FLAT | pyrender.RenderFlags.RGBA
        )
    finally:
        window.delete()
    # edge pixels come mixed with the black background, in the measure of their coverage
    colour = colour.astype(np.float32) / 255
    covered = colour[..., 3]
    return np.clip(colour[..., :3] / np.maximum(covered, 1e-6)[..., None], 0, 1), covered

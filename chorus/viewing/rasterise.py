"""Draws a composition on the CPU: no GL, no display, a few hundredths of a second a picture.

Triangles are filled with a depth buffer at twice the picture's resolution and averaged down. The
picture holds several nested translucent surfaces, so filling triangles costs less than casting a
ray per pixel and surface, and a turntable stays within seconds on one core.
"""

from __future__ import annotations

import numba
import numpy as np

from chorus.viewing.scene import BACKGROUND, Composition, View, body_colours, shell_colours

NEAR = 1e-3
"""Triangles with a corner closer to the camera than this are left out, metres."""
OVERSAMPLING = 2


def render(composition: Composition, view: View, width: int, height: int) -> np.ndarray:
    """Picture (height, width, 3) uint8 of a composition."""
    w, h = width * OVERSAMPLING, height * OVERSAMPLING
    R, t, K = view.camera(composition, w, h)
    colour = np.empty((h, w, 4), dtype=np.float32)
    colour[..., :3] = BACKGROUND
    colour[..., 3] = 0
    depth = np.full((h, w), np.inf, dtype=np.float32)
    if composition.body is not None:
        body = composition.body
        pixels = project(body.vertices, R, t, K)
        fill_triangles(pixels, body.faces, body_colours(body, R), depth, depth, colour)
    # every shell needs its own depth: one surface hides only its own further folds
    layer, layer_depth = np.empty_like(colour), np.empty_like(depth)
    for shell in composition.shells:
        pixels = project(shell.surface.vertices, R, t, K)
        left, top = np.clip(np.floor(pixels[:, :2].min(0)).astype(int), 0, (w, h))
        right, low = np.clip(np.ceil(pixels[:, :2].max(0)).astype(int) + 1, 0, (w, h))
        layer[top:low, left:right, 3] = 0
        layer_depth[top:low, left:right] = np.inf
        colours = shell_colours(shell, R, t)
        fill_triangles(pixels, shell.surface.faces, colours, depth, layer_depth, layer)
        blend(layer[top:low, left:right], colour[top:low, left:right])
    return shrink(colour, OVERSAMPLING)


def project(vertices: np.ndarray, R: np.ndarray, t: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Pixel u, v and camera depth (V, 3) float32 of points (V, 3) in the camera's world."""
    camera = vertices @ R.T + t
    z = np.where(np.abs(camera[:, 2]) < NEAR, NEAR, camera[:, 2])
    u = K[0, 0] * camera[:, 0] / z + K[0, 2]
    v = K[1, 1] * camera[:, 1] / z + K[1, 2]
    return np.stack([u, v, camera[:, 2]], axis=1).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def fill_triangles(pixels, faces, colours, limit, depth, image):
    """Fill front-facing triangles into `image` (H, W, 4) and `depth` (H, W), nearest first.

    `pixels` (V, 3) are u, v, depth; `colours` (V, 4); a pixel is drawn only nearer than `limit`
    (H, W), which may be `depth` itself. Faces turned away from the camera are skipped.
    """
    height, width = depth.shape
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        za, zb, zc = pixels[a, 2], pixels[b, 2], pixels[c, 2]
        if za < NEAR or zb < NEAR or zc < NEAR:
            continue
        ua, va, ub, vb = pixels[a, 0], pixels[a, 1], pixels[b, 0], pixels[b, 1]
        uc, vc = pixels[c, 0], pixels[c, 1]
        # v points down, so a face that is counter-clockwise in space has negative area here
        area = (ub - ua) * (vc - va) - (uc - ua) * (vb - va)
        if area > -1e-9:
            continue
        left = max(int(np.ceil(min(ua, ub, uc) - 0.5)), 0)
        right = min(int(np.floor(max(ua, ub, uc) - 0.5)), width - 1)
        top = max(int(np.ceil(min(va, vb, vc) - 0.5)), 0)
        low = min(int(np.floor(max(va, vb, vc) - 0.5)), height - 1)
        for row in range(top, low + 1):
            y = row + 0.5
            for column in range(left, right + 1):
                x = column + 0.5
                wa = ((ub - x) * (vc - y) - (uc - x) * (vb - y)) / area
                wb = ((uc - x) * (va - y) - (ua - x) * (vc - y)) / area
                wc = 1 - wa - wb
                if wa < 0 or wb < 0 or wc < 0:
                    continue
                z = 1 / (wa / za + wb / zb + wc / zc)
                if z < depth[row, column] and z < limit[row, column]:
                    depth[row, column] = z
                    for channel in range(4):
                        image[row, column, channel] = (
                            wa * colours[a, channel]
                            + wb * colours[b, channel]
                            + wc * colours[c, channel]
                        )


@numba.njit(cache=True, nogil=True)
def blend(layer, image):
    """Lay `layer` (H, W, 4) over `image` (H, W, 4) by the layer's alpha, in place."""
    for row in range(layer.shape[0]):
        for column in range(layer.shape[1]):
            alpha = layer[row, column, 3]
            if alpha > 0:
                for channel in range(3):
                    under = image[row, column, channel]
                    over = layer[row, column, channel]
                    image[row, column, channel] = under + alpha * (over - under)


@numba.njit(cache=True, nogil=True)
def shrink(image, factor):
    """Mean over factor x factor pixels of (H, W, 4) colours in [0, 1], as (h, w, 3) uint8."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    small = np.empty((height, width, 3), dtype=np.uint8)
    share = 255 / (factor * factor)
    for row in range(height):
        for column in range(width):
            for channel in range(3):
                total = 0.0
                for i in range(factor):
                    for j in range(factor):
                        total += image[row * factor + i, column * factor + j, channel]
                small[row, column, channel] = np.uint8(total * share + 0.5)
    return small

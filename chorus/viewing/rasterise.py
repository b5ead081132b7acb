"""Draws a composition on the CPU: no GL, no display, a few hundredths of a second a picture.

Triangles are filled with a depth buffer at twice the picture's resolution and averaged down. The
picture holds several nested translucent surfaces, so filling triangles costs less than casting a
ray per pixel and surface, and a turntable stays within seconds on one core.
"""

from __future__ import annotations

import numba
import numpy as np

from chorus.geometry import cameras
from chorus.viewing.scene import (
    BACKGROUND,
    Composition,
    Shell,
    View,
    body_colours,
    shell_colours,
)

NEAR = 1e-3
"""Triangles with a corner closer to the camera than this are left out, metres."""
OVERSAMPLING = 2
_EMPTY = np.float32([*BACKGROUND, 0])
_PAPER = np.uint8(np.rint(255 * np.float32(BACKGROUND)))


class CpuRenderer:
    """Draws any number of views of one composition; keeps its buffers from one to the next."""

    def __init__(self, composition: Composition, width: int, height: int) -> None:
        self.composition = composition
        self.size = (width * OVERSAMPLING, height * OVERSAMPLING)
        shape = self.size[::-1]
        self.colour, self.layer = (np.empty((*shape, 4), dtype=np.float32) for _ in range(2))
        self.nearness, self.layer_nearness = (np.empty(shape, dtype=np.float32) for _ in range(2))
        self.drawn = slice(None), slice(None)  # the part of the buffers that is to be cleared

    def render(self, view: View) -> np.ndarray:
        """Picture (height, width, 3) uint8."""
        R, t, K = view.camera(self.composition, *self.size)
        clear(self.colour[self.drawn], self.nearness[self.drawn], _EMPTY)
        body, windows = self.composition.body, []
        if body is not None:
            pixels = project(body.vertices, R, t, K)
            colours = body_colours(body, R)
            fill_triangles(pixels, body.faces, colours, self.nearness, self.nearness, self.colour)
            windows.append(self._window(pixels))
        windows += [self._lay_over(shell, R, t, K) for shell in self.composition.shells]
        width, height = (side // OVERSAMPLING for side in self.size)
        picture = np.full((height, width, 3), _PAPER)
        if windows:
            self.drawn = tuple(
                slice(min(w[axis].start for w in windows), max(w[axis].stop for w in windows))
                for axis in range(2)
            )
            small = tuple(
                slice(s.start // OVERSAMPLING, s.stop // OVERSAMPLING) for s in self.drawn
            )
            picture[small] = shrink(self.colour[self.drawn], OVERSAMPLING)
        return picture

    def _window(self, pixels: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns of the buffers that hold these places (V, 3), in whole small pixels."""
        size = np.array(self.size) // OVERSAMPLING
        low = np.clip(np.floor(pixels[:, :2].min(0) / OVERSAMPLING).astype(int), 0, size)
        high = np.clip(np.ceil(pixels[:, :2].max(0) / OVERSAMPLING).astype(int) + 1, 0, size)
        (left, top), (right, bottom) = OVERSAMPLING * low, OVERSAMPLING * high
        return slice(top, bottom), slice(left, right)

    def _lay_over(
        self, shell: Shell, R: np.ndarray, t: np.ndarray, K: np.ndarray
    ) -> tuple[slice, slice]:
        """Blend a shell over the picture; it hides only its own further folds. Where it lies."""
        pixels = project(shell.surface.vertices, R, t, K)
        window = self._window(pixels)
        self.layer_nearness[window] = 0
        fill_triangles(
            pixels,
            shell.surface.faces,
            shell_colours(shell, R, t),
            self.nearness,
            self.layer_nearness,
            self.layer,
        )
        blend(self.layer[window], self.layer_nearness[window], self.colour[window])
        return window


def project(vertices: np.ndarray, R: np.ndarray, t: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Pixel u, v and camera depth (V, 3) float32 of points (V, 3) in the camera's world."""
    # From the principal point, which is added last: an order that every picture depends on.
    pixels, depth = cameras.project(vertices, R, t, np.diag(K.diagonal()), nearest=NEAR)
    return np.column_stack([pixels + K[:2, 2], depth]).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def fill_triangles(pixels, faces, colours, limit, nearness, image):
    """Fill front-facing triangles into `image` (H, W, 4) and `nearness` (H, W), nearest first.

    `pixels` (V, 3) are u, v, depth; `colours` (V, 4). Nearness is 1 / depth, which is linear over
    a triangle's pixels, and 0 where nothing is; a pixel is drawn only if nearer than `limit`
    (H, W), which may be `nearness` itself. Faces turned away from the camera are skipped.
    """
    height, width = nearness.shape
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ua, va = np.float64(pixels[a, 0]), np.float64(pixels[a, 1])
        ub, vb = np.float64(pixels[b, 0]), np.float64(pixels[b, 1])
        uc, vc = np.float64(pixels[c, 0]), np.float64(pixels[c, 1])
        # v points down, so a face that is counter-clockwise in space has negative area here
        area = (ub - ua) * (vc - va) - (uc - ua) * (vb - va)
        if area > -1e-9:
            continue
        if pixels[a, 2] < NEAR or pixels[b, 2] < NEAR or pixels[c, 2] < NEAR:
            continue
        left = max(int(np.ceil(min(ua, ub, uc) - 0.5)), 0)
        right = min(int(np.floor(max(ua, ub, uc) - 0.5)), width - 1)
        top = max(int(np.ceil(min(va, vb, vc) - 0.5)), 0)
        low = min(int(np.floor(max(va, vb, vc) - 0.5)), height - 1)
        if left > right or top > low:
            continue
        # barycentric weights of b and c, and how they change from one pixel to the next
        share = 1 / area
        b_right, b_down = (vc - va) * share, -(uc - ua) * share
        c_right, c_down = -(vb - va) * share, (ub - ua) * share
        x, y = left + 0.5 - ua, top + 0.5 - va
        b_row, c_row = x * b_right + y * b_down, x * c_right + y * c_down
        near_a = 1 / pixels[a, 2]
        near_b, near_c = 1 / pixels[b, 2] - near_a, 1 / pixels[c, 2] - near_a
        for row in range(top, low + 1):
            wb, wc, entered = b_row, c_row, False
            for column in range(left, right + 1):
                if wb >= 0 and wc >= 0 and wb + wc <= 1:
                    entered = True
                    near = near_a + wb * near_b + wc * near_c
                    if near > nearness[row, column] and near > limit[row, column]:
                        nearness[row, column] = near
                        wa = 1 - wb - wc
                        for channel in range(4):
                            image[row, column, channel] = (
                                wa * colours[a, channel]
                                + wb * colours[b, channel]
                                + wc * colours[c, channel]
                            )
                elif entered:
                    break
                wb += b_right
                wc += c_right
            b_row += b_down
            c_row += c_down


@numba.njit(cache=True, nogil=True)
def clear(image, nearness, colour):
    """Empty an `image` (H, W, 4), to one colour (4,), and its `nearness` (H, W).

    numpy takes several times as long for so short a last axis.
    """
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            for channel in range(4):
                image[row, column, channel] = colour[channel]
            nearness[row, column] = 0


@numba.njit(cache=True, nogil=True)
def blend(layer, nearness, image):
    """Lay `layer` (H, W, 4) over `image` (H, W, 4) by the layer's alpha, in place, where anything
    of it was drawn: where its `nearness` (H, W) is above 0."""
    for row in range(layer.shape[0]):
        for column in range(layer.shape[1]):
            if nearness[row, column] > 0:
                alpha = layer[row, column, 3]
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

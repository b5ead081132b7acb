"""Colour of surface points: sun and sky light, shadows, gloss, and what shines through."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from chorus.rendering.raycast import Hits, RayScene, blend_corners, unit, vertex_normals
from chorus.synthetic.look.colours import smoothstep
from chorus.synthetic.look.lighting import LIFT, Light, openness
from chorus.synthetic.look.scenery import View
from chorus.synthetic.look.staging import Piece

# Rays that go on behind a see-through plate start this far behind its front, metres.
_BEHIND = 0.02


class Shader:
    """Shades points of one scene. pieces: its meshes, in the order of `rays`."""

    def __init__(self, pieces: Sequence[Piece], rays: RayScene, light: Light, view: View):
        self.pieces, self.rays, self.light, self.view = pieces, rays, light, view

    def shade(self, hits: Hits, directions, pixels, surroundings) -> np.ndarray:
        """Linear colour (P, 3) of hits (P,) along camera rays directions (P, 3).

        pixels (P,): flat index of the pixel each belongs to. surroundings (H, W, 3): the picture
        without people and objects, seen through meshes such as a racket's strings.
        """
        shape = surroundings.shape[:2]
        colour, opacity = self._opaque(hits, directions, pixels, shape)
        thin = np.flatnonzero(opacity < 0.999)
        if not len(thin):
            return colour
        start = self.view.centre + (hits.depth[thin] + _BEHIND)[:, None] * directions[thin]
        behind = self.rays.first(start, directions[thin])
        through = surroundings.reshape(-1, 3)[pixels[thin]].copy()
        met = np.flatnonzero(behind.found)
        rows = thin[met]
        further = Hits(
            behind.mesh_id[met],
            behind.face_id[met],
            behind.depth[met] + hits.depth[rows] + _BEHIND,
            behind.barycentric[met],
        )
        through[met] = self._opaque(further, directions[rows], pixels[rows], shape)[0]
        colour[thin] = through + (colour[thin] - through) * opacity[thin, None]
        return colour

    def _opaque(self, hits: Hits, directions, pixels, shape) -> tuple[np.ndarray, np.ndarray]:
        """Colour (P, 3) and opacity (P,) of the surfaces themselves."""
        count = len(hits.mesh_id)
        albedo, normals = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
        gloss, sky, opacity = (np.empty(count, np.float32) for _ in range(3))
        centre = self.view.centre.astype(np.float32)
        points = centre + hits.depth[:, None] * directions
        footprint = hits.depth / np.float32(self.view.focal)
        toward = -unit(directions)
        for mesh in np.unique(hits.mesh_id):
            rows = np.flatnonzero(hits.mesh_id == mesh)
            part = hits[rows]
            normals[rows], sky[rows] = self._geometry(mesh, part, toward[rows])
            surface = self.pieces[mesh].paint(part, points[rows], normals[rows], footprint[rows])
            albedo[rows], gloss[rows] = surface.albedo, surface.gloss
            opacity[rows] = 1.0 if surface.opacity is None else surface.opacity
        sun = self._sunlight(points, normals, pixels, shape)
        return self._lit(albedo, gloss, normals, toward, sun, sky, points), opacity

    def _geometry(self, mesh: int, hits: Hits, toward) -> tuple[np.ndarray, np.ndarray]:
        """Shading normals (P, 3) facing the viewer and sky visibility (P,) of one mesh's hits."""
        vertices, faces = self.rays.vertices[mesh], self.rays.faces[mesh]
        smooth = vertex_normals(vertices, faces)
        used = faces[hits.face_id]
        corners = smooth[used]
        spot = vertices[used]
        flat = unit(np.cross(spot[:, 1] - spot[:, 0], spot[:, 2] - spot[:, 0]))
        if self.pieces[mesh].creased:
            # A corner whose mean normal strays far from the face is a crease: keep it sharp.
            sharp = np.einsum("pci,pi->pc", corners, flat) < 0.8
            corners = np.where(sharp[..., None], flat[:, None], corners)
        normals = unit(blend_corners(corners, hits.barycentric))
        inside = np.einsum("pi,pi->p", flat, toward) < 0
        normals[inside] *= -1
        shown = np.zeros(len(vertices), bool)
        shown[used] = True
        place = np.cumsum(shown) - 1
        free = openness(self.rays, vertices[shown], smooth[shown])
        return normals, blend_corners(free[place[used]], hits.barycentric)

    def _sunlight(self, points, normals, pixels, shape) -> np.ndarray:
        """Sun visibility (P,) with softened borders."""
        toward = self.light.toward_sun.astype(np.float32)
        lit = normals @ toward > 0
        free = np.zeros(len(points), np.float32)
        free[lit] = ~self.rays.occluded(points[lit] + LIFT * normals[lit], toward)
        # Soften over neighbouring pixels that also face the sun.
        area = shape[0] * shape[1]
        weight = np.bincount(pixels[lit], minlength=area).reshape(shape).astype(np.float32)
        value = np.bincount(pixels, free, area).reshape(shape).astype(np.float32)
        spread = 1.2 + 12 * self.light.softness
        weight, value = (cv2.GaussianBlur(a, (0, 0), spread) for a in (weight, value))
        soft = (value / np.maximum(weight, 1e-4)).ravel()[pixels]
        return np.where(lit, soft, np.float32(0))

    def _lit(self, albedo, gloss, normals, toward, sun, sky, points) -> np.ndarray:
        light = self.light
        direction = light.toward_sun.astype(np.float32)
        cosine = np.clip(normals @ direction, 0, 1) * sun
        near_floor = smoothstep(0.0, 0.35, points[:, 1])
        ambient = light.ambient(normals[:, 1]) * (0.25 + 0.75 * sky)[:, None]
        # Light that first met a neighbouring surface keeps some of its colour in the shade.
        ambient = ambient * (1 + 0.15 * (1 - sky)[:, None] * albedo)
        ambient = ambient * (0.8 + 0.2 * near_floor)[:, None]
        colour = albedo * (light.sun * cosine[:, None] + ambient)
        half = unit(toward + direction)
        spot = np.clip(np.einsum("pi,pi->p", normals, half), 0, 1)
        shine = gloss * sun * (0.25 * spot**18 + 0.9 * gloss * spot**120)
        facing = np.clip(np.einsum("pi,pi->p", normals, toward), 0, 1)
        rim = (1 - facing) ** 4 * (0.05 + 0.35 * gloss) * sky
        return colour + shine[:, None] * light.sun + rim[:, None] * light.sky

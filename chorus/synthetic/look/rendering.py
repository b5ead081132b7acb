"""Shaded pictures of synthetic scenes, by ray casting on the CPU.

    rendering = render(scene, body)
    rendering.image      # (512, 512, 3) uint8 RGB
    rendering.instance   # (512, 512) int16: whose pixel it is

A picture depends on the scene and its seeds alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from chorus.errors import unknown_name
from chorus.rendering.raycast import Hits, RayScene, camera_rays, unit
from chorus.synthetic.look.colours import display, smoothstep
from chorus.synthetic.look.lighting import floor_light
from chorus.synthetic.look.scenery import SETTINGS, Surroundings, View, make_light, paint
from chorus.synthetic.look.shading import Shader
from chorus.synthetic.look.staging import Piece, stage
from chorus.synthetic.world.scene import Scene, SceneCamera

__all__ = ["SETTINGS", "Rendering", "render", "render_pieces"]

# Positions inside an edge pixel, from its centre: a rotated grid, no two in a row or column.
_SPOTS = np.float32([(-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125)])


@dataclass(frozen=True)
class Rendering:
    """image (H, W, 3) uint8 RGB. instance (H, W) int16: -1 surroundings, i for persons[i],
    len(persons) + j for objects[j], decided at the pixel centres."""

    image: np.ndarray
    instance: np.ndarray


def render(scene: Scene, body=None) -> Rendering:
    """Picture and instance map of a scene.

    body: the BodyModel whose posed vertices the persons hold (any object with `v_template`
        (V, 3) and `joint_regressor` (24, V)); it tells where skin, hair and clothes are. Without it
        people are drawn in one colour.
    What lies below the floor or the water (y < 0) is hidden, unless the camera is down there too.
    Raises BadInput for an unknown setting, or persons that do not fit `scene.body_faces` or body.
    """
    if scene.setting not in SETTINGS:
        raise unknown_name("setting", scene.setting, SETTINGS)
    pieces = stage(scene, body, SETTINGS[scene.setting].wardrobe)
    return render_pieces(pieces, scene.camera, scene.setting, scene.seed)


def render_pieces(
    pieces: Sequence[Piece], camera: SceneCamera, setting_name: str, seed: int
) -> Rendering:
    """Picture and instance map of painted meshes (staging.Piece) in a setting of SETTINGS."""
    setting = SETTINGS[setting_name]
    owners = np.array([piece.owner for piece in pieces] + [-1], np.int16)
    rays = RayScene([(piece.vertices, piece.faces) for piece in pieces])
    view = _view(camera)
    light = make_light(
        setting,
        view.unit[camera.height // 2, camera.width // 2],
        np.random.default_rng([seed, 10]),
    )
    hits = rays.cast(camera.R, camera.t, camera.K, camera.width, camera.height)
    around = paint(setting, view, light, floor_light(rays, light), seed)
    around = _focused(around, hits)
    image = around.colour
    visible = hits.found & (hits.depth <= around.floor_depth)
    instance = np.where(visible, owners[hits.mesh_id], np.int16(-1))
    _draw(image, hits, instance, around, Shader(pieces, rays, light, view))
    return Rendering(image=display(_vignette(image)), instance=instance)


def _view(camera) -> View:
    R, t = np.asarray(camera.R, float), np.asarray(camera.t, float)
    rays = camera_rays(camera.K, camera.width, camera.height) @ R.astype(np.float32)
    return View(centre=-R.T @ t, rays=rays, unit=unit(rays), focal=float(camera.K[0][0]))


def _focused(around: Surroundings, hits: Hits) -> Surroundings:
    """Surroundings slightly out of focus where they are far from the subject, as a lens does."""
    subject = np.median(hits.depth[hits.found]) if hits.found.any() else np.float32(4.0)
    blurred = cv2.GaussianBlur(around.colour, (0, 0), 1.9)
    defocus = np.abs(1 / subject - 1 / np.maximum(around.floor_depth, 0.2)) * subject
    share = smoothstep(0.1, 0.75, defocus)[..., None]
    colour = around.colour + (blurred - around.colour) * share
    return Surroundings(colour, around.floor_depth, around.water)


def _draw(image, hits: Hits, instance, around: Surroundings, shader: Shader) -> None:
    """Shade what is seen into image (H, W, 3): centres inside, several rays a pixel at edges."""
    view, rays = shader.view, shader.rays
    wet, floor = around.water.ravel() > 0.5, around.floor_depth.ravel()
    drowned = hits.found & (instance < 0) & (around.water > 0.5)
    edges = _edges(hits, instance)
    inner = np.flatnonzero(((instance >= 0) | drowned) & ~edges)
    outer = np.flatnonzero(edges)
    if not len(inner) + len(outer):
        return
    flat = image.reshape(-1, 3)
    centres = Hits(*(field.reshape(-1, *field.shape[2:])[inner] for field in _fields(hits)))
    spots, owners = _edge_rays(outer, view, image.shape[1])
    samples = rays.first(np.broadcast_to(view.centre, spots.shape), spots)
    met = samples.found & ((samples.depth <= floor[owners]) | wet[owners])
    both = zip(_fields(centres), _fields(samples[met]), strict=True)
    everything = Hits(*map(np.concatenate, both))
    pixels = np.concatenate([inner, owners[met]])
    directions = np.concatenate([view.rays.reshape(-1, 3)[inner], spots[met]])
    colour = shader.shade(everything, directions, pixels, image)
    if wet.any():
        colour = _submerge(colour, flat[pixels], everything.depth - floor[pixels])
    flat[inner] = colour[: len(inner)]
    # An edge pixel is the mean of its rays; those that met nothing show the surroundings.
    seen = np.bincount(owners[met], minlength=len(flat))[outer]
    sums = [np.bincount(owners[met], c, len(flat))[outer] for c in colour[len(inner) :].T]
    rest = (len(_SPOTS) - seen)[:, None] * flat[outer]
    flat[outer] = (np.stack(sums, -1) + rest) / len(_SPOTS)


def _fields(hits: Hits):
    return hits.mesh_id, hits.face_id, hits.depth, hits.barycentric


def _edges(hits: Hits, label) -> np.ndarray:
    """Pixels beside a change of instance label (H, W) or a jump in depth, (H, W) bool."""
    depth = np.where(label >= 0, hits.depth, 0)
    edge = np.zeros(label.shape, bool)
    for near, far in [(np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])]:
        jump = np.abs(depth[near] - depth[far]) > 0.012 * np.maximum(depth[near], depth[far])
        change = (label[near] != label[far]) | jump
        edge[near] |= change
        edge[far] |= change
    return edge


def _edge_rays(pixels, view: View, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rays (4 P, 3) through the spots of P pixels (flat indices), and the pixel each belongs to."""
    height = len(view.rays)
    step_x = (view.rays[0, min(1, width - 1)] - view.rays[0, 0]).astype(np.float32)
    step_y = (view.rays[min(1, height - 1), 0] - view.rays[0, 0]).astype(np.float32)
    shift = _SPOTS[:, :1] * step_x + _SPOTS[:, 1:] * step_y
    rays = view.rays.reshape(-1, 3)[pixels][:, None] + shift
    return rays.reshape(-1, 3), np.repeat(pixels, len(_SPOTS))


def _submerge(colour, surface, below) -> np.ndarray:
    """What lies under water shows faintly through it, less the deeper (along the ray) it is."""
    through = np.where(below > 0, 0.38 * np.exp(-2.2 * np.clip(below, 0, 30)), 1.0)[:, None]
    tint = np.where(below[:, None] > 0, np.float32([0.55, 0.85, 0.9]), np.float32(1))
    return (surface + (colour * tint - surface) * through).astype(np.float32)


def _vignette(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] ** 2
    x = np.linspace(-1, 1, width, dtype=np.float32)[None] ** 2
    return image * (1 - 0.07 * (x + y))[..., None]

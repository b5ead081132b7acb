"""Shaded pictures of synthetic scenes, by ray casting on the CPU.

    rendering = render(scene, body)
    rendering.image      # (512, 512, 3) uint8 RGB
    rendering.instance   # (512, 512) int16: whose pixel it is

A picture depends on the scene and its seeds alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from chorus.errors import BadInput, unknown_name
from chorus.rendering.raycast import (
    Hits,
    RayScene,
    blend_corners,
    camera_rays,
    unit,
    vertex_normals,
)
from chorus.synthetic import livery
from chorus.synthetic.appearance import (
    BodyMap,
    Look,
    Surface,
    body_map,
    draw_look,
    person_surface,
    tailored,
)
from chorus.synthetic.colours import display, smoothstep
from chorus.synthetic.lighting import LIFT, Light, floor_light, openness
from chorus.synthetic.scene import Scene
from chorus.synthetic.scenery import SETTINGS, Surroundings, View, make_light, paint

__all__ = ["SETTINGS", "Rendering", "render"]

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
    setting, camera = SETTINGS[scene.setting], scene.camera
    people = _body_map(scene, body)
    looks = [draw_look(setting.wardrobe, person.look_seed) for person in scene.persons]
    meshes = _world_meshes(scene, people, looks)
    rays = RayScene(meshes)
    view = _view(camera)
    light = make_light(
        setting,
        view.unit[camera.height // 2, camera.width // 2],
        np.random.default_rng([scene.seed, 10]),
    )
    hits = rays.cast(camera.R, camera.t, camera.K, camera.width, camera.height)
    around = paint(setting, view, light, floor_light(rays, light), scene.seed)
    around = _focused(around, hits)
    image = around.colour
    visible = hits.found & (hits.depth <= around.floor_depth)
    instance = np.where(visible, hits.mesh_id, -1).astype(np.int16)
    shader = _Shader(scene, rays, light, people, looks)
    _draw(image, hits, visible, around, view, shader)
    return Rendering(image=display(_vignette(image)), instance=instance)


def _world_meshes(
    scene: Scene, people: BodyMap | None, looks
) -> list[tuple[np.ndarray, np.ndarray]]:
    faces = np.asarray(scene.body_faces)
    meshes = []
    for number, person in enumerate(scene.persons):
        vertices = np.asarray(person.vertices)
        if not len(faces) or faces.max() >= len(vertices):
            raise BadInput(
                f"person {number} has {len(vertices)} vertices, which do not fit the scene's "
                f"{len(faces)} body faces; set Scene.body_faces to the faces of the body model."
            )
        if people is not None:
            vertices = tailored(vertices, people, looks[number])
        meshes.append((vertices, faces))
    for item in scene.objects:
        transform = np.asarray(item.transform, float)
        vertices = item.mesh.vertices @ transform[:3, :3].T + transform[:3, 3]
        meshes.append((vertices, item.mesh.faces))
    return meshes


def _view(camera) -> View:
    R, t = np.asarray(camera.R, float), np.asarray(camera.t, float)
    rays = camera_rays(camera.K, camera.width, camera.height) @ R.astype(np.float32)
    return View(centre=-R.T @ t, rays=rays, unit=unit(rays), focal=float(camera.K[0][0]))


def _body_map(scene: Scene, body) -> BodyMap | None:
    if body is None or not scene.persons:
        return None
    vertices = np.asarray(body.v_template, np.float32)
    if len(vertices) != len(scene.persons[0].vertices):
        raise BadInput(
            f"the scene's persons have {len(scene.persons[0].vertices)} vertices, but the body "
            f"model has {len(vertices)}; render with the body the scene was made with."
        )
    joints = np.asarray(body.joint_regressor, np.float32) @ vertices
    return _cached_map(
        vertices.tobytes(), np.asarray(scene.body_faces, int).tobytes(), joints.tobytes()
    )


@lru_cache(maxsize=2)
def _cached_map(vertices: bytes, faces: bytes, joints: bytes) -> BodyMap:
    """The same body serves thousands of pictures, so its topology is worked out once."""
    return body_map(
        np.frombuffer(vertices, np.float32).reshape(-1, 3),
        np.frombuffer(faces, int).reshape(-1, 3),
        np.frombuffer(joints, np.float32).reshape(-1, 3),
    )


def _focused(around: Surroundings, hits: Hits) -> Surroundings:
    """Surroundings slightly out of focus where they are far from the subject, as a lens does."""
    subject = np.median(hits.depth[hits.found]) if hits.found.any() else np.float32(4.0)
    blurred = cv2.GaussianBlur(around.colour, (0, 0), 1.9)
    defocus = np.abs(1 / subject - 1 / np.maximum(around.floor_depth, 0.2)) * subject
    share = smoothstep(0.1, 0.75, defocus)[..., None]
    colour = around.colour + (blurred - around.colour) * share
    return Surroundings(colour, around.floor_depth, around.water)


def _draw(image, hits: Hits, visible, around: Surroundings, view: View, shader: _Shader) -> None:
    """Shade what is seen into image (H, W, 3): centres inside, several rays a pixel at edges."""
    drowned = hits.found & ~visible & (around.water > 0.5)
    drawn = visible | drowned
    edges = _edges(hits, visible)
    inner = np.flatnonzero(drawn & ~edges)
    outer = np.flatnonzero(edges)
    if not len(inner) + len(outer):
        return
    flat = image.reshape(-1, 3)
    directions = view.rays.reshape(-1, 3)[inner]
    centres = Hits(*(a.reshape(-1, *a.shape[2:])[inner] for a in _fields(hits)))
    rays, owners = _edge_rays(outer, view, image.shape[1])
    samples = shader.rays.first(np.broadcast_to(view.centre, rays.shape), rays)
    depth = around.floor_depth.ravel()
    found = samples.found & (
        (samples.depth <= depth[owners]) | (around.water.ravel()[owners] > 0.5)
    )
    everything = Hits(
        *map(np.concatenate, zip(_fields(centres), _fields(samples[found]), strict=True))
    )
    pixels = np.concatenate([inner, owners[found]])
    directions = np.concatenate([directions, rays[found]])
    colour = shader.shade(everything, directions, view, pixels, image.shape[:2])
    colour = _submerge(colour, flat[pixels], everything.depth - depth[pixels])
    flat[inner] = colour[: len(inner)]
    # An edge pixel is the mean of its rays; those that met nothing show the surroundings.
    seen = np.bincount(owners[found], minlength=len(flat))[outer]
    total = np.stack(
        [np.bincount(owners[found], colour[len(inner) :, c], len(flat))[outer] for c in range(3)],
        -1,
    )
    flat[outer] = (total + (len(_SPOTS) - seen)[:, None] * flat[outer]) / len(_SPOTS)


def _fields(hits: Hits):
    return hits.mesh_id, hits.face_id, hits.depth, hits.barycentric


def _edges(hits: Hits, visible) -> np.ndarray:
    """Pixels beside a change of instance or a jump in depth, (H, W) bool."""
    label = np.where(visible, hits.mesh_id, -1)
    depth = np.where(visible, hits.depth, 0)
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


class _Shader:
    """Colour of surface points of one scene."""

    def __init__(self, scene, rays: RayScene, light: Light, body: BodyMap | None, looks):
        self.scene, self.rays, self.light = scene, rays, light
        self.body, self.looks = body, looks

    def shade(self, hits: Hits, directions, view: View, pixels, shape) -> np.ndarray:
        """Linear colour (P, 3) of hits (P,) along directions (P, 3) from pixels (P,) flat."""
        count = len(hits.mesh_id)
        albedo, normals = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
        gloss, sky = np.empty(count, np.float32), np.empty(count, np.float32)
        points = (view.centre + hits.depth[:, None] * directions).astype(np.float32)
        footprint = hits.depth / view.focal
        toward = -unit(directions).astype(np.float32)
        for mesh in np.unique(hits.mesh_id):
            rows = np.flatnonzero(hits.mesh_id == mesh)
            part = hits[rows]
            normals[rows], sky[rows] = self._geometry(mesh, part, toward[rows])
            surface = self._surface(mesh, part, points[rows], normals[rows], footprint[rows])
            albedo[rows], gloss[rows] = surface.albedo, surface.gloss
        sun = self._sunlight(points, normals, pixels, shape)
        return self._lit(albedo, gloss, normals, toward, sun, sky, points)

    def _geometry(self, mesh: int, hits: Hits, toward) -> tuple[np.ndarray, np.ndarray]:
        """Shading normals (P, 3) facing the viewer and sky visibility (P,) of one mesh's hits."""
        vertices, faces = self.rays.vertices[mesh], self.rays.faces[mesh]
        smooth = vertex_normals(vertices, faces)
        used = faces[hits.face_id]
        corners = smooth[used]
        flat = np.cross(
            vertices[used[:, 1]] - vertices[used[:, 0]], vertices[used[:, 2]] - vertices[used[:, 0]]
        )
        flat = unit(flat).astype(np.float32)
        if mesh >= len(self.scene.persons):
            # A corner whose mean normal strays far from the face is a crease: keep it sharp.
            sharp = np.einsum("pci,pi->pc", corners, flat) < 0.8
            corners = np.where(sharp[..., None], flat[:, None], corners)
        normals = unit(blend_corners(corners, hits.barycentric)).astype(np.float32)
        inside = np.sum(flat * toward, -1) < 0
        normals[inside] *= -1
        shown, place = np.unique(used, return_inverse=True)
        free = openness(self.rays, vertices[shown], smooth[shown])
        sky = blend_corners(free[place.reshape(used.shape)], hits.barycentric)
        return normals, sky

    def _surface(self, mesh: int, hits: Hits, points, normals, footprint) -> Surface:
        persons = self.scene.persons
        if mesh < len(persons):
            look: Look = self.looks[mesh]
            if self.body is None:
                plain = np.broadcast_to(look.top, (len(points), 3))
                return Surface(plain, np.full(len(points), 0.1, np.float32))
            corners = self.body.vertices[self.rays.faces[mesh][hits.face_id]]
            rest = blend_corners(corners, hits.barycentric)
            return person_surface(rest, footprint, self.body, look)
        item = self.scene.objects[mesh - len(persons)]
        transform = np.asarray(item.transform, np.float32)
        local = (points - transform[:3, 3]) @ transform[:3, :3]
        facing = normals @ transform[:3, :3]
        return livery.object_surface(item, hits.face_id, local, facing, footprint)

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
        size = (0, 0)
        spread = 1.2 + 12 * self.light.softness
        weight, value = (cv2.GaussianBlur(a, size, spread) for a in (weight, value))
        soft = (value / np.maximum(weight, 1e-4)).ravel()[pixels]
        return np.where(lit, soft, 0)

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
        spot = np.clip(np.sum(normals * half, -1), 0, 1)
        shine = gloss * sun * (0.25 * spot**18 + 0.9 * gloss * spot**120)
        rim = (1 - np.clip(np.sum(normals * toward, -1), 0, 1)) ** 4 * (0.05 + 0.35 * gloss) * sky
        return colour + shine[:, None] * light.sun + rim[:, None] * light.sky

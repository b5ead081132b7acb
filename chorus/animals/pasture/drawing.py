"""Pictures of scenes, and what is true of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from chorus.animals.articulation import pose_template
from chorus.animals.free_quadruped import free_quadruped
from chorus.animals.pasture.coats import draw_coat, paint_of
from chorus.animals.pasture.scenes import CELLS, PastureScene, Placed
from chorus.animals.species import species
from chorus.geometry.cameras import intrinsics, look_at, project
from chorus.geometry.masks import box_of
from chorus.geometry.rotations import turn_to_ray
from chorus.geometry.weak_perspective import parallel_projection
from chorus.rendering.raycast import RayScene
from chorus.synthetic.look.appearance import Surface
from chorus.synthetic.look.colours import pick
from chorus.synthetic.look.rendering import render_pieces
from chorus.synthetic.look.staging import Piece
from chorus.synthetic.look.textures import look_up, noise
from chorus.synthetic.world.scene import SceneCamera

_UNDER_COAT = 0.03
"""How far before a keypoint something may lie, as a share of the animal's height."""
_LINE_UP = {
    "bear": (-4.35, 55), "sheep": (-2.75, 60), "horse": (-0.75, 62), "cow": (1.75, 58),
    "giraffe": (4.2, 55),
}  # fmt: skip
"""Where the species stand in the line-up: metres to the right, degrees that they are turned."""
_POSES = {
    "bear": (0, 8, 5, 14, -12, -10, 10), "sheep": (0, 5, 0, -6, 8, 8, -5),
    "horse": (0, -6, 4, -16, 12, 12, -14), "cow": (0, 4, -4, 10, -8, -10, 8),
    "giraffe": (0, 0, 6, -9, 8, 9, -8),
}  # fmt: skip
"""The angles of their hinges, degrees."""
_OCCLUDERS = ("#6f5a43", "#8d7a58", "#4d6a38", "#7f7b74", "#b59a5e")


@dataclass(frozen=True, eq=False)
class WeakCamera:
    """The weak-perspective camera that is nearest to a pinhole: pixel = scale (R X)_xy + shift.

    X is the posed template in the unit of `Template.normalised`. rotation (3, 3); scale pixels;
    shift (2,) pixels.
    """

    rotation: Float[np.ndarray, "3 3"]
    scale: float
    shift: Float[np.ndarray, " 2"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture (H, W, 3) RGB of animals[0]: its keypoints (16, 2), pixels, which of them are
    visible (16,), its mask (H, W), the tight box (4,) xyxy of the mask, and its camera."""

    image: UInt8[np.ndarray, "H W 3"]
    keypoints: Float[np.ndarray, "K 2"]
    visible: Bool[np.ndarray, " K"]
    mask: Bool[np.ndarray, "H W"]
    box: Float[np.ndarray, " 4"]
    camera: WeakCamera


def draw_scene(scene: PastureScene) -> Drawn:
    """Draw a scene and work out its truth."""
    pieces = [
        Piece(animal.in_world(), animal.template.faces, owner, False, _coat(scene, animal))
        for owner, animal in enumerate(scene.animals)
    ]
    if scene.occluder is not None:
        paint = _plain_paint(np.random.default_rng([scene.seed, 4]))
        pieces.append(Piece(*scene.occluder, len(pieces), False, paint))
    rendering = render_pieces(pieces, scene.camera, scene.background, scene.seed)
    image = rendering.image
    if scene.dark:
        image = (255 * (image / 255.0) ** 1.7).astype(np.uint8)
    mask = rendering.instance == 0
    keypoints, visible = _keypoints(scene.animals[0], pieces, scene.camera)
    camera = weak_camera(scene.animals[0], scene.camera)
    return Drawn(image, keypoints, visible, mask, box_of(mask), camera)


def weak_camera(animal: Placed, camera: SceneCamera) -> WeakCamera:
    """The weak-perspective camera of an animal before a pinhole.

    Its rotation is the animal's as seen along the line of sight to its middle; scale and shift are
    the best ones for its vertices.
    """
    template = animal.template
    unit = 2 / template.size
    middle = unit * template.vertices.mean(0)
    posed = animal.posed()
    pixels, _ = project(animal.in_world(), camera.R, camera.t, camera.K)
    centre = camera.R @ (animal.turn @ posed.mean(0) + animal.place) + camera.t
    along = turn_to_ray(torch.from_numpy(centre[None]))[0].numpy()
    rotation = along.T @ camera.R @ animal.turn
    scale, shift = parallel_projection(
        torch.from_numpy(unit * posed - middle)[None].double(),
        torch.from_numpy(pixels)[None].double(),
        torch.from_numpy(rotation)[None].double(),
        torch.ones(1, len(posed), dtype=torch.float64),
    )
    return WeakCamera(rotation, float(scale[0]), shift[0].numpy())


def _keypoints(
    animal: Placed, pieces: Sequence[Piece], camera: SceneCamera
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (16, 2) of the keypoints, and which are in the picture and hidden by nothing (16,)."""
    points = pieces[0].vertices[animal.template.keypoint_vertices]
    pixels, depth = project(points, camera.R, camera.t, camera.K)
    inside = (pixels >= 0).all(1) & (pixels < [camera.width, camera.height]).all(1) & (depth > 0)
    eye = -camera.R.T @ camera.t
    way = points - eye
    rays = RayScene([(piece.vertices, piece.faces) for piece in pieces])
    hit = rays.first(np.broadcast_to(eye, way.shape), way).depth
    before = (1 - np.minimum(hit, 1)) * np.linalg.norm(way, axis=1)
    return pixels, inside & (before < _UNDER_COAT * np.ptp(pieces[0].vertices[:, 1]))


def _coat(scene: PastureScene, animal: Placed):
    kind = species(scene.category)
    coat = draw_coat(kind, np.random.default_rng(animal.coat_seed))
    # the pattern lies on the species' own shape, whose vertices correspond
    rest = free_quadruped(scene.category, CELLS).vertices
    return paint_of(coat, rest, animal.template.faces)


def _plain_paint(rng: np.random.Generator):
    """The paint of what is no animal: one colour with a grain."""
    colour = pick(_OCCLUDERS, rng)

    def paint(hits, points, normals, footprint) -> Surface:
        grain = look_up(noise(1.0), points[:, 0] + points[:, 2], points[:, 1], 0.5)[:, 0]
        albedo = colour * np.clip(1 + 0.15 * grain, 0.3, 1.7)[:, None]
        return Surface(albedo.astype(np.float32), np.zeros(len(points), np.float32))

    return paint


def line_up(width: int = 1600, seed: int = 8) -> UInt8[np.ndarray, "H W 3"]:
    """One picture of all five species side by side, (0.45 width, width, 3) RGB."""
    rng = np.random.default_rng(seed)
    height = int(0.45 * width)
    pieces: list[Piece] = []
    for owner, (name, (across, yaw)) in enumerate(_LINE_UP.items()):
        template = free_quadruped(name)
        angle = np.radians(yaw)
        turn = np.array(
            [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        )
        pose = np.radians(_POSES[name])
        vertices = pose_template(template, pose) @ turn.T + [across, 0, 0]
        vertices[:, 1] -= vertices[:, 1].min()
        coat = draw_coat(species(name), rng)
        paint = paint_of(coat, template.vertices, template.faces)
        pieces.append(Piece(vertices, template.faces, owner, False, paint))
    R, t = look_at(torch.tensor([0.0, 1.9, 12.0]), torch.tensor([0.35, 2.0, 0.0]))
    K = intrinsics(torch.tensor(0.97), width, height)
    camera = SceneCamera(R.numpy(), t.numpy(), K.numpy(), width, height)
    return render_pieces(pieces, camera, "park", seed).image

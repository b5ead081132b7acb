"""What animals carry, as data (data/tack.json): balls that move with a part of a species."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from chorus.animals.articulation import hinge_turns, part_transforms
from chorus.animals.body import body_camera, quadruped_pose
from chorus.animals.free_quadruped import free_quadruped
from chorus.animals.pasture.scenes import CELLS, PastureScene, Placed
from chorus.errors import unknown_name
from chorus.occupancy.views import Views
from chorus.rendering.raycast import cast

_DATA = Path(__file__).parents[1] / "data" / "tack.json"


class Tack(NamedTuple):
    """An object on an animal: the part that carries it, and its balls (B, 4) of x, y, z, radius,
    metres in the species' template at rest."""

    part: str
    balls: Float[np.ndarray, "B 4"]


@cache
def tack(category: str, name: str) -> Tack:
    """An object of a species. BadInput for an unknown one."""
    stored = json.loads(_DATA.read_text(encoding="utf-8"))
    if category not in stored:
        raise unknown_name("animal that carries something", category, stored)
    if name not in stored[category]:
        raise unknown_name(f"object of a {category}", name, stored[category])
    entry = stored[category][name]
    return Tack(entry["part"], np.array(entry["balls"], float))


def tack_mask(scene: PastureScene, carried: Tack) -> Bool[np.ndarray, "H W"]:
    """The pixels (H, W) of what animals[0] carries, less what stands before it."""
    mesh = _in_world(scene.animals[0], carried)
    pieces = [mesh, *((each.in_world(), each.template.faces) for each in scene.animals)]
    if scene.occluder is not None:
        pieces.append(scene.occluder)
    camera = scene.camera
    hits = cast(pieces, camera.R, camera.t, camera.K, camera.width, camera.height)
    return hits.mesh_id == 0


def tack_views(scenes: list[PastureScene], carried: Tack) -> Views:
    """Samples of aggregation: each scene's pose and camera in the body's frame, and the mask of
    what its animal carries."""
    poses, turns, places, intrinsics = [], [], [], []
    for scene in scenes:
        animal, camera = scene.animals[0], scene.camera
        poses.append(quadruped_pose(animal.template, animal.angles))
        R, t = body_camera(animal.template, animal.turn, animal.place, camera.R, camera.t)
        turns.append(R)
        places.append(t)
        intrinsics.append(camera.K)
    masks = [tack_mask(scene, carried) for scene in scenes]
    return Views.of(np.stack(poses), np.stack(turns), np.stack(places), np.stack(intrinsics), masks)


def tack_inside(
    category: str, carried: Tack, points: Float[np.ndarray, "P 3"]
) -> Bool[np.ndarray, " P"]:
    """Which points (P, 3) of the species' body frame, metres, lie in the object at rest."""
    template = free_quadruped(category, CELLS)
    origin = template.centres[template.parents.index(-1)]
    offsets = points[:, None] + origin - carried.balls[:, :3]
    return (np.linalg.norm(offsets, axis=2) < carried.balls[:, 3]).any(1)


def _in_world(animal: Placed, carried: Tack) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and faces (F, 3) of the object where the animal is."""
    template = animal.template
    vertices, faces = _mesh(carried)
    part = template.parts.index(carried.part)
    turns = hinge_turns(
        torch.from_numpy(np.asarray(animal.angles, np.float32)), torch.tensor(template.axes)
    )
    move = part_transforms(turns, torch.tensor(template.centres), template.parents)[part].numpy()
    posed = vertices @ move[:, :3].T + move[:, 3]
    return posed @ animal.turn.T + animal.place, faces


def _mesh(carried: Tack) -> tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]]:
    from chorus.synthetic.world import shapes

    balls = [shapes.sphere(radius, 16).moved(centre) for *centre, radius in carried.balls]
    mesh = shapes.assemble(balls)
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)

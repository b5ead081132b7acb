"""Persons of the synthetic world as cameras see them, by the thousand and without pictures.

What a prior of poses is trained on: the same interactions, viewpoints and errors as in the world's
images, but visibility comes from some thirty rays a person instead of a rendering. Several cameras
look at every arrangement, since arranging is what takes long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from chorus.body.keypoints import BODY_KEYPOINTS, face_vertices
from chorus.body.model import BodyModel
from chorus.body.skeleton import JOINT_NAMES
from chorus.rendering.raycast import RayScene
from chorus.synthetic.look.truth import (
    JOINT_DEPTH,
    SKIN_DEPTH,
    UNDER_SKIN,
    project_points,
)
from chorus.synthetic.perceive import noise as errors
from chorus.synthetic.perceive.noise import COVERED, OUTSIDE, SELF_HIDDEN, VISIBLE, TruePerson
from chorus.synthetic.perceive.noise_settings import NoiseSettings
from chorus.synthetic.world.arranging import Arrangement, arrange, arrange_alone
from chorus.synthetic.world.expressions import Figure
from chorus.synthetic.world.interactions import Interaction, interactions
from chorus.synthetic.world.posing import Skeleton, unit
from chorus.synthetic.world.scene import SceneCamera, ScenePerson
from chorus.synthetic.world.scenes import bystanders, draw_object
from chorus.synthetic.world.viewpoints import Subject, sample_camera, viewpoints

SIZE = 512
"""Width and height of the images that the cameras would take, pixels."""

_ALONE = 0.05  # share of persons without an object
_LEAST_SEEN = 8  # keypoints inside the image below which the filter would drop a person
_SMALLEST = 24.0  # pixels of a person's longer side, likewise
_CAMERA_TRIES = 3


@dataclass(frozen=True)
class PersonSet:
    """N persons before their cameras; the world and cameras of docs/conventions.md.

    pose (N, 24, 3) axis-angle, betas (N, 10), R (N, 3, 3), K (N, 3, 3); joints2d (N, 24, 2) and
    keypoints (N, 17, 2) pixels; depth (N, 24) of the joints, metres; joint_visible (N, 24) bool;
    visibility (N, 17): VISIBLE .. OUTSIDE of `perceive.noise`; box (N, 4) xyxy; size (N, 2) of the
    image, pixels.
    """

    pose: np.ndarray
    betas: np.ndarray
    R: np.ndarray
    K: np.ndarray
    joints2d: np.ndarray
    keypoints: np.ndarray
    depth: np.ndarray
    joint_visible: np.ndarray
    visibility: np.ndarray
    box: np.ndarray
    size: np.ndarray

    def __len__(self) -> int:
        return len(self.pose)


@dataclass(frozen=True)
class Perceived:
    """What a regressor and a detector say of N persons.

    pose (N, 24, 3) with the global rotation as the crop has it, betas (N, 10), joints (N, 24, 2)
    pixels, keypoints (N, 17, 3) x, y, confidence, box (N, 4) xyxy; float32.
    """

    pose: np.ndarray
    betas: np.ndarray
    joints: np.ndarray
    keypoints: np.ndarray
    box: np.ndarray


def draw_persons(
    body: BodyModel, categories: Sequence[str], arrangements: int, cameras: int, seed: int
) -> PersonSet:
    """So many arrangements of persons in the interactions of some categories, before `cameras`
    cameras each; views that the filter would drop are left out.

    The same arguments give the same set; BadInput for an unknown category.
    """
    known = [sided for category in categories for sided in interactions(category)]
    views: list[dict[str, np.ndarray]] = []
    for number in range(arrangements):
        rng = np.random.default_rng([seed, number])
        if rng.random() < _ALONE:
            made, mesh = arrange_alone(body, bystanders().poses, rng), None
        else:
            sided = known[rng.integers(len(known))]
            side = sided.mirrored if rng.random() < sided.mirror_rate else sided.plain
            made, mesh = _with_object(body, side, rng)
        views += _seen(body, made, mesh, cameras, rng)
    return _as_set(views)


def persons_of_poses(
    body: BodyModel, poses: np.ndarray, betas: np.ndarray, cameras: int, seed: int
) -> PersonSet:
    """Persons in given poses (N, 24, 3), axis-angle, y up, and shapes (N, 10), standing on the
    ground without an object, before `cameras` cameras each; otherwise as `draw_persons`."""
    views: list[dict[str, np.ndarray]] = []
    for number, (pose, shape) in enumerate(zip(poses, betas, strict=True)):
        rng = np.random.default_rng([seed, number])
        views += _seen(body, _standing(body, pose, shape), None, cameras, rng)
    return _as_set(views)


def _standing(body: BodyModel, pose: np.ndarray, betas: np.ndarray) -> Arrangement:
    """A body in a pose whose lowest point is on the ground."""
    pose, betas = np.asarray(pose, np.float32), np.asarray(betas, np.float32)
    with torch.no_grad():
        posed = body.pose(torch.from_numpy(pose), torch.from_numpy(betas))
    vertices, joints = posed.vertices.numpy(), posed.joints.numpy()
    up = np.array([0, -vertices[:, 1].min(), 0], np.float32)
    person = ScenePerson(pose, betas, up, vertices + up, joints + up)
    ahead = Rotation.from_rotvec(pose[0]).as_matrix()[:, 2] * [1, 0, 1]
    return Arrangement(person, None, unit(ahead) if ahead.any() else np.array([0.0, 0, 1]))


def _as_set(views: Sequence[dict[str, np.ndarray]]) -> PersonSet:
    if not views:
        return PersonSet(**{name: np.zeros((0, *shape)) for name, shape in _SHAPES.items()})
    return PersonSet(**{name: np.stack([view[name] for view in views]) for name in views[0]})


_SHAPES = {
    "pose": (24, 3), "betas": (10,), "R": (3, 3), "K": (3, 3), "joints2d": (24, 2),
    "keypoints": (17, 2), "depth": (24,), "joint_visible": (24,), "visibility": (17,),
    "box": (4,), "size": (2,),
}  # fmt: skip


def _with_object(
    body: BodyModel, interaction: Interaction, rng: np.random.Generator
) -> tuple[Arrangement, tuple[np.ndarray, np.ndarray]]:
    """An arrangement and its object's vertices in the world and faces."""
    _, mesh = draw_object(interaction.object, rng)
    made = arrange(body, interaction, mesh, rng)
    transform = made.transform
    return made, (mesh.vertices @ transform[:3, :3].T + transform[:3, 3], mesh.faces)


def _seen(
    body: BodyModel,
    made: Arrangement,
    mesh: tuple[np.ndarray, np.ndarray] | None,
    cameras: int,
    rng: np.random.Generator,
) -> list[dict[str, np.ndarray]]:
    """An arrangement's person in the views of several cameras."""
    person = made.person
    _, rest = body.rest(torch.from_numpy(person.betas))
    rotations, _ = Skeleton.from_pose(rest.numpy(), person.pose).forward()
    figure = Figure(person.joints, rotations, person.vertices, body.part_of_vertex.numpy())
    subject = Subject.of(made, figure, np.zeros((0, 3)) if mesh is None else mesh[0])
    skin = RayScene([(person.vertices, body.faces.numpy()), *([mesh] if mesh else [])])
    words = [(view.words or ("",))[0] for view in viewpoints().views.values()]
    found = []
    for _ in range(cameras):
        for _ in range(_CAMERA_TRIES):
            word = words[rng.integers(len(words))]
            camera = sample_camera(word, subject, rng, (SIZE, SIZE))
            view = _view(body, made, camera, skin)
            if view is not None:
                found.append(view)
                break
    return found


def _view(
    body: BodyModel, made: Arrangement, camera: SceneCamera, skin: RayScene
) -> dict[str, np.ndarray] | None:
    """The person in one view; None if too little of it is seen."""
    person = made.person
    points = np.concatenate([person.joints, person.vertices[face_vertices(body)]])
    probes = points.copy()
    inward = person.joints[JOINT_NAMES.index("head")] - points[24:]
    probes[24:] += UNDER_SKIN * inward / np.linalg.norm(inward, axis=1, keepdims=True)
    pixels, depth = project_points(camera, points)
    inside = ((pixels >= 0) & (pixels < SIZE)).all(1) & (depth > 0)
    eye = -camera.R.T @ camera.t
    way = probes - eye
    hit = skin.first(np.broadcast_to(eye, way.shape), way)
    own = inside & (hit.mesh_id == 0)
    buried = (1 - np.minimum(hit.depth, 1)) * np.linalg.norm(way, axis=1)
    visible = own & (buried <= np.concatenate([JOINT_DEPTH, np.full(5, SKIN_DEPTH)]))
    state = np.where(inside, np.where(own, SELF_HIDDEN, COVERED), OUTSIDE)
    state = np.where(visible, VISIBLE, state)
    keypoints = np.r_[24:29, BODY_KEYPOINTS]
    box = _box(camera, person.vertices)
    if box is None or (state[keypoints] != OUTSIDE).sum() < _LEAST_SEEN:
        return None
    return {
        "pose": np.asarray(person.pose, np.float32),
        "betas": np.asarray(person.betas, np.float32),
        "R": camera.R.astype(np.float32),
        "K": camera.K.astype(np.float32),
        "joints2d": pixels[:24].astype(np.float32),
        "keypoints": pixels[keypoints].astype(np.float32),
        "depth": depth[:24].astype(np.float32),
        "joint_visible": visible[:24],
        "visibility": state[keypoints].astype(np.int8),
        "box": box.astype(np.float32),
        "size": np.array([SIZE, SIZE], np.float32),
    }


def _box(camera: SceneCamera, vertices: np.ndarray) -> np.ndarray | None:
    """The box (4,) of the skin inside the image; None for one that is too small."""
    pixels, depth = project_points(camera, vertices[::7])
    pixels = pixels[((pixels >= 0) & (pixels < SIZE)).all(1) & (depth > 0)]
    if not len(pixels):
        return None
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    return box if (box[2:] - box[:2]).max() >= _SMALLEST else None


def perceived(
    body: BodyModel, persons: PersonSet, noise: NoiseSettings, rng: np.random.Generator
) -> Perceived:
    """What the error model's regressor and detector say of persons; every call draws anew."""
    everyone = range(len(persons))
    boxes = np.stack(
        [errors.noisy_box(persons.box[i], tuple(persons.size[i]), noise, rng) for i in everyone]
    )
    inside = ((persons.joints2d >= 0) & (persons.joints2d < persons.size[:, None])).all(-1)
    truth = [
        TruePerson(
            pose=persons.pose[i].astype(float),
            betas=persons.betas[i].astype(float),
            joints2d=persons.joints2d[i].astype(float),
            visible=persons.joint_visible[i].astype(bool),
            in_image=inside[i] & (persons.depth[i] > 0),
            in_front=persons.depth[i] > 0.05,
            R=persons.R[i].astype(float),
            K=persons.K[i].astype(float),
        )
        for i in everyone
    ]
    found = errors.regress(body, truth, boxes, noise, [rng] * len(truth))
    extent = (boxes[:, 2:] - boxes[:, :2]).max(1)
    places = persons.keypoints.astype(float)
    keypoints = [
        errors.noisy_keypoints(places[i], persons.visibility[i], float(extent[i]), noise, rng)
        for i in everyone
    ]
    return Perceived(found.pose, found.betas, found.joints, np.stack(keypoints), boxes)

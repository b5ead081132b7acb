"""Ground truth of a rendered scene: a row of `synthetic_truth` (docs/results-format.md).

The row holds plain lists, numbers, text and bytes. Masks and boxes are those of the visible
pixels. Keypoints are COCO-17: shoulders to ankles are the body's joints, the face's five are
vertices that are found by their place on the head, so that any body model will do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import torch

from chorus.body.keypoints import BODY_KEYPOINTS, face_vertices
from chorus.body.model import BodyModel
from chorus.body.skeleton import JOINT_NAMES
from chorus.geometry import masks
from chorus.geometry.cameras import project
from chorus.rendering.raycast import RayScene
from chorus.synthetic.look.rendering import Rendering
from chorus.synthetic.world.arranging import rigid
from chorus.synthetic.world.posing import Skeleton
from chorus.synthetic.world.scene import Scene, SceneCamera, ScenePerson

# How deep under the skin a joint lies at most, metres: skin farther in front of it than that is
# another part of the body that hides it.
_DEPTH = {
    "pelvis": 0.17, "hip": 0.16, "spine1": 0.17, "spine2": 0.17, "spine3": 0.17, "collar": 0.14,
    "neck": 0.12, "head": 0.14, "shoulder": 0.12, "elbow": 0.08, "wrist": 0.07, "hand": 0.07,
    "knee": 0.11, "ankle": 0.09, "foot": 0.08,
}  # fmt: skip
JOINT_DEPTH = np.array([_DEPTH[name.split("_")[-1]] for name in JOINT_NAMES])
# Points on the face are tested a little under the skin, or the tip of the nose would never be seen
# in profile.
UNDER_SKIN, SKIN_DEPTH = 0.012, 0.035
_NEAREST, _FAR_PIXEL = 1e-3, 1e5


def truth_row(scene: Scene, rendering: Rendering, body: BodyModel) -> dict:
    """The truth of a scene and its rendering; `body` is the one that the scene was made with.

    Poses, betas and translations follow `BodyModel.pose`; world and body frames, camera and boxes
    follow docs/conventions.md. `object_to_body` maps an object's own frame to the body frame of
    persons[0] (NaN where there is none).
    """
    camera = scene.camera
    to_body = world_to_body(scene.persons[0], body) if scene.persons else np.full((4, 4), np.nan)
    count = len(scene.persons)
    return {
        "setting": scene.setting,
        "fault": scene.fault,
        "width": camera.width,
        "height": camera.height,
        "camera_R": _plain(camera.R),
        "camera_t": _plain(camera.t),
        "camera_K": _plain(camera.K),
        "persons": [
            _person(person, scene, rendering.instance == number, body)
            for number, person in enumerate(scene.persons)
        ],
        "objects": [
            {
                "category": item.category,
                "kind": item.kind,
                "parameters": json.dumps(item.parameters, sort_keys=True),
                "object_to_world": _plain(item.transform),
                "object_to_body": _plain(to_body @ item.transform),
                **_visible(rendering.instance == count + number),
            }
            for number, item in enumerate(scene.objects)
        ],
    }


def body_to_world(person: ScenePerson, body: BodyModel) -> np.ndarray:
    """Transform (4, 4) from a person's body frame to the world.

    The body frame is the body at the person's own shape with zero global rotation and translation;
    the global rotation turns about the pelvis' rest place J0: x -> Rg (x - J0) + J0 + translation.
    """
    pelvis = body.rest(torch.from_numpy(np.asarray(person.betas, np.float32)))[1][0].numpy()
    turn = Skeleton.from_pose(np.zeros((24, 3)), np.asarray(person.pose, float)).local[0]
    return rigid(turn, pelvis - turn @ pelvis + person.translation)


def world_to_body(person: ScenePerson, body: BodyModel) -> np.ndarray:
    """Inverse (4, 4) of `body_to_world`."""
    forward = body_to_world(person, body)
    return rigid(forward[:3, :3].T, -forward[:3, :3].T @ forward[:3, 3])


def project_points(camera: SceneCamera, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (P, 2) and depths (P,) of world points (P, 3).

    Points at or behind the eye come out far outside the image, finite, with their depth.
    """
    points = np.asarray(points, float)
    pixels, depth = project(points, camera.R, camera.t, camera.K, nearest=_NEAREST)
    return np.clip(pixels, -_FAR_PIXEL, _FAR_PIXEL), depth


def keypoints_3d(person: ScenePerson, body: BodyModel) -> np.ndarray:
    """COCO-17 keypoints (17, 3) of a person in the world, metres."""
    return np.concatenate([person.vertices[face_vertices(body)], person.joints[BODY_KEYPOINTS]])


def _person(person: ScenePerson, scene: Scene, mask: np.ndarray, body: BodyModel) -> dict:
    keypoints = keypoints_3d(person, body)
    points = np.concatenate([person.joints, keypoints])
    pixels, depth = project_points(scene.camera, points)
    allowed = np.concatenate([JOINT_DEPTH, np.full(5, SKIN_DEPTH), JOINT_DEPTH[BODY_KEYPOINTS]])
    probes = points.copy()
    inward = person.joints[JOINT_NAMES.index("head")] - points[24:29]
    probes[24:29] += UNDER_SKIN * inward / np.linalg.norm(inward, axis=1, keepdims=True)
    visible = on_mask(project_points(scene.camera, probes)[0], mask) & (depth > 0)
    if visible.any():
        skin = RayScene([(person.vertices, scene.body_faces)])
        visible &= _buried(skin, scene.camera, probes) <= allowed
    return {
        "pose": _plain(person.pose),
        "betas": _plain(person.betas),
        "translation": _plain(person.translation),
        "joints3d": _plain(person.joints),
        "joints2d": _plain(pixels[:24]),
        "joint_visible": visible[:24].tolist(),
        "keypoints": _plain(pixels[24:]),
        "keypoint_visible": visible[24:].tolist(),
        **_visible(mask),
    }


def on_mask(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Whether pixel places (P, 2) lie inside the image and on a mask (H, W): (P,) bool."""
    height, width = mask.shape
    column, row = np.floor(pixels).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return inside & mask[np.where(inside, row, 0), np.where(inside, column, 0)]


def _buried(skin: RayScene, camera: SceneCamera, points: np.ndarray) -> np.ndarray:
    """How far (P,) behind the person's first skin the points (P, 3) lie, metres."""
    eye = -camera.R.T @ camera.t
    way = np.asarray(points, float) - eye
    hit = skin.first(np.broadcast_to(eye, way.shape), way).depth
    return np.where(hit < 1, (1 - np.minimum(hit, 1)) * np.linalg.norm(way, axis=1), 0.0)


def _visible(mask: np.ndarray) -> dict:
    return {"box": _plain(masks.box_of(mask)), "mask": masks.encode(mask)}


def _plain(values: np.ndarray | Sequence[float]) -> list[float]:
    return np.asarray(values, float).ravel().tolist()

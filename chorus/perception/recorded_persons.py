"""Recorded poses and detected persons brought together: who is who, and the row of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import roma
import torch
from jaxtyping import Float

from chorus.body.loading import FREE_BODY_NAME
from chorus.body.model import BodyModel
from chorus.geometry import boxes as box_geometry
from chorus.geometry.cameras import from_homogeneous
from chorus.geometry.rotations import turn_to_ray
from chorus.geometry.weak_perspective import (
    image_to_crop,
    project_long,
    project_weak,
    square_crop,
)
from chorus.perception.recorded_poses import (
    FREE_BODY,
    SMPL,
    SMPLX,
    RecordedPose,
    WeakCamera,
    pinhole_matrix,
)
from chorus.records.rows import Person

_SMPLX_VERTICES = 10475
MIN_IOU = 0.3
"""Least overlap of a recorded pose's box with a person's. Low, because a pose without a recorded
box is given that of its joints, which is smaller than the person."""


def posed_joints(poses: Sequence[RecordedPose], body: BodyModel) -> Float[torch.Tensor, "P 24 3"]:
    """Kinematic joints (P, 24, 3) of the posed bodies, metres, in the camera's orientation.

    Where a recorded shape belongs to another family of bodies, it counts as zero.
    """
    rotations = torch.from_numpy(np.stack([pose.pose for pose in poses]))
    betas = torch.from_numpy(np.stack([betas_for(pose, body) for pose in poses]))
    transforms = body.skinning_transforms(rotations, betas)
    rest = body.rest(betas)[1]
    return (transforms[..., :3, :3] @ rest[..., None])[..., 0] + transforms[..., :3, 3]


def image_joints(
    pose: RecordedPose,
    points: Float[torch.Tensor, "24 3"],
    size: tuple[int, int],
    body: BodyModel,
) -> Float[np.ndarray, "24 2"]:
    """Pixels (24, 2) float32 of a person's joints (`posed_joints`) in an image of (width, height).

    Recorded joints are taken as they are; others are projected by the recorded camera.
    """
    pixels = _projected(pose, points, size, body) if pose.joints is None else pose.joints
    return np.asarray(pixels, np.float32)


def betas_for(pose: RecordedPose, body: BodyModel) -> Float[np.ndarray, " 10"]:
    """The recorded shape, or zero if it is one of another family of bodies than `body`."""
    return pose.betas if pose.shape_of == body_family(body) else np.zeros_like(pose.betas)


def body_family(body: BodyModel) -> str:
    """Whose shape parameters a body takes: FREE_BODY, SMPLX or SMPL."""
    if body.name == FREE_BODY_NAME:
        return FREE_BODY
    return SMPLX if len(body.v_template) == _SMPLX_VERTICES else SMPL


def _projected(
    pose: RecordedPose,
    joints: Float[torch.Tensor, "24 3"],
    size: tuple[int, int],
    body: BodyModel,
) -> np.ndarray:
    camera = pose.camera
    if isinstance(camera, WeakCamera):
        numbers = (camera.camera, camera.centre, camera.side)
        weak, centre, side = (torch.as_tensor(np.asarray(n, np.float32)) for n in numbers)
        if camera.focal is None:
            return project_weak(joints, weak, centre, side).numpy()
        return project_long(joints, weak, centre, side, camera.focal).numpy()
    points = joints.double().numpy() + origin_of(pose, body)
    return from_homogeneous(points @ pinhole_matrix(camera, size).T)


def origin_of(pose: RecordedPose, body: BodyModel) -> Float[np.ndarray, " 3"]:
    """Where the origin of `body` lies before a recorded pinhole camera, metres.

    A body of another family than the recorded one is put with its pelvis where the recorded
    pelvis is; bodies turn about it, so it lies where it lies in the rest pose.
    """
    camera = pose.camera
    if camera.pelvis is None or pose.shape_of == body_family(body):
        return camera.translation
    own = body.rest(torch.from_numpy(betas_for(pose, body)))[1][0].double().numpy()
    return camera.translation + camera.pelvis - own


def _as_in_crop(
    pose: RecordedPose, pixels: Float[np.ndarray, "24 2"], size: tuple[int, int]
) -> tuple[Float[np.ndarray, "24 3"], Float[np.ndarray, "3 3"]]:
    """A pose before a pinhole camera as a camera that looks straight at the person has it, and the
    rotation from the image's camera to that one.

    A regressor sees its crop alone, so a row of `humans` has the rotation there; calibration and
    refinement turn it to the line of sight (`turn_to_ray`).
    """
    middle = np.array([*pixels.mean(0), 1.0])
    ray = torch.from_numpy(np.linalg.solve(pinhole_matrix(pose.camera, size), middle))
    back = turn_to_ray(ray).mT
    straight = pose.pose.copy()
    rotation = roma.rotvec_to_rotmat(torch.from_numpy(pose.pose[0]).double())
    straight[0] = roma.rotmat_to_rotvec(back @ rotation).numpy()
    return straight, back.numpy()


def match(
    recorded: Float[np.ndarray, "P 4"], detected: Float[np.ndarray, "Q 4"], least: float = MIN_IOU
) -> list[int | None]:
    """For each box of `detected` (Q, 4) the number of its own among `recorded` (P, 4), or None.

    Pairs are made from the largest intersection over union downwards, each box once, down to
    `least`.
    """
    overlap = box_geometry.iou(recorded[:, None], detected[None])
    pairs: list[int | None] = [None] * len(detected)
    taken: set[int] = set()
    # Sequential by definition: a pair takes both its boxes out of the game.
    for flat in np.argsort(-overlap, axis=None, kind="stable"):
        at, to = np.unravel_index(flat, overlap.shape)
        if overlap[at, to] < least:
            break
        if pairs[to] is None and int(at) not in taken:
            pairs[to] = int(at)
            taken.add(int(at))
    return pairs


def persons_of(
    poses: Sequence[RecordedPose],
    points: Float[torch.Tensor, "P 24 3"],
    boxes: Float[np.ndarray, "Q 4"],
    size: tuple[int, int],
    body: BodyModel,
) -> list[Person | None]:
    """The recorded person of each detected person box (Q, 4) of one image, None without one.

    points: `posed_joints` of the poses; size: the image's width and height, pixels.
    """
    if not poses:
        return [None] * len(boxes)
    joints = [
        image_joints(pose, each, size, body) for pose, each in zip(poses, points, strict=True)
    ]
    pairs = pairs_of(poses, joints, boxes)
    return [
        None if at is None else _person(poses[at], points[at], joints[at], boxes[to], size, body)
        for to, at in enumerate(pairs)
    ]


def pairs_of(
    poses: Sequence[RecordedPose],
    joints: Sequence[Float[np.ndarray, "24 2"]],
    boxes: Float[np.ndarray, "Q 4"],
) -> list[int | None]:
    """For each person box (Q, 4) of one image the number of its own among one or more poses.

    A pose is matched by its recorded box, else by the box around its joints, pixels.
    """
    own = [
        np.concatenate([pixels.min(0), pixels.max(0)]) if pose.box is None else pose.box
        for pose, pixels in zip(poses, joints, strict=True)
    ]
    return match(np.stack(own), np.asarray(boxes, np.float32).reshape(-1, 4))


def _person(
    pose: RecordedPose,
    points: Float[torch.Tensor, "24 3"],
    joints: Float[np.ndarray, "24 2"],
    box: Float[np.ndarray, " 4"],
    size: tuple[int, int],
    body: BodyModel,
) -> Person:
    camera, rotations = pose.camera, pose.pose
    if not isinstance(camera, WeakCamera):
        rotations, straight = _as_in_crop(pose, joints, size)
        camera = nearest_weak_camera(points.double() @ torch.from_numpy(straight.T), joints, box)
    return Person(
        box=np.asarray(box, np.float32),
        pose=rotations,
        betas=betas_for(pose, body),
        camera=np.asarray(camera.camera, np.float32),
        crop_centre=np.asarray(camera.centre, np.float32),
        crop_side=float(camera.side),
        joints=joints,
    )


def nearest_weak_camera(
    points: Float[torch.Tensor, "24 3"], pixels: Float[np.ndarray, "24 2"], box: np.ndarray
) -> WeakCamera:
    """The weak camera in a person box's crop under which joints lie nearest to their pixels.

    points (24, 3), metres in the orientation of a camera that looks straight at the person; pixels
    (24, 2). Least squares.
    """
    centre, side = square_crop(torch.as_tensor(box, dtype=torch.float64))
    crop = image_to_crop(torch.as_tensor(pixels, dtype=torch.float64), centre, side).numpy()
    flat = points[:, :2].double().numpy()
    moved, wanted = flat - flat.mean(0), crop - crop.mean(0)
    s = (moved * wanted).sum() / (moved**2).sum()
    camera = np.concatenate([[s], crop.mean(0) - s * flat.mean(0)])
    return WeakCamera(camera, centre.numpy(), float(side))

"""The camera of a person who is known exactly, as calibration would see it (method.md 6).

Test images hold the zero-shape body. A person of another size looks, to any camera, like the
zero-shape body seen from a distance that is as much smaller, so the world is divided by their size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from chorus.body.model import BodyModel
from chorus.evaluation.truth_scores import body_scale
from chorus.geometry.cameras import project


class BodyCamera(NamedTuple):
    """R (3, 3), t (3,) metres: from the zero-shape body's frame to the camera; residual, pixels:
    Frobenius norm of the joints' reprojection error / 24, which is what the person's proportions
    differ by."""

    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, " 3"]
    residual: float


def body_camera(
    body: BodyModel,
    pose: Float[np.ndarray, "24 3"],
    betas: Float[np.ndarray, " S"],
    translation: Float[np.ndarray, " 3"],
    R: Float[np.ndarray, "3 3"],
    t: Float[np.ndarray, " 3"],
    K: Float[np.ndarray, "3 3"],
) -> BodyCamera:
    """What a camera R, t, K (world to camera) is to the zero-shape body with zero global rotation.

    pose, betas, translation: the person in the world, as in `BodyModel.pose`; radians, metres.
    With s the person's size, Rg the global rotation, J and J0 the pelvis at rest of the person's
    and of the zero shape: X_camera / s = R Rg (x - J0) + (R (J + translation) + t) / s.
    """
    pose = np.asarray(pose, np.float64).reshape(24, 3)
    betas = torch.as_tensor(np.asarray(betas, np.float32))
    translation = np.asarray(translation, np.float64)
    scale = body_scale(body, betas.numpy())
    pelvis = body.rest(betas)[1][0].double().numpy()
    own_pelvis = body.rest()[1][0].double().numpy()
    turn = R @ _rotation(pose[0])
    shift = (R @ (pelvis + translation) + t) / scale - turn @ own_pelvis
    true = body.posed_joints(pose, betas).double().numpy() + translation
    still = np.concatenate([np.zeros((1, 3)), pose[1:]])
    joints = body.posed_joints(still).double().numpy()
    K = np.asarray(K, float)
    error = project(joints, turn, shift, K)[0] - project(true, R, t, K)[0]
    return BodyCamera(turn, shift, float(np.linalg.norm(error) / len(error)))


def _rotation(axis_angle: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    import roma

    return roma.rotvec_to_rotmat(torch.from_numpy(axis_angle)).numpy()

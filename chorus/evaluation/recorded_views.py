"""The camera of a test image whose person somebody recorded (method.md 6, 12)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float

from chorus.body.model import BodyModel
from chorus.calibration.weak_to_perspective import NOT_CONVERGED, calibrate
from chorus.errors import BadInput
from chorus.evaluation.known_camera import body_camera
from chorus.perception.recorded_persons import betas_for, origin_of
from chorus.perception.recorded_poses import PinholeCamera, RecordedPose, pinhole_matrix


class View(NamedTuple):
    """R (3, 3), t (3,) metres: from the zero-shape body's frame to the camera; K (3, 3) pixels;
    residual, pixels: Frobenius norm of the joints' reprojection error / 24."""

    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, " 3"]
    K: Float[np.ndarray, "3 3"]
    residual: float


def recorded_view(
    pose: RecordedPose,
    joints: Float[np.ndarray, "24 2"],
    size: tuple[int, int],
    body: BodyModel,
) -> View:
    """How an image of `size` (width, height) sees the zero-shape body in a recorded pose.

    A pinhole camera is known and taken as it is (`known_camera`). One is anchored to the joints'
    pixels (24, 2) of a weak camera, as `chorus calibrate` does. BadInput if there is no camera.
    """
    if isinstance(pose.camera, PinholeCamera):
        K = pinhole_matrix(pose.camera, size)
        where = origin_of(pose, body)
        known = body_camera(
            body, pose.pose, betas_for(pose, body), where, np.eye(3), np.zeros(3), K
        )
        return View(known.R, known.t, K, known.residual)
    turned = torch.from_numpy(np.asarray(pose.pose, np.float32))[None]
    upright = turned.clone()
    upright[:, 0] = 0
    solved = calibrate(
        body.posed_joints(upright),
        torch.from_numpy(np.asarray(joints, np.float32))[None],
        roma.rotvec_to_rotmat(turned[:, 0]),
        torch.tensor([size], dtype=torch.float32),
    )
    if solved.failure[0] and solved.failure[0] != NOT_CONVERGED:
        raise BadInput(f"no camera: {solved.failure[0]}")
    R, t, K = (getattr(solved, name)[0].double().numpy() for name in ("R", "t", "K"))
    return View(R, t, K, float(solved.residual[0]))

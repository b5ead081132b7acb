"""Bodies fitted to recorded keypoints in 3D: pose, shape and place before a camera that is known.

The keypoints are those of another body model (SAM 3D Body's MHR), whose joints lie a little
elsewhere, so a residual of two or three centimetres is the models' own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import roma
import torch

from chorus.body.landmarks import MHR70
from chorus.body.model import BodyModel
from chorus.geometry.cameras import focal_of_view
from chorus.geometry.rotations import turn_to_ray
from chorus.perception.recorded_persons import body_family
from chorus.perception.recorded_poses import (
    PinholeCamera,
    RecordedKeypoints,
    RecordedPose,
    Recording,
)
from chorus.refinement.landmark_fit import FittedBodies, LandmarkFitter, Landmarks, LandmarkSettings

SETTINGS = LandmarkSettings(metre_sd=0.03, focal_sd=1e-3)
"""The points are a body's own, not detections, and the focal length is told."""

_SIDE = 1000.0  # pixels of the square image that every person is seen in
_AT_ONCE = 256


def with_bodies(recording: Recording, body: BodyModel) -> Recording:
    """The recording with a pose for each of its persons of keypoints, and a note of how well the
    bodies fit. A person whose fit is not finite becomes a fault."""
    made = Recording(list(recording.poses), list(recording.faults), [], list(recording.notes))
    if not recording.keypoints:
        return made
    fit = LandmarkFitter(body, SETTINGS, MHR70)
    residuals: list[float] = []
    for start in range(0, len(recording.keypoints), _AT_ONCE):
        persons = recording.keypoints[start : start + _AT_ONCE]
        fitted = fit(_landmarks(persons))
        for at, person in enumerate(persons):
            if not fitted.pose[at].isfinite().all():
                made.faults.append(
                    f"{person.where}: the body fitted to its keypoints is not finite"
                )
                continue
            made.poses.append(_pose(person, fitted, at, body))
            residuals.append(100 * float(fitted.depth_error[at]))
    if residuals:
        made.notes.append(
            f"bodies fitted to {MHR70.name}: {len(residuals)}, which lie "
            f"{np.median(residuals):.1f} cm from them (median of root mean squares; "
            f"{max(residuals):.1f} cm at most)"
        )
    return made


def _landmarks(persons: Sequence[RecordedKeypoints]) -> Landmarks:
    """Every person before the camera that the fitter takes for usual, by scaling its pixels."""
    points = torch.from_numpy(np.stack([person.points for person in persons]))
    focal = focal_of_view(np.radians(SETTINGS.field_of_view)) * _SIDE
    pixels = focal * points[..., :2] / points[..., 2:] + _SIDE / 2
    hips = [MHR70.number(f"{side}_hip") for side in ("left", "right")]
    ray = torch.cat([pixels[:, hips].mean(1) - _SIDE / 2, torch.full((len(persons), 1), focal)], 1)
    metres = (points - points[:, hips].mean(1, keepdim=True)) @ turn_to_ray(ray / focal)
    return Landmarks(
        pixels=pixels,
        metres=metres,
        visibility=torch.ones(pixels.shape[:2], dtype=pixels.dtype),
        image_size=torch.full((len(persons), 2), _SIDE, dtype=pixels.dtype),
    )


def _pose(
    person: RecordedKeypoints, fitted: FittedBodies, at: int, body: BodyModel
) -> RecordedPose:
    pose = fitted.pose[at].clone()
    pose[0] = roma.rotmat_to_rotvec(fitted.R[at])
    betas = fitted.betas[at].float()
    pelvis = body.rest(betas)[1][0].double()
    # Fitted under a focal length that may have moved a little: the depth moves along.
    usual = focal_of_view(np.radians(SETTINGS.field_of_view)) * _SIDE
    scale = torch.tensor([1.0, 1.0, usual / float(fitted.focal[at])], dtype=torch.float64)
    return RecordedPose(
        image=person.image,
        pose=pose.float().numpy(),
        betas=betas.numpy(),
        camera=PinholeCamera(
            (fitted.root[at] * scale - pelvis).numpy(), person.focal, person.principal
        ),
        shape_of=body_family(body),
        box=person.box,
    )

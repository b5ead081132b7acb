"""Bodies fitted to persons recorded in another body model (SAM 3D Body's MHR) before a camera.

To their keypoints in 3D, which needs nothing else, or to their meshes over a correspondence
(`vertex_bodies`). The other model's joints lie a little elsewhere, so a residual of some
centimetres is the models' own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import roma
import torch

from chorus.body.landmarks import MHR70
from chorus.body.model import BodyModel
from chorus.errors import BadInput
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

if TYPE_CHECKING:
    from chorus.perception.vertex_bodies import VertexFitter

SETTINGS = LandmarkSettings(metre_sd=0.03, focal_sd=1e-3)
"""The points are a body's own, not detections, and the focal length is told."""

_SIDE = 1000.0  # pixels of the square image that every person is seen in
_AT_ONCE, _MESHES_AT_ONCE = 256, 16


def with_bodies(
    recording: Recording, body: BodyModel, correspondence: Path | None = None
) -> Recording:
    """The recording with a pose for each of its persons of keypoints, and a note of how well the
    bodies fit. A person whose fit is not finite becomes a fault.

    correspondence: file of `vertex_bodies`; bodies are then fitted to the persons' meshes.
    """
    made = Recording(list(recording.poses), list(recording.faults), [], list(recording.notes))
    if correspondence is not None and not recording.keypoints:
        raise BadInput("--correspondence belongs to poses of SAM 3D Body; there are none.")
    if not recording.keypoints:
        return made
    fit, at_once, target = _fit_of(body, correspondence)
    residuals: list[float] = []
    for start in range(0, len(recording.keypoints), at_once):
        for person, pose, residual in fit(recording.keypoints[start : start + at_once]):
            if not np.isfinite(pose.pose).all():
                made.faults.append(f"{person.where}: the body fitted to it is not finite")
                continue
            made.poses.append(pose)
            residuals.append(100 * residual)
    if residuals:
        made.notes.append(
            f"bodies fitted to {target}: {len(residuals)}, which lie {np.median(residuals):.1f} cm "
            f"from them (median of root mean squares; {max(residuals):.1f} cm at most)"
        )
    return made


_Fits = Iterator[tuple[RecordedKeypoints, RecordedPose, float]]


def _fit_of(
    body: BodyModel, correspondence: Path | None
) -> tuple[Callable[[Sequence[RecordedKeypoints]], _Fits], int, str]:
    """How persons are fitted, how many at once, and to what."""
    if correspondence is None:
        fitter = LandmarkFitter(body, SETTINGS, MHR70)
        return partial(_to_keypoints, fitter, body), _AT_ONCE, MHR70.name
    from chorus.perception.vertex_bodies import VertexFitter, read_correspondence

    meshes = VertexFitter(body, read_correspondence(correspondence, body))
    return partial(_to_meshes, meshes, body), _MESHES_AT_ONCE, "MHR's meshes"


def _to_keypoints(
    fit: LandmarkFitter, body: BodyModel, persons: Sequence[RecordedKeypoints]
) -> _Fits:
    fitted = fit(_landmarks(persons))
    for at, person in enumerate(persons):
        yield person, _pose(person, fitted, at, body), float(fitted.depth_error[at])


def _to_meshes(fit: VertexFitter, body: BodyModel, persons: Sequence[RecordedKeypoints]) -> _Fits:
    for person in persons:
        if person.mesh is None:
            raise BadInput(f"{person.where} lacks pred_vertices, to which a body is to be fitted.")
    fitted = fit(np.stack([person.mesh() for person in persons]))
    for at, person in enumerate(persons):
        camera = PinholeCamera(
            fitted.translation[at].double().numpy(), person.focal, person.principal
        )
        pose = RecordedPose(
            image=person.image,
            pose=fitted.pose[at].numpy(),
            betas=fitted.betas[at].numpy(),
            camera=camera,
            shape_of=body_family(body),
            box=person.box,
        )
        yield person, pose, float(fitted.residual[at])


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

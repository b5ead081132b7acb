"""What our own prior is told of a person, and the poses that it is about.

The published denoiser is conditioned on an image's features, which few have. Ours takes what every
regressor and detector gives: the regressor's pose, shape and camera, the 2D keypoints with their
confidences, and the most probable body that `map_fit` makes of these. It is a prior of what that
body still lacks.
"""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from chorus.body.keypoints import KEYPOINT_NAMES
from chorus.body.model import BodyModel
from chorus.geometry import cameras
from chorus.geometry.weak_perspective import parallel_projection
from chorus.refinement.articulated import NEAR
from chorus.refinement.map_fit import Evidence, Refinement
from chorus.refinement.score.denoiser import POSE_NUMBERS, SHAPE_NUMBERS, pose_numbers
from chorus.refinement.score.losses import BodyPoints

_POINTS = len(KEYPOINT_NAMES)
_GLOBAL = 6
CONDITION_NUMBERS = POSE_NUMBERS + (POSE_NUMBERS - _GLOBAL) + SHAPE_NUMBERS + 3 + 5 * _POINTS
"""Numbers of the condition: the fitted pose; how far the regressor's body pose is from it; shape;
scale and shift of the regressor's camera; and of every keypoint its error, place and confidence."""

# What brings each to about unit size.
_DIFFERENCE, _SHIFT, _ERROR, _PLACE = 5.0, 5.0, 20.0, 2.0
_MOST_ERROR = 0.2  # share of the extent
_USUAL_CONFIDENCE, _CONFIDENCE = 0.6, 2.0


@dataclass(frozen=True)
class Told:
    """B persons as the prior has them: condition (B, CONDITION_NUMBERS), and centre (B, 144), the
    fitted pose in the camera's orientation, which it corrects."""

    condition: Float[Tensor, "B C"]
    centre: Float[Tensor, "B 144"]


def told(
    body: BodyModel,
    evidence: Evidence,
    betas: Float[Tensor, "B 10"],
    fitted: Refinement,
    least_confidence: float,
) -> Told:
    """The prior's view of persons with the regressor's shapes and their fits, float32.

    Keypoints of a smaller confidence than least_confidence are as if there were none. A person
    that is not finite has a condition that is not.
    """
    rotations = roma.rotvec_to_rotmat(fitted.pose)
    rotations[:, 0] = fitted.R
    centre = pose_numbers(rotations)
    regressed = pose_numbers(roma.rotvec_to_rotmat(evidence.pose))
    extent = evidence.extent
    seen = evidence.keypoints[..., 2] >= least_confidence  # False for NaN
    keypoints = torch.where(
        seen[..., None], evidence.keypoints, torch.zeros_like(evidence.keypoints)
    )
    places, confidence = keypoints[..., :2], keypoints[..., 2]
    root = fitted.t + (fitted.R @ body.rest()[1][0].to(fitted.t)[..., None])[..., 0]
    points = BodyPoints(body, centre.dtype)(centre) + root[:, None]
    pixels = cameras.from_homogeneous(points @ fitted.K.mT, NEAR)
    error = (places - pixels) / extent[:, None, None]
    middle = pixels.mean(1, keepdim=True)
    place = (places - middle) / extent[:, None, None]
    parts = [
        centre,
        _DIFFERENCE * (regressed - centre)[:, _GLOBAL:],
        betas,
        _camera(evidence, fitted, root),
        (_ERROR * error.clamp(-_MOST_ERROR, _MOST_ERROR) * seen[..., None]).flatten(1),
        (_PLACE * place * seen[..., None]).flatten(1),
        _CONFIDENCE * (confidence - _USUAL_CONFIDENCE),
    ]
    return Told(torch.cat(parts, -1).float(), centre.float())


def _camera(
    evidence: Evidence, fitted: Refinement, root: Float[Tensor, "B 3"]
) -> Float[Tensor, "B 3"]:
    """Log scale and shift of the regressor's parallel projection against those of the fit."""
    turn = roma.rotvec_to_rotmat(evidence.pose[:, 0])
    scale, _ = parallel_projection(
        evidence.joints3d, evidence.joints2d, turn, torch.ones_like(evidence.joints2d[..., 0])
    )
    fits = fitted.K[:, 0, 0] / root[:, 2].clamp(min=NEAR)
    ratio = (scale.clamp(min=1e-3) / fits.clamp(min=1e-3)).log()
    of_root = cameras.from_homogeneous((root[:, None] @ fitted.K.mT), NEAR)[:, 0]
    shift = (evidence.joints2d.mean(1) - of_root) / evidence.extent[:, None]
    return _SHIFT * torch.cat([ratio[:, None], shift], -1).clamp(-1, 1)

"""What evidence has against poses: keypoints, several views of one person, successive frames.

Losses are ScoreHMR's (Stathopoulos et al., CVPR 2024), each per person, so that any of them can be
combined; the camera has its real focal length. They are differentiable in poses and translation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from chorus.body.model import BodyModel
from chorus.errors import BadInput
from chorus.refinement.articulated import NEAR, Skeleton
from chorus.refinement.map_fit import keypoint_skeleton
from chorus.refinement.score.denoiser import POSE_NUMBERS, pose_rotations

_LONGER_SIDE = 1000.0  # pixels that the longer side of an image counts as in the keypoints' loss
_VIEWS = 300.0**2
_BODY = slice(6, POSE_NUMBERS)  # all numbers but the global rotation's


@dataclass(frozen=True)
class Observed:
    """What images say of B persons.

    keypoints (B, K, 2) pixels, confidence (B, K), 0 where there is none; focal (B,) and centre
    (B, 2) of the camera, pixels; image_size (B, 2) width, height. person (B,): views of one person
    share a number; track (B,): frames of one track share a number and follow each other in order.
    """

    keypoints: Float[Tensor, "B K 2"]
    confidence: Float[Tensor, "B K"]
    focal: Float[Tensor, " B"]
    centre: Float[Tensor, "B 2"]
    image_size: Float[Tensor, "B 2"]
    person: Int[Tensor, " B"] | None = None
    track: Int[Tensor, " B"] | None = None

    def __post_init__(self) -> None:
        count, points = self.keypoints.shape[:2]
        shapes = {
            "keypoints": (count, points, 2),
            "confidence": (count, points),
            "focal": (count,),
            "centre": (count, 2),
            "image_size": (count, 2),
            "person": (count,),
            "track": (count,),
        }
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and tuple(value.shape) != shapes[field.name]:
                raise BadInput(
                    f"guidance input {field.name} must have the shape {shapes[field.name]} to match"
                    f" keypoints (B, K, 2), found {tuple(value.shape)}."
                )


class BodyPoints:
    """COCO's 17 keypoints (B, 17, 3) of poses (B, 144 numbers) from the root's place, metres."""

    def __init__(self, body: BodyModel, dtype: torch.dtype = torch.float32):
        skeleton = keypoint_skeleton(body)
        self._skeleton = Skeleton(
            skeleton.rest.to(dtype),
            skeleton.parents,
            skeleton.carrier,
            skeleton.offset.to(dtype),
        )

    def __call__(self, numbers: Float[Tensor, "B D"]) -> Float[Tensor, "B 17 3"]:
        """The points, turned as the camera sees them."""
        return self._skeleton.posed(pose_rotations(numbers[..., :POSE_NUMBERS]))[2]


def keypoint_loss(
    points: Float[Tensor, "B K 3"],
    translation: Float[Tensor, "B 3"],
    observed: Observed,
    robust: float,
) -> Float[Tensor, " B"]:
    """Unweighted loss (B,) of points (B, K, 3) at a translation (B, 3) before the cameras, metres.

    Geman and McClure's robust square of each pixel coordinate's error, as if the longer side of the
    image had 1000 pixels, times the squared confidence.
    """
    at = points + translation[:, None]
    pixels = observed.focal[:, None, None] * at[..., :2] / at[..., 2:].clamp(min=NEAR)
    seen = observed.confidence[..., None] > 0
    error = pixels + observed.centre[:, None] - observed.keypoints
    squared = torch.where(seen, error, torch.zeros_like(error)).square()
    robust_squared = robust**2 * squared / (robust**2 + squared)
    scale = (_LONGER_SIDE / observed.image_size.amax(-1)).square()
    weight = torch.where(seen[..., 0], observed.confidence, torch.zeros_like(observed.confidence))
    return scale * (weight.square()[..., None] * robust_squared).sum((1, 2))


def consistency_loss(
    numbers: Float[Tensor, "B D"], person: Int[Tensor, " B"]
) -> Float[Tensor, " B"]:
    """Squared distance (B,) of every view's body pose from the mean of its person's views."""
    poses = numbers[:, _BODY]
    of = torch.unique(person, return_inverse=True)[1]
    count = torch.zeros(int(of.max()) + 1).to(poses).index_add(0, of, torch.ones_like(poses[:, 0]))
    total = torch.zeros(len(count), poses.shape[1]).to(poses).index_add(0, of, poses)
    return _VIEWS * (poses - (total / count[:, None])[of]).square().sum(-1)


def smoothness_loss(numbers: Float[Tensor, "B D"], track: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Squared change (B,) of every frame's pose from the frame before it in its track."""
    poses = numbers[:, :POSE_NUMBERS]
    follows = (track[1:] == track[:-1]).to(poses)
    change = follows * (poses[1:] - poses[:-1]).square().sum(-1)
    return torch.cat([torch.zeros_like(poses[:1, 0]), change])

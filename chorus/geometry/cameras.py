"""Pinhole cameras, any leading batch dimensions (docs/conventions.md).

R (..., 3, 3) and t (..., 3), metres, map the world (after calibration: the body frame) to the
camera: x right, y down, z forward. K (..., 3, 3) is in pixels. What projects points takes torch
tensors or numpy arrays alike, in whose type it computes; the rest is for tensors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Array = Tensor | np.ndarray
Points = Float[Array, "*batch P 3"]
Pixels = Float[Array, "*batch P 2"]
Rotation = Float[Array, "*batch 3 3"]
Translation = Float[Array, "*batch 3"]
Intrinsics = Float[Array, "*batch 3 3"]


def to_camera(points: Points, R: Rotation, t: Translation) -> Points:
    """World points (..., P, 3) in metres to camera coordinates (..., P, 3)."""
    return points @ R.mT + t[..., None, :]


def from_homogeneous(points: Points, nearest: float | None = None) -> Pixels:
    """Homogeneous pixels (..., P, 3) to pixels (..., P, 2): the division by the depth.

    A pixel has a meaning only where the depth is positive. Nothing is clipped (a depth of exactly
    0 gives an infinite or NaN pixel) unless `nearest` is given: a smaller depth then counts as it.
    """
    depth = points[..., 2:]
    return points[..., :2] / (depth if nearest is None else depth.clip(min=nearest))


def project(
    points: Points, R: Rotation, t: Translation, K: Intrinsics, nearest: float | None = None
) -> tuple[Pixels, Float[Array, "*batch P"]]:
    """World points (..., P, 3) in metres to pixels (..., P, 2) and camera depth (..., P) in metres.

    The depth is the true one in any case, so the caller can test it; `nearest`, metres: see
    `from_homogeneous`.
    """
    camera = to_camera(points, R, t)
    return from_homogeneous(camera @ K.mT, nearest), camera[..., 2]


def focal_of_view(field_of_view: float) -> float:
    """Focal length in units of the image's height for a vertical field of view in radians."""
    return 0.5 / math.tan(0.5 * field_of_view)


def intrinsics(
    focal: Float[Tensor, "*batch"], width: Float[Tensor, "*batch"], height: Float[Tensor, "*batch"]
) -> Intrinsics:
    """K (..., 3, 3), pixels, from a focal length (...) in units of the image *width* (method.md 6).

    fx = fy = focal * width, the principal point is (width / 2, height / 2). width and height (...)
    in pixels, tensors or numbers; takes focal's type and device.
    """
    focal = torch.as_tensor(focal)
    width = torch.as_tensor(width, dtype=focal.dtype, device=focal.device)
    height = torch.as_tensor(height, dtype=focal.dtype, device=focal.device)
    f, cx, cy = torch.broadcast_tensors(focal * width, width / 2, height / 2)
    zero, one = torch.zeros_like(f), torch.ones_like(f)
    return torch.stack([f, zero, cx, zero, f, cy, zero, zero, one], dim=-1).unflatten(-1, (3, 3))


def camera_centre(R: Rotation, t: Translation) -> Float[Tensor, "*batch 3"]:
    """The camera's place (..., 3) in the world, metres: -R^T t."""
    return -(R.mT @ t[..., None])[..., 0]


def azimuth_degrees(R: Rotation, t: Translation) -> Float[Tensor, "*batch"]:
    """Direction (...) of the camera from the world's origin, degrees in [0, 360) (method.md 8).

    atan2(z, x) of the camera's centre: in the body frame 0 is the person's left, 90 the front,
    180 the right, 270 behind. Coordinates under 0.1 mm count as 0, so that rounding does not push
    a camera exactly on an axis into the bin below; right above the origin the azimuth is 0.
    """
    centre = camera_centre(R, t)
    centre = torch.where(centre.abs() < 1e-4, torch.zeros_like(centre), centre)
    degrees = torch.rad2deg(torch.atan2(centre[..., 2], centre[..., 0])) % 360
    # A tiny negative angle rounds up to 360 itself.
    return torch.where(degrees >= 360, torch.zeros_like(degrees), degrees)


def azimuth_bin(R: Rotation, t: Translation, bins: int = 12) -> Int[Tensor, "*batch"]:
    """Azimuth bin (...) int64 of the camera, 0..bins-1; bin i begins at i * 360 / bins degrees."""
    # Dividing by 360 last keeps whole multiples of the bin width in their own bin.
    return (azimuth_degrees(R, t) * bins / 360).floor().long().clamp(max=bins - 1)


def look_at(
    eye: Float[Tensor, "*batch 3"],
    target: Float[Tensor, "*batch 3"],
    up: Sequence[float] | Tensor = (0.0, 1.0, 0.0),
) -> tuple[Rotation, Translation]:
    """Extrinsics R (..., 3, 3), t (..., 3) of a camera at `eye` that looks at `target`, metres.

    The world's `up` direction points up in the image. Where the view is along `up` itself there
    is no such image; then, for up = +y, world -z points up in it.
    """
    up = torch.as_tensor(up, dtype=eye.dtype, device=eye.device).expand_as(eye)
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    right = torch.linalg.cross(forward, up)
    # Rolling the coordinates of -up gives an axis not parallel to it, -z for +y.
    spare = torch.linalg.cross(forward, torch.roll(-up, 1, dims=-1))
    along_up = right.norm(dim=-1, keepdim=True) < 1e-6
    right = torch.nn.functional.normalize(torch.where(along_up, spare, right), dim=-1)
    R = torch.stack([right, torch.linalg.cross(forward, right), forward], dim=-2)
    return R, -(R @ eye[..., None])[..., 0]


def mirror_camera(R: Rotation, t: Translation) -> tuple[Rotation, Translation]:
    """Extrinsics of the camera that sees the x-mirrored world as the mirrored image (method.md 8).

    K stays as it is when the principal point is in the middle of the image, as calibration's is.
    """
    flip = torch.tensor([-1.0, 1.0, 1.0], dtype=R.dtype, device=R.device)
    return flip[:, None] * R * flip, flip * t

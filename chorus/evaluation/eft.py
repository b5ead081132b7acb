"""EFT fits (`COCO2014-Val-ver10.json`): SMPL poses of COCO's persons, from parsed JSON.

See method.md 11.

A fit's camera is weak and lives in the 224 px crop of the body regressor: a square around
`bbox_center` with a side of 200 * `bbox_scale` pixels (method.md, appendix).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from chorus.body.model import BodyModel
from chorus.calibration.settings import CalibrationSettings
from chorus.calibration.weak_to_perspective import Calibration, calibrate
from chorus.errors import BadInput
from chorus.geometry.weak_perspective import project_weak

SCALE_UNIT = 200.0
"""Pixels of crop side per unit of `bbox_scale`."""
_ROTATION_TOLERANCE = 1e-2


@dataclass(frozen=True, eq=False)
class Fit:
    """One person's fit, checked."""

    rotations: Float[np.ndarray, "24 3 3"]
    """Joint rotations, float32; joint 0 turns the body into the camera's orientation."""
    betas: Float[np.ndarray, " 10"]
    """Shape."""
    camera: Float[np.ndarray, " 3"]
    """Weak-perspective (s, tx, ty) in the crop."""
    crop_centre: Float[np.ndarray, " 2"]
    """Centre of the crop, image pixels."""
    crop_side: float
    """Side of the crop, image pixels."""


def records(content: Any, where: str = "the EFT fits") -> list[dict]:
    """The records of a parsed EFT file; BadInput, naming `where`, if it is none."""
    data = content.get("data") if isinstance(content, Mapping) and "ver" in content else None
    if not isinstance(data, list) or not all(isinstance(record, Mapping) for record in data):
        raise BadInput(
            f"{where}: expected an EFT file with `ver` and a list `data` of fits; download "
            "COCO2014-Val-ver10.json again."
        )
    return data


def fit_of(record: Mapping) -> Fit:
    """The fit of one record; BadInput with a short reason if something is missing or damaged."""
    rotations = _numbers(record, "parm_pose", (24, 3, 3))
    deviation = np.abs(rotations @ rotations.swapaxes(-1, -2) - np.eye(3)).max()
    if deviation > _ROTATION_TOLERANCE or (np.linalg.det(rotations) < 0).any():
        raise BadInput("EFT fit: parm_pose is not made of rotations")
    camera = _numbers(record, "parm_cam", (3,))
    scale = float(_numbers(record, "bbox_scale", ()))
    if camera[0] <= 0 or scale <= 0:
        raise BadInput("EFT fit: degenerate camera or crop")
    return Fit(
        rotations=rotations.astype(np.float32),
        betas=_numbers(record, "parm_shape", (10,)).astype(np.float32),
        camera=camera.astype(np.float32),
        crop_centre=_numbers(record, "bbox_center", (2,)).astype(np.float32),
        crop_side=SCALE_UNIT * scale,
    )


def image_joints(fits: list[Fit], body: BodyModel) -> Float[Tensor, "B 24 2"]:
    """Image pixels (B, 24, 2) of the fitted bodies' kinematic joints under their weak cameras."""
    rotations, betas, camera, centre = (
        _stacked(fits, name, body) for name in ("rotations", "betas", "camera", "crop_centre")
    )
    side = torch.tensor([fit.crop_side for fit in fits], device=body.device)
    return project_weak(body.posed_joints(rotations, betas), camera, centre, side)


def calibrate_fits(
    fits: list[Fit],
    sizes: Float[np.ndarray, "B 2"],
    body: BodyModel,
    settings: CalibrationSettings,
) -> Calibration:
    """Cameras of B fits, anchored to their 24 joints' pixels (method.md 6, 11).

    sizes (B, 2): width and height of the images, pixels.
    """
    rotations = _stacked(fits, "rotations", body)
    upright = rotations.clone()
    upright[:, 0] = torch.eye(3, device=body.device)
    size = torch.as_tensor(np.asarray(sizes, np.float32), device=body.device)
    joints = image_joints(fits, body)
    return calibrate(body.posed_joints(upright), joints, rotations[:, 0], size, settings=settings)


def axis_angle(fit: Fit) -> Float[np.ndarray, "24 3"]:
    """The fit's pose as axis-angle, radians, float32."""
    return roma.rotmat_to_rotvec(torch.from_numpy(fit.rotations).double()).float().numpy()


def _stacked(fits: list[Fit], name: str, body: BodyModel) -> Tensor:
    return torch.from_numpy(np.stack([getattr(fit, name) for fit in fits])).to(body.device)


def _numbers(record: Mapping, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A record's entry as float64 of a shape; BadInput if missing, misshapen or not finite."""
    if record.get(name) is None:
        raise BadInput(f"EFT fit: no {name}")
    try:
        value = np.asarray(record[name], np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"EFT fit: {name} is not made of numbers") from error
    if value.size != int(np.prod(shape)) or not np.isfinite(value).all():
        raise BadInput(f"EFT fit: {name} is not {shape} finite numbers")
    return value.reshape(shape)

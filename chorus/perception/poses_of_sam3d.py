"""Persons of SAM 3D Body: keypoints of its MHR body, to which a body is fitted (`keypoint_bodies`).

Facts from the code (facebookresearch/sam-3d-body, sam_3d_body_estimator.py, models/heads,
metadata/mhr70.py): `pred_keypoints_3d` (70, 3) and `pred_vertices` (18439, 3) are metres with a
camera's axes (x right, y down, z forward), from the body's origin: `pred_cam_t` is yet to be added.
`pred_keypoints_2d` are pixels of the whole image, projected by `focal_length` and a principal point
that is not stored, but follows from both. y and z of `pred_joint_coords` are flipped likewise,
those of `pred_global_rots` are not; neither is needed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from chorus.body.landmarks import MHR70
from chorus.errors import BadInput
from chorus.perception.recorded_poses import (
    BEHIND,
    Columns,
    PoseFormat,
    RecordedKeypoints,
    Recording,
)

_NAMES = ("pred_keypoints_3d", "pred_keypoints_2d", "pred_cam_t", "focal_length", "bbox")
MHR_VERTICES = 18439
_SPREAD = 2.0  # pixels: by which the principal points of single keypoints may differ


def _matches(content: Mapping[str, np.ndarray]) -> bool:
    return {"pred_keypoints_3d", "pred_cam_t"} <= set(content)


def _read(content: Mapping[str, np.ndarray], path: Path) -> Recording:
    """The persons of a file: one, or several stacked."""
    arrays = {name: content[name] for name in _NAMES if name in content}
    single = arrays["pred_keypoints_3d"].ndim == 2
    if single:
        arrays = {name: array[None] for name, array in arrays.items()}
    columns = Columns(arrays, len(arrays["pred_keypoints_3d"]), str(path))
    points = columns.numbers("pred_keypoints_3d", (MHR70.count, 3))
    place = columns.numbers("pred_cam_t", (3,))
    points = points + place[:, None]
    pixels = columns.numbers("pred_keypoints_2d", (MHR70.count, 2))
    focal = columns.numbers("focal_length", (), (1,)).reshape(-1)
    columns.refuse((points[..., 2] <= 0).any(1) | (focal <= 0), BEHIND)
    depth = np.where(points[..., 2:] > 0, points[..., 2:], 1)
    principals = pixels - focal[:, None, None] * points[..., :2] / depth
    principal = np.median(principals, axis=1)
    spread = np.abs(principals - principal[:, None]).max(axis=(1, 2))
    columns.refuse(spread > _SPREAD, "its keypoints in 2D and 3D belong to no one camera")
    boxes = columns.numbers("bbox", (4,)).astype(np.float32) if "bbox" in columns else None
    image = _image(content, path)
    return Recording(
        faults=columns.faults(),
        keypoints=[
            RecordedKeypoints(
                image=image,
                points=points[row],
                focal=float(focal[row]),
                principal=principal[row],
                box=None if boxes is None else boxes[row],
                where=str(path) if single else f"{path}, person {row}",
                mesh=partial(_mesh, content, None if single else row, place[row], path)
                if "pred_vertices" in content
                else None,
            )
            for row in columns.usable()
        ],
    )


def _mesh(
    content: Mapping[str, np.ndarray], row: int | None, place: np.ndarray, path: Path
) -> Float[np.ndarray, "18439 3"]:
    vertices = content["pred_vertices"]
    vertices = vertices if row is None else vertices[row]
    if vertices.shape != (MHR_VERTICES, 3) or vertices.dtype.kind != "f":
        raise BadInput(
            f"{path}: pred_vertices is {vertices.dtype} {vertices.shape}; expected numbers "
            f"({MHR_VERTICES}, 3)."
        )
    return vertices + place


def _image(content: Mapping[str, np.ndarray], path: Path) -> str:
    """The image's name: stored, or the file's own without the person's number."""
    if "image" in content and content["image"].dtype.kind == "U" and content["image"].size == 1:
        return str(content["image"].item())
    return re.sub(r"_\d+$", "", path.stem)


FORMAT = PoseFormat(
    tool="SAM 3D Body",
    holds="pred_keypoints_3d, pred_keypoints_2d, pred_cam_t, focal_length",
    matches=_matches,
    read=_read,
)

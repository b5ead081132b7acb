"""Poses of PromptHMR: an image's `output.pt`, a video's `results.pkl`.

Facts from the code (yufu-wang/PromptHMR, scripts/demo_phmr.py, prompt_hmr/models, pipeline/):
SMPL-X with its own translation. An image's `cam_int` belongs to the image scaled and padded to a
square of 896 px; the file lies in a folder of the image's name. A video's frames are scaled to at
most 896 rows before anything else, and `camera` is in those pixels; `smplx_cam` is in the camera,
and the hands of its `rotmat` (55 joints) are matrices of zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chorus.errors import BadInput, shown
from chorus.perception.recorded_poses import (
    BEHIND,
    SHAPES,
    SMPLX,
    SMPLX_BODY_JOINTS,
    SMPLX_PELVIS,
    Columns,
    PinholeCamera,
    PoseFormat,
    RecordedPose,
    Recording,
    arrays_in,
    smplx_pose,
)

_BODY = 1 + SMPLX_BODY_JOINTS
_OFF_MIDDLE = 0.01  # of the side: a principal point further off is not the padded image's middle


def _matches_image(content: Any) -> bool:
    return isinstance(content, Mapping) and {"rotmat", "transl", "cam_int"} <= content.keys()


def _read_image(content: Mapping[str, Any], path: Path) -> Recording:
    arrays = arrays_in(content, ("rotmat", "betas", "transl", "cam_int"), str(path))
    columns = _columns(arrays, "rotmat", str(path))
    K = columns.numbers("cam_int", (3, 3))
    side = 2 * K[:, 0, 2]
    square = np.abs(K[:, 0, 2] - K[:, 1, 2]) <= _OFF_MIDDLE * side
    columns.refuse(~square, "its principal point is not the middle of the padded image")
    focal = K[:, 0, 0] / np.where(side > 0, side, 1)
    columns.refuse((side <= 0) | (focal <= 0), "its camera has no focal length")
    image = path.parent.name if path.stem == "output" else path.stem
    return _recording(columns, [image] * columns.count, focal, "betas", "transl")


def _matches_video(content: Any) -> bool:
    return isinstance(content, Mapping) and {"people", "camera"} <= content.keys()


def _read_video(content: Mapping[str, Any], path: Path) -> Recording:
    people, camera = content["people"], content["camera"]
    if not isinstance(people, Mapping) or not isinstance(camera, Mapping):
        raise BadInput(f"{path}: people and camera must be dictionaries, as PromptHMR writes them.")
    lens = arrays_in(camera, ("img_focal", "img_center"), str(path))
    if {"img_focal", "img_center"} - lens.keys() or lens["img_center"].size != 2:
        raise BadInput(f"{path}: camera lacks img_focal and img_center (x, y).")
    side = 2 * float(lens["img_center"].max())
    focal = float(lens["img_focal"].max()) / side if side > 0 else np.nan
    if not np.isfinite(focal) or focal <= 0:
        raise BadInput(f"{path}: the focal length of camera is not positive.")
    recording = Recording()
    for key, person in people.items():
        recording.add(_of_person(person, focal, f"{path}, person {shown(key, 40)}"))
    return recording


def _of_person(person: Any, focal: float, where: str) -> Recording:
    stored = person.get("smplx_cam") if isinstance(person, Mapping) else None
    if not isinstance(stored, Mapping) or "frames" not in person:
        raise BadInput(f"{where} lacks smplx_cam and frames; let PromptHMR run to its end.")
    arrays = arrays_in(stored, ("rotmat", "shape", "trans"), where)
    arrays |= arrays_in(person, ("frames",), where)
    columns = _columns(arrays, "rotmat", where)
    frames = columns.numbers("frames", ())
    every = np.full(columns.count, focal)
    return _recording(columns, [int(frame) for frame in frames], every, "shape", "trans")


def _columns(arrays: dict[str, np.ndarray], rotations: str, where: str) -> Columns:
    """Rows of a file; of its rotations, those of the body."""
    stored = arrays.get(rotations)
    if stored is not None and stored.ndim == 4 and stored.shape[1] > _BODY:
        arrays = arrays | {rotations: stored[:, :_BODY]}
    return Columns(arrays, 0 if stored is None or not stored.ndim else len(stored), where)


def _recording(
    columns: Columns, images: list, focal: np.ndarray, shape: str, place: str
) -> Recording:
    turned = columns.rotations("rotmat", _BODY)
    pose = smplx_pose(turned[:, :1], turned[:, 1:]).astype(np.float32)
    betas = columns.numbers(shape, (SHAPES,)).astype(np.float32)
    translation = columns.numbers(place, (3,))
    columns.refuse(translation[:, 2] <= 0, BEHIND)
    return columns.recording(
        lambda row: RecordedPose(
            image=images[row],
            pose=pose[row],
            betas=betas[row],
            camera=PinholeCamera(
                translation[row], focal_in_sides=float(focal[row]), pelvis=SMPLX_PELVIS
            ),
            shape_of=SMPLX,
        )
    )


IMAGE = PoseFormat(
    tool="PromptHMR's image",
    holds="rotmat, betas, transl, cam_int",
    matches=_matches_image,
    read=_read_image,
)
VIDEO = PoseFormat(
    tool="PromptHMR's video",
    holds="people with smplx_cam and frames, camera",
    matches=_matches_video,
    read=_read_video,
)

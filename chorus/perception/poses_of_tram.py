"""Poses of TRAM: `hps/hps_track_<k>.npy`, with the `camera.npy` of the folder above.

Facts from the code (yufu-wang/tram, scripts/estimate_*.py, lib/models/hmr_vimo.py): dictionaries
that numpy.save pickled, of torch tensors; `pred_trans` is SMPL's translation in the camera,
`img_focal` and `img_center` are pixels of the frames, which are numbered from 0 in images/.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chorus.errors import BadInput
from chorus.perception.joblib_pickle import load_npy
from chorus.perception.recorded_poses import (
    BEHIND,
    JOINTS,
    SHAPES,
    Columns,
    PinholeCamera,
    PoseFormat,
    RecordedPose,
    Recording,
    arrays_in,
)

CAMERA = "camera.npy"
_NAMES = ("pred_rotmat", "pred_shape", "pred_trans", "frame")


def camera_file(path: Path) -> Path | None:
    """The camera of a track's file; None if it is not there."""
    places = (path.parent.parent / CAMERA, path.parent / CAMERA)
    return next((place for place in places if place.is_file()), None)


def _matches(content: Any) -> bool:
    return isinstance(content, Mapping) and "pred_rotmat" in content


def _read(content: Mapping[str, Any], path: Path) -> Recording:
    focal, principal = _camera(path)
    arrays = arrays_in(content, _NAMES, str(path))
    rotations = arrays["pred_rotmat"]
    columns = Columns(arrays, rotations.shape[0] if rotations.ndim else 0, str(path))
    pose = columns.rotations("pred_rotmat", JOINTS).astype(np.float32)
    betas = columns.numbers("pred_shape", (SHAPES,)).astype(np.float32)
    translation = columns.numbers("pred_trans", (3,), (1, 3)).reshape(-1, 3)
    columns.refuse(translation[:, 2] <= 0, BEHIND)
    frames = columns.numbers("frame", ())
    return columns.recording(
        lambda row: RecordedPose(
            int(frames[row]),
            pose[row],
            betas[row],
            PinholeCamera(translation[row], focal, principal),
        )
    )


def _camera(path: Path) -> tuple[float, np.ndarray]:
    """Focal length and principal point (2,), pixels, that belong to a track."""
    file = camera_file(path)
    if file is None:
        raise BadInput(
            f"{path} needs {CAMERA}, which TRAM writes into the folder above hps/; give the whole "
            "folder results/<video>."
        )
    content = load_npy(file)
    stored = (
        arrays_in(content, ("img_focal", "img_center"), str(file))
        if isinstance(content, Mapping)
        else {}
    )
    focal, centre = (stored.get(name) for name in ("img_focal", "img_center"))
    numbers = [] if focal is None or centre is None else [focal, centre]
    if not numbers or not all(each.dtype.kind in "fiu" for each in numbers):
        raise BadInput(f"{file} lacks img_focal and img_center; TRAM's estimate_camera writes it.")
    values = np.concatenate([each.astype(np.float64).ravel() for each in numbers])
    if values.shape != (3,) or not np.isfinite(values).all() or values[0] <= 0:
        raise BadInput(f"{file}: img_focal and img_center are {values}; expected f > 0 and (x, y).")
    return float(values[0]), values[1:]


FORMAT = PoseFormat(
    tool="TRAM",
    holds="pred_rotmat, pred_shape, pred_trans, frame",
    matches=_matches,
    read=_read,
)

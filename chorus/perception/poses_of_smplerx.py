"""Poses of SMPLer-X: `smplx/<frame>_<person>.npz`, with `meta/<frame>_<person>.json`.

Facts from the code (caizhongang/SMPLer-X, main/inference.py and SMPLer_X.py): SMPL-X's parameters
of one person, vectors as rows (`body_pose` is (21, 3)); `transl` before the camera whose `focal`
and `princpt` (x, y), pixels of the whole image, are in the other file, with the image's path and
the box (x, y, width, height).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from chorus.errors import BadInput, shown
from chorus.files import parsed_json
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
    smplx_pose,
)

_NAMES = ("global_orient", "body_pose", "betas", "transl")
_ANISOTROPY = 0.01  # of fx and fy, relative: more is no camera of SMPLer-X


def _matches(content: Mapping[str, np.ndarray]) -> bool:
    return {"transl", "body_pose", "jaw_pose"} <= set(content)


def _read(content: Mapping[str, np.ndarray], path: Path) -> Recording:
    arrays = {name: content[name][None] for name in _NAMES if name in content}
    for name in ("betas", "transl"):  # (1, 10), (1, 3): one person
        if name in arrays and arrays[name].ndim == 3:
            arrays[name] = arrays[name][:, 0]
    columns = Columns(arrays, 1, str(path))
    pose = smplx_pose(
        columns.rotations("global_orient", 1), columns.rotations("body_pose", SMPLX_BODY_JOINTS)
    ).astype(np.float32)
    betas = columns.numbers("betas", (SHAPES,)).astype(np.float32)
    translation = columns.numbers("transl", (3,))
    columns.refuse(translation[:, 2] <= 0, BEHIND)
    meta, file = _meta(path)
    focal, principal, box = (_numbers(meta, *each, file) for each in _META)
    if focal.min() <= 0 or np.ptp(focal) > _ANISOTROPY * focal.max():
        raise BadInput(f"{file}: focal is {focal}; expected one length above 0, told twice.")
    return columns.recording(
        lambda row: RecordedPose(
            image=PurePosixPath(str(meta["img_path"]).replace("\\", "/")).name,
            pose=pose[row],
            betas=betas[row],
            camera=PinholeCamera(
                translation[row], float(focal.mean()), principal, pelvis=SMPLX_PELVIS
            ),
            shape_of=SMPLX,
            box=np.concatenate([box[:2], box[:2] + box[2:]]).astype(np.float32),
        )
    )


_META = (("focal", 2), ("princpt", 2), ("bbox_mmdet", 4))


def meta_file(path: Path) -> Path:
    """Where the camera of a person's file lies."""
    return path.parent.parent / "meta" / f"{path.stem}.json"


def _meta(path: Path) -> tuple[Mapping[str, Any], Path]:
    file = meta_file(path)
    try:
        content = parsed_json(file.read_bytes())
    except OSError as error:
        raise BadInput(
            f"{path} needs {file} ({error.strerror}), where SMPLer-X writes the camera; give the "
            "folder that holds smplx/ and meta/."
        ) from error
    except ValueError as error:
        raise BadInput(f"{file} is not whole JSON ({error}); write it again.") from error
    if not isinstance(content, Mapping) or "img_path" not in content:
        raise BadInput(f"{file} lacks img_path, focal, princpt and bbox_mmdet.")
    return content, file


def _numbers(meta: Mapping[str, Any], name: str, count: int, file: Path) -> np.ndarray:
    try:
        values = np.array(meta.get(name), np.float64)
    except (ValueError, TypeError):
        values = np.zeros(0)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise BadInput(f"{file}: {name} is {shown(meta.get(name), 60)}; expected {count} numbers.")
    return values


FORMAT = PoseFormat(
    tool="SMPLer-X",
    holds="global_orient, body_pose, jaw_pose, transl",
    matches=_matches,
    read=_read,
)

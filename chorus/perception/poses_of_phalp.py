"""Poses in PHALP's pickles: 4D-Humans, TokenHMR, and the tracks that ScoreHMR's video starts from.

Facts from PHALP's code (brjathu/PHALP, trackers/PHALP.py and models/hmar): a dictionary of frames,
each with a list per key and an entry per track. `camera_bbox` is HMR2's (s, tx, ty) in the square
crop of `center` and `scale`; `camera` is the body's place before a camera of 5000 px that sees the
image padded to a square and scaled to 256. `tracked_time` counts the frames since a track was seen;
the temporal model sets it to -1 where it filled a gap, and writes `camera` but not `camera_bbox`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chorus.body.restricted_pickle import array_of
from chorus.errors import BadInput, shown
from chorus.perception.hmr2 import FOCAL
from chorus.perception.recorded_poses import (
    BEHIND,
    JOINTS,
    SHAPES,
    Columns,
    PinholeCamera,
    PoseFormat,
    RecordedPose,
    Recording,
    WeakCamera,
    weak_of_hmr2,
)

_SMPL = ("global_orient", "body_pose", "betas")
_IN_CROP = ("camera_bbox", "center", "scale")
_EXTRACTED = "/_DEMO/"  # in the names of the frames that PHALP takes out of a video


def _matches(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(frame, Mapping) and "smpl" in frame for frame in content.values())
    )


def _read(content: Mapping[Any, Mapping[str, Any]], path: Path) -> Recording:
    recording = Recording()
    for key, frame in content.items():
        recording.add(_of_frame(key, frame, f"{path}, {shown(key)}"))
    return recording


def _of_frame(key: Any, frame: Mapping[str, Any], where: str) -> Recording:
    """Persons of one frame, but those that were not seen in it."""
    persons = frame["smpl"]
    in_crop = "camera_bbox" in frame or "camera" not in frame
    names = ("bbox", *(_IN_CROP if in_crop else ("camera",)))
    for name in names:
        if not isinstance(frame.get(name), list) or len(frame[name]) != len(persons):
            raise BadInput(
                f"{where} lacks {name} for each of its {len(persons)} persons; a 4D-Humans version "
                "of 2023 or later writes it."
            )
    seen = frame.get("tracked_time") or [0] * len(persons)
    rows = [row for row in range(len(persons)) if not int(seen[row])]
    if not rows:
        return Recording()
    if not all(
        isinstance(persons[row], Mapping) and set(_SMPL) <= persons[row].keys() for row in rows
    ):
        raise BadInput(f"{where}: a person's smpl lacks one of {', '.join(_SMPL)}.")
    arrays = {name: _stacked([persons[row][name] for row in rows], where) for name in _SMPL}
    arrays |= {name: _stacked([frame[name][row] for row in rows], where) for name in names}
    columns = Columns(arrays, len(rows), where)
    pose = np.concatenate(
        [columns.rotations("global_orient", 1), columns.rotations("body_pose", JOINTS - 1)], axis=1
    ).astype(np.float32)
    betas = columns.numbers("betas", (SHAPES,)).astype(np.float32)
    boxes = columns.numbers("bbox", (4,)).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]  # x, y, width, height
    cameras = _crop_cameras(arrays, columns) if in_crop else _image_cameras(columns)
    path = frame.get("frame_path", key)
    # Frames taken straight from a video are called (video, time): their number must do.
    time = frame.get("time")
    time = int(time) if isinstance(time, int | np.integer) else -1
    image = path if isinstance(path, str) else time
    # PHALP takes a video apart itself and calls the frames from 1 on.
    own = isinstance(path, str) and _EXTRACTED in path.replace("\\", "/") and time >= 0
    return columns.recording(
        lambda row: RecordedPose(
            image,
            pose[row],
            betas[row],
            cameras[row],
            box=boxes[row],
            frame=time if own else None,
        )
    )


def _stacked(values: list, where: str) -> np.ndarray:
    arrays = [array_of(value, where) for value in values]
    if len({array.shape for array in arrays}) > 1:
        raise BadInput(f"{where}: its persons have arrays of different shapes.")
    return np.stack(arrays)


def _crop_cameras(arrays: dict[str, np.ndarray], columns: Columns) -> list[WeakCamera]:
    # Older versions wrote the crop's side, newer the sides of the box, whose longer one it is.
    arrays["scale"] = arrays["scale"].reshape(columns.count, -1).max(axis=1)
    camera = weak_of_hmr2(columns.numbers("camera_bbox", (3,)))
    centre, side = columns.numbers("center", (2,)), columns.numbers("scale", ())
    columns.refuse((camera[:, 0] <= 0) | (side <= 0), "its camera's scale is not positive")
    return [
        WeakCamera(camera[row], centre[row], float(side[row]), FOCAL)
        for row in range(columns.count)
    ]


def _image_cameras(columns: Columns) -> list[PinholeCamera]:
    translation = columns.numbers("camera", (3,))
    columns.refuse(translation[:, 2] <= 0, BEHIND)
    # 5000 px where the longer side has 256; the padding leaves the middle where it is.
    return [PinholeCamera(each, focal_in_sides=FOCAL) for each in translation]


FORMAT = PoseFormat(
    tool="PHALP (4D-Humans, TokenHMR)",
    holds="frames with smpl, bbox, camera_bbox, center, scale",
    matches=_matches,
    read=_read,
)

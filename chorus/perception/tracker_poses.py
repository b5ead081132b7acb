"""Poses in the pickles of trackers: 4D-Humans (PHALP) and WHAM. Formats: docs/bring-your-own.md.

Both write with joblib; the files are read by `joblib_pickle`, which executes nothing in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chorus.body.restricted_pickle import array_of
from chorus.errors import BadInput
from chorus.perception.hmr2 import FOCAL
from chorus.perception.joblib_pickle import load_joblib
from chorus.perception.recorded_poses import (
    JOINTS,
    SHAPES,
    Columns,
    PinholeCamera,
    RecordedPose,
    Recording,
    WeakCamera,
    read_npz,
    weak_of_hmr2,
)

SUFFIXES = (".npz", ".pkl")
_EXTRACTED = "/_DEMO/"  # in the names of the frames that PHALP takes out of a video


def read_poses(path: Path) -> Recording:
    """The poses of a file, or of all .npz and .pkl files of a folder, by name.

    BadInput if there is none, or one is damaged or of no known format.
    """
    if not path.exists():
        raise BadInput(f"--poses {path} is not there; give an .npz, a .pkl, or a folder of these.")
    files = sorted(f for f in path.iterdir() if f.suffix in SUFFIXES) if path.is_dir() else [path]
    if not files:
        raise BadInput(f"--poses {path} holds no .npz and no .pkl.")
    recording = Recording()
    for file in files:
        if file.suffix not in SUFFIXES:
            raise BadInput(
                f"--poses {file} is neither .npz nor .pkl; docs/bring-your-own.md tells how to "
                "write one."
            )
        recording.add(read_npz(file) if file.suffix == ".npz" else read_tracks(file))
    if not recording.poses and not recording.faults:
        raise BadInput(f"--poses {path} holds no person.")
    return recording


def read_tracks(path: Path) -> Recording:
    """The poses of a tracker's pickle; BadInput if it is of neither known format."""
    content = load_joblib(path)
    try:
        return _tracks_of(content, path)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise BadInput(
            f"{path} holds something else than its keys promise ({type(error).__name__}: "
            f"{str(error)[:200]}); write it again, or as .npz (docs/bring-your-own.md)."
        ) from error


def _tracks_of(content: Any, path: Path) -> Recording:
    entries = list(content.items()) if isinstance(content, Mapping) else []
    recording = Recording()
    for key, entry in entries:
        if not isinstance(entry, Mapping):
            break
        where = f"{path}, {str(key)!r:.80}"
        if "smpl" in entry:
            recording.add(_of_frame(key, entry, where))
        elif {"pose", "trans", "frame_ids"} <= entry.keys():
            recording.add(_of_track(entry, where))
        else:
            break
    else:
        if entries:
            return recording
    raise BadInput(
        f"{path} is neither of the pickles that are known: 4D-Humans' (frames with smpl, bbox, "
        "camera_bbox, center, scale) or WHAM's (tracks with pose, trans, betas, frame_ids). Write "
        "the poses as .npz (docs/bring-your-own.md)."
    )


def _of_frame(key: Any, frame: Mapping[str, Any], where: str) -> Recording:
    """Persons of one frame of PHALP's output, but those that were not seen in it."""
    persons = frame["smpl"]
    names = ("camera_bbox", "center", "scale", "bbox")
    for name in names:
        if not isinstance(frame.get(name), list) or len(frame[name]) != len(persons):
            raise BadInput(
                f"{where} lacks {name} for each of its {len(persons)} persons; a 4D-Humans version "
                "of 2023 or later writes it."
            )
    seen = frame.get("tracked_time") or [0] * len(persons)
    rows = [row for row in range(len(persons)) if not int(seen[row])]
    smpl = ("global_orient", "body_pose", "betas")

    def stacked(values: list) -> np.ndarray:
        arrays = [array_of(value, where) for value in values]
        if len({array.shape for array in arrays}) > 1:
            raise BadInput(f"{where}: its persons have arrays of different shapes.")
        return np.stack(arrays)

    if not rows:
        return Recording()
    if not all(
        isinstance(persons[row], Mapping) and set(smpl) <= persons[row].keys() for row in rows
    ):
        raise BadInput(f"{where}: a person's smpl lacks one of {', '.join(smpl)}.")
    arrays = {name: stacked([persons[row][name] for row in rows]) for name in smpl}
    arrays |= {name: stacked([frame[name][row] for row in rows]) for name in names}
    # Older versions wrote the crop's side, newer the sides of the box, whose longer one it is.
    arrays["scale"] = arrays["scale"].reshape(len(rows), -1).max(axis=1)
    columns = Columns(arrays, len(rows), where)
    pose = np.concatenate(
        [columns.rotations("global_orient", 1), columns.rotations("body_pose", JOINTS - 1)], axis=1
    )
    betas = columns.numbers("betas", (SHAPES,)).astype(np.float32)
    camera = weak_of_hmr2(columns.numbers("camera_bbox", (3,)))
    centre, side = columns.numbers("center", (2,)), columns.numbers("scale", ())
    columns.refuse((camera[:, 0] <= 0) | (side <= 0), "its camera's scale is not positive")
    boxes = columns.numbers("bbox", (4,))
    boxes[:, 2:] += boxes[:, :2]  # x, y, width, height
    path = frame.get("frame_path", key)
    # Frames taken straight from a video are called (video, time): their number must do.
    time = frame.get("time")
    time = int(time) if isinstance(time, int | np.integer) else -1
    image = path if isinstance(path, str) else time
    # PHALP takes a video apart itself and calls the frames from 1 on.
    own = isinstance(path, str) and _EXTRACTED in path.replace("\\", "/") and time >= 0
    return columns.recording(
        {
            at: RecordedPose(
                image=image,
                pose=pose[at].astype(np.float32),
                betas=betas[at],
                camera=WeakCamera(camera[at], centre[at], float(side[at]), FOCAL),
                box=boxes[at].astype(np.float32),
                frame=time if own else None,
            )
            for at in range(len(rows))
        }
    )


def _of_track(track: Mapping[str, Any], where: str) -> Recording:
    """All frames of one person of WHAM's output: pose and place in the camera, no box.

    WHAM's camera has the image's diagonal as focal length and its middle as principal point.
    """
    arrays = {
        name: array_of(track[name], f"{name} of {where}")
        for name in ("pose", "trans", "betas", "frame_ids")
        if name in track
    }
    columns = Columns(arrays, arrays["pose"].shape[0] if arrays["pose"].ndim else 0, where)
    pose = columns.rotations("pose", JOINTS).astype(np.float32)
    translation = columns.numbers("trans", (3,))
    columns.refuse(translation[:, 2] <= 0, "it lies behind its camera")
    betas = columns.numbers("betas", (SHAPES,)).astype(np.float32)
    frames = columns.numbers("frame_ids", ())
    return columns.recording(
        {
            at: RecordedPose(
                image=int(frames[at]),
                pose=pose[at],
                betas=betas[at],
                camera=PinholeCamera(translation[at]),
            )
            for at in range(columns.count)
        }
    )

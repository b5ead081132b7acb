"""Poses in WHAM's `wham_output.pkl`, and what its other files are that are taken for it.

Facts from WHAM's code (yohanshin/WHAM, demo.py, lib/data/datasets/dataset_custom.py, wham_api.py):
`trans` is SMPL's translation in the camera, whose focal length is the image's diagonal and whose
principal point is the middle; `--calib` is given to the SLAM alone and changes neither. `wham_api`
stores the SLAM's track of the camera as `wham_results.pth`, and returns poses without a place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from chorus.body.restricted_pickle import StoredArray
from chorus.errors import BadInput, shown
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

_NAMES = ("pose", "trans", "betas", "frame_ids")
_SLAM_NUMBERS = 7  # place and quaternion
_CURE = "Run demo.py with --save_pkl and give wham_output.pkl."


def _tracks_with(*names: str) -> Any:
    def matches(content: Any) -> bool:
        return (
            isinstance(content, Mapping)
            and len(content) > 0
            and all(
                isinstance(track, Mapping) and set(names) <= track.keys()
                for track in content.values()
            )
        )

    return matches


def _read(content: Mapping[Any, Mapping[str, Any]], path: Path) -> Recording:
    recording = Recording()
    for key, track in content.items():
        recording.add(_of_track(track, f"{path}, {shown(key)}"))
    return recording


def _of_track(track: Mapping[str, Any], where: str) -> Recording:
    """All frames of one person: pose and place in the camera, no box."""
    arrays = arrays_in(track, _NAMES, where)
    columns = Columns(arrays, arrays["pose"].shape[0] if arrays["pose"].ndim else 0, where)
    pose = columns.rotations("pose", JOINTS).astype(np.float32)
    translation = columns.numbers("trans", (3,))
    columns.refuse(translation[:, 2] <= 0, BEHIND)
    betas = columns.numbers("betas", (SHAPES,)).astype(np.float32)
    frames = columns.numbers("frame_ids", ())
    return columns.recording(
        lambda row: RecordedPose(
            int(frames[row]), pose[row], betas[row], PinholeCamera(translation[row])
        )
    )


def _is_slam(content: Any) -> bool:
    value = content.value if isinstance(content, StoredArray) else content
    return isinstance(value, np.ndarray) and value.shape[1:] == (_SLAM_NUMBERS,)


def _refuse_slam(content: Any, path: Path) -> NoReturn:
    raise BadInput(
        f"{path} holds the track of the camera (SLAM) and no poses: WHAM's wham_api stores it "
        f"under the name wham_results.pth. {_CURE}"
    )


def _refuse_placeless(content: Any, path: Path) -> NoReturn:
    raise BadInput(
        f"{path} holds poses without their place before the camera (trans), as WHAM's wham_api "
        f"returns them. {_CURE}"
    )


FORMAT = PoseFormat(
    tool="WHAM",
    holds="tracks with pose, trans, betas, frame_ids",
    matches=_tracks_with("pose", "trans", "frame_ids"),
    read=_read,
)
SLAM = PoseFormat("WHAM's SLAM", "", _is_slam, _refuse_slam)
PLACELESS = PoseFormat(
    "WHAM's wham_api", "", _tracks_with("poses_root_cam", "poses_body"), _refuse_placeless
)

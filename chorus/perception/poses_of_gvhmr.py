"""Poses of GVHMR (`hmr4d_results.pt`) and GEM, once GENMO (`smpl_params.pt`).

Facts from the code (zju3dv/GVHMR, tools/demo/demo.py and hmr4d/model/gvhmr; GEM's readme): one
person; SMPL-X's parameters per frame, in the camera (`..._incam`) and in the world (`..._global`);
`K_fullimg` in pixels of the video, all of whose frames are kept. GEM calls the same `body_params_…`
and lists in `segment_info` which frames are video and which were made from text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chorus.errors import BadInput
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

_PREFIXES = ("smpl_params", "body_params")
_NAMES = ("global_orient", "body_pose", "betas", "transl")


def _matches(content: Any) -> bool:
    return isinstance(content, Mapping) and any(f"{p}_incam" in content for p in _PREFIXES)


def _read(content: Mapping[str, Any], path: Path) -> Recording:
    prefix = next(p for p in _PREFIXES if f"{p}_incam" in content)
    stored = content[f"{prefix}_incam"]
    if not isinstance(stored, Mapping):
        raise BadInput(f"{path}: {prefix}_incam holds no parameters; it has no camera's view.")
    arrays = arrays_in(stored, _NAMES, str(path))
    frames = arrays["transl"].shape[0] if "transl" in arrays and arrays["transl"].ndim else 0
    K = arrays_in(content, ("K_fullimg",), str(path)).get("K_fullimg")
    if K is not None and K.shape == (3, 3):
        K = np.broadcast_to(K, (frames, 3, 3))
    columns = Columns(arrays | ({} if K is None else {"K_fullimg": K}), frames, str(path))
    pose = smplx_pose(
        columns.rotations("global_orient", 1), columns.rotations("body_pose", SMPLX_BODY_JOINTS)
    ).astype(np.float32)
    betas = columns.numbers("betas", (SHAPES,)).astype(np.float32)
    translation = columns.numbers("transl", (3,))
    K = columns.numbers("K_fullimg", (3, 3))
    columns.refuse((translation[:, 2] <= 0) | (K[:, 0, 0] <= 0), BEHIND)
    images = _images(content.get("segment_info"), frames)
    columns.refuse(np.array([image is None for image in images], bool), "its frame is no video's")
    recording = columns.recording(
        lambda row: RecordedPose(
            image=images[row],
            pose=pose[row],
            betas=betas[row],
            camera=PinholeCamera(
                translation[row], float(K[row, 0, 0]), K[row, :2, 2], pelvis=SMPLX_PELVIS
            ),
            shape_of=SMPLX,
        )
    )
    recording.notes += _same_in_world(content.get(f"{prefix}_global"), arrays, path)
    return recording


def _images(segments: Any, frames: int) -> list[int | None]:
    """The number of each frame in its video; None where text, not a video, made the motion."""
    if not isinstance(segments, list | tuple) or not segments:
        return list(range(frames))
    images: list[int | None] = [None] * frames
    videos = [each for each in segments if isinstance(each, Mapping) and _is_video(each)]
    for segment in videos[:1]:  # frames of several videos would share their numbers
        start, end = int(segment.get("start", 0)), int(segment.get("end", frames))
        for row in range(max(start, 0), min(end, frames)):
            images[row] = row - start
    return images


def _is_video(segment: Mapping[str, Any]) -> bool:
    return segment.get("type", "video") == "video"


def _same_in_world(world: Any, arrays: Mapping[str, np.ndarray], path: Path) -> list[str]:
    """A note where the poses in the camera are those in the world: then no camera was estimated."""
    if not isinstance(world, Mapping):
        return []
    other = arrays_in(world, ("global_orient", "transl"), str(path))
    if other.keys() != {"global_orient", "transl"} or not all(
        np.array_equal(other[name], arrays[name]) for name in other
    ):
        return []
    return [
        f"{path}: the poses in the camera equal those in the world, so they were not estimated "
        "from this video; check them on the images"
    ]


FORMAT = PoseFormat(
    tool="GVHMR or GEM",
    holds="smpl_params_incam (body_params_incam) and K_fullimg",
    matches=_matches,
    read=_read,
)

"""Sequences of CARI4D (NVlabs/CARI4D): a `.pth` with `pr`, the predictions, `in` and `gt`.

Facts from its code (run_horefine.py, tools/viz_pred.py, scripts/pth2npz.py): `pose_abs` (T, 4, 4)
object to camera (OpenCV's axes) of the mesh moved to the mean of its vertices; `smpl_pose` (T, 72
or 156), `smpl_t` (T, 3), `betas` (T, 10) of SMPL-H, whose first 22 joints are SMPL's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chorus.errors import BadInput, shown
from chorus.perception.lifted_records import (
    LiftedObject,
    LiftedRecording,
    recorded_person,
    usable_mesh,
)
from chorus.perception.recorded_poses import (
    BEHIND,
    SHAPES,
    SMPLX_BODY_JOINTS,
    Columns,
    arrays_in,
    smplx_pose,
)

SMPLH = "smplh"


def read_cari4d(content: Any, path: Path, mesh: Path | None) -> LiftedRecording:
    """A sequence of CARI4D: its predictions, not its input or the truth beside them."""
    predicted = content.get("pr") if isinstance(content, Mapping) else None
    if not isinstance(predicted, Mapping) or "pose_abs" not in predicted:
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else shown(content)
        raise BadInput(
            f"{path} is not of CARI4D: expected `pr` with pose_abs, smpl_pose, smpl_t and betas, "
            f"found {found or 'nothing':.200}."
        )
    if mesh is None:
        raise BadInput(
            f"{path} of CARI4D has no mesh in it; give the object's that its poses are of, "
            "--lifted_mesh."
        )
    names = ("pose_abs", "smpl_pose", "smpl_t", "betas")
    arrays = arrays_in(predicted, names, str(path))
    frames = len(arrays["pose_abs"]) if arrays["pose_abs"].ndim else 0
    columns = Columns(arrays, frames, str(path))
    placed = columns.numbers("pose_abs", (4, 4))
    flat = columns.numbers("smpl_pose", (72,), (156,))
    translation = columns.numbers("smpl_t", (3,))
    betas = columns.numbers("betas", (SHAPES,))
    columns.refuse(translation[:, 2] <= 0, BEHIND)
    columns.refuse(~(np.linalg.det(placed[:, :3, :3]) > 1e-12), "its object's pose is none")
    body = flat[:, : 3 * (1 + SMPLX_BODY_JOINTS)].reshape(frames, -1, 3)
    pose = smplx_pose(body[:, :1], body[:, 1:])
    objects = [
        LiftedObject(
            image=at,
            mesh=lambda: usable_mesh(mesh, centred=True),
            to_camera=placed[at],
            person=recorded_person(at, pose[at], betas[at], translation[at], SMPLH),
            K=None,
            where=f"{path}, frame {at}",
        )
        for at in columns.usable()
    ]
    return LiftedRecording(objects, [path, mesh], list(_frames(columns)))


def _frames(columns: Columns) -> Iterator[str]:
    for fault in columns.faults():
        yield fault.replace(", person ", ", frame ")

"""Objects lifted to 3D: what files of them say, in one form, and what their readers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput, shown
from chorus.perception.mesh_files import Mesh, read_mesh, with_inside
from chorus.perception.recorded_poses import (
    BEHIND,
    FREE_BODY,
    JOINTS,
    SHAPES,
    SMPL,
    SMPLX,
    SMPLX_PELVIS,
    Columns,
    PinholeCamera,
    RecordedPose,
)

PERSON_KEYS = ("pose", "global_orient", "body_pose", "betas", "translation")
"""Of the person beside an object, as in an npz of poses."""
_SMPL_PELVIS = np.array([-0.0018, -0.2233, 0.0282])
"""The pelvis joint of SMPL's mean shape in the rest pose, metres from its origin; SMPL-H's is the
same."""


@dataclass(frozen=True, eq=False)
class LiftedObject:
    """One object of one image.

    image: file name or frame number, as in `RecordedPose`; frame: None, as there; mesh: reads the
    mesh in its own frame; to_camera (4, 4): from there to the camera, metres, OpenCV's axes;
    person: the lifted person of the image before the same camera, if there is one; K (3, 3): the
    camera, pixels, if it is known; where: names the object in sentences.
    """

    image: str | int
    mesh: Callable[[], Mesh]
    to_camera: Float[np.ndarray, "4 4"]
    person: RecordedPose | None
    K: Float[np.ndarray, "3 3"] | None
    where: str
    frame: int | None = None


@dataclass
class LiftedRecording:
    """The objects of one or several files, the files (meshes too), and why others were left out."""

    objects: list[LiftedObject] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, other: LiftedRecording) -> None:
        """Append another recording."""
        self.objects += other.objects
        self.files += [file for file in other.files if file not in self.files]
        self.faults += other.faults


def usable_mesh(path: Path, centred: bool = False) -> Mesh:
    """The mesh of a file, of which one can tell what is inside; BadInput if there is none."""
    try:
        state = path.stat().st_mtime_ns, path.stat().st_size
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})") from error
    return _read(path, centred, state)


@lru_cache(maxsize=4)  # of a video every frame has the same
def _read(path: Path, centred: bool, state: tuple[int, int]) -> Mesh:
    """state: the file's, so that another content is read anew."""
    return with_inside(read_mesh(path, centred), path.name)


def numbers_in(row: Mapping[str, Any], key: str, where: str) -> np.ndarray:
    """Finite float64 numbers of a row; BadInput for anything else."""
    try:
        array = np.asarray(row[key], np.float64)
    except KeyError as error:
        raise BadInput(f"{where} lacks {key}; found {', '.join(map(str, row)):.200}.") from error
    except (TypeError, ValueError) as error:
        raise BadInput(f"{where}: {key} is not made of numbers.") from error
    if not np.isfinite(array).all():
        raise BadInput(f"{where}: {key} is not finite.")
    return array


def camera_in(row: Mapping[str, Any], where: str) -> Float[np.ndarray, "3 3"] | None:
    """The camera `K` of a row, pixels; None if it has none, BadInput if it is no camera."""
    if "K" not in row:
        return None
    K = numbers_in(row, "K", where)
    if K.shape != (3, 3) or not (K[0, 0] > 0 and K[1, 1] > 0 and abs(K[2, 2] - 1) < 1e-6):
        raise BadInput(
            f"{where}: K is {shown(K.tolist())}; expected [[f, 0, x], [0, f, y], [0, 0, 1]], in "
            "pixels."
        )
    return K


def person_in(row: Mapping[str, Any], where: str) -> RecordedPose | None:
    """The lifted person of a row; None if it has none."""
    if not {"pose", "global_orient"} & row.keys():
        return None
    arrays = {name: numbers_in(row, name, where)[None] for name in PERSON_KEYS if name in row}
    columns = Columns(arrays, 1, where)
    if "pose" in arrays:
        pose = columns.rotations("pose", JOINTS)
    else:
        parts = [columns.rotations("global_orient", 1), columns.rotations("body_pose", JOINTS - 1)]
        pose = np.concatenate(parts, axis=1)
    betas = columns.numbers("betas", (SHAPES,)) if "betas" in arrays else np.zeros((1, SHAPES))
    translation = columns.numbers("translation", (3,))
    body = str(row.get("body", SMPL))
    if body not in (SMPL, SMPLX, FREE_BODY):
        raise BadInput(f"{where}: body is {body!r:.40}; expected smpl, smplx or free.")
    columns.refuse(translation[:, 2] <= 0, BEHIND)
    if columns.wrong:
        raise BadInput(f"{where}: {columns.wrong[0]}.")
    return recorded_person(0, pose[0], betas[0], translation[0], body)


def recorded_person(
    image: str | int, pose: np.ndarray, betas: np.ndarray, translation: np.ndarray, body: str
) -> RecordedPose:
    """A person whose body model's origin lies at `translation` in the camera, metres."""
    known = {SMPLX: SMPLX_PELVIS, FREE_BODY: None}
    camera = PinholeCamera(translation, pelvis=known.get(body, _SMPL_PELVIS))
    return RecordedPose(image, pose.astype(np.float32), betas.astype(np.float32), camera, body)

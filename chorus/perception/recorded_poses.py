"""Human poses that other programs recorded: what they say, in one form.

docs/bring-your-own.md describes the formats; `pose_files` finds the reader of a file, and each tool
has its own (`poses_of_<tool>`). Poses are axis-angle, radians; cameras in one of two forms:

- weak perspective in a square crop, crop coordinate = s * (X, Y) + (tx, ty) (method.md, appendix).
  HMR2 means s * (X + tx, Y + ty) by its `pred_cam`, for what lies at the body's own depth:
  `weak_of_hmr2` converts, and WeakCamera's `focal` keeps its perspective;
- a pinhole camera, in whose frame the body model's origin lies at `translation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from chorus.body.restricted_pickle import array_of
from chorus.errors import BadInput

JOINTS, SHAPES = 24, 10
ROTATION_TOLERANCE = 1e-2
FREE_BODY, SMPL, SMPLX = "free", "smpl", "smplx"
"""Whose shape parameters `betas` are."""
SMPLX_BODY_JOINTS = 21
"""Joints of SMPL-X's body beside the pelvis: they are SMPL's, which has the two hands more."""
SMPLX_PELVIS = np.array([0.003123, -0.351407, 0.012037])
"""The pelvis joint of SMPL-X's neutral mean shape in the rest pose, metres from its origin."""
BEHIND = "it lies behind its camera"


@dataclass(frozen=True, eq=False)
class WeakCamera:
    """Weak perspective: camera (3,) s, tx, ty in the square crop; centre (2,) and side, pixels.

    focal: of the pinhole that the regressor means by it, in sides of the crop; None: none.
    """

    camera: Float[np.ndarray, " 3"]
    centre: Float[np.ndarray, " 2"]
    side: float
    focal: float | None = None


@dataclass(frozen=True, eq=False)
class PinholeCamera:
    """Perspective: translation (3,) of the body model's origin, metres; focal length, pixels.

    focal_in_sides: the focal length in lengths of the image's longer side, where the pixels it was
    told in are not the image's. Without either it is the image's diagonal; principal None is the
    image's middle. pelvis (3,): where the recorded model has its pelvis joint in the rest pose,
    metres from its origin; a body of another family is put with its own pelvis there. None: its
    origin is taken to be the same.
    """

    translation: Float[np.ndarray, " 3"]
    focal: float | None = None
    principal: Float[np.ndarray, " 2"] | None = None
    focal_in_sides: float | None = None
    pelvis: Float[np.ndarray, " 3"] | None = None


def pinhole_matrix(camera: PinholeCamera, size: tuple[int, int]) -> Float[np.ndarray, "3 3"]:
    """K (3, 3), pixels, of a recorded pinhole camera in an image of (width, height)."""
    focal = camera.focal or float(np.hypot(*size))
    if camera.focal_in_sides is not None:
        focal = camera.focal_in_sides * max(size)
    x, y = np.array(size) / 2 if camera.principal is None else camera.principal
    return np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]], np.float64)


@dataclass(frozen=True, eq=False)
class RecordedPose:
    """One person of one image as somebody's regressor saw it."""

    image: str | int
    """The image's file name, with or without folders, or the number of a video's frame, from 0."""
    frame: int | None = field(default=None, kw_only=True)
    """The frame's number, from 0, where `image` is a name that the tracker itself gave it."""
    pose: Float[np.ndarray, "24 3"]
    """Axis-angle; joint 0 is the global rotation in the camera's orientation."""
    betas: Float[np.ndarray, " 10"]
    """Shape."""
    camera: WeakCamera | PinholeCamera
    """How the body is seen."""
    shape_of: str = SMPL
    """The family of bodies whose shape `betas` describes."""
    box: Float[np.ndarray, " 4"] | None = None
    """xyxy, pixels, of the detection it was regressed on, where that is known."""
    annotation: int | None = None
    """Number of the person's COCO annotation, where that is known."""
    joints: Float[np.ndarray, "24 2"] | None = None
    """Pixels of the kinematic joints, where they were recorded."""


@dataclass(frozen=True, eq=False)
class RecordedKeypoints:
    """A person of whom a file has keypoints, and no pose of a body that is known here.

    image as in RecordedPose; points (70, 3) metres in the camera, in the order of MHR's 70
    keypoints; focal and principal (2,) of that camera, pixels; box (4,) xyxy, pixels; where: names
    the person in sentences; mesh: reads its vertices (N, 3), metres in the camera, where they were
    recorded.
    """

    image: str | int
    points: Float[np.ndarray, "70 3"]
    focal: float
    principal: Float[np.ndarray, " 2"]
    box: Float[np.ndarray, " 4"] | None
    where: str
    mesh: Callable[[], Float[np.ndarray, "N 3"]] | None = None


@dataclass
class Recording:
    """The poses of one or several files, and why others were left out.

    keypoints: persons to whom a body is yet to be fitted. notes: what people should know of the
    poses that were taken.
    """

    poses: list[RecordedPose] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    keypoints: list[RecordedKeypoints] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Recording) -> None:
        """Append another recording."""
        self.poses += other.poses
        self.faults += other.faults
        self.keypoints += other.keypoints
        self.notes += other.notes


@dataclass(frozen=True)
class PoseFormat:
    """What a tool writes: whose it is, what its content holds, and how that is told and read.

    matches(content): whether a file's content is of this format. read(content, path): its poses.
    """

    tool: str
    holds: str
    matches: Callable[[Any], bool]
    read: Callable[[Any, Path], Recording]


def weak_of_hmr2(
    pred_cam: Float[np.ndarray, "... 3"],
) -> Float[np.ndarray, "... 3"]:
    """Our (s, tx, ty) of HMR2's (s, tx, ty), which moves the body before it is scaled."""
    s = pred_cam[..., :1]
    return np.concatenate([s, s * pred_cam[..., 1:]], axis=-1)


def axis_angle(rotations: Float[np.ndarray, "P J 3 3"]) -> Float[np.ndarray, "P J 3"]:
    """Axis-angle, radians, of rotation matrices."""
    import roma
    import torch

    return roma.rotmat_to_rotvec(torch.from_numpy(np.asarray(rotations, np.float64))).numpy()


def are_rotations(matrices: Float[np.ndarray, "P J 3 3"]) -> np.ndarray:
    """(P,) bool: whether all of a person's matrices are rotations, within 0.01."""
    deviation = np.abs(matrices @ matrices.swapaxes(-1, -2) - np.eye(3))
    turned = np.linalg.det(matrices) > 0
    return (deviation.max(axis=(1, 2, 3)) <= ROTATION_TOLERANCE) & turned.all(axis=1)


def smplx_pose(
    global_orient: Float[np.ndarray, "P 1 3"], body_pose: Float[np.ndarray, "P 21 3"]
) -> Float[np.ndarray, "P 24 3"]:
    """SMPL's 24 joints of SMPL-X's 22: the hands are not turned."""
    hands = np.zeros((len(body_pose), JOINTS - 1 - SMPLX_BODY_JOINTS, 3))
    return np.concatenate([global_orient, body_pose, hands], axis=1)


def arrays_in(stored: Mapping[str, Any], names: Sequence[str], where: str) -> dict[str, np.ndarray]:
    """Those of the named values that a mapping has, as arrays; BadInput if one is none."""
    return {name: array_of(stored[name], f"{name} of {where}") for name in names if name in stored}


class Columns:
    """Arrays of one file with a row per person, checked as they are asked for.

    `taken` gathers the keys that were used; `wrong` (P,) marks persons that cannot be, with a
    reason each.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], count: int, where: str):
        self._arrays = arrays
        self.count = count
        self.where = where
        self.wrong: dict[int, str] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def numbers(self, key: str, *shapes: tuple[int, ...]) -> np.ndarray:
        """A key's rows as float64, of the first of `shapes` that fits; BadInput if none does."""
        expected = " or ".join(str((self.count, *shape)).replace(",)", ")") for shape in shapes)
        if key not in self._arrays:
            keys = ", ".join(sorted(self._arrays)) or "nothing"
            raise BadInput(f"{self.where} lacks {key} {expected}; found {keys}.")
        array = np.asarray(self._arrays[key])
        if array.dtype.kind not in "fiu" or array.shape[:1] != (self.count,):
            raise BadInput(
                f"{self.where}: {key} is {array.dtype} {array.shape}; expected numbers {expected}."
                f"{first_axis(array, shapes)}"
            )
        if array.shape[1:] not in shapes:
            raise BadInput(f"{self.where}: {key} has the shape {array.shape}; expected {expected}.")
        array = array.astype(np.float64)
        finite = np.isfinite(array).reshape(self.count, -1).all(axis=1)
        self.refuse(~finite, f"{key} is not finite")
        return np.where(finite.reshape(-1, *[1] * (array.ndim - 1)), array, 0)

    def refuse(self, rows: np.ndarray, reason: str) -> None:
        """Mark rows (P,) bool as unusable; the first reason of a row stays."""
        for row in np.flatnonzero(rows):
            self.wrong.setdefault(int(row), reason)

    def rotations(self, key: str, joints: int) -> np.ndarray:
        """A key's joint rotations as axis-angle (P, joints, 3)."""
        flat, vectors, matrices = (3 * joints,), (joints, 3), (joints, 3, 3)
        single = [(3, 3)] if joints == 1 else []
        array = self.numbers(key, flat, vectors, matrices, *single)
        if array.size == self.count * 3 * joints:
            return array.reshape(self.count, joints, 3)
        array = array.reshape(self.count, joints, 3, 3)
        sound = are_rotations(array)
        self.refuse(~sound, f"{key} is not made of rotations")
        return axis_angle(np.where(sound[:, None, None, None], array, np.eye(3)))

    def recording(self, make: Callable[[int], RecordedPose]) -> Recording:
        """The usable rows as poses, and a sentence about each other."""
        return Recording([make(row) for row in self.usable()], self.faults())

    def usable(self) -> list[int]:
        """The rows that nothing speaks against."""
        return [row for row in range(self.count) if row not in self.wrong]

    def faults(self) -> list[str]:
        """A sentence about each other row."""
        return [f"{self.where}, person {row}: {why}" for row, why in sorted(self.wrong.items())]


def first_axis(array: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> str:
    """The sentence about an array that is one of `shapes` itself, without an axis of persons."""
    if array.shape not in shapes:
        return ""
    return f" The first axis, persons, is missing: write {(1, *array.shape)} for one person."

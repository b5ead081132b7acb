"""Human poses that other programs recorded: what they say, in one form, and the npz that holds it.

docs/bring-your-own.md describes the formats key by key; pickles of trackers are read by
`tracker_poses`. Poses are axis-angle, radians; cameras in one of two forms:

- weak perspective in a square crop, crop coordinate = s * (X, Y) + (tx, ty) (method.md, appendix).
  HMR2 means s * (X + tx, Y + ty) by its `pred_cam`, for what lies at the body's own depth:
  `weak_of_hmr2` converts, and WeakCamera's `focal` keeps its perspective;
- a pinhole camera, in whose frame the body model's origin lies at `translation`.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput
from chorus.files import check_npz
from chorus.perception.hmr2 import FOCAL

JOINTS, SHAPES = 24, 10
ROTATION_TOLERANCE = 1e-2
FREE_BODY, SMPL = "free", "smpl"
"""Whose shape parameters `betas` are."""


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

    focal None is the length of the image's diagonal, principal None the image's middle.
    """

    translation: Float[np.ndarray, " 3"]
    focal: float | None = None
    principal: Float[np.ndarray, " 2"] | None = None


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


@dataclass
class Recording:
    """The poses of one or several files, and why others were left out."""

    poses: list[RecordedPose] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, other: Recording) -> None:
        """Append another recording."""
        self.poses += other.poses
        self.faults += other.faults


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
                f"{_first_axis(array, shapes)}"
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

    def recording(self, make: Mapping[int, RecordedPose]) -> Recording:
        """The usable rows, and a sentence about each other."""
        faults = [f"{self.where}, person {row}: {why}" for row, why in sorted(self.wrong.items())]
        return Recording([make[row] for row in range(self.count) if row not in self.wrong], faults)


def read_npz(path: Path) -> Recording:
    """The poses of an `.npz` file (docs/bring-your-own.md); without pickled objects.

    BadInput if the file is damaged, lacks a key, or a key has another shape. Persons with numbers
    that are not finite, no rotations, or no positive scale are left out and reported.
    """
    try:
        check_npz(path)
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        ValueError,
        EOFError,
        NotImplementedError,
    ) as error:
        raise BadInput(
            f"{path} cannot be read as .npz without pickled objects ({type(error).__name__}: "
            f"{error}); write plain arrays with numpy.savez (docs/bring-your-own.md)."
        ) from error
    key = "pose" if "pose" in arrays else "global_orient"
    if key not in arrays or not arrays[key].ndim:
        raise BadInput(
            f"{path} lacks pose, or global_orient and body_pose; found "
            f"{', '.join(sorted(arrays)) or 'nothing'}. docs/bring-your-own.md lists the keys."
        )
    if one_person := _one_person(key, arrays[key]):
        raise BadInput(f"{path}: {key} has the shape {arrays[key].shape}.{one_person}")
    columns = Columns(arrays, len(arrays[key]), str(path))
    if "pose" in arrays:
        pose = columns.rotations("pose", JOINTS)
    else:
        parts = [columns.rotations("global_orient", 1), columns.rotations("body_pose", JOINTS - 1)]
        pose = np.concatenate(parts, axis=1)
    betas = columns.numbers("betas", (SHAPES,)) if "betas" in arrays else None
    images = _images(arrays, columns, path)
    views = _cameras(columns)
    optional = {
        name: columns.numbers(name, shape) if name in arrays else None
        for name, shape in (("box", (4,)), ("annotation", ()), ("joints", (JOINTS, 2)))
    }
    shape_of = str(arrays["body"]) if "body" in arrays else SMPL
    if shape_of not in (SMPL, FREE_BODY):
        raise BadInput(f"{path}: body is {shape_of!r}; expected {SMPL!r} or {FREE_BODY!r}.")

    def single(name: str, row: int) -> np.ndarray | None:
        return None if optional[name] is None else optional[name][row].astype(np.float32)

    made = {
        row: RecordedPose(
            image=images[row],
            pose=pose[row].astype(np.float32),
            betas=np.zeros(SHAPES, np.float32) if betas is None else betas[row].astype(np.float32),
            camera=views[row],
            shape_of=shape_of,
            box=single("box", row),
            annotation=None if optional["annotation"] is None else int(optional["annotation"][row]),
            joints=single("joints", row),
        )
        for row in range(columns.count)
    }
    return columns.recording(made)


def _one_person(key: str, array: np.ndarray) -> str:
    """The sentence about rotations of one person that lack the axis of persons; "" for others."""
    if key == "pose":
        return _first_axis(array, [(3 * JOINTS,), (JOINTS, 3), (JOINTS, 3, 3)])
    return _first_axis(array, [(3,)])


def _first_axis(array: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> str:
    """The sentence about an array that is one of `shapes` itself, without an axis of persons."""
    if array.shape not in shapes:
        return ""
    return f" The first axis, persons, is missing: write {(1, *array.shape)} for one person."


def _images(arrays: Mapping[str, np.ndarray], columns: Columns, path: Path) -> list[str]:
    if "image" not in arrays:
        return [path.stem] * columns.count  # one file per image, called like it
    names = arrays["image"]
    if names.dtype.kind != "U" or names.shape != (columns.count,):
        raise BadInput(
            f"{path}: image is {names.dtype} {names.shape}; expected one file name per person, "
            f"({columns.count},)."
        )
    return [str(name) for name in names]


def _cameras(columns: Columns) -> list[WeakCamera | PinholeCamera]:
    """The cameras of all persons, in whichever form the file has them."""
    if "translation" in columns:
        translation = columns.numbers("translation", (3,))
        focal = columns.numbers("focal_length", ())
        columns.refuse((translation[:, 2] <= 0) | (focal <= 0), "it lies behind its camera")
        principal = (
            columns.numbers("principal_point", (2,)) if "principal_point" in columns else None
        )
        return [
            PinholeCamera(
                translation[row],
                float(focal[row]),
                None if principal is None else principal[row],
            )
            for row in range(columns.count)
        ]
    hmr2 = "camera" not in columns and "pred_cam" in columns
    if hmr2:
        camera = weak_of_hmr2(columns.numbers("pred_cam", (3,)))
        centre, side = columns.numbers("box_center", (2,)), columns.numbers("box_size", ())
    else:
        camera = columns.numbers("camera", (3,))
        centre, side = columns.numbers("crop_centre", (2,)), columns.numbers("crop_side", ())
    columns.refuse((camera[:, 0] <= 0) | (side <= 0), "its camera's scale is not positive")
    return [
        WeakCamera(camera[row], centre[row], float(side[row]), FOCAL if hmr2 else None)
        for row in range(columns.count)
    ]

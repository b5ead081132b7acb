"""Poses in our own `.npz`, the common form that any program can write (docs/bring-your-own.md)."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from chorus.errors import BadInput
from chorus.files import check_npz
from chorus.perception.hmr2 import FOCAL
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
    PoseFormat,
    RecordedPose,
    Recording,
    WeakCamera,
    first_axis,
    weak_of_hmr2,
)

_DAMAGES = (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, NotImplementedError)


class NpzArrays(Mapping[str, np.ndarray]):
    """The arrays of an `.npz` file by name, each read when it is asked for, none from a pickle.

    BadInput if the file, or an array that is asked for, is damaged or made of pickled objects.
    """

    def __init__(self, path: Path):
        self._path = path
        try:
            check_npz(path)
            # opened for each array, so that any number of files can be held
            with np.load(path, allow_pickle=False) as stored:
                self._names = list(stored.files)
        except (AttributeError, TypeError) as error:  # a single array
            raise self._unreadable(ValueError("it is no archive of arrays")) from error
        except _DAMAGES as error:
            raise self._unreadable(error) from error

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        try:
            with np.load(self._path, allow_pickle=False) as stored:
                return stored[name]
        except _DAMAGES as error:
            raise self._unreadable(error) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _unreadable(self, error: Exception) -> BadInput:
        return BadInput(
            f"{self._path} cannot be read as .npz without pickled objects "
            f"({type(error).__name__}: {error}); write plain arrays with numpy.savez "
            "(docs/bring-your-own.md)."
        )


def read_npz(path: Path) -> Recording:
    """The poses of an `.npz` file (docs/bring-your-own.md); without pickled objects.

    BadInput if the file is damaged, lacks a key, or a key has another shape. Persons with numbers
    that are not finite, no rotations, or no positive scale are left out and reported.
    """
    return poses_in(NpzArrays(path), path)


def poses_in(stored: Mapping[str, np.ndarray], path: Path) -> Recording:
    """The poses among the arrays of an `.npz` file; as `read_npz`."""
    arrays = dict(stored)
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
    optional = {
        name: columns.numbers(name, shape) if name in arrays else None
        for name, shape in (("box", (4,)), ("annotation", ()), ("joints", (JOINTS, 2)))
    }
    shape_of = str(arrays["body"]) if "body" in arrays else SMPL
    if shape_of not in (SMPL, SMPLX, FREE_BODY):
        raise BadInput(
            f"{path}: body is {shape_of!r}; expected {SMPL!r}, {SMPLX!r} or {FREE_BODY!r}."
        )
    views = _cameras(columns, SMPLX_PELVIS if shape_of == SMPLX else None)

    def single(name: str, row: int) -> np.ndarray | None:
        return None if optional[name] is None else optional[name][row].astype(np.float32)

    return columns.recording(
        lambda row: RecordedPose(
            image=images[row],
            pose=pose[row].astype(np.float32),
            betas=np.zeros(SHAPES, np.float32) if betas is None else betas[row].astype(np.float32),
            camera=views[row],
            shape_of=shape_of,
            box=single("box", row),
            annotation=None if optional["annotation"] is None else int(optional["annotation"][row]),
            joints=single("joints", row),
        )
    )


def _one_person(key: str, array: np.ndarray) -> str:
    """The sentence about rotations of one person that lack the axis of persons; "" for others."""
    if key == "pose":
        return first_axis(array, [(3 * JOINTS,), (JOINTS, 3), (JOINTS, 3, 3)])
    return first_axis(array, [(3,)])


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


def _cameras(columns: Columns, pelvis: np.ndarray | None) -> list[WeakCamera | PinholeCamera]:
    """The cameras of all persons, in whichever form the file has them."""
    if "translation" in columns:
        translation = columns.numbers("translation", (3,))
        focal = columns.numbers("focal_length", ())
        columns.refuse((translation[:, 2] <= 0) | (focal <= 0), BEHIND)
        principal = (
            columns.numbers("principal_point", (2,)) if "principal_point" in columns else None
        )
        return [
            PinholeCamera(
                translation[row],
                float(focal[row]),
                None if principal is None else principal[row],
                pelvis=pelvis,
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


FORMAT = PoseFormat(
    tool="our own .npz",
    holds="pose, or global_orient and body_pose",
    matches=lambda content: "pose" in content or "global_orient" in content,
    read=poses_in,
)

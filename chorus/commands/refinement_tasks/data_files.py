"""ScoreHMR's files: data sets, a regressor's cached predictions, cached features of images.

Those of single images are .npz, those of groups (views of a person at an instant, frames of a
track) pickled lists of dicts with the same keys. Nothing in a pickle is executed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from chorus.body.joint_sets import VERTICES
from chorus.body.restricted_pickle import array_of
from chorus.commands.training.cached_features import feature_rows
from chorus.errors import BadInput, shown
from chorus.perception.joblib_pickle import load_joblib
from chorus.perception.poses_of_npz import NpzArrays

FOCAL = 5000.0
"""Focal length, pixels, of every camera of the release, whatever the image."""

_UNIT = 1e-2  # how far rotations' columns may be from unit length
# 3D points of OpenPose's order whose confidence is taken from them, as the release does
_NO_TRUTH = slice(1, 15)

Part = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class DataSet:
    """N images of persons. group (N,): rows of one person's views or one track's frames share a
    number and follow each other.

    keypoints (N, 25, 3) pixels and confidence, truth (N, 44, 4) metres and confidence.
    image_size (N, 2) width, height; centre (N, 2) and side (N,) of the person's box, pixels.
    """

    names: list[str]
    group: Int[np.ndarray, " N"]
    centre: Float[np.ndarray, "N 2"]
    side: Float[np.ndarray, " N"]
    image_size: Float[np.ndarray, "N 2"]
    keypoints: Float[np.ndarray, "N 25 3"]
    truth: Float[np.ndarray, "N 44 4"]


@dataclass(frozen=True)
class Predictions:
    """A regressor's N bodies: rotations (N, 24, 3, 3), betas (N, 10), translation (N, 3) of SMPL's
    origin before a camera of `FOCAL` pixels at the image's centre, metres."""

    rotations: Float[np.ndarray, "N 24 3 3"]
    betas: Float[np.ndarray, "N 10"]
    translation: Float[np.ndarray, "N 3"]


def parts_of(path: Path) -> list[Part]:
    """The dicts of a file of groups, or the arrays of an .npz as the only one.

    BadInput if it is missing, damaged, or neither; a pickle may ask for arrays only.
    """
    if not path.is_file():
        raise BadInput(f"{path} is not there; docs/refinement.md lists the files and their keys.")
    if path.suffix == ".npz":
        return [NpzArrays(path)]
    stored = load_joblib(path)
    if not isinstance(stored, list) or not stored or not all(isinstance(p, dict) for p in stored):
        raise BadInput(
            f"{path} must be a pickled list of dicts, one for each group, found {shown(stored)}."
        )
    return [
        {str(name): array_of(value, f"{name} of group {at} of {path}") for name, value in p.items()}
        for at, p in enumerate(stored)
    ]


def read_data_set(path: Path, images: Path | None) -> DataSet:
    """The rows of a data set, in order; of groups, one after the other.

    Sizes of images are those in `img_size` (N, 2) if a part has it, which is not the release's,
    else those of the image files below the folder `images`. BadInput names file, key and group.
    """
    parts = []
    groups = []
    for owner, part in _owned(path):
        rows = _rows(part, owner, images)
        parts.append(rows)
        groups.append(len(rows["names"]))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    single = len(groups) == 1 and path.suffix == ".npz"
    group = np.arange(groups[0]) if single else np.repeat(np.arange(len(groups)), groups)
    return DataSet(**{**joined, "names": joined["names"].tolist()}, group=group)


def _owned(path: Path) -> Iterator[tuple[str, Part]]:
    """A file's parts with how sentences call them."""
    parts = parts_of(path)
    for at, part in enumerate(parts):
        yield (str(path) if path.suffix == ".npz" else f"group {at} of {path}"), part


def _rows(part: Part, owner: str, images: Path | None) -> dict[str, np.ndarray]:
    if "imgname" not in part:
        raise BadInput(f"{owner} has no 'imgname', found {', '.join(part) or 'nothing'}.")
    names = [_text(name) for name in np.asarray(part["imgname"]).ravel().tolist()]
    count = len(names)
    if not count:
        raise BadInput(f"{owner} has no rows.")
    if "extra_keypoints_3d" not in part:
        raise BadInput(
            f"{owner} has no 'extra_keypoints_3d' ({count}, 19, 4), the true points that errors "
            "are measured to."
        )
    scale = np.asarray(_array(part, "scale", None, count, owner))
    truth = [
        _or_zeros(part, "body_keypoints_3d", (25, 4), count, owner),
        _array(part, "extra_keypoints_3d", (19, 4), count, owner),
    ]
    truth[0][:, _NO_TRUTH, 3] = 0
    without = np.ptp(truth[1][..., :3], axis=1).max(1) == 0
    if without.any():
        raise BadInput(
            f"{owner}: the points of extra_keypoints_3d of row {int(without.argmax())} all lie in "
            "one place; leave rows without true points out."
        )
    return {
        "names": np.array(names),
        "centre": _array(part, "center", (2,), count, owner),
        "side": scale.reshape(count, -1).max(1),
        "image_size": _sizes(part, names, owner, images),
        "keypoints": _or_zeros(part, "body_keypoints_2d", (25, 3), count, owner),
        "truth": np.concatenate(truth, 1),
    }


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def _array(
    part: Part, name: str, shape: tuple[int, ...] | None, count: int, owner: str
) -> np.ndarray:
    """One array of so many rows, float32; shape: of a row, None for any."""
    if name not in part:
        raise BadInput(f"{owner} has no {name!r}, found {', '.join(part) or 'nothing'}.")
    value = np.asarray(part[name])
    wrong = value.dtype.kind not in "fiub" or len(np.shape(value)) < 1 or len(value) != count
    if wrong or (shape is not None and value.shape[1:] != shape) or not value.size:
        raise BadInput(
            f"{owner}: {name} is {value.dtype} of the shape {value.shape}, expected numbers "
            f"({', '.join(map(str, (count, *(shape or ('...',)))))})."
        )
    value = value.astype(np.float32)
    if not np.isfinite(value).all():
        row = int(np.flatnonzero(~np.isfinite(value).reshape(count, -1).all(1))[0])
        raise BadInput(f"{owner}: {name} of row {row} is not finite; leave that row out.")
    return value


def _or_zeros(part: Part, name: str, shape: tuple[int, ...], count: int, owner: str) -> np.ndarray:
    """Likewise, zeros where there is none."""
    if name not in part:
        return np.zeros((count, *shape), np.float32)
    return _array(part, name, shape, count, owner)


def _sizes(part: Part, names: Sequence[str], owner: str, images: Path | None) -> np.ndarray:
    """Width and height (N, 2) of the rows' images."""
    if "img_size" in part:
        sizes = _array(part, "img_size", (2,), len(names), owner)
        if not (sizes > 0).all():
            raise BadInput(f"{owner}: img_size must be positive widths and heights.")
        return sizes
    if images is None:
        raise BadInput(
            f"{owner} does not tell the images' sizes, which its cameras need: give the folder of "
            "its images with --img_dir, or add img_size (N, 2), width and height, to the file."
        )
    known: dict[str, tuple[int, int]] = {}
    for name in names:
        if name not in known:
            known[name] = _size_of(images / name)
    return np.array([known[name] for name in names], np.float32)


def _size_of(path: Path) -> tuple[int, int]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(
            f"{path} cannot be read as an image ({type(error).__name__}: {error}); --img_dir is "
            "the folder that imgname is relative to."
        ) from error


def read_predictions(path: Path, data: DataSet, data_path: Path) -> Predictions:
    """The cached predictions for a data set's rows. BadInput where rows do not fit, of the data's
    groups as well, or bodies are no bodies.

    Without `pred_cam_t` the translation is that of `pred_cam` in the person's box.
    """
    found: dict[str, list[np.ndarray]] = {"rotations": [], "betas": [], "translation": []}
    for (owner, part), rows in _paired(path, data, data_path):
        count = rows.stop - rows.start
        rotations = _array(part, "pred_pose", (24, 3, 3), count, owner)
        off = np.abs(np.linalg.norm(rotations, axis=-2) - 1).reshape(count, -1).max(1)
        if (off > _UNIT).any():
            raise BadInput(
                f"{owner}: pred_pose of row {int(off.argmax())} is no rotation matrices; expected "
                "24 of them a row, the global rotation first."
            )
        found["rotations"].append(rotations)
        found["betas"].append(_array(part, "pred_betas", (10,), count, owner))
        if "pred_cam_t" in part:
            moved = _array(part, "pred_cam_t", (3,), count, owner)
        else:
            weak = _array(part, "pred_cam", (3,), count, owner)
            moved = of_weak_camera(weak, data.centre[rows], data.side[rows], data.image_size[rows])
        bad = ~(np.isfinite(moved).all(1) & (moved[:, 2] > 0))
        if bad.any():
            raise BadInput(
                f"{owner}: row {int(bad.argmax())} stands behind its camera, or nowhere: "
                f"{moved[bad][0]}."
            )
        found["translation"].append(moved)
    return Predictions(**{name: np.concatenate(parts) for name, parts in found.items()})


def of_weak_camera(
    camera: Float[np.ndarray, "N 3"],
    centre: Float[np.ndarray, "N 2"],
    side: Float[np.ndarray, " N"],
    image_size: Float[np.ndarray, "N 2"],
) -> Float[np.ndarray, "N 3"]:
    """Translation (N, 3) before the release's camera, of weak ones (s, tx, ty) in square boxes.

    Not finite where s or the box is not positive.
    """
    scale = camera[:, :1] * side[:, None]
    scale = np.where(scale > 0, scale, np.nan)
    shift = camera[:, 1:] + 2 * (centre - image_size / 2) / scale
    return np.concatenate([shift, 2 * FOCAL / scale], 1).astype(np.float32)


def read_features(
    path: Path, data: DataSet, data_path: Path, names: Sequence[tuple[str, int]]
) -> Float[np.ndarray, "N C"]:
    """The cached features of a data set's rows: arrays of the names, of so many numbers a row."""
    whole = []
    for (owner, part), rows in _paired(path, data, data_path):
        features = feature_rows(owner, part, names)
        if len(features) != rows.stop - rows.start or not np.isfinite(features).all():
            raise BadInput(
                f"{owner} has features of {len(features)} rows, expected finite ones of the "
                f"{rows.stop - rows.start} rows of {data_path}; cache them of this very file."
            )
        whole.append(features)
    return np.concatenate(whole)


def _paired(path: Path, data: DataSet, data_path: Path) -> Iterator[tuple[tuple[str, Part], slice]]:
    """A cache's parts and the rows of the data set that each is about."""
    parts = list(_owned(path))
    if path.suffix == ".npz":
        yield parts[0], slice(0, len(data.names))
        return
    counts = np.bincount(data.group)
    if len(parts) != len(counts):
        raise BadInput(f"{path} has {len(parts)} groups, {data_path} has {len(counts)}.")
    start = 0
    for part, count in zip(parts, counts.tolist(), strict=True):
        yield part, slice(start, start + count)
        start += count


def read_averaging(path: Path) -> Float[np.ndarray, "19 6890"]:
    """The matrix of the 19 averaged points (`SMPL_to_J19.pkl`), float32."""
    if not path.is_file():
        raise BadInput(
            f"{path} is not there: the matrix of ScoreHMR's 19 joints of SMPL's mesh "
            f"(19, {VERTICES}). It comes with the release's data; name it with --joints."
        )
    value = array_of(load_joblib(path), str(path))
    if value.shape != (19, VERTICES) or value.dtype.kind != "f" or not np.isfinite(value).all():
        raise BadInput(
            f"{path} holds {value.dtype} of the shape {value.shape}, expected finite numbers "
            f"(19, {VERTICES})."
        )
    return value.astype(np.float32)

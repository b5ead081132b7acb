"""Training data of the published denoiser: poses of data sets, and features cached for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chorus.errors import BadInput
from chorus.perception.poses_of_npz import NpzArrays
from chorus.refinement.score.denoiser import (
    PARE_FEATURES,
    PROHMR_FEATURES,
    SHAPE_FEATURES,
    SHAPE_NUMBERS,
    Widths,
)

PARE = (("pose_feats", PARE_FEATURES), ("cam_shape_feats", SHAPE_FEATURES))
PROHMR = (("img_feats", PROHMR_FEATURES),)
"""Cached features by name, and how many numbers a row of each has."""
_POSE = 72


@dataclass(frozen=True)
class FeatureSet:
    """N rows with a pose: pose (N, 24, 3) axis-angle; betas (N, 10) in [-1, 1] of the data's range;
    has_betas (N,); condition (N, C) standardised; chance (N,), how often a row is drawn."""

    pose: np.ndarray
    betas: np.ndarray
    has_betas: np.ndarray
    condition: np.ndarray
    chance: np.ndarray
    widths: Widths


def feature_set(
    data: Sequence[Path],
    features: Sequence[Path],
    stats: Path,
    mix: Sequence[float],
    shape_range: Path | None,
) -> FeatureSet:
    """Data sets with the features cached for their rows, in the same order.

    mix: how often each set is drawn; a row of it then at random. stats: mean and deviation of the
    features; shape_range: least and largest betas, None for no shape. BadInput names the file.
    """
    if not data or len(features) != len(data):
        raise BadInput(
            f"--preset paper needs as many files in --features as in --data, and at least one; "
            f"found {len(features)} and {len(data)}."
        )
    mix = list(mix) or [1.0] * len(data)
    if len(mix) != len(data) or min(mix) < 0 or sum(mix) <= 0:
        raise BadInput(f"--mix needs a share for each of the {len(data)} files of --data: {mix}.")
    means = NpzArrays(stats)
    names = PARE if "pose_feats_mean" in means else PROHMR
    if names is PARE and shape_range is None:
        names = PARE[:1]
    parts = [_rows(*pair, names) for pair in zip(data, features, strict=True)]
    mean, deviation = feature_statistics(stats, names)
    condition = (np.concatenate([part["condition"] for part in parts]) - mean) / deviation
    chance = [np.full(len(p["pose"]), m / len(p["pose"])) for p, m in zip(parts, mix, strict=True)]
    betas = np.concatenate([part["betas"] for part in parts])
    if shape_range is not None:
        low, high = read_shape_range(shape_range)
        betas = 2 * (betas - low) / (high - low) - 1
    of_shape = SHAPE_FEATURES if shape_range is not None and names is PARE else 0
    return FeatureSet(
        pose=np.concatenate([part["pose"] for part in parts]),
        betas=betas.astype(np.float32),
        has_betas=np.concatenate([part["has_betas"] for part in parts]),
        condition=condition.astype(np.float32),
        chance=np.concatenate(chance).astype(np.float32),
        widths=Widths(names[0][1], shape=shape_range is not None, shape_condition=of_shape),
    )


def _rows(data: Path, features: Path, names: Sequence[tuple[str, int]]) -> dict[str, np.ndarray]:
    """The rows of one set that have a pose."""
    stored, cached = NpzArrays(data), NpzArrays(features)
    pose = _array(str(data), stored, "body_pose", _POSE)
    count = len(pose)
    condition = feature_rows(str(features), cached, names)
    if len(condition) != count:
        raise BadInput(
            f"{features} has features of {len(condition)} rows, {data} has {count}; cache the "
            "features of this very file again."
        )
    betas = _array(str(data), stored, "betas", SHAPE_NUMBERS) if "betas" in stored else None
    has = {
        name: np.asarray(stored[f"has_{name}"]).ravel() > 0
        if f"has_{name}" in stored
        else np.full(count, name in stored)
        for name in ("body_pose", "betas")
    }
    kept = has["body_pose"] & np.isfinite(pose).all(1)
    if not kept.any():
        raise BadInput(f"{data} has no row with a pose (has_body_pose).")
    if betas is None:
        betas = np.zeros((count, SHAPE_NUMBERS))
    return {
        "pose": pose[kept].reshape(-1, 24, 3),
        "betas": betas[kept],
        "has_betas": has["betas"][kept],
        "condition": condition[kept],
    }


def feature_rows(
    owner: str, stored: Mapping[str, np.ndarray], names: Sequence[tuple[str, int]]
) -> np.ndarray:
    """Features (N, C) of the arrays of some names side by side, float32.

    owner: how sentences call the arrays' file. BadInput if one is missing or of another shape.
    """
    found = [_array(owner, stored, name, size) for name, size in names]
    if len({len(each) for each in found}) > 1:
        lengths = ", ".join(f"{len(f)} of {n}" for f, (n, _) in zip(found, names, strict=True))
        raise BadInput(f"{owner} has features of {lengths} rows; they must be equally many.")
    return np.concatenate(found, 1)


def _array(owner: str, stored: Mapping[str, np.ndarray], name: str, size: int) -> np.ndarray:
    """One array as (N, size)."""
    if name not in stored:
        raise BadInput(f"{owner} has no {name!r}, found {', '.join(stored) or 'nothing'}.")
    value = stored[name]
    flat = value.reshape(len(value), -1) if value.ndim > 1 else value
    if flat.ndim != 2 or flat.shape[1] != size or flat.dtype.kind not in "fiub":
        raise BadInput(
            f"{owner}: {name} has the shape {value.shape} and the type {value.dtype}, "
            f"expected {size} numbers a row."
        )
    return flat.astype(np.float32)


def feature_statistics(
    path: Path, names: Sequence[tuple[str, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (C,) of the whole condition; BadInput where they cannot be."""
    stored, found = NpzArrays(path), []
    for what in ("mean", "std"):
        keys = [what if name == "img_feats" else f"{name}_{what}" for name, _ in names]
        missing = [key for key in keys if key not in stored]
        if missing:
            raise BadInput(f"{path} has no {missing[0]!r}, found {', '.join(stored) or 'nothing'}.")
        found.append(np.concatenate([stored[key].ravel() for key in keys]))
        size = sum(size for _, size in names)
        if len(found[-1]) != size or not np.isfinite(found[-1]).all():
            raise BadInput(f"{path}: {', '.join(keys)} must be {size} finite numbers.")
    if not (found[1] > 0).all():
        raise BadInput(f"{path}: a deviation is not positive; features cannot be divided by it.")
    return found[0], found[1]


def read_shape_range(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest betas (10,) that a file names, for the shape's numbers -1 and 1."""
    stored = NpzArrays(path)
    if "betas_min" not in stored or "betas_max" not in stored:
        raise BadInput(f"{path} must have betas_min and betas_max, found {', '.join(stored)}.")
    low, high = stored["betas_min"], stored["betas_max"]
    if low.size not in (1, SHAPE_NUMBERS) or high.shape != low.shape or not (high > low).all():
        raise BadInput(
            f"{path}: betas_min {low.shape} and betas_max {high.shape} must be a number or 10, the "
            "latter larger."
        )
    return tuple(np.broadcast_to(each.ravel(), SHAPE_NUMBERS) for each in (low, high))

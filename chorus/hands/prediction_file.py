"""`pred.json`, as the servers of FreiHAND and HO-3D take it: [joints, vertices], N x 21 x 3 and
N x V x 3, metres, 5 decimals."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput
from chorus.files import replacing

NAME = "pred.json"
DECIMALS = 5


def write_predictions(
    path: Path, joints: Float[np.ndarray, "N 21 3"], vertices: Float[np.ndarray, "N V 3"]
) -> None:
    """Write joints and vertices as `json.dump([joints, vertices])` would, sample by sample, so that
    twenty thousand hands need no lists of fifty million numbers."""
    with replacing(path) as part, part.open("w", encoding="ascii") as stream:
        stream.write("[[")
        stream.writelines(_rounded(joints))
        stream.write("], [")
        stream.writelines(_rounded(vertices))
        stream.write("]]")


def _rounded(samples: np.ndarray) -> Iterator[str]:
    for number, sample in enumerate(samples):
        # in float64: a rounded float32 would be written with all its digits
        text = json.dumps(np.asarray(sample, np.float64).round(DECIMALS).tolist())
        yield f", {text}" if number else text


def read_predictions(
    path: Path,
) -> tuple[Float[np.ndarray, "N 21 3"], Float[np.ndarray, "N V 3"]]:
    """Joints (N, 21, 3) and vertices (N, V, 3) of a pred.json, float64, as stored.

    BadInput if it is not of that form; NaN and infinity are named with their sample.
    """
    stored = read_json(path)
    if not isinstance(stored, list) or len(stored) != 2:
        found = f"{len(stored)} parts" if isinstance(stored, list) else type(stored).__name__
        raise BadInput(f"{path} must be a list of joints and vertices; found {found}.")
    joints = point_array(stored[0], f"the joints of {path}", 21)
    vertices = point_array(stored[1], f"the vertices of {path}")
    if len(joints) != len(vertices):
        raise BadInput(
            f"{path} has joints of {len(joints)} samples and vertices of {len(vertices)}."
        )
    return joints, vertices


def read_points(path: Path, count: int | None = None) -> Float[np.ndarray, "N P 3"]:
    """Points (N, P, 3) of a data set's file of ground truth, `evaluation_xyz.json` say."""
    return point_array(read_json(path), str(path), count)


def point_array(value: Any, what: str, count: int | None = None) -> Float[np.ndarray, "N P 3"]:
    """Lists as an array (N, P, 3) of finite numbers; P must be `count` if it is given."""
    try:
        points = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"{what} are no array of numbers: {str(error)[:200]}.") from error
    expected = f"(N, {count or 'P'}, 3)"
    if points.ndim != 3 or points.shape[2] != 3 or (count and points.shape[1] != count):
        raise BadInput(f"{what} have the shape {points.shape}; expected {expected}.")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))
    if bad.size:
        raise BadInput(
            f"{what} hold NaN or infinity in {bad.size} samples, first in number {bad[0]}; every "
            "sample needs finite numbers."
        )
    return points


def read_json(path: Path) -> Any:
    """What a JSON file holds; BadInput if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, parse_constant=lambda _: math.nan)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BadInput(f"{path} is no JSON file ({str(error)[:200]}).") from error
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}.") from error

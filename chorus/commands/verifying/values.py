"""What `chorus verify` checks of the values in the tables `refined` and `quality`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from chorus.records.rows import ANY_RULE, CAMERA_SHAPES, retained
from chorus.records.tables import DONE, Table
from chorus.refinement.settings import DISAGREE, NOT_EXPLAINED
from chorus.selection.choosing import CRITERIA

_TURNS = 2
"""Full turns that a rotation vector may have: one that an optimisation ran away with has more."""
_ROTATION, _SAME_ROTATION = 1e-3, 1e-2
"""What entries of R R^T may be off the identity's, and those of R off its rotation vector's."""

Fault = tuple[str, Bool[np.ndarray, " S"]]
"""What is wrong, and with which rows."""


def check_values(name: str, table: Table, verdicts: Table | None) -> Iterator[str]:
    """What is wrong with the finished rows of a table, one sentence part a fault: "has ... (first:
    000003, 2 in all)".

    verdicts: the table `filtered`, if it is there; no row may be done of a sample that no rule
    retains. Tables other than `refined` and `quality` have no fault.
    """
    if name not in ("refined", "quality"):
        return
    rows = [row for row in table.rows.values() if row["status"] == DONE]
    if name == "quality":
        criteria = table.settings.get("criteria")
        if not isinstance(criteria, list) or not criteria or not set(criteria) <= set(CRITERIA):
            yield f"was made with no criteria of quality that there are, but {criteria!r}"
            return
    if not rows:
        return
    faults = list(_refined(rows) if name == "refined" else _quality(rows, criteria))
    if verdicts is not None:
        judged = [verdicts.rows.get(row["index"]) for row in rows]
        left_out = [row is not None and not retained(row, ANY_RULE) for row in judged]
        faults.append(("a row of a sample that no filter rule retains", np.array(left_out)))
    for text, wrong in faults:
        if wrong.any():
            first = rows[int(wrong.argmax())]["index"]
            yield f"has {text} (first: {first:06d}, {int(wrong.sum())} in all)"


def _refined(rows: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    pose = _numbers(rows, "pose").reshape(-1, 24, 3)
    R, t, K = (_numbers(rows, name).reshape(-1, *shape) for name, shape in CAMERA_SHAPES.items())
    finite = np.all(
        [np.isfinite(each).reshape(len(rows), -1).all(1) for each in (pose, R, t, K)], 0
    )
    yield "NaN or infinity in pose, R, t or K", ~finite
    # What is not finite is told once, and is a person at rest before a usual camera from here on.
    pose = np.where(finite[:, None, None], pose, 0)
    R, K = (np.where(finite[:, None, None], each, np.eye(3)) for each in (R, K))
    long = np.linalg.norm(pose, axis=-1).max(1) > 2 * math.pi * _TURNS
    yield f"a rotation vector longer than {_TURNS} full turns", long
    rotation = (np.abs(R @ R.swapaxes(1, 2) - np.eye(3)).max((1, 2)) < _ROTATION) & (
        np.linalg.det(R) > 0
    )
    yield "an R that is no rotation", ~rotation
    other = np.abs(_matrices(pose[:, 0]) - R).max((1, 2)) > _SAME_ROTATION
    yield "a pose whose first rotation vector is not that of R", rotation & other & ~long
    yield "a focal length that is not above 0", ~((K[:, 0, 0] > 0) & (K[:, 1, 1] > 0))
    rest = K.reshape(-1, 9)[:, [1, 3, 6, 7, 8]]
    yield "a K that is not [[f, 0, cx], [0, f, cy], [0, 0, 1]]", (rest != [0, 0, 0, 0, 1]).any(1)
    doubt = np.array([row["doubt"] for row in rows])
    for name in ("residual_before", "residual"):
        residual = _numbers(rows, name)
        yield f"a {name} that is infinite or below 0", np.isinf(residual) | (residual < 0)
    unexplained = np.isnan(_numbers(rows, "residual")) & (doubt != NOT_EXPLAINED)
    yield f"a residual of NaN without the doubt {NOT_EXPLAINED!r}", unexplained
    yield "an agreement that is not between 0 and 1", _outside(_numbers(rows, "agreement"))
    yield "iterations below 0", _numbers(rows, "iterations") < 0
    yield "an unknown doubt", ~np.isin(doubt, ["", NOT_EXPLAINED, DISAGREE])


def _quality(rows: Sequence[Mapping[str, Any]], criteria: Sequence[str]) -> Iterator[Fault]:
    for name in CRITERIA:
        values = _numbers(rows, name)
        if name in criteria:
            yield f"a {name} that is not between 0 and 1", _outside(values)
        else:
            yield f"{name}, which its settings say was not computed", ~np.isnan(values)


def _numbers(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """A column's numbers, (S,) or (S, length); NaN for a null."""
    return np.array([row[name] for row in rows], float)


def _outside(values: np.ndarray) -> Bool[np.ndarray, " S"]:
    """(S,): which are neither NaN nor between 0 and 1."""
    return (values < 0) | (values > 1)


def _matrices(vectors: np.ndarray) -> np.ndarray:
    """(S, 3, 3): the rotation matrices of rotation vectors (S, 3)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(vectors).as_matrix()

"""Voxel fields of any method, so that they can be scored like ours.

A file is a distribution of `chorus aggregate`, or an `.npz` without pickled objects that holds

    values   (X, Y, Z) numbers from 0 to 1: how probable an object is in each voxel, [ix, iy, iz]
    header   a text with JSON: {"schema": "chorus.field/1", "metadata": {...}}, with the metadata
               transform   4 rows of 4 numbers: voxel number (ix, iy, iz, 1) -> centre of that voxel
                           in the canonical body's frame, metres (docs/conventions.md)
               category    the object's category
               body        fingerprint of the body model the frame belongs to; "" if unknown
               canonical   true if the field follows the body's pose, false if it stays in place

    header = json.dumps({"schema": "chorus.field/1", "metadata": metadata})
    np.savez("field.npz", values=values, header=np.array(header))

Such a field is put on the canonical grid of the paper, each voxel taking the value of the nearest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput
from chorus.occupancy.archive import read_archive
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid

FIELD_SCHEMA = "chorus.field/1"
_FIELDS = {"transform": list, "category": str, "body": str, "canonical": bool}


def read_field(path: str | Path, grid: VoxelGrid | None = None) -> Distribution:
    """The field of a file of either form; `grid` is where one of another method is put.

    BadInput if there is no such file, its header is not as above, or its values are no
    probabilities.
    """
    path = Path(path)
    try:
        arrays, header = read_archive(path, FIELD_SCHEMA)
    except FileNotFoundError as problem:
        raise BadInput(f"there is no field at {path}; correct the path.") from problem
    except BadInput:
        return Distribution.load(path)  # whose error it is if the file is neither
    transform = _checked(arrays, header, path)
    grid = grid or VoxelGrid()
    values, seen = on_grid(np.asarray(arrays["values"], np.float32), transform, grid)
    return Distribution(
        probability=values,
        grid=grid,
        seen=seen.astype(np.uint32),
        category=header["category"],
        body=header["body"],
        metadata={"source": path.name, "canonicalise": header["canonical"]},
    )


def on_grid(
    values: Float[np.ndarray, "X Y Z"], transform: Float[np.ndarray, "4 4"], grid: VoxelGrid
) -> tuple[np.ndarray, np.ndarray]:
    """Values (N, N, N) of the nearest voxels, 0 outside, and which voxels have one (bool)."""
    inverse = np.linalg.inv(transform)
    places = grid.centres().astype(np.float64) @ inverse[:3, :3].T + inverse[:3, 3]
    index = np.floor(places + 0.5).astype(np.int64)
    inside = ((index >= 0) & (index < values.shape)).all(axis=1)
    x, y, z = np.where(inside[:, None], index, 0).T
    taken = np.where(inside, values[x, y, z], 0).astype(np.float32)
    return taken.reshape(grid.shape), inside.reshape(grid.shape)


def _checked(arrays: dict[str, np.ndarray], header: dict[str, Any], path: Path) -> np.ndarray:
    """The transform (4, 4); BadInput names what the file lacks."""
    for name, kind in _FIELDS.items():
        if not isinstance(header.get(name), kind):
            raise BadInput(
                f"{path}: the header's metadata needs {name!r} ({kind.__name__}), found "
                f"{header.get(name)!r}; docs/evaluation.md describes it."
            )
    values = arrays.get("values")
    if values is None or values.ndim != 3 or not np.issubdtype(values.dtype, np.number):
        stored = "none" if values is None else f"{values.dtype} {values.shape}"
        raise BadInput(f"{path}: expected an array 'values' of numbers (X, Y, Z), found {stored}.")
    if not ((values >= 0) & (values <= 1)).all():
        raise BadInput(
            f"{path}: values must be probabilities from 0 to 1, found NaN or others; divide the "
            "field by its maximum, or leave out what is not known as 0."
        )
    try:
        transform = np.array(header["transform"], np.float64)
    except (TypeError, ValueError):
        transform = np.zeros(0)
    if transform.shape != (4, 4) or not abs(np.linalg.det(transform)) > 1e-12:
        raise BadInput(
            f"{path}: the header's transform must be 4 rows of 4 numbers that can be inverted, "
            f"found {header['transform']!r}."
        )
    return transform

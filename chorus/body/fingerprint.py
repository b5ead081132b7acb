"""What tells two bodies apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

_ORDER = (
    "v_template",
    "shapedirs",
    "posedirs",
    "weights",
    "joint_regressor",
    "faces",
)


def fingerprint_of(arrays: Mapping[str, np.ndarray], parents: Sequence[int]) -> str:
    """SHA-256 (hex) of a body's content: the tree, and every array's name, type, shape and values.

    arrays: by the names of `BodyModel`; `posedirs` may be left out.
    """
    digest = hashlib.sha256(repr(tuple(parents)).encode())
    for name in _ORDER:
        if name in arrays:
            array = np.ascontiguousarray(arrays[name])
            digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()

"""A distribution's probabilities as an NRRD volume, which 3D Slicer and ParaView open."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from chorus.errors import Unavailable

if TYPE_CHECKING:
    from chorus.occupancy.distribution import Distribution


def nrrd_volume(distribution: Distribution) -> bytes:
    """The file: float32 probabilities [ix, iy, iz], x fastest, of the body frame, in metres.

    x is the person's left, y up, z forward; the origin is the centre of the first voxel.
    Unavailable without pynrrd.
    """
    try:
        import nrrd
    except ImportError as error:
        raise Unavailable(
            "--formats nrrd needs the package pynrrd: "
            "pip install -c constraints.txt -e '.[formats]'"
        ) from error

    grid = distribution.grid
    header = {
        "space": "3D-right-handed",
        "space directions": np.eye(3) * grid.size,
        "space origin": np.full(3, grid.start + grid.size / 2),
        "space units": ["m"] * 3,
        "kinds": ["space"] * 3,
        "labels": ["x: the person's left", "y: up", "z: forward"],
        "content": "probability",
        "encoding": "gzip",
        **{
            name: value.encode("unicode_escape").decode()  # NRRD's headers are ASCII
            for name in ("category", "prompt", "part", "body")
            if (value := getattr(distribution, name))
        },
    }
    content = io.BytesIO()
    nrrd.write(content, distribution.probability.astype(np.float32), header)
    return content.getvalue()

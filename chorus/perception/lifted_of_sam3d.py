"""Objects of SAM 3D Objects: `rotation`, `translation`, `scale` in an npz, the mesh beside it.

Facts from its code (facebookresearch/sam-3d-objects) and issues 56, 91, 100: the quaternion is (w,
x, y, z); the camera PyTorch3D's (x left, y up, z forward), which takes row vectors, p_camera = (p *
scale) R(q) + translation, of an object whose z is up; the exported mesh has y up.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chorus.errors import BadInput
from chorus.perception.lifted_records import (
    PERSON_KEYS,
    LiftedObject,
    LiftedRecording,
    camera_in,
    numbers_in,
    person_in,
    usable_mesh,
)

KEYS = frozenset(("rotation", "translation", "scale"))
"""By which a file is told."""
_OPENCV = np.diag([-1.0, -1.0, 1.0])  # from PyTorch3D's camera axes, both ways
_Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # of a mesh whose y is up
_MESHES = (".glb", ".ply", ".obj", ".stl", ".off")


def read_sam3d(arrays: Mapping[str, np.ndarray], path: Path) -> LiftedRecording:
    """One object of SAM 3D Objects."""
    import roma
    import torch

    where = str(path)
    file = next((p for s in _MESHES if (p := path.with_suffix(s)).is_file()), None)
    if file is None:
        return LiftedRecording(
            files=[path],
            faults=[f"{where} has no mesh beside it: expected {path.stem}.glb, .ply or .obj"],
        )
    row = dict(arrays)
    rotation, translation, scale = (
        numbers_in(row, key, where).ravel() for key in ("rotation", "translation", "scale")
    )
    scale = np.broadcast_to(scale, 3) if scale.size in (1, 3) else scale
    if rotation.size != 4 or translation.size != 3 or scale.size != 3 or not (scale > 0).all():
        raise BadInput(
            f"{where}: rotation, translation and scale hold {rotation.size}, {translation.size} "
            f"and {scale.size} numbers; expected a quaternion (w, x, y, z), metres and 1 or 3 "
            "sizes above 0."
        )
    if not np.linalg.norm(rotation) > 1e-6 or translation[2] <= 0:
        raise BadInput(f"{where}: its quaternion is zero, or it lies behind its camera.")
    unit = torch.from_numpy(np.roll(rotation / np.linalg.norm(rotation), -1))
    turned = roma.unitquat_to_rotmat(unit).numpy().T  # row vectors: p R is R.T of columns
    to_camera = np.eye(4)
    to_camera[:3, :3] = _OPENCV @ turned @ np.diag(scale) @ _Z_UP
    to_camera[:3, 3] = _OPENCV @ translation
    image = str(row["image"]) if "image" in row else path.stem
    person, K = person_in(_person_part(row), where), camera_in(row, where)
    thing = LiftedObject(image, lambda: usable_mesh(file), to_camera, person, K, where)
    return LiftedRecording([thing], [path, file])


def _person_part(row: Mapping[str, Any]) -> dict[str, Any]:
    """The person beside an object of SAM 3D Objects, whose own place is called `translation`, too:
    the person's is `person_translation`."""
    person = {
        key: row[key] for key in (*PERSON_KEYS, "body") if key in row and key != "translation"
    }
    if "person_translation" in row:
        person["translation"] = row["person_translation"]
    return person

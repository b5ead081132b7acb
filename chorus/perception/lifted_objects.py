"""Files of objects lifted to 3D: which are read, and what is in them.

Three forms, told by what is in a file (docs/bring-your-own.md, "Lifted objects"): our own, a JSON
list of objects or an `.npz` with a row per object, in a camera whose axes are x right, y down, z
forward (OpenCV); SAM 3D Objects' (`lifted_of_sam3d`) and CARI4D's (`lifted_of_cari4d`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput, shown
from chorus.files import parsed_json
from chorus.perception import lifted_of_sam3d
from chorus.perception.lifted_of_cari4d import read_cari4d
from chorus.perception.lifted_records import (
    LiftedObject,
    LiftedRecording,
    camera_in,
    numbers_in,
    person_in,
    usable_mesh,
)
from chorus.perception.mesh_files import Mesh, mesh_of, with_inside
from chorus.perception.pose_files import open_recorded
from chorus.perception.poses_of_npz import NpzArrays
from chorus.perception.recorded_poses import SMPL

_RECORDS = (".json", ".npz", ".pth", ".pt")


def read_lifted(path: Path, mesh: Path | None = None) -> LiftedRecording:
    """The lifted objects of a file, or of a folder's files.

    mesh: the object's, for CARI4D, whose files hold none. BadInput if there is nothing, a file is
    damaged or of no known form; what cannot be used of single objects is among the faults.
    """
    if mesh is not None and not mesh.is_file():
        raise BadInput(f"--lifted_mesh {mesh} is not there; give the object's mesh file.")
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _RECORDS)
    elif not path.is_file():
        raise BadInput(f"--lifted {path} is not there; give a file of lifted objects, or a folder.")
    recording = LiftedRecording()
    for file in files:
        try:
            recording.add(_read(file, mesh))
        except BadInput as error:
            if not path.is_dir():
                raise
            recording.faults.append(str(error))
    if not recording.objects:
        why = f": {recording.faults[0]}" if recording.faults else ""
        raise BadInput(
            f"--lifted {path} holds no lifted object that can be used{why}; expected "
            f"{', '.join(_RECORDS)} files as docs/bring-your-own.md describes."
        )
    return recording


def _read(path: Path, mesh: Path | None) -> LiftedRecording:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _of_rows(_json_rows(path), path)
    if suffix == ".npz":
        arrays = NpzArrays(path)
        if lifted_of_sam3d.KEYS.issubset(arrays):
            return lifted_of_sam3d.read_sam3d(arrays, path)
        return _of_rows(_npz_rows(arrays, path), path)
    if suffix in (".pth", ".pt"):
        return read_cari4d(open_recorded(path), path, mesh)
    raise BadInput(f"--lifted {path} is none of {', '.join(_RECORDS)}.")


def _json_rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        content = parsed_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is not whole JSON ({error!s:.100}); write it again.") from error
    rows = content.get("objects") if isinstance(content, Mapping) else content
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise BadInput(f"{path}: expected a list of objects, found {shown(rows)}.")
    return rows


def _npz_rows(arrays: Mapping[str, np.ndarray], path: Path) -> list[Mapping[str, Any]]:
    """The rows of our own `.npz`; one whose mesh is in it has no axis of rows."""
    if "vertices" in arrays:
        return [dict(arrays)]
    if "object_to_camera" not in arrays or "mesh" not in arrays:
        raise BadInput(
            f"{path} lacks mesh and object_to_camera, or vertices and faces, or SAM 3D Objects' "
            f"rotation, translation and scale; found {', '.join(sorted(arrays)) or 'nothing'}."
        )
    count = len(np.atleast_1d(arrays["mesh"]))
    whole = {name: arrays[name] for name in arrays}
    body = str(whole.pop("body", SMPL))
    short = [name for name, a in whole.items() if a.shape[:1] != (count,)]
    if short:
        raise BadInput(
            f"{path}: {short[0]} has the shape {whole[short[0]].shape}; expected {count} rows, as "
            "many as mesh has."
        )
    rows = [{name: array[at] for name, array in whole.items()} for at in range(count)]
    return [{**row, "body": body} for row in rows]


def _of_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> LiftedRecording:
    recording = LiftedRecording(files=[path])
    for at, row in enumerate(rows):
        where = f"{path}, object {at}"
        try:
            mesh, file = _own_mesh(row, path, where)
            image = row.get("image", path.stem)
            recording.objects.append(
                LiftedObject(
                    image=int(image) if isinstance(image, int | np.integer) else str(image),
                    mesh=mesh,
                    to_camera=_transform(row, where),
                    person=person_in(row, where),
                    K=camera_in(row, where),
                    where=where,
                )
            )
            recording.files += [file] if file and file not in recording.files else []
        except BadInput as error:
            recording.faults.append(str(error))
    return recording


def _own_mesh(
    row: Mapping[str, Any], path: Path, where: str
) -> tuple[Callable[[], Mesh], Path | None]:
    """What reads a row's mesh, and its file if it has one."""
    if "vertices" in row:
        vertices, faces = (numbers_in(row, key, where) for key in ("vertices", "faces"))
        flat = vertices.ndim == faces.ndim == 2 and vertices.shape[1] == faces.shape[1] == 3
        if not flat or not len(faces) or faces.min() < 0 or faces.max() >= len(vertices):
            raise BadInput(
                f"{where}: vertices {vertices.shape} and faces {faces.shape}; expected (V, 3) and "
                "(F, 3), numbers of vertices."
            )
        mesh = mesh_of(vertices, faces.astype(np.int64), where)
        return (lambda: with_inside(mesh, where)), None
    name = row.get("mesh")
    if not isinstance(name, str | np.str_) or not str(name):
        raise BadInput(f"{where}: mesh is {shown(name)}; expected the name of a mesh file.")
    file = path.parent / str(name)
    if not file.is_file():
        raise BadInput(f"{where}: its mesh {file} is not there.")
    return (lambda: usable_mesh(file)), file


def _transform(row: Mapping[str, Any], where: str) -> Float[np.ndarray, "4 4"]:
    """Object to camera; none where the mesh lies in the camera's frame already."""
    if "object_to_camera" not in row:
        return np.eye(4)
    matrix = numbers_in(row, "object_to_camera", where)
    if matrix.shape != (4, 4) or not np.allclose(matrix[3], [0, 0, 0, 1]):
        raise BadInput(
            f"{where}: object_to_camera is {shown(matrix.tolist())}; expected 4 rows of 4 numbers, "
            "the last 0, 0, 0, 1 (transposed, if it is the last column)."
        )
    if not np.linalg.det(matrix[:3, :3]) > 1e-12:
        raise BadInput(f"{where}: object_to_camera flattens or mirrors the object.")
    return matrix

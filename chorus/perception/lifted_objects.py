"""Objects lifted to 3D from photographs, as other programs record them.

Three forms, told by what is in a file (docs/bring-your-own.md, "Lifted objects"):

- our own: a JSON list of objects, or an `.npz` with a row per object, in a camera whose axes are
  x right, y down, z forward (OpenCV);
- SAM 3D Objects (facebookresearch/sam-3d-objects): `rotation` (w, x, y, z), `translation`, `scale`
  in an `.npz`, the mesh as `.glb` or `.ply` beside it. Facts from its code and issues 56, 91, 100:
  PyTorch3D's camera (x left, y up, z forward) and row vectors, p_camera = (p * scale) R(q) +
  translation, of an object whose z is up; the exported mesh has y up;
- CARI4D (NVlabs/CARI4D): a `.pth` with `pr`: `pose_abs` (T, 4, 4) object to camera (OpenCV's axes)
  of the mesh moved to the mean of its vertices, `smpl_pose` (T, 72 or 156), `smpl_t` (T, 3),
  `betas` (T, 10) of SMPL-H, whose first 22 joints are SMPL's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput
from chorus.perception.mesh_files import Mesh, mesh_of, read_mesh, with_inside
from chorus.perception.pose_files import open_recorded
from chorus.perception.poses_of_npz import NpzArrays
from chorus.perception.recorded_poses import (
    BEHIND,
    JOINTS,
    SHAPES,
    SMPL,
    SMPLX,
    SMPLX_BODY_JOINTS,
    SMPLX_PELVIS,
    Columns,
    PinholeCamera,
    RecordedPose,
    arrays_in,
    shown,
    smplx_pose,
)

SMPLH = "smplh"
_SMPL_PELVIS = np.array([-0.0018, -0.2233, 0.0282])
"""The pelvis joint of SMPL's mean shape in the rest pose, metres from its origin; SMPL-H's is the
same."""
_OPENCV = np.diag([-1.0, -1.0, 1.0])  # from PyTorch3D's camera axes, both ways
_Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # of a mesh whose y is up
_MESHES = (".glb", ".ply", ".obj", ".stl", ".off")
_RECORDS = (".json", ".npz", ".pth", ".pt")
_PERSON = ("pose", "global_orient", "body_pose", "betas", "translation")


@dataclass(frozen=True, eq=False)
class LiftedObject:
    """One object of one image.

    image: file name or frame number, as in `RecordedPose`; frame: None, as there; mesh: reads the
    mesh in its own frame; to_camera (4, 4): from there to the camera, metres, OpenCV's axes;
    person: the lifted person of the image before the same camera, if there is one; K (3, 3): the
    camera, pixels, if it is known; where: names the object in sentences.
    """

    image: str | int
    mesh: Callable[[], Mesh]
    to_camera: Float[np.ndarray, "4 4"]
    person: RecordedPose | None
    K: Float[np.ndarray, "3 3"] | None
    where: str
    frame: int | None = None


@dataclass
class LiftedRecording:
    """The objects of one or several files, the files (meshes too), and why others were left out."""

    objects: list[LiftedObject] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, other: LiftedRecording) -> None:
        """Append another recording."""
        self.objects += other.objects
        self.files += [file for file in other.files if file not in self.files]
        self.faults += other.faults


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
        if {"rotation", "translation", "scale"} <= set(arrays):
            return _of_sam3d(arrays, path)
        return _of_rows(_npz_rows(arrays, path), path)
    if suffix in (".pth", ".pt"):
        return _of_cari4d(open_recorded(path), path, mesh)
    raise BadInput(f"--lifted {path} is none of {', '.join(_RECORDS)}.")


def _json_rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
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
                    person=_person(row, where),
                    K=_camera(row, where),
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
        vertices, faces = (_array(row, key, where) for key in ("vertices", "faces"))
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
    return (lambda: _mesh(file)), file


@lru_cache(maxsize=4)  # of a video every frame has the same
def _mesh(path: Path, centred: bool = False) -> Mesh:
    return with_inside(read_mesh(path, centred), path.name)


def _array(row: Mapping[str, Any], key: str, where: str) -> np.ndarray:
    """Finite float64 numbers of a row; BadInput for anything else."""
    try:
        array = np.asarray(row[key], np.float64)
    except KeyError as error:
        raise BadInput(f"{where} lacks {key}; found {', '.join(map(str, row)):.200}.") from error
    except (TypeError, ValueError) as error:
        raise BadInput(f"{where}: {key} is not made of numbers.") from error
    if not np.isfinite(array).all():
        raise BadInput(f"{where}: {key} is not finite.")
    return array


def _transform(row: Mapping[str, Any], where: str) -> Float[np.ndarray, "4 4"]:
    """Object to camera; none where the mesh lies in the camera's frame already."""
    if "object_to_camera" not in row:
        return np.eye(4)
    matrix = _array(row, "object_to_camera", where)
    if matrix.shape != (4, 4) or not np.allclose(matrix[3], [0, 0, 0, 1]):
        raise BadInput(
            f"{where}: object_to_camera is {shown(matrix.tolist())}; expected 4 rows of 4 numbers, "
            "the last 0, 0, 0, 1 (transposed, if it is the last column)."
        )
    if not np.linalg.det(matrix[:3, :3]) > 1e-12:
        raise BadInput(f"{where}: object_to_camera flattens or mirrors the object.")
    return matrix


def _camera(row: Mapping[str, Any], where: str) -> Float[np.ndarray, "3 3"] | None:
    if "K" not in row:
        return None
    K = _array(row, "K", where)
    if K.shape != (3, 3) or not (K[0, 0] > 0 and K[1, 1] > 0 and abs(K[2, 2] - 1) < 1e-6):
        raise BadInput(
            f"{where}: K is {shown(K.tolist())}; expected [[f, 0, x], [0, f, y], [0, 0, 1]], in "
            "pixels."
        )
    return K


def _person(row: Mapping[str, Any], where: str) -> RecordedPose | None:
    """The lifted person of a row; None if it has none."""
    if not {"pose", "global_orient"} & row.keys():
        return None
    arrays = {name: _array(row, name, where)[None] for name in _PERSON if name in row}
    columns = Columns(arrays, 1, where)
    if "pose" in arrays:
        pose = columns.rotations("pose", JOINTS)
    else:
        parts = [columns.rotations("global_orient", 1), columns.rotations("body_pose", JOINTS - 1)]
        pose = np.concatenate(parts, axis=1)
    betas = columns.numbers("betas", (SHAPES,)) if "betas" in arrays else np.zeros((1, SHAPES))
    translation = columns.numbers("translation", (3,))
    body = str(row.get("body", SMPL))
    columns.refuse(translation[:, 2] <= 0, BEHIND)
    if columns.wrong:
        raise BadInput(f"{where}: {columns.wrong[0]}.")
    return _recorded(0, pose[0], betas[0], translation[0], body)


def _recorded(
    image: str | int, pose: np.ndarray, betas: np.ndarray, translation: np.ndarray, body: str
) -> RecordedPose:
    """A person whose body model's origin lies at `translation` in the camera, metres."""
    pelvis = SMPLX_PELVIS if body == SMPLX else _SMPL_PELVIS
    camera = PinholeCamera(translation, pelvis=pelvis)
    return RecordedPose(image, pose.astype(np.float32), betas.astype(np.float32), camera, body)


def _of_sam3d(arrays: Mapping[str, np.ndarray], path: Path) -> LiftedRecording:
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
        _array(row, key, where).ravel() for key in ("rotation", "translation", "scale")
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
    person, K = _person(_person_part(row), where), _camera(row, where)
    thing = LiftedObject(image, lambda: _mesh(file), to_camera, person, K, where)
    return LiftedRecording([thing], [path, file])


def _person_part(row: Mapping[str, Any]) -> dict[str, Any]:
    """The person beside an object of SAM 3D Objects, whose own place is called `translation`, too:
    the person's is `person_translation`."""
    person = {key: row[key] for key in (*_PERSON, "body") if key in row and key != "translation"}
    if "person_translation" in row:
        person["translation"] = row["person_translation"]
    return person


def _of_cari4d(content: Any, path: Path, mesh: Path | None) -> LiftedRecording:
    """A sequence of CARI4D: its predictions, not its input or the truth beside them."""
    predicted = content.get("pr") if isinstance(content, Mapping) else None
    if not isinstance(predicted, Mapping) or "pose_abs" not in predicted:
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else shown(content)
        raise BadInput(
            f"{path} is not of CARI4D: expected `pr` with pose_abs, smpl_pose, smpl_t and betas, "
            f"found {found or 'nothing':.200}."
        )
    if mesh is None:
        raise BadInput(
            f"{path} of CARI4D has no mesh in it; give the object's that its poses are of, "
            "--lifted_mesh."
        )
    names = ("pose_abs", "smpl_pose", "smpl_t", "betas")
    arrays = arrays_in(predicted, names, str(path))
    frames = len(arrays["pose_abs"]) if arrays["pose_abs"].ndim else 0
    columns = Columns(arrays, frames, str(path))
    placed = columns.numbers("pose_abs", (4, 4))
    flat = columns.numbers("smpl_pose", (72,), (156,))
    translation = columns.numbers("smpl_t", (3,))
    betas = columns.numbers("betas", (SHAPES,))
    columns.refuse(translation[:, 2] <= 0, BEHIND)
    columns.refuse(~(np.linalg.det(placed[:, :3, :3]) > 1e-12), "its object's pose is none")
    body = flat[:, : 3 * (1 + SMPLX_BODY_JOINTS)].reshape(frames, -1, 3)
    pose = smplx_pose(body[:, :1], body[:, 1:])
    objects = [
        LiftedObject(
            image=at,
            mesh=lambda: _mesh(mesh, centred=True),
            to_camera=placed[at],
            person=_recorded(at, pose[at], betas[at], translation[at], SMPLH),
            K=None,
            where=f"{path}, frame {at}",
        )
        for at in columns.usable()
    ]
    return LiftedRecording(objects, [path, mesh], list(_frames(columns)))


def _frames(columns: Columns) -> Iterator[str]:
    for fault in columns.faults():
        yield fault.replace(", person ", ", frame ")

"""Open3DHOI's folders: photographs with the person and the object lifted to 3D.

Wen et al., Reconstructing In-the-Wild Open-Vocabulary Human-Object Interactions, CVPR 2025. A
sample is a folder <category>/<sample> with the files of FILES. `smplx_parameters.json` (an object,
or a list of one) holds, each perhaps within one more list,

    root_pose (3), body_pose (63): axis-angle of SMPL-X's first 22 joints, which are SMPL's; the
        root turns the body into the camera's orientation (x right, y down, z forward)
    cam_trans (3): metres, from the meshes' frame to the camera's; focal (2), princpt (2): pixels
    shape, lhand_pose, rhand_pose, jaw_pose, expr: not needed here

Both meshes lie in one frame, the camera's but for cam_trans, metres. `box_annotation.json` holds
`human` and `obj`, xyxy in pixels. Masks are grey images, not 0 where the person or object is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from chorus.errors import BadInput
from chorus.files import parsed_json
from chorus.perception.mesh_files import Mesh, read_mesh
from chorus.perception.photographs import Photograph, upright_rgb

PARAMETERS, BOXES = "smplx_parameters.json", "box_annotation.json"
HUMAN, OBJECT, OTHER_OBJECT = "h_mesh.obj", "object_mesh.obj", "obj_pcd_h_align.obj"
IMAGE, PERSON_MASK, OBJECT_MASK = "image.jpg", "person_mask.png", "object_mask.png"
FILES = (IMAGE, PARAMETERS, HUMAN, OBJECT, PERSON_MASK, OBJECT_MASK, BOXES)
"""The files of a sample. The samples beside its authors' code call the object OTHER_OBJECT."""
_BODY_JOINTS = 21
_EXTENT = 0.3, 4.0
"""Metres between which the longest side of a person's bounding box must lie."""


@dataclass(frozen=True, eq=False)
class LiftedImage:
    """One sample."""

    pose: Float[np.ndarray, "24 3"]
    """Axis-angle of SMPL's joints, the first the global rotation in the camera; hands are zero."""
    translation: Float[np.ndarray, " 3"]
    """From the meshes' frame to the camera's, metres."""
    K: Float[np.ndarray, "3 3"]
    """Pixels."""
    human: Mesh
    """The posed person's surface."""
    thing: Mesh
    """The object's."""
    photograph: Photograph
    """The image file."""
    person_mask: Bool[np.ndarray, "H W"]
    """The person."""
    object_mask: Bool[np.ndarray, "H W"]
    """The object."""
    person_box: Float[np.ndarray, " 4"]
    """xyxy, pixels."""
    object_box: Float[np.ndarray, " 4"]
    """xyxy, pixels."""


def sample_folders(root: Path) -> list[Path]:
    """The samples' folders in a data set's folder, a category's, or a sample's own; sorted.

    A folder with any of the files is a sample's, also if others are missing. BadInput without any.
    """
    if not root.is_dir():
        raise BadInput(f"{root} is not a folder; give Open3DHOI's, or that of one category.")
    root = root.resolve()
    for pattern in ("", "*/", "*/*/"):
        found = {path.parent for name in FILES for path in root.glob(pattern + name)}
        if found:
            return sorted(found)
    raise BadInput(
        f"{root} holds no samples of Open3DHOI: expected folders <category>/<sample> with "
        f"{', '.join(FILES)}."
    )


def object_file(folder: Path) -> Path:
    """The object's mesh of a sample, under either of its names."""
    path, other = folder / OBJECT, folder / OTHER_OBJECT
    return other if other.is_file() and not path.is_file() else path


def read_sample(folder: Path) -> LiftedImage:
    """One sample; BadInput, naming the file, if one is missing or not of its form."""
    thing = object_file(folder)
    missing = [name for name in FILES if name != OBJECT and not (folder / name).is_file()]
    missing += [] if thing.is_file() else [OBJECT]
    if missing:
        raise BadInput(f"{folder.name} lacks {', '.join(missing)}")
    parameters = _record(folder / PARAMETERS)
    pose = np.zeros((24, 3))
    pose[0] = _numbers(parameters, "root_pose", 3, PARAMETERS)
    body = _numbers(parameters, "body_pose", 3 * _BODY_JOINTS, PARAMETERS)
    pose[1 : 1 + _BODY_JOINTS] = body.reshape(_BODY_JOINTS, 3)
    translation = _numbers(parameters, "cam_trans", 3, PARAMETERS)
    focal = _numbers(parameters, "focal", 2, PARAMETERS)
    x, y = _numbers(parameters, "princpt", 2, PARAMETERS)
    if not (translation[2] > 0 and (focal > 0).all()):
        raise BadInput(f"{PARAMETERS}: cam_trans lies behind the camera, or focal is not positive")
    human = read_mesh(folder / HUMAN)
    extent = float(np.ptp(human.vertices, axis=0).max())
    if not _EXTENT[0] <= extent <= _EXTENT[1]:
        raise BadInput(f"{HUMAN} is {extent:.3g} metres long, which no person is")
    person_mask, object_mask = (_mask(folder / name) for name in (PERSON_MASK, OBJECT_MASK))
    if person_mask.shape != object_mask.shape:
        sizes = " and ".join(f"{m.shape[1]} x {m.shape[0]}" for m in (person_mask, object_mask))
        raise BadInput(f"{PERSON_MASK} and {OBJECT_MASK} are of different sizes, {sizes} pixels")
    boxes = _record(folder / BOXES)
    return LiftedImage(
        pose=pose,
        translation=translation,
        K=np.array([[focal[0], 0, x], [0, focal[1], y], [0, 0, 1.0]]),
        human=human,
        thing=read_mesh(thing),
        photograph=_photograph(folder / IMAGE, person_mask.shape),
        person_mask=person_mask,
        object_mask=object_mask,
        person_box=_box(boxes, "human"),
        object_box=_box(boxes, "obj"),
    )


def _record(path: Path) -> Mapping[str, Any]:
    """The JSON object of a file, which may be alone in a list."""
    try:
        content = parsed_json(path.read_bytes())
    except (ValueError, OSError) as error:
        raise BadInput(f"{path.name} is not whole JSON ({str(error)[:100]})") from error
    if isinstance(content, list) and len(content) == 1:
        content = content[0]
    if not isinstance(content, Mapping):
        found = f"a list of {len(content)}" if isinstance(content, list) else type(content).__name__
        raise BadInput(f"{path.name}: expected an object, or a list of one, found {found}")
    return content


def _numbers(record: Mapping[str, Any], key: str, count: int, where: str) -> np.ndarray:
    """(count,) float64 of a record's entry, however nested; BadInput if it is anything else."""
    if key not in record:
        raise BadInput(f"{where} lacks {key}; found {', '.join(map(str, record)) or 'nothing'}")
    try:
        values = np.asarray(record[key], np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise BadInput(f"{where}: {key} is not made of numbers") from error
    if values.size != count or not np.isfinite(values).all():
        raise BadInput(f"{where}: {key} holds {values.size} numbers, expected {count} finite ones")
    return values


def _box(boxes: Mapping[str, Any], key: str) -> np.ndarray:
    box = _numbers(boxes, key, 4, BOXES)
    if not (box[2:] > box[:2]).all():
        raise BadInput(f"{BOXES}: {key} {box.tolist()} is no box; expected left, top, right, low")
    return box


def _mask(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as image:
            mask = np.asarray(image.convert("L")) > 0
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path.name} is not a whole image ({error})") from error
    if not mask.any():
        raise BadInput(f"{path.name} is empty")
    return mask


def _photograph(path: Path, shape: tuple[int, int]) -> Photograph:
    try:
        return upright_rgb(path.read_bytes(), (shape[1], shape[0]))
    except BadInput as error:
        raise BadInput(f"{path.name}: {error} (the masks)") from error

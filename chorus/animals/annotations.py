"""Labels in the published JSON forms: read, checked and written.

A record is a dict of `img_id`, `img_path`, `img_bbox` [x, y, w, h] and, by file, `joints` (16 rows
of x, y, confidence, or x, y), `box_score`, `seg` (H rows of W zeros and ones), `cam_scale`,
`cam_trans` (2), `cam_rot` (3 x 3), `valid_cam`. Keys that are not known are kept and left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from chorus.animals.keypoints import KEYPOINTS
from chorus.errors import BadInput
from chorus.files import atomic_write

Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Labels:
    """N records with what they have in common as arrays: boxes (N, 4) xywh and joints (N, 16, 3)
    of x, y, confidence (1 where the file has none), pixels; joints is None if the file has none."""

    records: tuple[Record, ...]
    boxes: Float[np.ndarray, "N 4"]
    joints: Float[np.ndarray, "N K 3"] | None

    @property
    def ids(self) -> tuple[str, ...]:
        """The `img_id` of each record."""
        return tuple(record["img_id"] for record in self.records)

    def chosen(self, ids: Iterable[str], owner: str) -> Labels:
        """The records of some ids, in their order. BadInput if one is missing."""
        place = {each: number for number, each in enumerate(self.ids)}
        ids = list(ids)
        missing = [each for each in ids if each not in place]
        if missing:
            raise BadInput(
                f"{owner} lacks {len(missing)} of {len(ids)} images, the first is "
                f"{missing[0]!r}; make both files from the same images."
            )
        rows = [place[each] for each in ids]
        records = tuple(self.records[row] for row in rows)
        joints = None if self.joints is None else self.joints[rows]
        return Labels(records, self.boxes[rows], joints)


def read_labels(path: Path, with_joints: bool = True) -> Labels:
    """The records of a file. BadInput, naming file, record and key, for what is damaged.

    An id that occurs twice is refused, since every other file refers to it.
    """
    stored = _read_json(path)
    if not isinstance(stored, list) or not stored:
        raise BadInput(f"{path} must hold a list of one or more records.")
    for number, record in enumerate(stored):
        if not isinstance(record, dict):
            raise BadInput(f"{path}: record {number} is no object with img_id, img_path, img_bbox.")
        for key in ("img_id", "img_path"):
            if isinstance(record.get(key), int) and not isinstance(record.get(key), bool):
                record[key] = str(record[key])
            if not isinstance(record.get(key), str) or not record[key]:
                raise BadInput(f"{path}: record {number} has no {key}.")
    _check_unique([record["img_id"] for record in stored], path)
    boxes = np.stack([_box(record, path) for record in stored])
    joints = np.stack([_joints(record, path) for record in stored]) if with_joints else None
    return Labels(tuple(stored), boxes, joints)


def check_category(labels: Labels, category: str, path: Path) -> None:
    """BadInput if a record says that it is of another category."""
    for record in labels.records:
        found = record.get("category", category)
        if found != category:
            raise BadInput(
                f"{path}: {record['img_id']!r} is of the category {str(found)[:40]!r}, not "
                f"{category!r}; give the labels of one category in each file."
            )


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Write records as the release does: one JSON list."""
    content = json.dumps(list(records), allow_nan=False, separators=(",", ":"))
    atomic_write(path, content.encode())


def read_ids(path: Path) -> list[str]:
    """The ids of a list, a line each. BadInput for an empty list or an id that occurs twice."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not a text file.") from error
    ids = [line for line in lines if line]
    if not ids:
        raise BadInput(f"{path} names no image; select some again.")
    _check_unique(ids, path)
    return ids


def write_ids(path: Path, ids: Iterable[str]) -> None:
    """Write a list of ids, without a newline at its end, as the release does."""
    atomic_write(path, "\n".join(ids).encode())


def image_path(images: Path, record: Record) -> Path:
    """Where the image of a record lies. BadInput for a path that leaves the folder."""
    path = Path(record["img_path"])
    if path.is_absolute() or ".." in path.parts:
        raise BadInput(
            f"the image {record['img_path']!r} does not lie below {images}; give img_path "
            "relative to it."
        )
    return images / path


def read_image(images: Path, record: Record) -> np.ndarray:
    """The image (H, W, 3) uint8 RGB of a record. BadInput if it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    path = image_path(images, record)
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise BadInput(
            f"the image {path} cannot be read ({str(error)[:150]}); mend it or take the record "
            f"{record['img_id']!r} out of the labels."
        ) from error
    except Image.DecompressionBombError as error:
        raise BadInput(f"the image {path} is too large: {str(error)[:150]}.") from error


def _read_json(path: Path) -> Any:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}.") from error
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is no JSON: {str(error)[:150]}.") from error


def _check_unique(ids: Sequence[str], path: Path) -> None:
    seen: set[str] = set()
    for each in ids:
        if each in seen:
            raise BadInput(f"{path} has the image {each!r} more than once; ids must be unique.")
        seen.add(each)


def _box(record: Record, path: Path) -> np.ndarray:
    box = _numbers(record.get("img_bbox"))
    if box is None or box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= 0).any():
        raise BadInput(
            f"{path}: img_bbox of {record['img_id']!r} must be [x, y, width, height] of a width "
            f"and height above 0, found {str(record.get('img_bbox'))[:80]}."
        )
    return box


def _joints(record: Record, path: Path) -> np.ndarray:
    joints = _numbers(record.get("joints"))
    if joints is None or joints.shape not in {(len(KEYPOINTS), 2), (len(KEYPOINTS), 3)}:
        found = None if joints is None else joints.shape
        raise BadInput(
            f"{path}: joints of {record['img_id']!r} must be {len(KEYPOINTS)} rows of x, y, "
            f"confidence, found {found}."
        )
    if joints.shape[1] == 2:
        joints = np.column_stack([joints, np.ones(len(joints))])
    labelled = joints[:, 2] > 0
    if not np.isfinite(joints[:, 2]).all() or not np.isfinite(joints[labelled]).all():
        raise BadInput(f"{path}: joints of {record['img_id']!r} hold NaN or infinity.")
    return np.where(labelled[:, None], joints, np.nan_to_num(joints))


def _numbers(value: Any) -> np.ndarray | None:
    try:
        return np.asarray(value, float)
    except (ValueError, TypeError, OverflowError):
        return None

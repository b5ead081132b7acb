"""Boxes of web images from the detections of any program, as COCO's annotations hold them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from chorus.animals.annotations import Record
from chorus.errors import BadInput, unknown_name


def boxes_of_coco(path: Path, category: str, least_score: float) -> list[Record]:
    """The records of a category's boxes: `img_id`, `img_path`, `img_bbox`, `box_score`.

    An id follows from the image's name and the box, so that it stays the same when the file is
    written again. Crowds, boxes without an area and boxes under the score are left out. BadInput if
    the file is no such file, or has no box left.
    """
    stored = _read(path)
    numbers = {each.get("name"): each.get("id") for each in stored["categories"]}
    if category not in numbers:
        raise unknown_name(f"category in {path}:", category, [str(name) for name in numbers])
    images = {each.get("id"): each.get("file_name") for each in stored["images"]}
    records: dict[str, Record] = {}
    for annotation in stored["annotations"]:
        if annotation.get("category_id") != numbers[category] or annotation.get("iscrowd"):
            continue
        score = annotation.get("score", 1.0)
        box = _box(annotation, path)
        if not isinstance(score, int | float) or not score >= least_score or box is None:
            continue
        name = images.get(annotation.get("image_id"))
        if not isinstance(name, str):
            raise BadInput(f"{path} has an annotation of an image that it does not list.")
        identifier = hashlib.sha256(f"{name}\0{box}".encode()).hexdigest()[:32]
        records[identifier] = {
            "img_id": identifier,
            "img_path": name,
            "img_bbox": box,
            "box_score": float(score),
        }
    if not records:
        raise BadInput(
            f"{path} has no box of a {category} with a score of {least_score:g} or more; lower "
            "--confidence_threshold."
        )
    return list(records.values())


def _box(annotation: dict[str, Any], path: Path) -> list[int] | None:
    """[x, y, w, h] in whole pixels, or None for one without an area."""
    try:
        box = np.asarray(annotation.get("bbox"), float)
    except (ValueError, TypeError):
        box = np.zeros(0)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise BadInput(
            f"{path}: the bbox of annotation {str(annotation.get('id'))[:40]} is no "
            "[x, y, width, height]."
        )
    whole = box.astype(int).tolist()
    return whole if min(whole[2:]) > 0 else None


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        stored = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is no JSON: {str(error)[:150]}.") from error
    for key in ("images", "categories", "annotations"):
        entries = stored.get(key) if isinstance(stored, dict) else None
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise BadInput(f"{path} has no list of {key}, as COCO's annotations do.")
    return stored

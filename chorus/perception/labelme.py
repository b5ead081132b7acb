"""labelme's annotations, a JSON file for each image → COCO instances.

Facts from labelme's code (wkentaro/labelme: `_label_file`, `shape.py`, examples' labelme2coco): a
file has `imagePath` (from the JSON's own folder), `imageHeight`, `imageWidth`, perhaps the image
itself in `imageData`, and `shapes`, each with `label`, `points` [[x, y], …] in pixels, `group_id`
and `shape_type`:

    polygon; rectangle: two opposite corners; circle: its middle and a point on it;
    mask: upper left and lower right pixel, and `mask`, base64 of a PNG of that part, not 0 inside;
    point, points, line, linestrip: no area

Shapes of one label and one `group_id` that is not null are one instance.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from chorus.errors import BadInput
from chorus.geometry import masks
from chorus.geometry.coco_annotations import mask_of
from chorus.perception.coco_content import CocoContent
from chorus.perception.mask_files import mask_of_png

_WITHOUT_AREA = ("point", "points", "line", "linestrip")
_CIRCLE = 64  # corners that stand for one


def is_labelme(content: Any) -> bool:
    """Whether parsed JSON is labelme's."""
    return isinstance(content, Mapping) and {"shapes", "imagePath"} <= content.keys()


def read_labelme(files: Mapping[Path, Any]) -> CocoContent:
    """The annotations of labelme's files, by path the parsed JSON.

    An image is called as its `imagePath`. BadInput, naming the file, without a name or size; a
    shape that cannot be used fails its image with the reason.
    """
    coco = CocoContent(list(files))
    flat: list[str] = []
    rectangles = 0
    for path, content in files.items():
        width, height = _size(content, path)
        image = coco.image(content["imagePath"], width, height)
        groups: dict[Any, list[Mapping]] = {}
        for at, shape in enumerate(content["shapes"]):
            kind = shape.get("shape_type", "polygon")
            if kind in _WITHOUT_AREA:
                flat.append(path.name)
                continue
            rectangles += kind == "rectangle"
            own = shape.get("group_id")
            of = at if own is None else f"group {own!r:.40}"
            groups.setdefault((str(shape.get("label")), of), []).append(shape)
        for (label, _), shapes in groups.items():
            coco.annotation(image, label, **_instance(shapes, width, height))
    if flat:
        coco.notes.append(
            f"labelme shapes without an area (points, lines), left out: {len(flat)}, the first in "
            f"{flat[0]}"
        )
    if rectangles:
        coco.notes.append(
            f"labelme rectangles, taken as masks of all their area: {rectangles}; outline objects "
            "with polygons or masks"
        )
    return coco


def _size(content: Mapping, path: Path) -> tuple[int, int]:
    """The image's width and height; BadInput if the file's parts are not of their form."""
    name, shapes = content["imagePath"], content["shapes"]
    if not isinstance(name, str) or not name:
        raise BadInput(f"{path}: imagePath is {name!r:.80}; expected the image's file name.")
    if not isinstance(shapes, list) or not all(isinstance(s, Mapping) for s in shapes):
        raise BadInput(f"{path}: shapes is {type(shapes).__name__}; expected a list of shapes.")
    sides = tuple(content.get(key) for key in ("imageWidth", "imageHeight"))
    if not all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sides):
        raise BadInput(
            f"{path}: imageWidth and imageHeight are {sides[0]!r:.40} and {sides[1]!r:.40}; "
            "expected the image's pixels. Open it in labelme and save it again."
        )
    return sides


def _instance(shapes: Sequence[Mapping], width: int, height: int) -> dict[str, Any]:
    """The segmentation of the shapes of one instance, or why there is none."""
    try:
        if all(shape.get("shape_type") != "mask" for shape in shapes):
            return {"segmentation": [_outline(shape) for shape in shapes]}
        drawn = np.zeros((height, width), bool)
        for shape in shapes:
            drawn |= _drawn(shape, width, height)
    except BadInput as error:
        return {"fault": str(error)}
    counts = masks.encode(drawn)
    return {"segmentation": {"size": [height, width], "counts": counts.decode()}}


def _points(shape: Mapping) -> np.ndarray:
    try:
        points = np.asarray(shape.get("points"), np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput("its points are not pairs of numbers") from error
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise BadInput("its points are not pairs of finite numbers")
    return points


def _outline(shape: Mapping) -> list[float]:
    """COCO's polygon of a shape with an outline; pixels."""
    kind, points = shape.get("shape_type", "polygon"), _points(shape)
    if kind == "polygon" or (kind == "rectangle" and len(points) == 4):
        return points.ravel().tolist()
    if kind not in ("rectangle", "circle"):
        raise BadInput(f"a shape of the type {kind!r:.40}; draw a polygon or a mask")
    if len(points) != 2:
        raise BadInput(f"a {kind} of {len(points)} points, expected 2")
    if kind == "rectangle":
        (x, y), (x2, y2) = points.tolist()
        return [x, y, x2, y, x2, y2, x, y2]
    angle = np.linspace(0, 2 * np.pi, _CIRCLE, endpoint=False)
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (points[0] + np.linalg.norm(points[1] - points[0]) * around).ravel().tolist()


def _drawn(shape: Mapping, width: int, height: int) -> Bool[np.ndarray, "H W"]:
    """A shape's pixels (H, W) in its image."""
    if shape.get("shape_type") != "mask":
        counts = mask_of({"segmentation": [_outline(shape)]}, height, width)
        return masks.decode(counts, height, width)
    try:
        content = base64.b64decode(shape.get("mask") or "", validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise BadInput("its mask is not base64 of a PNG file") from error
    part, points = mask_of_png(content), _points(shape)
    left, top = np.round(points[0]).astype(int)
    h, w = part.shape
    if left < 0 or top < 0 or left + w > width or top + h > height:
        raise BadInput(
            f"its mask of {w} x {h} pixels at {left}, {top} reaches beyond the image's "
            f"{width} x {height}"
        )
    drawn = np.zeros((height, width), bool)
    drawn[top : top + h, left : left + w] = part
    return drawn

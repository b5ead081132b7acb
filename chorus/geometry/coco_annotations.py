"""Boxes and masks of COCO's annotations, which are checked as they are read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput, shown
from chorus.geometry import masks

MOST_PIXELS = 178_956_970
"""Of an image, as `perception.photographs` has it from Pillow."""


def box_of(annotation: Mapping) -> Float[np.ndarray, " 4"]:
    """The annotation's box, xyxy float32, pixels; BadInput if it is missing or has no area."""
    try:
        x, y, width, height = (float(value) for value in annotation["bbox"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInput("no box") from error
    box = np.array([x, y, x + width, y + height], np.float32)
    if not np.isfinite(box).all() or width <= 0 or height <= 0:
        raise BadInput(f"degenerate box {[x, y, width, height]}")
    return box


def has_box(annotation: Mapping) -> bool:
    """Whether the annotation says where its box is; one of zeros alone stands for none."""
    box = annotation.get("bbox")
    return box is not None and box not in ([0, 0, 0, 0], [])


def scraps_of(annotation: Mapping) -> int:
    """How many polygons have fewer than three points, which `mask_of` leaves out; annotation
    programs leave such scraps beside the outline."""
    segmentation = annotation.get("segmentation")
    return sum(map(_is_scrap, segmentation)) if isinstance(segmentation, list) else 0


def _is_scrap(polygon: object) -> bool:
    return isinstance(polygon, list) and len(polygon) < 6


def mask_of(annotation: Mapping, height: int, width: int) -> bytes:
    """The annotation's mask as compressed counts for an image of (height, width) pixels.

    Takes all of COCO's forms: polygons, run lengths as numbers, compressed run lengths. Polygons of
    fewer than three points are left out if there are others. BadInput with a short reason if there
    is no segmentation, it is damaged, of another size or empty.
    """
    segmentation = annotation.get("segmentation")
    if height * width > MOST_PIXELS:
        raise BadInput(
            f"an image of {width} x {height} pixels, more than the {MOST_PIXELS:,} that are read"
        )
    if not segmentation:
        raise BadInput("no segmentation; draw its mask or delete it")
    if not isinstance(segmentation, Mapping | list):
        raise BadInput("damaged segmentation: not polygons or run lengths")
    if isinstance(segmentation, Mapping):
        counts = _from_run_lengths(segmentation, height, width)
    else:
        counts = _from_polygons(segmentation, height, width)
    if not masks.decode(counts, height, width).any():
        raise BadInput("empty segmentation")
    return counts


def _from_run_lengths(segmentation: Mapping, height: int, width: int) -> bytes:
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if size != [height, width]:
        raise BadInput(f"segmentation of size {shown(size)}, image of {[height, width]}")
    if isinstance(counts, str):
        if counts.startswith(("b'", 'b"')):
            raise BadInput(
                "damaged segmentation: its counts are the text of Python's bytes, b'...'; write "
                "counts.decode() instead of str(counts)"
            )
        counts = counts.encode("utf-8")
    if isinstance(counts, bytes):
        return masks.encode(masks.decode(counts, height, width))
    try:
        runs = np.asarray(counts, np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput("damaged segmentation: its counts are not numbers") from error
    # each by itself first: a sum of forged ones may overflow to what is expected
    outside = (runs < 0) | (runs > height * width)
    if runs.ndim != 1 or outside.any() or runs.sum() != height * width:
        raise BadInput("damaged segmentation: its counts do not fill the image")
    values = np.arange(runs.size) % 2 == 1
    return masks.encode(np.repeat(values, runs).reshape(width, height).T)


def _from_polygons(segmentation: list, height: int, width: int) -> bytes:
    """Polygons by COCO's own rasteriser, which trusts its input: so everything is checked first."""
    from pycocotools import mask as rasteriser

    polygons = []
    if not any(isinstance(each, list) for each in segmentation):
        segmentation = [segmentation]  # one polygon, as pycocotools takes it too
    outlines = [each for each in segmentation if not _is_scrap(each)]
    for given in outlines or segmentation:
        try:
            polygon = np.asarray(given, np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise BadInput("damaged segmentation: a polygon is not a list of numbers") from error
        if polygon.ndim != 1 or polygon.size < 6 or polygon.size % 2:
            raise BadInput("damaged segmentation: a polygon has fewer than three points")
        # Far outside points would make it allocate without bound.
        reach = np.array([width, height])
        points = polygon.reshape(-1, 2)
        if not ((points >= -reach) & (points <= 2 * reach)).all():
            raise BadInput("damaged segmentation: a polygon lies far outside the image")
        polygons.append(polygon.tolist())
    return rasteriser.merge(rasteriser.frPyObjects(polygons, height, width))["counts"]

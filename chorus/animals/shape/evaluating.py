"""What a shape network finds in images, and how good it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from chorus.animals.accuracy import area_under_curve, camera_errors, errors
from chorus.animals.annotations import Labels, Record, read_image
from chorus.animals.crops import WHITE, as_input, crop_transform, overlaps, square_of, warp
from chorus.animals.shape.network import ShapeNetwork
from chorus.animals.shape.projecting import PosedTemplate, likeliest, project
from chorus.errors import BadInput
from chorus.rendering.raycast import RayScene


@dataclass(frozen=True, eq=False)
class Shape:
    """One record's shape: keypoints (16, 2) and vertices (V, 3), image pixels and a depth alike,
    and the camera's rotation (3, 3); or why there is none."""

    record: Record
    keypoints: Float[np.ndarray, "K 2"] | None = None
    vertices: Float[np.ndarray, "V 3"] | None = None
    rotation: Float[np.ndarray, "3 3"] | None = None
    problem: str = ""


def find_shapes(
    network: ShapeNetwork,
    template: PosedTemplate,
    images: Path,
    records: Sequence[Record],
    batch_size: int,
) -> Iterator[Shape]:
    """The shape of each record by its likeliest camera, in order; boxes are not widened."""
    size = network.form.image_size
    for start in range(0, len(records), batch_size):
        part = records[start : start + batch_size]
        crops = [_crop(images, record, size) for record in part]
        whole = [crop for crop in crops if not isinstance(crop, str)]
        found = _predicted(network, template, [crop[0] for crop in whole])
        number = 0
        for record, crop in zip(part, crops, strict=True):
            if isinstance(crop, str):
                yield Shape(record, problem=crop)
                continue
            _, corner, side = crop
            vertices, rotation = found[0][number].copy(), found[1][number]
            vertices *= side / 2
            vertices[:, :2] += corner + side / 2
            rows = template.keypoints.cpu().numpy()
            yield Shape(record, vertices[rows, :2], vertices, rotation)
            number += 1


def _crop(images: Path, record: Record, size: int) -> tuple[np.ndarray, np.ndarray, float] | str:
    """A crop, its corner (2,) and side in the image; or why there is none."""
    try:
        image = read_image(images, record)
    except BadInput as error:
        return str(error)
    box = np.asarray(record["img_bbox"], float)
    if not overlaps(box, image):
        return f"the box {record['img_bbox']} of {record['img_id']!r} lies outside of its image."
    corner, side = square_of(box)
    return warp(image, crop_transform(corner, side, size), size, WHITE), corner, side


def _predicted(
    network: ShapeNetwork, template: PosedTemplate, crops: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N, V, 3) in the crop and rotations (N, 3, 3)."""
    if not crops:
        return np.zeros((0, 0, 3)), np.zeros((0, 3, 3))
    network.eval()
    with torch.inference_mode():
        images = as_input(np.stack(crops)).to(template.vertices.device)
        prediction = likeliest(network(images))
        prediction = prediction._replace(shifts=torch.zeros_like(prediction.shifts))
        vertices = project(template.posed(prediction), prediction)[:, 0]
    return vertices.double().cpu().numpy(), prediction.rotation[:, 0].double().cpu().numpy()


def silhouette(
    vertices: Float[np.ndarray, "V 3"], faces: np.ndarray, height: int, width: int
) -> Bool[np.ndarray, "H W"]:
    """The pixels (H, W) that a projected mesh covers; vertices are pixels and a depth."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    before = float(vertices[:, 2].min()) - 1.0
    origins = np.stack([columns, rows, np.full_like(rows, before)], -1).reshape(-1, 3)
    scene = RayScene([(vertices, faces)])
    return scene.occluded(origins, np.array([0.0, 0.0, 1.0])).reshape(height, width)


@dataclass(frozen=True)
class ShapeScores:
    """Figures of a shape network on labelled images; NaN where the labels have no such truth."""

    area: float
    """Mean PCK at .06 to .10 of the box, percent."""
    camera: float
    """Mean angle between cameras, degrees."""
    overlap: float
    """Mean intersection over union of silhouettes, percent."""
    images: int
    """How many images there were."""


def score_shapes(labels: Labels, shapes: Sequence[Shape], faces: np.ndarray) -> ShapeScores:
    """Figures of shapes against their labels. BadInput if one has a problem or a damaged truth."""
    for shape in shapes:
        if shape.problem:
            raise BadInput(shape.problem)
    found = np.stack([shape.keypoints for shape in shapes])
    error, counted = errors(found, labels.joints, labels.boxes)
    cameras, overlaps_found = [], []
    for record, shape in zip(labels.records, shapes, strict=True):
        if record.get("valid_cam") and "cam_rot" in record:
            true = _truth(record, "cam_rot", (3, 3))
            cameras.append(camera_errors(shape.rotation[None], true[None])[0])
        if "seg" in record:
            mask = _truth(record, "seg", None) > 0.5
            mine = silhouette(shape.vertices, faces, *mask.shape)
            either = (mask | mine).sum()
            overlaps_found.append((mask & mine).sum() / either if either else np.nan)
    return ShapeScores(
        area_under_curve(error, counted),
        float(np.mean(cameras)) if cameras else float("nan"),
        float(100 * np.nanmean(overlaps_found)) if overlaps_found else float("nan"),
        len(shapes),
    )


def _truth(record: Record, key: str, shape: tuple[int, ...] | None) -> np.ndarray:
    try:
        values = np.asarray(record[key], float)
    except (ValueError, TypeError):
        values = np.zeros(0)
    good = values.ndim == 2 if shape is None else values.shape == shape
    if not good or not np.isfinite(values).all() or not values.size:
        raise BadInput(f"{key} of {record['img_id']!r} is no matrix of numbers; mend the labels.")
    return values


def label_records(shapes: Sequence[Shape]) -> list[Record]:
    """The records of `<name>_pl_3d.json`: joints as rows of x and y."""
    good = [shape for shape in shapes if not shape.problem]
    if not good:
        raise BadInput("no image could be looked at, so there are no pseudo-labels.")
    return [{**shape.record, "joints": shape.keypoints.tolist()} for shape in good]

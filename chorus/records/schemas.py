"""The schema of every table of samples (docs/results-format.md describes the columns)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

COMMON = {"index": "int32", "status": "string", "reason": "string"}
"""The columns of every table: the sample's number in its shard, "done", "skipped" or "failed", and
the reason if it is not done."""

# Column types in a small notation, read by `tables`: "float32[72]" is a list of 72 numbers,
# a dict is a struct, a one-element list is a list of such.
_PERSON = {
    "box": "float32[4]",
    "pose": "float32[72]",
    "betas": "float32[10]",
    "camera": "float32[3]",
    "crop_centre": "float32[2]",
    "crop_side": "float32",
    "joints": "float32[48]",
}
_DETECTION = {"label": "string", "score": "float32", "box": "float32[4]", "mask": "binary"}
_INSTANCES = {"width": "int32", "height": "int32", "detections": [_DETECTION]}
_TRUE_PERSON = {
    "pose": "float32[72]",
    "betas": "float32[10]",
    "translation": "float32[3]",
    "joints3d": "float32[72]",
    "joints2d": "float32[48]",
    "joint_visible": "bool[24]",
    "keypoints": "float32[34]",
    "keypoint_visible": "bool[17]",
    "box": "float32[4]",
    "mask": "binary",
}
_TRUE_OBJECT = {
    "category": "string",
    "kind": "string",
    "parameters": "string",
    "object_to_world": "float64[16]",
    "object_to_body": "float64[16]",
    "box": "float32[4]",
    "mask": "binary",
}


@dataclass(frozen=True)
class Schema:
    """Name (also the folder in the results tree), version and columns of one kind of table."""

    name: str
    version: int
    columns: dict[str, Any]

    @property
    def fields(self) -> dict[str, Any]:
        """All columns, the common ones first."""
        return {**COMMON, **self.columns}


SCHEMAS: dict[str, Schema] = {
    schema.name: schema
    for schema in (
        Schema(
            "images",
            1,
            {
                "file": "string",
                "width": "int32",
                "height": "int32",
                "seed": "int64",
                "text": "string",
            },
        ),
        Schema(
            "synthetic_truth",
            1,
            {
                "setting": "string",
                "fault": "string",
                "width": "int32",
                "height": "int32",
                "camera_R": "float64[9]",
                "camera_t": "float64[3]",
                "camera_K": "float64[9]",
                "persons": [_TRUE_PERSON],
                "objects": [_TRUE_OBJECT],
            },
        ),
        Schema("annotations", 1, _INSTANCES),
        Schema("segmentations", 1, _INSTANCES),
        Schema("humans", 1, {"persons": [_PERSON]}),
        Schema("human_kps", 1, {"persons": [{"box": "float32[4]", "keypoints": "float32[51]"}]}),
        Schema("filtered", 1, {"verdicts": ["string"], "person": "int32", "objects": ["int32"]}),
        Schema(
            "refined",
            1,
            {
                "pose": "float32[72]",
                "R": "float32[9]",
                "t": "float32[3]",
                "K": "float32[9]",
                "residual_before": "float32",
                "residual": "float32",
                "agreement": "float32",
                "iterations": "int32",
                "converged": "bool",
                "doubt": "string",
            },
        ),
        Schema(
            "quality",
            1,
            {
                "confidence": "float32",
                "consistency": "float32",
                "agreement": "float32",
                "reprojection": "float32",
            },
        ),
        Schema(
            "filtered_cameras",
            1,
            {
                "R": "float32[9]",
                "t": "float32[3]",
                "K": "float32[9]",
                "residual": "float32",
                "converged": "bool",
                "iterations": "int32",
            },
        ),
        Schema(
            "lifted",
            1,
            {
                "text": "string",
                "body": "string",
                "pose": "float64[72]",
                "K": "float64[9]",
                "objects": [{"mesh": "string", "transform": "float64[16]"}],
            },
        ),
        Schema(
            "test_set",
            1,
            {
                "image": "string",
                "image_id": "int64",
                "width": "int32",
                "height": "int32",
                "person_box": "float32[4]",
                "object_box": "float32[4]",
                "overlap": "float32",
                "mask": "binary",
                "pose": "float32[72]",
                "betas": "float32[10]",
                "R": "float32[9]",
                "t": "float32[3]",
                "K": "float32[9]",
                "residual": "float32",
                "body": "string",
            },
        ),
    )
}
"""Every table by name."""

"""The clean-up of overlapping instances (method.md 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chorus.geometry.boxes import suppress_overlaps
from chorus.records.rows import Detection

MIN_OVERLAP = 0.8
ALWAYS_KEEP = 0.98


def clean_up(detections: Sequence[Detection], threshold: float) -> list[Detection]:
    """Instances of sufficient score that no other instance of their class makes superfluous."""
    kept: list[Detection] = []
    confident = [d for d in detections if d.score >= threshold]
    for label in sorted({d.label for d in confident}):
        group = [d for d in confident if d.label == label]
        keep = suppress_overlaps(
            np.stack([d.box for d in group]),
            np.array([d.score for d in group]),
            MIN_OVERLAP,
            ALWAYS_KEEP,
        )
        kept += [d for d, stays in zip(group, keep, strict=True) if stays]
    return kept

"""One field on one test set: PAP per image and in the mean, from Python (method.md 12).

result = chorus.score(field, "results/test_set/synthetic/surfboard/test/original.parquet")
result.figures.mean[0]     # mPAP, 0..1, in the version result.metric
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chorus.errors import BadInput
from chorus.evaluation.labelled_images import (
    LabelledImage,
    check_one_body,
    labelled_image,
    warn_of_unknown_body,
)
from chorus.evaluation.pap import ImageScore, score_images
from chorus.evaluation.pap_settings import Metric, PapSettings
from chorus.evaluation.summary import CategoryFigures, SummarySettings, summarise
from chorus.evaluation.voxel_field import read_field
from chorus.records.tables import DONE, read_table

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.occupancy.distribution import Distribution


@dataclass(frozen=True, eq=False)
class FieldScore:
    """How well one field foretells the objects of one test set."""

    metric: Metric
    """The version of the metric, without which the figures mean nothing."""
    figures: CategoryFigures
    """Means over the images with their intervals, in the order of `pap.VARIANTS`."""
    images: tuple[ImageScore, ...] = dataclasses.field(repr=False)
    """Every image's result, in the order of the test set."""


def score(
    field: Distribution | str | Path,
    test_set: Sequence[LabelledImage] | str | Path,
    metric: Metric = "pap/v2",
    *,
    body: BodyModel | None = None,
    settings: PapSettings | None = None,
    threads: int = 1,
) -> FieldScore:
    """Score a field, or the file of one (`voxel_field`), on a test set or its table.

    body: the test set's; the free body if left out. settings: instead of `metric`, to choose the
    pixel grid and the thresholds as well. BadInput if field, test set and body do not belong
    together, or hold NaN.
    """
    if body is None:
        from chorus.body.loading import load_body

        body = load_body()
    settings = settings or PapSettings(metric=metric)
    if isinstance(field, str | Path):
        field = read_field(field)
    if isinstance(test_set, str | Path):
        test_set = read_test_set(test_set, body)
    warn_of_unknown_body(field)
    results = score_images(field, body, test_set, settings, threads)
    category = field.category or "field"
    values = np.array([result.pap for result in results]).reshape(len(results), -1)
    summary = summarise({category: values}, settings.metric, SummarySettings())
    return FieldScore(settings.metric, summary.categories[0], tuple(results))


def read_test_set(path: str | Path, body: BodyModel) -> list[LabelledImage]:
    """The test images of a table `test_set`.

    BadInput if there are none, the table is damaged, or its cameras belong to another body.
    """
    rows = list(read_table(Path(path), "test_set").rows.values())
    check_one_body(rows, body.fingerprint)
    images = [labelled_image(row) for row in rows if row["status"] == DONE]
    if not images:
        raise BadInput(f"{path} holds no test image; see the reasons in its rows.")
    return images

"""Tables of `chorus evaluate --task reconstruction`: means with intervals."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from chorus.evaluation.summary import SummarySettings, resampled_means
from chorus.viewing.text_table import format_table

Scores = Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]
"""By category, method and figure the values (n,) of the images."""


class _Column(NamedTuple):
    title: str
    figure: str
    factor: float
    form: str


_COLUMNS = (
    _Column("centroid, cm", "centroid", 100, "{:.1f}"),
    _Column("of its size, %", "relative", 100, "{:.0f}"),
    _Column("Chamfer, cm", "chamfer", 100, "{:.1f}"),
    _Column("IoU, %", "iou", 100, "{:.1f}"),
    _Column("within half, %", "within", 100, "{:.0f}"),
    _Column("rotation, °", "rotation", 180 / np.pi, "{:.0f}"),
)


class Interval(NamedTuple):
    """A mean over categories and the ends of its interval; NaN where there is none."""

    mean: float
    low: float
    high: float


def interval(values: Mapping[str, np.ndarray], settings: SummarySettings | None = None) -> Interval:
    """The mean over categories of the means over their images (n,), resampled within each."""
    settings = settings or SummarySettings()
    means, drawn = [], []
    for category, of in values.items():
        if np.isnan(of).all():
            continue
        generator = np.random.default_rng([settings.seed, zlib.crc32(category.encode())])
        means.append(np.nanmean(of))
        drawn.append(resampled_means(of[:, None], settings.draws, generator)[:, 0])
    if not means:
        return Interval(*[float("nan")] * 3)
    tail = (1 - settings.confidence) / 2
    low, high = np.nanquantile(np.mean(drawn, axis=0), [tail, 1 - tail])
    return Interval(float(np.mean(means)), float(low), float(high))


def overall_table(scores: Scores) -> str:
    """A row for each method: means over categories, with 95 % intervals."""
    methods = next(iter(scores.values()))
    shown = [c for c in _COLUMNS if any(_has(scores, name, c.figure) for name in methods)]
    rows = [
        [name, *(_cell(_of(scores, name, c.figure), c.factor, c.form.format) for c in shown)]
        for name in methods
    ]
    return format_table([f"mean of {len(scores)} categories", *(c.title for c in shown)], rows)


def per_category_table(scores: Scores) -> str:
    """A row for each category: the centroid's error by each method, cm, with 95 % intervals."""
    methods = list(next(iter(scores.values())))
    rows = [
        [
            category,
            *(_cell({category: of[name]["centroid"]}, 100, "{:.1f}".format) for name in methods),
        ]
        for category, of in scores.items()
    ]
    return format_table(["centroid, cm", *methods], rows)


def _of(scores: Scores, method: str, figure: str) -> dict[str, np.ndarray]:
    return {category: of[method][figure] for category, of in scores.items()}


def _has(scores: Scores, method: str, figure: str) -> bool:
    return any(not np.isnan(values).all() for values in _of(scores, method, figure).values())


def _cell(values: Mapping[str, np.ndarray], factor: float, form: Callable[[float], str]) -> str:
    found = interval(values)
    if np.isnan(found.mean):
        return ""
    mean, low, high = (form(factor * value) for value in found)
    return f"{mean} [{low}, {high}]"

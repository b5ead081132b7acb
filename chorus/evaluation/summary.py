"""PAP of images put together: per category, over categories, with intervals (method.md 12)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from chorus.errors import BadInput
from chorus.evaluation.pap_settings import VARIANTS, Metric

_DRAWS_AT_ONCE = 1 << 22
"""Values resampled at a time (32 MB)."""


@dataclass(frozen=True)
class SummarySettings:
    """Which categories count and how sure the figures are."""

    min_images: int = 30
    """A category with fewer test images is reported but left out of the mean over categories."""
    draws: int = 2000
    """Bootstrap resamples of the test images behind every interval."""
    confidence: float = 0.95
    """Share of the resamples that lies inside an interval."""
    seed: int = 42
    """Seed of the resampling; a category's interval does not depend on the other categories."""

    def __post_init__(self) -> None:
        if self.min_images < 1 or self.draws < 1 or not 0 < self.confidence < 1:
            raise BadInput(
                "a summary needs min_images and draws of 1 or more and a confidence between 0 and "
                f"1; found {self.min_images}, {self.draws} and {self.confidence}."
            )


@dataclass(frozen=True, eq=False)
class Figures:
    """The four means of VARIANTS, 0..1, with the ends of their intervals.

    NaN where no image counts; the ends also where one image counts, which tells of no spread.
    """

    mean: Float[np.ndarray, " 4"]
    low: Float[np.ndarray, " 4"]
    high: Float[np.ndarray, " 4"]


@dataclass(frozen=True, eq=False)
class CategoryFigures(Figures):
    """One category's figures."""

    category: str
    images: int
    """Test images of the category."""
    counted: Int[np.ndarray, " 4"]
    """Images in each mean: those whose target is not empty."""
    evaluated: bool
    """Whether it has enough images to enter the mean over categories."""


@dataclass(frozen=True, eq=False)
class Summary:
    """All figures of one evaluation."""

    metric: Metric
    """The version of the metric, which belongs to every figure."""
    categories: tuple[CategoryFigures, ...]
    """Every category given, by name."""
    overall: Figures
    """Mean over the evaluated categories; each figure over those of `averaged`."""

    @property
    def averaged(self) -> Int[np.ndarray, " 4"]:
        """Categories in each figure's mean: the evaluated ones in which any image has a target."""
        counted = [figures.counted > 0 for figures in self.categories if figures.evaluated]
        return np.sum(counted, axis=0, dtype=int) if counted else np.zeros(len(VARIANTS), int)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Categories with too few images, which the mean over categories leaves out."""
        return tuple(figures.category for figures in self.categories if not figures.evaluated)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the four figures with the version, as they are printed."""
        return tuple(f"m{variant} ({self.metric})" for variant in VARIANTS)


def summarise(
    scores: Mapping[str, Float[np.ndarray, "n 4"]],
    metric: Metric,
    settings: SummarySettings | None = None,
) -> Summary:
    """Figures per category and over categories from the images' (n, 4) PAP, NaN for left out.

    The mean over categories is resampled by resampling the images within every category. It has an
    interval if any category has one; a category of one image counts as known. BadInput if a
    category's scores are not (n, 4).
    """
    settings = settings or SummarySettings()
    categories, drawn = [], []
    for category in sorted(scores):
        values = np.asarray(scores[category], np.float64)
        if values.ndim != 2 or values.shape[1] != len(VARIANTS):
            raise BadInput(
                f"the scores of {category!r} must be (images, {len(VARIANTS)}), "
                f"found {values.shape}."
            )
        # A generator of its own keeps a category's interval apart from the others' presence.
        generator = np.random.default_rng([settings.seed, zlib.crc32(category.encode())])
        means = resampled_means(values, settings.draws, generator)
        evaluated = len(values) >= settings.min_images
        counted = np.count_nonzero(~np.isnan(values), axis=0)
        figures = _figures(_mean(values), means, settings.confidence, counted > 1)
        categories.append(CategoryFigures(*figures, category, len(values), counted, evaluated))
        if evaluated:
            drawn.append(means)
    chosen = [figures for figures in categories if figures.evaluated]
    nothing = np.full((1, len(VARIANTS)), np.nan)
    overall = _figures(
        _mean(np.array([figures.mean for figures in chosen]) if chosen else nothing),
        _mean(np.array(drawn)) if drawn else nothing,
        settings.confidence,
        np.any([figures.counted > 1 for figures in chosen], axis=0) if chosen else False,
    )
    return Summary(metric, tuple(categories), Figures(*overall))


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis without NaN; NaN where there is nothing else."""
    present = ~np.isnan(values)
    number = present.sum(axis=0)
    total = np.where(present, values, 0).sum(axis=0)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def resampled_means(
    values: Float[np.ndarray, "n F"], draws: int, generator: np.random.Generator
) -> Float[np.ndarray, "draws F"]:
    """Means (draws, F) of resamples of the images with figures (n, F), with replacement, NaN left
    out."""
    images = len(values)
    if not images:
        return np.full((draws, values.shape[1]), np.nan)
    # How often each image is drawn is all a mean needs, and is far smaller than the draws.
    at_once = max(1, _DRAWS_AT_ONCE // images)
    present = ~np.isnan(values)
    filled = np.where(present, values, 0)
    means = []
    for start in range(0, draws, at_once):
        count = min(at_once, draws - start)
        times = generator.multinomial(images, np.full(images, 1 / images), size=count)
        number = times @ present
        total = times @ filled
        means.append(np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0))
    return np.concatenate(means)


def _figures(
    mean: np.ndarray,
    means: Float[np.ndarray, "draws 4"],
    confidence: float,
    several: Bool[np.ndarray, " 4"] | bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean, low, high): the middle `confidence` of the resampled means.

    The ends are NaN without any, and where not `several` images are behind a mean.
    """
    tail = (1 - confidence) / 2
    ends = np.full((2, means.shape[1]), np.nan)
    usable = ~np.isnan(means).all(axis=0) & several
    if usable.any():
        ends[:, usable] = np.nanquantile(means[:, usable], [tail, 1 - tail], axis=0)
    return mean, ends[0], ends[1]

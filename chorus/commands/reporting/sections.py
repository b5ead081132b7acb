"""The tables of `chorus report`: results of `chorus evaluate` that were made alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from chorus.errors import BadInput, unknown_name
from chorus.evaluation.pap_settings import VARIANTS
from chorus.evaluation.result_files import RESULTS, read_scores, score_files
from chorus.files import portable_name
from chorus.settings import BodyOptions, CategoryOptions, RedoOptions, TreeOptions, WorkerOptions

if TYPE_CHECKING:
    from chorus.evaluation.summary import Figures, Summary

FIRST_COLUMNS = ("category", "test images", "generated", "retained")
TRUTH = {
    "3D AP": "soft_ap",
    "of at most": "soft_ap_ceiling",
    "region AP": "region_ap",
    "IoU": "best_iou",
}
"""Figures against lifted meshes, of test sets that have them, as results call them (docs)."""


@dataclass(frozen=True)
class Options(WorkerOptions, BodyOptions, RedoOptions, TreeOptions, CategoryOptions):
    """Print figures per category and their mean, and write a page with plots and test images."""

    format: Literal["table", "csv", "json", "markdown", "latex"] = "table"
    """How the tables are written."""
    metric: str | None = None
    """Only this version of the metric; all that were evaluated if left out."""
    num_multiview_thres: int = 30
    """A category with fewer test images is reported but left out of the mean."""
    html: bool = True
    """Also write a page with the tables, precision-recall plots and best, median and worst test
    images: <results_dir>/quant_results/<model key>/index.html, one file that needs nothing else."""
    coco_images: Path | None = None
    """Folder of COCO's images for the page; <imports_dir>/COCO/images/val2014 if left out."""


@dataclass(frozen=True)
class Section:
    """One table: the results of categories that were evaluated alike."""

    metric: str
    aggregation: str
    part: str
    settings: dict[str, Any]
    records: dict[str, dict[str, Any]]
    summary: Summary

    @property
    def title(self) -> str:
        """What every figure of the table belongs to."""
        steps = self.settings["thresholds"]
        return (
            f"{self.metric}, {self.aggregation}, cluster {self.part}, on "
            f"{self.settings['test_set']}; shorter side {self.settings['downscale_length']}, "
            f"{len(steps)} thresholds {steps[0]:g} to {steps[-1]:g}, body "
            f"{self.settings['body'][:12]}; percent [95 % interval]"
        )

    @property
    def header(self) -> list[str]:
        """Names of the columns: those of counts, then the figures with their version."""
        return [*FIRST_COLUMNS, *self.summary.names]

    @property
    def truth_header(self) -> list[str]:
        """Names of the columns of 3D truth; none where no category has any."""
        return ["meshes", *TRUTH] if any("truth" in r for r in self.records.values()) else []

    def truth_rows(self, digits: int = 1) -> list[list[str]]:
        """The cells below `truth_header` for every line of `rows`, percent; "-" where unknown.

        The mean is that of the evaluated categories with a figure.
        """
        found = [self.records[figures.category].get("truth") for figures in self.summary.categories]
        rows = [_truth_cells(truth or {}, digits) for truth in found]
        evaluated = [f.evaluated for f in self.summary.categories]
        if any(evaluated):
            counted = [t for t, yes in zip(found, evaluated, strict=True) if t and yes]
            values = {n: [t[n] for t in counted if t[n] is not None] for n in TRUTH.values()}
            mean = {name: sum(of) / len(of) for name, of in values.items() if of}
            scenes = {"scenes": sum(t["scenes"] for t in counted)} if counted else {}
            rows.append(_truth_cells({**scenes, **mean}, digits))
        return rows

    def rows(self) -> list[tuple[list[str], Figures, str]]:
        """First cells, figures and kind ("", "outside", "mean") of every line; the mean last.

        The mean's first cell says of how many categories it is: one number, or one per figure where
        some have no target for the `hoa` figures.
        """
        rows = []
        for figures in self.summary.categories:
            record = self.records[figures.category]
            generated = "-" if record["generated"] is None else str(record["generated"])
            name = (
                figures.category if figures.evaluated else f"{figures.category} (not in the mean)"
            )
            kind = "" if figures.evaluated else "outside"
            counts = [str(figures.images), generated, str(record["retained"])]
            rows.append(([name, *counts], figures, kind))
        evaluated = [figures for figures in self.summary.categories if figures.evaluated]
        if evaluated:
            images = str(sum(figures.images for figures in evaluated))
            name = f"mean of {_many(self.summary.averaged.tolist())}"
            rows.append(([name, images, "", ""], self.summary.overall, "mean"))
        return rows


def _truth_cells(truth: Mapping[str, Any], digits: int) -> list[str]:
    values = [truth.get(name) for name in TRUTH.values()]
    cells = ["-" if value is None else f"{100 * value:.{digits}f}" for value in values]
    return [str(truth.get("scenes", "-")), *cells]


def sections_of(options: Options) -> list[Section]:
    """The tables of what was evaluated, of the categories and the metric that are asked for.

    BadInput if there is none.
    """
    import numpy as np

    from chorus.evaluation.summary import SummarySettings, summarise

    root = options.tree.folder(RESULTS) / portable_name(options.models.model_key)
    records = [read_scores(path) for path in score_files(options.tree, options.models.model_key)]
    if not records:
        model = options.models.model_key
        others = options.tree.other_keys(RESULTS, model, " There are some of --model_key {}.")
        raise BadInput(f"{root} holds no results; run evaluate first.{others}")
    for kind, name, known in (
        *(("category", name, {r["category"] for r in records}) for name in options.categories),
        *([("metric", options.metric, {r["metric"] for r in records})] if options.metric else []),
    ):
        if name not in known:
            raise unknown_name(f"{kind} among the results in {root}:", name, known)
    groups: dict[tuple[str, ...], dict[str, dict]] = {}
    for record in records:
        if (options.categories and record["category"] not in options.categories) or (
            options.metric and record["metric"] != options.metric
        ):
            continue
        settings = json.dumps(record["settings"], sort_keys=True)
        key = (record["metric"], record["aggregation"], record["part"], settings)
        groups.setdefault(key, {})[record["category"]] = record
    chosen = SummarySettings(min_images=options.num_multiview_thres)
    return [
        Section(
            metric,
            aggregation,
            part,
            json.loads(settings),
            group,
            summarise(
                {
                    category: np.array(
                        [[image[name] for name in VARIANTS] for image in record["images"]], float
                    )
                    for category, record in group.items()
                },
                metric,
                chosen,
            ),
        )
        for (metric, aggregation, part, settings), group in sorted(groups.items())
    ]


def _many(categories: Sequence[int]) -> str:
    """Over how many categories the figures' means are, in words: one number if they agree."""
    if len(set(categories)) > 1:
        return f"{', '.join(map(str, categories))} categories"
    return f"{categories[0]} categor{'y' if categories[0] == 1 else 'ies'}"

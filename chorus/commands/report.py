"""`chorus report`: the PAP tables and the page of what `chorus evaluate` scored (SPEC 12).

One table for each aggregation, metric and set of settings: figures are only put side by side, and
averaged over categories, if they were made alike.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from chorus.commands.status import format_table
from chorus.engine.command_result import Progress, Report
from chorus.errors import BadInput, unknown_name
from chorus.evaluation.pap_settings import VARIANTS
from chorus.evaluation.result_files import RESULTS, read_scores, score_files
from chorus.files import portable_name
from chorus.settings import RunOptions

if TYPE_CHECKING:
    import numpy as np

    from chorus.evaluation.summary import Figures, Summary

log = logging.getLogger(__name__)

_FIRST = ["category", "test images", "generated", "retained"]


@dataclass(frozen=True)
class Options(RunOptions):
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
        return [*_FIRST, *self.summary.names]

    def rows(self) -> list[tuple[list[str], Figures, str]]:
        """First cells, figures and kind ("", "outside", "mean") of every line; the mean last.

        The mean's first cell says of how many categories it is: one number, or one per figure where
        some have no target for the `hoa` figures.
        """
        rows = []
        for one in self.summary.categories:
            record = self.records[one.category]
            generated = "-" if record["generated"] is None else str(record["generated"])
            name = one.category if one.evaluated else f"{one.category} (not in the mean)"
            kind = "" if one.evaluated else "outside"
            counts = [str(one.images), generated, str(record["retained"])]
            rows.append(([name, *counts], one, kind))
        evaluated = [one for one in self.summary.categories if one.evaluated]
        if evaluated:
            images = str(sum(one.images for one in evaluated))
            name = f"mean of {_many(self.summary.averaged.tolist())}"
            rows.append(([name, images, "", ""], self.summary.overall, "mean"))
        return rows


def run(options: Options, progress: Progress = None) -> Report:
    """The tables as the report's text; problems name the categories that no mean contains.

    The page's path is the summary line, or, for the formats that are read by machines, logged.
    """
    sections = _sections(options)
    write = {
        "table": _plain,
        "csv": _csv,
        "json": _json,
        "markdown": _markdown,
        "latex": _latex,
    }[options.format]
    report = Report("", text=write(sections))
    for section in sections:
        for one in section.summary.categories:
            empty = [
                name for name, n in zip(section.summary.names, one.counted, strict=True) if not n
            ]
            if empty:
                report.problems.append(
                    f"{one.category}: no test image has a target for {', '.join(empty)}: left out "
                    "of these means."
                )
            if not one.evaluated:
                report.problems.append(
                    f"{one.category}: {one.images} test images, fewer than "
                    f"{options.num_multiview_thres}: left out of the mean ({section.metric}, "
                    f"{section.aggregation})."
                )
    if options.html:
        _add_page(options, sections, report, progress)
    return report


def _add_page(
    options: Options, sections: Sequence[Section], report: Report, progress: Progress
) -> None:
    from chorus.commands.report_page import write_page

    path = options.tree.folder(RESULTS) / portable_name(options.models.model_key) / "index.html"
    report.problems += write_page(options, sections, path, progress)
    line = f"report: page with plots and test images → {path}"
    if options.format == "table":
        report.line = line
    else:
        log.info(line)


def _sections(options: Options) -> list[Section]:
    import numpy as np

    from chorus.evaluation.summary import SummarySettings, summarise

    root = options.tree.folder(RESULTS) / portable_name(options.models.model_key)
    records = [read_scores(path) for path in score_files(options.tree, options.models.model_key)]
    if not records:
        raise BadInput(f"{root} holds no results; run evaluate first.")
    for kind, name, known in (
        *(("category", name, {one["category"] for one in records}) for name in options.categories),
        *([("metric", options.metric, {r["metric"] for r in records})] if options.metric else []),
    ):
        if name not in known:
            raise unknown_name(f"{kind} among the results in {root}:", name, known)
    groups: dict[tuple[str, ...], dict[str, dict]] = {}
    for one in records:
        if (options.categories and one["category"] not in options.categories) or (
            options.metric and one["metric"] != options.metric
        ):
            continue
        settings = json.dumps(one["settings"], sort_keys=True)
        key = (one["metric"], one["aggregation"], one["part"], settings)
        groups.setdefault(key, {})[one["category"]] = one
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
                        [[image[name] for name in VARIANTS] for image in one["images"]], float
                    )
                    for category, one in group.items()
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


def _lines(section: Section) -> tuple[list[str], list[list[str]]]:
    return section.header, [[*first, *_cells(figures)] for first, figures, _ in section.rows()]


def _cells(figures: Figures) -> list[str]:
    def cell(mean: float, low: float, high: float) -> str:
        if mean != mean:
            return "-"
        interval = f" [{100 * low:.1f}, {100 * high:.1f}]" if low == low else ""
        return f"{100 * mean:.1f}{interval}"

    return list(map(cell, figures.mean, figures.low, figures.high))


def _plain(sections: Sequence[Section]) -> str:
    return "\n\n".join(f"{one.title}\n\n{format_table(*_lines(one))}" for one in sections)


def _markdown(sections: Sequence[Section]) -> str:
    texts = []
    for section in sections:
        header, rows = _lines(section)
        ruler = ["---", *["---:"] * (len(header) - 1)]
        lines = [f"| {' | '.join(cells)} |" for cells in (header, ruler, *rows)]
        texts.append("\n".join([section.title, "", *lines]))
    return "\n\n".join(texts)


def _latex(sections: Sequence[Section]) -> str:
    texts = []
    for section in sections:
        header, rows = _lines(section)
        lines = [" & ".join(map(_escaped, cells)) + r" \\" for cells in (header, *rows)]
        texts.append(
            "\n".join(
                [
                    f"% {section.title}",
                    rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
                    r"\hline",
                    lines[0],
                    r"\hline",
                    *lines[1:],
                    r"\hline",
                    r"\end{tabular}",
                ]
            )
        )
    return "\n\n".join(texts)


def _escaped(cell: str) -> str:
    return cell.replace("_", r"\_").replace("%", r"\%").replace("[", "{[}").replace("]", "{]}")


def _csv(sections: Sequence[Section]) -> str:
    ends = [f"m{name}{end}" for name in VARIANTS for end in ("", "_low", "_high")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["metric", "test_set", "aggregation", "part", *_FIRST, *ends])
    for section in sections:
        about = [section.metric, section.settings["test_set"], section.aggregation, section.part]
        for first, figures, _ in section.rows():
            values = [f"{100 * value:.4f}" for value in _interleaved(figures)]
            writer.writerow([*about, *first, *("" if v == "nan" else v for v in values)])
    return text.getvalue().rstrip()


def _json(sections: Sequence[Section]) -> str:
    def figures(found: Figures) -> dict[str, Any]:
        values = [None if v != v else 100 * float(v) for v in _interleaved(found)]
        return {
            f"m{name}": dict(zip(("mean", "low", "high"), values[3 * at : 3 * at + 3], strict=True))
            for at, name in enumerate(VARIANTS)
        }

    tables = [
        {
            "metric": section.metric,
            "aggregation": section.aggregation,
            "part": section.part,
            "settings": section.settings,
            "unit": "percent",
            "left_out_of_mean": list(section.summary.left_out),
            "categories": {
                one.category: {
                    "images": one.images,
                    "generated": section.records[one.category]["generated"],
                    "retained": section.records[one.category]["retained"],
                    **figures(one),
                }
                for one in section.summary.categories
            },
            "mean": figures(section.summary.overall),
            "categories_in_mean": {
                f"m{name}": int(number)
                for name, number in zip(VARIANTS, section.summary.averaged, strict=True)
            },
        }
        for section in sections
    ]
    return json.dumps(tables, indent=1)


def _interleaved(figures: Figures) -> np.ndarray:
    """(12,) mean, low, high of each figure in turn, 0..1."""
    import numpy as np

    return np.stack([figures.mean, figures.low, figures.high], axis=1).ravel()

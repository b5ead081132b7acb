"""`chorus report`: the PAP tables and the page of what `chorus evaluate` scored.

One table for each aggregation, metric and set of settings: figures are only put side by side, and
averaged over categories, if they were made alike.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chorus.commands.reporting.sections import (
    FIRST_COLUMNS,
    TRUTH,
    Options,
    Section,
    sections_of,
)
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.evaluation.pap_settings import VARIANTS
from chorus.evaluation.result_files import RESULTS
from chorus.files import portable_name
from chorus.viewing.text_table import format_table

if TYPE_CHECKING:
    import numpy as np

    from chorus.evaluation.summary import CategoryFigures, Figures

log = logging.getLogger(__name__)

__all__ = ["Options", "run"]


def run(options: Options, progress: Progress = None) -> CommandResult:
    """The tables as the report's text; problems name the categories that no mean contains.

    The page's path is the summary line, or, for the formats that are read by machines, logged.
    """
    sections = sections_of(options)
    write = {
        "table": _plain,
        "csv": _csv,
        "json": _json,
        "markdown": _markdown,
        "latex": _latex,
    }[options.format]
    report = CommandResult("", text=write(sections))
    for section in sections:
        for figures in section.summary.categories:
            if not figures.counted.all():
                report.problems.append(_without_target(section, figures))
            if not figures.evaluated:
                report.problems.append(
                    f"{figures.category}: {figures.images} test images, fewer than "
                    f"{options.num_multiview_thres}: left out of the mean ({section.metric}, "
                    f"{section.aggregation})."
                )
    if options.html:
        _add_page(options, sections, report, progress)
    return report


def _without_target(section: Section, figures: CategoryFigures) -> str:
    """Which figures of a category no test image counts in, why, and what helps."""
    pairs = zip(section.summary.names, figures.counted, strict=True)
    empty = [name for name, counted in pairs if not counted]
    cells = section.settings["downscale_length"]
    why = (
        f"the object's mask vanishes on the grid of {cells} cells"
        if not figures.counted[0]
        else f"on the grid of {cells} cells the person covers the object"
    )
    return (
        f"{figures.category}: no test image has a target for {', '.join(empty)}: left out of these "
        f"means. In all {figures.images} of them {why}; a finer grid may help: chorus evaluate "
        f"--downscale_length {2 * cells} --overwrite."
    )


def _add_page(
    options: Options, sections: Sequence[Section], report: CommandResult, progress: Progress
) -> None:
    from chorus.commands.reporting.page import write_page

    path = options.tree.folder(RESULTS) / portable_name(options.models.model_key) / "index.html"
    report.problems += write_page(options, sections, path, progress)
    line = f"report: page with plots and test images → {path}"
    if options.format == "table":
        report.line = line
    else:
        log.info(line)


def _lines(section: Section) -> tuple[list[str], list[list[str]]]:
    header, rows = section.truth_header, section.truth_rows()
    return [*section.header, *header], [
        [*first, *_cells(figures), *(truth if header else ())]
        for (first, figures, _), truth in zip(section.rows(), rows, strict=True)
    ]


def _cells(figures: Figures) -> list[str]:
    def cell(mean: float, low: float, high: float) -> str:
        if mean != mean:
            return "-"
        interval = f" [{100 * low:.1f}, {100 * high:.1f}]" if low == low else ""
        return f"{100 * mean:.1f}{interval}"

    return list(map(cell, figures.mean, figures.low, figures.high))


def _plain(sections: Sequence[Section]) -> str:
    return "\n\n".join(
        f"{section.title}\n\n{format_table(*_lines(section))}" for section in sections
    )


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
    truth = any(section.truth_header for section in sections)
    more = ["meshes", *TRUTH.values()] if truth else []
    writer.writerow(["metric", "test_set", "aggregation", "part", *FIRST_COLUMNS, *ends, *more])
    for section in sections:
        about = [section.metric, section.settings["test_set"], section.aggregation, section.part]
        rows = zip(section.rows(), section.truth_rows(digits=4), strict=True)
        for (first, figures, _), found in rows:
            values = [f"{100 * value:.4f}" for value in _interleaved(figures)]
            values += ["nan" if cell == "-" else cell for cell in found] if truth else []
            writer.writerow([*about, *first, *("" if v == "nan" else v for v in values)])
    return text.getvalue().rstrip()


def _json(sections: Sequence[Section]) -> str:
    def percent(figures: Figures) -> dict[str, Any]:
        values = [None if v != v else 100 * float(v) for v in _interleaved(figures)]
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
                figures.category: {
                    "images": figures.images,
                    "generated": section.records[figures.category]["generated"],
                    "retained": section.records[figures.category]["retained"],
                    **percent(figures),
                    **_truth(section.records[figures.category]),
                }
                for figures in section.summary.categories
            },
            "mean": percent(section.summary.overall),
            "categories_in_mean": {
                f"m{name}": int(number)
                for name, number in zip(VARIANTS, section.summary.averaged, strict=True)
            },
        }
        for section in sections
    ]
    return json.dumps(tables, indent=1)


def _truth(record: Mapping[str, Any]) -> dict[str, Any]:
    """The figures against lifted meshes as JSON has them, percent; nothing without any."""
    if "truth" not in record:
        return {}
    truth = record["truth"]
    figures = {n: None if truth[n] is None else 100 * truth[n] for n in TRUTH.values()}
    return {"truth": {"scenes": truth["scenes"], **figures}}


def _interleaved(figures: Figures) -> np.ndarray:
    """(12,) mean, low, high of each figure in turn, 0..1."""
    import numpy as np

    return np.stack([figures.mean, figures.low, figures.high], axis=1).ravel()

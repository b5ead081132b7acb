"""The table of ablations: a row each, with its difference from the full method."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from chorus.commands.ablation.definitions import ABLATIONS, FULL
from chorus.viewing.text_table import format_table

Records = Mapping[str, Mapping[str, Any]]


def rows_of(
    records: Mapping[str, Records], metrics: Sequence[str], min_images: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """The table's rows, and what their reader must know.

    records: per ablation and category what `ablate` measured; the full method's are among them.
    Figures are percent, means over categories; of PAP also their 95 % interval. Differences are to
    the full method on the same categories and test images, their intervals those of the images'
    own differences. NaN-free: None where there is nothing to average.
    """
    full = records[FULL]
    rows, notes = [], set()
    for name, by_category in records.items():
        row: dict[str, Any] = {
            "ablation": name,
            "about": ABLATIONS[name].about,
            "categories": len(by_category),
            "of_categories": len(full),
        }
        for metric in metrics:
            scores = {c: _array(record["pap"][metric]) for c, record in by_category.items()}
            differences = {c: scores[c] - _array(full[c]["pap"][metric]) for c in scores}
            row |= _figures(f"mPAP ({metric})", scores, metric, min_images)
            row |= _figures(f"mPAP ({metric}) difference", differences, metric, min_images)
            notes |= {
                f"{c}: {len(values)} test images, fewer than {min_images}: not in the mean PAP."
                for c, values in scores.items()
                if len(values) < min_images
            }
        row["3D AP"] = _mean(_truth(record) for record in by_category.values())
        row["3D AP difference"] = _mean(
            _truth(record) - _truth(full[c]) for c, record in by_category.items() if record["truth"]
        )
        for count in ("retained", "seconds", "bytes"):
            row[count] = sum(record[count] for record in by_category.values())
        rows.append(row)
    return rows, sorted(notes)


def _array(values: list[list[float | None]]):
    import numpy as np

    return np.array(values, float).reshape(len(values), -1)


def _figures(label: str, scores: dict, metric: str, min_images: int) -> dict[str, float | None]:
    """Mean and interval over categories of the first figure, PAP itself, in percent."""
    from chorus.evaluation.summary import SummarySettings, summarise

    overall = summarise(scores, metric, SummarySettings(min_images=min_images)).overall
    values = (100 * float(ends[0]) for ends in (overall.mean, overall.low, overall.high))
    names = (label, f"{label} low", f"{label} high")
    return {n: None if v != v else v for n, v in zip(names, values, strict=True)}


def _truth(record: Mapping[str, Any]) -> float | None:
    """Mean over prompts of the 3D average precision, None without a known truth."""
    precisions = record["truth"].values()
    return sum(precisions) / len(precisions) if precisions else None


def _mean(values) -> float | None:
    known = [value for value in values if value is not None]
    return 100 * sum(known) / len(known) if known else None


def write_rows(rows: Sequence[Mapping[str, Any]], form: str) -> str:
    """The table as text: table or markdown for people, csv or json with every digit."""
    if form == "json":
        return json.dumps({"unit": "percent", "full_method": FULL, "rows": list(rows)}, indent=1)
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().rstrip()
    pap = [key for key in rows[0] if key.startswith("mPAP") and key.endswith(")")]
    header = ["ablation"]
    for label in pap:
        header += [label, "difference"]
    header += ["3D AP", "difference", "retained", "seconds", "MB"]
    partial = any(row["categories"] < row["of_categories"] for row in rows)
    header += ["categories"] if partial else []
    lines = [_cells(row, pap, partial) for row in rows]
    if form == "table":
        return format_table(header, lines)
    ruler = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ruler, *lines))


def _cells(row: Mapping[str, Any], pap: Sequence[str], partial: bool) -> list[str]:
    cells = [row["ablation"]]
    for label in pap:
        cells += [_interval(row, label, ".1f"), _difference(row, f"{label} difference")]
    cells.append("-" if row["3D AP"] is None else f"{row['3D AP']:.1f}")
    cells.append(_signed(row, "3D AP difference"))
    cells += [str(row["retained"]), f"{row['seconds']:.1f}", f"{row['bytes'] / 1e6:.1f}"]
    return cells + ([f"{row['categories']} of {row['of_categories']}"] if partial else [])


def _interval(row: Mapping[str, Any], label: str, form: str) -> str:
    if row[label] is None:
        return "-"
    low, high = row[f"{label} low"], row[f"{label} high"]
    return f"{row[label]:{form}}" + ("" if low is None else f" [{low:{form}}, {high:{form}}]")


def _difference(row: Mapping[str, Any], label: str) -> str:
    return "" if row["ablation"] == FULL else _interval(row, label, "+.1f")


def _signed(row: Mapping[str, Any], label: str) -> str:
    if row["ablation"] == FULL:
        return ""
    return "-" if row[label] is None else f"{row[label]:+.1f}"

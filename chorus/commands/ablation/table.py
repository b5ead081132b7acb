"""The table of ablations: a row each, with its difference from the full method."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from chorus.commands.ablation.definitions import ABLATIONS
from chorus.commands.ablation.scores import MEASURES
from chorus.viewing.text_table import format_table

Records = Mapping[str, Mapping[str, Any]]

_DRAWS = 2000  # bootstrap resamples of the categories
_FEWEST = 3  # categories that an interval over them needs


def rows_of(
    records: Mapping[str, Records], reference: str, metrics: Sequence[str], min_images: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """The table's rows, and what their reader must know.

    records: per ablation and category what `ablate` measured; those of the reference are among
    them. Figures are percent, means over categories; of PAP also their 95 % interval over test
    images. Differences are to the reference on the same categories and test images, their intervals
    those of the images' own differences; of what is measured against the truth, the interval over
    categories. NaN-free: None where there is nothing to average.
    """
    full = records[reference]
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
        for label, measure in MEASURES.items():
            row |= _against_truth(label, measure, by_category, full)
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


def _against_truth(
    label: str, measure: str, by_category: Records, full: Records
) -> dict[str, float | None]:
    """A measure against the truth, percent: mean over prompts, then categories; the difference to
    the reference with its 95 % interval, categories resampled (None of fewer than three)."""
    import numpy as np

    names = (label, *(f"{label} difference{end}" for end in ("", " low", " high")))
    row: dict[str, float | None] = dict.fromkeys(names)
    scores = {c: _mean_of(record, measure) for c, record in by_category.items()}
    known = [category for category, score in scores.items() if score is not None]
    if not known:
        return row
    away = np.array([scores[c] - _mean_of(full[c], measure) for c in known])
    row[label] = 100 * sum(scores[c] for c in known) / len(known)
    row[f"{label} difference"] = 100 * float(away.mean())
    if len(away) >= _FEWEST:
        drawn = np.random.default_rng(0).integers(len(away), size=(_DRAWS, len(away)))
        low, high = np.percentile(away[drawn].mean(axis=1), (2.5, 97.5))
        row |= {f"{label} difference low": 100 * low, f"{label} difference high": 100 * high}
    return row


def _mean_of(record: Mapping[str, Any], measure: str) -> float | None:
    """Mean over prompts of a measure against the truth, None without a known truth."""
    scores = [prompt[measure] for prompt in record["truth"].values()]
    return sum(scores) / len(scores) if scores else None


def write_rows(rows: Sequence[Mapping[str, Any]], reference: str, form: str) -> str:
    """The table as text: table or markdown for people, csv or json with every digit."""
    if form == "json":
        return json.dumps({"unit": "percent", "reference": reference, "rows": list(rows)}, indent=1)
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
    for label in MEASURES:
        header += [label, "difference"]
    header += ["retained", "seconds", "MB"]
    partial = any(row["categories"] < row["of_categories"] for row in rows)
    header += ["categories"] if partial else []
    lines = [_cells(row, reference, pap, partial) for row in rows]
    if form == "table":
        return format_table(header, lines)
    ruler = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ruler, *lines))


def _cells(row: Mapping[str, Any], reference: str, pap: Sequence[str], partial: bool) -> list[str]:
    cells = [row["ablation"]]
    for label in (*pap, *MEASURES):
        is_reference = row["ablation"] == reference
        cells.append(_interval(row, label, ".1f"))
        cells.append("" if is_reference else _interval(row, f"{label} difference", "+.1f"))
    cells += [str(row["retained"]), f"{row['seconds']:.1f}", f"{row['bytes'] / 1e6:.1f}"]
    return cells + ([f"{row['categories']} of {row['of_categories']}"] if partial else [])


def _interval(row: Mapping[str, Any], label: str, form: str) -> str:
    if row[label] is None:
        return "-"
    low, high = row.get(f"{label} low"), row.get(f"{label} high")
    return f"{row[label]:{form}}" + ("" if low is None else f" [{low:{form}}, {high:{form}}]")

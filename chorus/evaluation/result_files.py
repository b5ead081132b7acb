"""Results of `chorus evaluate` on disk: reading them, and finding what they were made from again.

<results>/quant_results/<model>/<category>/<aggregation>/<metric>.json (docs/evaluation.md).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus.errors import BadInput, StaleResults
from chorus.evaluation.labelled_sets import MADE_BY, table_of
from chorus.files import parsed_json, portable_name
from chorus.records.aggregations import parsed_name
from chorus.records.keys import TOTAL
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, read_table

if TYPE_CHECKING:
    from chorus.occupancy.distribution import Distribution

RESULTS = "quant_results"
VERSION = 1
_FIELDS = {
    "aggregation": str,
    "category": str,
    "curve": dict,
    "curve_hoa": dict,
    "images": list,
    "made_from": dict,
    "metric": str,
    "part": str,
    "retained": int,
    "settings": dict,
}

_TRUTH = {"scenes", "soft_ap", "soft_ap_ceiling", "region_ap", "best_iou"}


def score_files(tree: ResultsTree, model: str) -> list[Path]:
    """The files of all results of a tree, sorted."""
    root = tree.folder(RESULTS) / portable_name(model)
    return [path for path in sorted(root.glob("*/*/*.json")) if not path.name.startswith(".")]


def file_name(metric: str, test_set: str) -> str:
    """What the file of a result is called: those on test sets of one's own stand beside others."""
    own = "" if test_set in MADE_BY else f"@{portable_name(test_set)}"
    return f"{metric.replace('/', '-')}{own}.json"


def read_scores(path: Path) -> dict[str, Any]:
    """The result in a file; BadInput if it is damaged or of another version."""
    try:
        record = parsed_json(path.read_text(encoding="utf-8"))
        if record["version"] != VERSION:
            raise ValueError(f"version {record['version']}, expected {VERSION}")
        wrong = [name for name, kind in _FIELDS.items() if not isinstance(record.get(name), kind)]
        if wrong or "generated" not in record:
            raise ValueError(f"no valid {', '.join(wrong or ['generated'])}")
        settings = record["settings"]
        if not isinstance(settings.get("test_set"), str):
            raise ValueError(f"no test set's name but {settings.get('test_set')!r}")
        truth = record.get("truth", dict.fromkeys(_TRUTH, 0))
        if not isinstance(truth, dict) or not truth.keys() >= _TRUTH:
            raise ValueError("no valid truth")
        if not isinstance(settings.get("thresholds"), list) or "downscale_length" not in settings:
            raise ValueError("settings are missing")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} is damaged ({error}); run evaluate --overwrite.") from error
    return record


def evaluation_arguments(record: dict[str, Any]) -> list[str]:
    """The arguments of `chorus evaluate` that score the same again, but for the category."""
    from chorus.evaluation.pap_settings import PapSettings

    settings, usual = record["settings"], PapSettings()
    rules, preset = parsed_name(record["aggregation"]) or ("", record["aggregation"])
    words = ["--aggr_setting_names", preset, "--filter_setting_nums", rules]
    words += ["--metric", record["metric"], "--test_set", settings["test_set"]]
    if settings["downscale_length"] != usual.downscale_length:
        words += ["--downscale_length", str(settings["downscale_length"])]
    if settings["thresholds"] != list(usual.thresholds):
        words += ["--thresholds", *(f"{step:g}" for step in settings["thresholds"])]
    return words


def digest(content: bytes) -> str:
    """What a result remembers of a distribution's probabilities or a test set's table."""
    return hashlib.sha256(content).hexdigest()


def scored_field(tree: ResultsTree, model: str, record: dict[str, Any]) -> Distribution:
    """The distribution that a result is of.

    BadInput if it is missing or damaged, StaleResults if it is another one now.
    """
    from chorus.occupancy.distribution import Distribution

    folder = tree.aggregation(model, record["category"], TOTAL, record["aggregation"])
    path = folder / f"{record['part']}.npz"
    field = Distribution.load(path)
    if digest(field.probability.tobytes()) != record["made_from"].get("distribution"):
        raise StaleResults(
            f"{record['category']}: {path} has changed since it was scored by {record['metric']}; "
            "run evaluate again."
        )
    return field


def scored_rows(tree: ResultsTree, record: dict[str, Any]) -> tuple[Path, list[dict[str, Any]]]:
    """The test set's table that a result was made on, and its test images.

    BadInput if it is missing or damaged, StaleResults if it is another one now.
    """
    table = table_of(tree, record["settings"]["test_set"], record["category"])
    if digest(table.read_bytes()) != record["made_from"].get("test_set"):
        raise StaleResults(
            f"{record['category']}: {table} has changed since {record['aggregation']} was scored "
            f"on it by {record['metric']}; run evaluate again."
        )
    rows = read_table(table, "test_set").rows.values()
    return table, [row for row in rows if row["status"] == DONE]

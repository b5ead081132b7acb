"""`chorus evaluate --task hands PRED_JSON FOLDER`: the table that the servers made, and more."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from chorus.engine.command_result import CommandResult
from chorus.errors import BadInput
from chorus.files import atomic_write
from chorus.hands.prediction_file import read_predictions
from chorus.hands.scoring import Preset, Row, likely_mistakes, score_hands
from chorus.hands.truth_files import read_truth
from chorus.viewing.text_table import format_table

SCORES = ".scores.json"
"""How the file of scores ends, beside the predictions."""
_SETS = {False: "FreiHAND", True: "HO-3D"}
_COLUMNS = ("mpjpe", "joint_auc", "mpvpe", "vertex_auc", "f5", "f15")
_HEADER = ["alignment", "MPJPE mm", "AUC", "MPVPE mm", "AUC", "F@5", "F@15"]


def evaluate_hands(paths: Sequence[Path], preset: Preset) -> CommandResult:
    """Score a pred.json against the ground truth of a folder; BadInput if they do not fit."""
    started = time.monotonic()
    if len(paths) != 2:
        raise BadInput(
            "--task hands takes a pred.json and the folder of the ground truth: chorus evaluate "
            "--task hands pred.json freihand"
        )
    predictions, folder = paths
    truth = read_truth(folder)
    joints, vertices = read_predictions(predictions)
    if len(joints) != len(truth.joints):
        raise BadInput(
            f"{predictions} has {len(joints)} hands, the ground truth in {folder} "
            f"{len(truth.joints)}: they are of different sets (HO-3D v2 has 11524 samples, v3 "
            "20137, FreiHAND 3960), or the prediction is not whole."
        )
    rows = score_hands(truth, joints, vertices, preset)
    problems = likely_mistakes(truth, joints)
    if vertices.shape != truth.vertices.shape:
        problems.append(
            f"the meshes have {vertices.shape[1]} vertices, the true ones {truth.vertices.shape[1]}"
            ": they do not correspond, so that there is no error of vertices (-1), and F-scores "
            "are by the joints' alignment."
        )
    path = predictions.with_name(predictions.stem + SCORES)
    _write(path, rows, _SETS[truth.opengl], preset, problems)
    line = (
        f"evaluate: {len(joints)} hands of {_SETS[truth.opengl]}, preset {preset}, in "
        f"{time.monotonic() - started:.1f} s → {path}"
    )
    return CommandResult(line, problems, text=_table(rows))


def _table(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        figures = row.figures()
        cells = [_cell(name, figures.get(name)) for name in _COLUMNS]
        lines.append([row.name, *cells])
    return format_table(_HEADER, lines)


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if name in ("mpjpe", "mpvpe") else f"{value:.3f}"


def _write(
    path: Path, rows: Sequence[Row], data_set: str, preset: str, problems: Sequence[str]
) -> None:
    content = {
        "task": "hands",
        "data_set": data_set,
        "preset": preset,
        "problems": list(problems),
        "alignments": {row.name: _as_json(row) for row in rows},
    }
    atomic_write(path, json.dumps(content).encode())


def _as_json(row: Row) -> dict:
    """Figures, and of every sample its mean errors in millimetres and F-scores."""
    samples = {"mpjpe": (1e3 * row.joint_errors.mean(axis=1)).round(4).tolist()}
    if row.vertex_errors is not None:
        samples["mpvpe"] = (1e3 * row.vertex_errors.mean(axis=1)).round(4).tolist()
    if row.f_scores is not None:
        samples |= {"f5": row.f_scores[:, 0].tolist(), "f15": row.f_scores[:, 1].tolist()}
    return {"figures": row.figures(), "samples": samples}

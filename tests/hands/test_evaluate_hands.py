"""`chorus evaluate --task hands`: tables of both presets, mistakes named, files that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from chorus.cli import main
from chorus.hands.joints import gather
from chorus.hands.prediction_file import write_predictions
from chorus.hands.scoring import HandTruth, likely_mistakes, score_hands
from references.hands import small_hand

FLIP = np.array([1.0, -1.0, -1.0])


def hands(seed: int, count: int = 8, near: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Joints in HO-3D's order and vertices of posed hands before a camera."""
    generator = torch.Generator().manual_seed(seed)
    pose = 0.4 * torch.randn(count, 16, 3, generator=generator)
    posed = small_hand().pose(pose, translation=torch.tensor([0.02, 0.01, near]))
    return posed.joints21.numpy(), posed.vertices.numpy()


def truth_of(data_set: str, joints: np.ndarray, vertices: np.ndarray) -> HandTruth:
    if data_set == "freihand":
        return HandTruth(joints[:, gather("ho3d", "freihand")], vertices, opengl=False)
    return HandTruth(joints * FLIP, vertices * FLIP, opengl=True)


def write_truth(folder: Path, truth: HandTruth) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "evaluation_xyz.json").write_text(json.dumps(truth.joints.tolist()))
    (folder / "evaluation_verts.json").write_text(json.dumps(truth.vertices.tolist()))
    return folder


@pytest.fixture(params=["freihand", "ho3d"])
def truth(request) -> HandTruth:
    return truth_of(request.param, *hands(1))


@pytest.fixture
def noisy(truth):
    rng = np.random.default_rng(0)
    return (
        truth.joints + rng.normal(0, 0.004, truth.joints.shape),
        truth.vertices + rng.normal(0, 0.004, truth.vertices.shape),
    )


def test_the_truth_scores_best(truth):
    for row in score_hands(truth, truth.joints, truth.vertices):
        figures = row.figures()
        assert figures["mpjpe"] < 1e-3 and figures["joint_auc"] > 0.99
        if "mpvpe" in figures:
            assert figures["mpvpe"] < 1e-3 and figures["f5"] == 1


def test_rows_of_both_presets(truth, noisy):
    names = {p: [row.name for row in score_hands(truth, *noisy, p)] for p in
             ("official", "corrected")}  # fmt: skip
    both = ["scale and translation"] if truth.opengl else []
    assert names["official"] == ["unaligned", *both, "procrustes"]
    assert names["corrected"] == ["unaligned", "wrist", *both, "procrustes"]


def test_relative_to_the_wrist_by_hand(truth):
    shift = np.array([0.1, 0, 0])
    moved = truth.joints + shift, truth.vertices + shift
    rows = {row.name: row.figures() for row in score_hands(truth, *moved)}
    assert rows["unaligned"]["mpjpe"] == pytest.approx(100) == rows["unaligned"]["mpvpe"]
    assert rows["wrist"]["mpjpe"] == pytest.approx(0, abs=1e-9) == rows["wrist"]["mpvpe"]


def test_a_good_prediction_has_no_mistake(truth, noisy):
    assert likely_mistakes(truth, noisy[0]) == []


def test_another_joint_order_is_named(truth, noisy):
    other = "freihand" if truth.opengl else "ho3d"
    wrong = noisy[0][:, gather(truth.order, other)]
    (said,) = likely_mistakes(truth, wrong)
    assert f"in the order of {other}, not in that of {truth.order}" in said
    (said,) = likely_mistakes(truth, noisy[0][:, gather(truth.order, "tempclr")])
    assert "order of tempclr" in said


def test_the_other_hand_is_named(truth, noisy):
    assert any("mirror images" in said for said in
               likely_mistakes(truth, noisy[0] * [-1, 1, 1]))  # fmt: skip


def test_the_other_axes_are_named(truth, noisy):
    (said,) = likely_mistakes(truth, noisy[0] * FLIP)
    assert "axes" in said and ("ground truth in OpenGL" in said) is truth.opengl


def test_hands_without_a_place_are_named(truth, noisy):
    local = noisy[0] - noisy[0][:, :1]
    (said,) = likely_mistakes(truth, local)
    assert "about the origin, not before the camera" in said


def test_two_mistakes_at_once(truth, noisy):
    other = "freihand" if truth.opengl else "ho3d"
    assert len(likely_mistakes(truth, noisy[0][:, gather(truth.order, other)] * FLIP)) == 2


def test_a_mesh_of_other_vertices(truth, noisy):
    mesh = noisy[1][:, ::3]
    for preset in ("official", "corrected"):
        row = score_hands(truth, noisy[0], mesh, preset)[-1]
        assert row.vertex_errors is None and row.figures()["mpvpe"] == -1
    assert score_hands(truth, noisy[0], mesh)[-1].figures()["f15"] > 0.9


@pytest.mark.parametrize("preset", ["official", "corrected"])
def test_the_command(truth, noisy, tmp_path, capsys, preset):
    folder = write_truth(tmp_path / "truth", truth)
    write_predictions(tmp_path / "pred.json", *noisy)
    words = ["evaluate", "--task", "hands", str(tmp_path / "pred.json"), str(folder)]
    assert main([*words, "--hand_preset", preset]) == 0
    said = capsys.readouterr()
    assert "HO-3D" in said.out if truth.opengl else "FreiHAND" in said.out
    assert "procrustes" in said.out and "MPVPE mm" in said.out and not said.err
    stored = json.loads((tmp_path / "pred.scores.json").read_text())
    row = stored["alignments"]["procrustes"]
    assert np.mean(row["samples"]["mpjpe"]) == pytest.approx(row["figures"]["mpjpe"], abs=1e-3)
    assert 3 < row["figures"]["mpjpe"] < 8 and stored["preset"] == preset


def test_mistakes_are_said_by_the_command(truth, noisy, tmp_path, capsys):
    folder = write_truth(tmp_path / "truth", truth)
    wrong = noisy[0][:, gather("freihand" if not truth.opengl else "ho3d", "tempclr")]
    write_predictions(tmp_path / "pred.json", wrong, noisy[1][:, :700])
    main(["evaluate", "--task", "hands", str(tmp_path / "pred.json"), str(folder)])
    said = capsys.readouterr().err
    assert "order of tempclr" in said and "700 vertices, the true ones 778" in said


def test_files_that_do_not_fit(truth, noisy, tmp_path, capsys):
    folder = write_truth(tmp_path / "truth", truth)
    pred = tmp_path / "pred.json"
    write_predictions(pred, noisy[0][:5], noisy[1][:5])
    words = ["evaluate", "--task", "hands"]
    for more, said in (
        ([str(pred), str(folder)], "has 5 hands, the ground truth in"),
        ([str(pred)], "takes a pred.json and the folder"),
        ([str(pred), str(tmp_path)], "evaluation_xyz.json is not there"),
        ([str(tmp_path / "no.json"), str(folder)], "cannot read"),
    ):
        assert main([*words, *more]) == 2
        assert said in capsys.readouterr().err
    assert main(["evaluate", str(pred)]) == 2
    assert "task pap takes no files" in capsys.readouterr().err


def test_ground_truth_of_neither_set_is_refused(truth, tmp_path, capsys):
    joints = truth.joints.copy()
    joints[3] *= -1
    folder = write_truth(tmp_path / "t", HandTruth(joints, truth.vertices, truth.opengl))
    write_predictions(tmp_path / "pred.json", truth.joints, truth.vertices)
    words = ["evaluate", "--task", "hands", str(tmp_path / "pred.json"), str(folder)]
    assert main(words) == 2
    assert "on both sides of the camera" in capsys.readouterr().err

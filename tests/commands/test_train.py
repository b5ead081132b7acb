"""`chorus train score`: from persons to a prior, going on after a stop, pose sets, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from chorus.cli import main
from chorus.commands.train import Options, run
from chorus.commands.training.examples import read_pose_sets
from chorus.errors import BadInput, StaleResults
from chorus.refinement.score.checkpoint import load_published
from chorus.refinement.score.learned import load_learned
from chorus.refinement.score.training_settings import TrainingSettings

QUICK = TrainingSettings(steps=4, batch=8, report_every=2)


def own(folder, **more) -> Options:
    values = {"arrangements": 2, "cameras": 2, "perceptions": 1, "workers": 1, "training": QUICK}
    return Options(what="score", out=folder, **{**values, **more})


def amass(path: Path, count=3, **change) -> Path:
    rng = np.random.default_rng(0)
    poses = np.zeros((count, 156))
    poses[:, 0] = np.pi / 2  # upright, z up
    poses[:, 3:66] = rng.normal(0, 0.2, (count, 63))
    np.savez(path, **{"poses": poses, "betas": np.zeros(16), **change})
    return path


def test_a_prior_is_trained_and_goes_on(tmp_path):
    first = run(own(tmp_path, training=QUICK))
    assert "without a validation" in first.line and "4 steps" in first.line
    trained = load_learned(tmp_path / "prior.safetensors").state_dict()
    (examples,) = (tmp_path / "examples").glob("*/00000.npz")
    before = examples.stat().st_mtime_ns
    run(own(tmp_path))
    assert examples.stat().st_mtime_ns == before
    again = load_learned(tmp_path / "prior.safetensors").state_dict()
    assert all(torch.equal(trained[name], again[name]) for name in trained)
    with pytest.raises(StaleResults, match="other settings"):
        run(own(tmp_path, steps=6))
    with pytest.raises(StaleResults, match="other data"):
        run(own(tmp_path, held_out=("tie",)))
    assert len(list((tmp_path / "examples").iterdir())) == 2


def test_a_prior_is_trained_on_pose_sets(tmp_path):
    run(own(tmp_path / "out", data=(amass(tmp_path / "walk.npz"),)))
    assert (tmp_path / "out" / "prior.safetensors").is_file()


def test_pose_sets_are_turned_upright(tmp_path):
    poses, betas = read_pose_sets([amass(tmp_path / "walk.npz")])
    assert poses.shape == (3, 24, 3) and betas.shape == (3, 10)
    np.testing.assert_allclose(poses[:, 0], 0, atol=1e-6)
    assert not poses[:, 22:].any()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(BadInput, match="give a folder"):
        Options(what="score", out=tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"poses": np.zeros((3, 60))}, r"poses of the shape \(3, 60\)"),
        ({"betas": np.zeros((2, 16))}, r"betas of \(2, 16\)"),
        ({"poses": np.full((3, 156), np.nan)}, "pose 0 is not finite"),
        ({"poses": np.zeros((0, 156))}, "expected"),
    ],
)
def test_pose_sets_of_another_form_are_refused(tmp_path, change, sentence):
    with pytest.raises(BadInput, match=sentence):
        read_pose_sets([amass(tmp_path / "bad.npz", **change)])
    np.savez(tmp_path / "none.npz", trans=np.zeros(3))
    with pytest.raises(BadInput, match="has no 'poses', found trans"):
        read_pose_sets([tmp_path / "none.npz"])


def published(folder, rows=6, **change) -> dict:
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    np.savez(
        folder / "data.npz",
        body_pose=rng.normal(0, 0.3, (rows, 72)),
        has_body_pose=np.array([1] * (rows - 1) + [0]),
        betas=rng.normal(0, 1, (rows, 10)),
    )
    np.savez(
        folder / "cache.npz",
        pose_feats=change.pop("pose_feats", rng.normal(0, 1, (rows, 128, 24))),
        cam_shape_feats=rng.normal(0, 1, (rows, 64, 24)),
    )
    np.savez(
        folder / "stats.npz",
        pose_feats_mean=np.zeros(3072),
        pose_feats_std=change.pop("std", np.ones(3072)),
        cam_shape_feats_mean=np.zeros(1536),
        cam_shape_feats_std=np.ones(1536),
    )
    np.savez(folder / "range.npz", betas_min=np.full(10, -3.0), betas_max=np.full(10, 3.0))
    return {
        "what": "score",
        "preset": "paper",
        "data": (folder / "data.npz",),
        "features": (folder / "cache.npz",),
        "stats": folder / "stats.npz",
        "out": folder / "out",
        "steps": 1,
    }


@pytest.mark.parametrize("shape", [True, False])
def test_the_published_denoiser_is_trained_and_loads_as_published(tmp_path, shape):
    values = published(tmp_path)
    if shape:
        values["shape_range"] = tmp_path / "range.npz"
    assert "model-0.pt after 1 steps" in run(Options(**values)).line
    network, schedule = load_published(tmp_path / "out" / "model-0.pt")
    assert network.widths.numbers == (154 if shape else 144) and schedule.name == "cosine"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pose_feats": np.zeros((5, 128, 24))}, "features of 5 rows, .* has 6"),
        ({"pose_feats": np.zeros((6, 2048))}, "pose_feats has the shape .* expected 3072"),
        ({"std": np.zeros(3072)}, "a deviation is not positive"),
    ],
)
def test_features_that_do_not_fit_are_refused(tmp_path, change, sentence):
    with pytest.raises(BadInput, match=sentence):
        run(Options(**published(tmp_path, **change)))


def test_options_that_do_not_go_together_are_refused(tmp_path, capsys):
    with pytest.raises(BadInput, match="--preset paper needs data sets"):
        Options(what="score", preset="paper")
    with pytest.raises(BadInput, match="unknown category in --held_out: 'ti'"):
        Options(what="score", held_out=("ti",))
    values = published(tmp_path)
    with pytest.raises(BadInput, match="as many files in --features as in --data"):
        run(Options(**{**values, "features": ()}))
    with pytest.raises(BadInput, match="--mix needs a share for each"):
        run(Options(**{**values, "mix": (0.5, 0.5)}))
    assert main(["train", "score", "--steps", "0"]) == 2
    assert "--steps must be at least 1" in capsys.readouterr().err

"""Published checkpoints with random weights: both layouts of averages, and what is wrong."""

from __future__ import annotations

import pickle

import pytest
import torch

from chorus.errors import BadInput
from chorus.refinement.score.checkpoint import load_published
from chorus.refinement.score.denoiser import (
    PARE_FEATURES,
    PROHMR_FEATURES,
    SHAPE_FEATURES,
    Denoiser,
    Widths,
    axis_angle_numbers,
)
from chorus.refinement.score.guidance import Guidance
from chorus.refinement.score.losses import BodyPoints, Observed
from chorus.refinement.score.priors import PublishedPrior, standardised
from chorus.refinement.score.schedule import Schedule
from chorus.refinement.score.settings import GuidanceSettings
from references.persons_seen import persons_seen
from references.stick_body import stick_body

PARE = Widths()
WITH_SHAPE = Widths(PARE_FEATURES, 1024, True, SHAPE_FEATURES)
PROHMR = Widths(PROHMR_FEATURES, 1024, True)


def written(path, widths=PARE, old=False, change=None, schedule="cosine"):
    """A file of the published layout; returns the averaged network."""
    torch.manual_seed(1)
    network, online = Denoiser(widths), Denoiser(widths)
    buffers = {
        name: torch.tensor(value, dtype=torch.float32)
        for name, value in Schedule(schedule).buffers().items()
    }
    counter = torch.ones(1) if old else torch.tensor(True)

    def whole(net):
        return {**buffers, **{f"model.{name}": v for name, v in net.state_dict().items()}}

    ema = {
        "initted": counter,
        "step": counter * 5,
        **{f"online_model.{name}": value for name, value in whole(online).items()},
        **{f"ema_model.{name}": value for name, value in whole(network).items()},
    }
    if change:
        change(ema)
    torch.save({"step": 5, "model": whole(online), "opt": {"state": {}}, "ema": ema}, path)
    return network


@pytest.mark.parametrize("old", [True, False])
def test_averaged_weights_are_taken_from_both_layouts(tmp_path, old):
    network = written(tmp_path / "model-100.pt", old=old)
    found, schedule = load_published(tmp_path / "model-100.pt")
    assert found.widths == PARE and schedule == Schedule()
    for name, value in network.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)
    assert not found.training


@pytest.mark.parametrize("widths", [WITH_SHAPE, PROHMR])
def test_the_sizes_are_told_by_the_file(tmp_path, widths):
    written(tmp_path / "m.pt", widths)
    assert load_published(tmp_path / "m.pt")[0].widths == widths


def test_the_schedule_is_told_by_the_file(tmp_path):
    written(tmp_path / "m.pt", schedule="linear")
    assert load_published(tmp_path / "m.pt")[1] == Schedule("linear")


def missing(ema):
    del ema["ema_model.model.blocks.1.mlp.1.bias"]


def misshapen(ema):
    ema["ema_model.model.blocks.2.block.linear_layer2.weight"] = torch.zeros(154, 1024)


def additional(ema):
    ema["ema_model.model.blocks.3.mlp.1.bias"] = torch.zeros(288)


def infinite(ema):
    ema["ema_model.model.init_mlp.weight"][0, 0] = float("inf")


def no_average(ema):
    for name in [name for name in ema if name.startswith("ema_model")]:
        del ema[name]


def no_first(ema):
    del ema["ema_model.model.blocks.0.block.linear_layer1.weight"]


def other_noise(ema):
    ema["ema_model.alphas_cumprod"] = torch.linspace(1, 0, 1000)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (missing, "blocks.1.mlp.1.bias is missing"),
        (misshapen, r"blocks.2.block.linear_layer2.weight has the shape \(154, 1024\), expected"),
        (additional, "blocks.3.mlp.1.bias is one too many"),
        (infinite, "init_mlp.weight holds NaN or infinity"),
        (no_average, "no checkpoint of ScoreHMR: 'ema' has no ema_model"),
        (no_first, r"linear_layer1.weight is missing, expected \(1024, 3216\)"),
        (other_noise, "neither cosine nor linear: alphas_cumprod begins"),
    ],
)
def test_the_first_difference_is_named(tmp_path, change, sentence):
    written(tmp_path / "m.pt", change=change)
    with pytest.raises(BadInput, match=sentence):
        load_published(tmp_path / "m.pt")


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "m.pt"
    torch.save({"model": {}}, path)
    with pytest.raises(BadInput, match="has no 'ema'"):
        load_published(path)
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(BadInput, match=r"m\.pt"):
        load_published(path)
    with pytest.raises(BadInput, match="cannot read"):
        load_published(tmp_path / "none.pt")


def test_a_published_checkpoint_guides_poses(tmp_path):
    written(tmp_path / "m.pt")
    network, schedule = load_published(tmp_path / "m.pt")
    features = standardised(torch.ones(2, PARE_FEATURES), torch.tensor(0.5), torch.tensor(2.0))
    prior = PublishedPrior(network, features, schedule)
    evidence = persons_seen(stick_body(), 2)
    seen = Observed(
        keypoints=evidence.keypoints[..., :2],
        confidence=evidence.keypoints[..., 2],
        focal=torch.full((2,), 600.0),
        centre=evidence.image_size / 2,
        image_size=evidence.image_size,
    )
    start, at = axis_angle_numbers(evidence.pose), torch.tensor([[0.0, 0.0, 3.0]] * 2)
    settings = GuidanceSettings(level=4, rounds=1)
    found = Guidance(prior, BodyPoints(stick_body()), seen, settings)(start, at)
    assert found.numbers.shape == (2, 144) and (found.loss < found.loss_before).all()

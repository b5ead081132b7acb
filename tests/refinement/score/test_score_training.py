"""Training: averages and rates by hand, a killed one goes on to the bit, it learns, bad states."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from chorus.errors import BadInput, StaleResults
from chorus.refinement.score.condition import CONDITION_NUMBERS
from chorus.refinement.score.denoiser import Denoiser, Widths
from chorus.refinement.score.learned import LearnedDenoiser
from chorus.refinement.score.schedule import Schedule
from chorus.refinement.score.training import (
    Examples,
    Training,
    average_decay,
    learned_loss,
    learning_rate,
    published_loss,
)
from chorus.refinement.score.training_settings import PAPER, TrainingSettings

SHORT = TrainingSettings(steps=12, batch=8, report_every=4, average_every=2, average_from=4)


def examples(count=200):
    """The truth is off from the fits by a part of what the condition says."""
    draw = torch.Generator().manual_seed(0)
    condition = torch.randn(count, CONDITION_NUMBERS, generator=draw)
    centre = torch.randn(count, 144, generator=draw)
    return Examples(condition, centre, centre + 0.1 * condition[:, :144])


def training(folder, settings=SHORT, data="these"):
    torch.manual_seed(0)
    network, some = LearnedDenoiser(), examples()
    network.measure(some.condition, some.truth - some.centre)
    return Training(network, settings, folder / "state.pt", data), some


def finished(folder, settings=SHORT, stop_after=None):
    one, some = training(folder, settings)
    reports = []
    for reached in one.run(learned_loss(some, settings.batch, Schedule())):
        reports.append((reached.step, reached.loss))
        if len(reports) == stop_after:
            break
    return one, reports


def test_averages_begin_as_copies_and_keep_more_and_more():
    decays = [average_decay(step, PAPER) for step in (0, 100, 101, 102, 110, 10**6)]
    assert decays[:3] == [0, 0, 0] and decays[-1] == 0.995
    assert decays[3] == pytest.approx(1 - 2 ** (-2 / 3))
    assert decays[4] == pytest.approx(1 - 10 ** (-2 / 3))


def test_rates_rise_and_fall_or_stay():
    settings = TrainingSettings(steps=1000, rate=1.0)
    assert learning_rate(0, settings) == pytest.approx(1 / 30)
    assert learning_rate(30, settings) == 1.0
    assert learning_rate(515, settings) == pytest.approx(0.5)
    assert learning_rate(999, settings) < 1e-5
    assert {learning_rate(step, PAPER) for step in (0, 500, 999_999)} == {1e-4}


def test_a_killed_training_goes_on_to_the_bit(tmp_path):
    whole, reports = finished(tmp_path / "whole")
    _, first = finished(tmp_path / "parts", stop_after=1)
    _, second = finished(tmp_path / "parts", stop_after=1)
    rest, third = finished(tmp_path / "parts")
    assert first + second + third == reports and [step for step, _ in reports] == [4, 8, 12]
    for name in ("network", "averaged"):
        states = [getattr(each, name).state_dict() for each in (whole, rest)]
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert finished(tmp_path / "whole")[1] == []


def test_it_learns_what_the_condition_says(tmp_path):
    settings = replace(SHORT, steps=60, batch=64, report_every=60, average_from=50, rate=3e-3)
    one, some = training(tmp_path, settings)
    list(one.run(learned_loss(some, settings.batch, Schedule())))
    network = one.averaged
    with torch.no_grad():
        mean = network.unit * network.mean(network.encode(some.condition))
    wrong = (mean - (some.truth - some.centre)).square().mean()
    assert wrong < 0.7 * (some.truth - some.centre).square().mean()


def test_the_published_loss_is_that_of_noise_and_of_known_shapes():
    numbers, condition = torch.zeros(4, 154), torch.zeros(4, 6)
    network = Denoiser(Widths(6, hidden=8, shape=True))
    for value in network.parameters():
        torch.nn.init.zeros_(value)
    chance = torch.tensor([1.0, 0, 0, 0])
    for known, expected in ((torch.ones(4) > 0, 2.0), (torch.zeros(4) > 0, 1.0)):
        loss = published_loss(condition, numbers, known, chance, 4000, Schedule())
        found = loss(network, torch.Generator().manual_seed(0))
        assert float(found.detach()) == pytest.approx(expected, rel=0.03)


def test_a_state_of_another_training_is_refused(tmp_path):
    finished(tmp_path, stop_after=1)
    with pytest.raises(StaleResults, match="other settings"):
        training(tmp_path, replace(SHORT, rate=0.5))
    with pytest.raises(StaleResults, match="other data: these, asked for is those"):
        training(tmp_path, data="those")
    torch.save({"step": 1}, tmp_path / "state.pt")
    with pytest.raises(BadInput, match="not the state of a training"):
        training(tmp_path)
    (tmp_path / "state.pt").write_bytes(b"short")
    with pytest.raises(BadInput, match=r"state\.pt"):
        training(tmp_path)


@pytest.mark.parametrize(
    "change", [{"steps": 0}, {"rate": 0.0}, {"average": 1.0}, {"clip": float("nan")}, {"seed": -1}]
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(BadInput, match="training setting"):
        TrainingSettings(**change)

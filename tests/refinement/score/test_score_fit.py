"""Persons refined by a learned prior: fits, samples, who keeps the start, bad persons, files."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from chorus.engine.torch_threads import one_torch_thread
from chorus.errors import BadInput
from chorus.geometry import cameras
from chorus.refinement.map_fit import NOT_FINITE, Refiner
from chorus.refinement.score.condition import CONDITION_NUMBERS, told
from chorus.refinement.score.denoiser import axis_angle_numbers
from chorus.refinement.score.guidance import inverted, sampled
from chorus.refinement.score.learned import (
    LearnedDenoiser,
    LearnedPrior,
    load_learned,
    save_learned,
)
from chorus.refinement.score.score_fit import ScoreRefiner
from chorus.refinement.score.settings import GuidanceSettings, ScoreSettings
from references.persons_seen import persons_seen
from references.stick_body import stick_body

BODY = stick_body()


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_torch_thread():
        yield


def network(scale=0.02):
    """A prior that has learned nothing, and says something."""
    torch.manual_seed(0)
    made = LearnedDenoiser().eval()
    torch.nn.init.normal_(made.mean_head[1].weight, std=scale)
    torch.nn.init.normal_(made.head[1].weight, std=scale)
    made.unit.fill_(0.1)
    return made


def test_what_the_prior_is_told():
    evidence = persons_seen(BODY, 3)
    fitted = Refiner(BODY)(evidence)
    known = told(BODY, evidence, torch.full((3, 10), 0.5), fitted, 0.2)
    assert known.condition.shape == (3, CONDITION_NUMBERS) and known.condition.isfinite().all()
    torch.testing.assert_close(
        known.centre[:, 6:], axis_angle_numbers(fitted.pose)[:, 6:].float(), atol=1e-5, rtol=1e-4
    )
    upright = fitted.pose.clone()
    upright[:, 0] = 0
    wrist = BODY.posed_joints(upright)[:, 20:21].to(fitted.t)
    pixel = cameras.project(wrist, fitted.R, fitted.t, fitted.K)[0][:, 0]
    error = (evidence.keypoints[:, 9, :2] - pixel) / evidence.extent[:, None]
    at = 144 + 138 + 10 + 3 + 2 * 9
    torch.testing.assert_close(
        known.condition[:, at : at + 2], (20 * error).float(), atol=1e-3, rtol=1e-3
    )


def test_a_keypoint_of_no_confidence_says_nothing_of_its_place():
    evidence = persons_seen(BODY, 2)
    evidence.keypoints[:, 4, 2] = 0.1
    fitted = Refiner(BODY)(evidence)
    moved = replace(evidence, keypoints=evidence.keypoints.clone())
    moved.keypoints[:, 4, :2] = math.nan
    both = [told(BODY, e, torch.zeros(2, 10), fitted, 0.2).condition for e in (evidence, moved)]
    assert torch.equal(*both)


def test_a_prior_that_expects_nothing_else_leaves_the_fit():
    evidence = persons_seen(BODY, 4)
    found = ScoreRefiner(BODY, LearnedDenoiser().eval())(evidence, torch.zeros(4, 10))
    fitted = Refiner(BODY)(evidence)
    apart = (found.fitted.pose[:, 1:] - fitted.pose[:, 1:]).norm(dim=-1)
    assert apart.median() < math.radians(2)
    assert (found.fitted.residual <= fitted.residual).all()


@pytest.mark.parametrize("start", ["map", "regressor"])
def test_no_person_is_explained_worse_than_at_its_start(start):
    evidence = persons_seen(BODY, 6)
    wild = network(2.0)
    refiner = ScoreRefiner(BODY, wild, settings=ScoreSettings(start=start, joint_sd=0.5))
    found = refiner(evidence, torch.zeros(6, 10))
    begin = Refiner(BODY)(evidence, None if start == "map" else 0)
    assert (found.fitted.residual <= begin.residual).all() and found.kept_start.any()
    kept = found.kept_start
    torch.testing.assert_close(found.fitted.pose[kept], begin.pose[kept])


def test_samples_spread_and_depend_on_nothing_but_their_seed():
    evidence = persons_seen(BODY, 3)
    refiner = ScoreRefiner(BODY, network(), settings=ScoreSettings(samples=4, steps=5))
    found = refiner(evidence, torch.zeros(3, 10), [5, 6, 7])
    assert (found.spread[:, 1:].amax(-1) > 0).all()
    one = type(evidence)(**{name: value[1:2] for name, value in vars(evidence).items()})
    alone = refiner(one, torch.zeros(1, 10), [6])
    torch.testing.assert_close(alone.fitted.pose[0], found.fitted.pose[1], atol=1e-4, rtol=1e-3)
    with pytest.raises(BadInput, match="a seed for each of the 3 persons, found 0"):
        refiner(evidence, torch.zeros(3, 10))


def test_bad_persons_fail_alone():
    evidence = persons_seen(BODY, 3)
    evidence.pose[1, 4] = math.nan
    evidence.keypoints[2, :, 2] = 0
    found = ScoreRefiner(BODY, network())(evidence, torch.zeros(3, 10)).fitted
    good = ScoreRefiner(BODY, network())(
        type(evidence)(**{name: value[:1] for name, value in vars(evidence).items()}),
        torch.zeros(1, 10),
    ).fitted
    assert found.failure[1] == NOT_FINITE and found.pose[1].isnan().any()
    torch.testing.assert_close(found.pose[0], good.pose[0], atol=1e-4, rtol=1e-3)
    assert found.pose[2].isfinite().all()


def test_no_persons_are_no_trouble():
    evidence = persons_seen(BODY, 2)
    none = type(evidence)(**{name: value[:0] for name, value in vars(evidence).items()})
    assert len(ScoreRefiner(BODY, network())(none, torch.zeros(0, 10)).fitted.pose) == 0


def test_inversion_of_the_learned_prior_is_undone():
    evidence = persons_seen(BODY, 2)
    known = told(BODY, evidence, torch.zeros(2, 10), Refiner(BODY)(evidence), 0.2)
    prior = LearnedPrior.of(network(), known)
    x = torch.randn(2, 144, generator=torch.Generator().manual_seed(0))
    settings = GuidanceSettings()
    error = prior.numbers(sampled(prior, inverted(prior, x, settings), settings))
    assert (error - prior.numbers(x)).abs().mean() < 1e-3
    torch.testing.assert_close(prior.of_numbers(prior.numbers(x)), x, atol=1e-4, rtol=1e-4)


def test_a_prior_comes_back_from_its_file(tmp_path):
    path, made = tmp_path / "prior.safetensors", network()
    save_learned(path, made, {"trained_on": "nothing"})
    assert path.stat().st_size < 8e6
    found = load_learned(path).state_dict()
    assert all(torch.equal(found[name], value) for name, value in made.state_dict().items())
    torch.save({}, tmp_path / "other.pt")
    with pytest.raises(BadInput, match="has no 'model'"):
        load_learned(tmp_path / "other.pt")
    made.head = torch.nn.Sequential(torch.nn.LayerNorm(256), torch.nn.Linear(256, 3))
    save_learned(path, made, {})
    with pytest.raises(BadInput, match=r"not a prior of chorus train score: head.1.weight has"):
        load_learned(path)
    path.write_bytes(b"cut short")
    with pytest.raises(BadInput, match="damaged, cut short"):
        load_learned(path)


@pytest.mark.parametrize("change", [{"start": "none"}, {"samples": 0}, {"joint_sd": 0.0}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(BadInput, match="score setting"):
        ScoreSettings(**change)

"""Guidance: inversion, gradients, each loss and their combination, early stop, never worse."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.refinement.score.denoiser import Denoiser, Widths, axis_angle_numbers, pose_rotations
from chorus.refinement.score.guidance import Guidance, drawn, inverted, sampled
from chorus.refinement.score.losses import (
    BodyPoints,
    Observed,
    consistency_loss,
    keypoint_loss,
    smoothness_loss,
)
from chorus.refinement.score.priors import GaussianPrior, PublishedPrior
from chorus.refinement.score.schedule import Schedule
from chorus.refinement.score.settings import PUBLISHED, GuidanceSettings
from references.stick_body import stick_body

SCHEDULE = Schedule()
POINTS = BodyPoints(stick_body(), torch.float64)
QUICK = GuidanceSettings(rounds=2, level=20, step=5, stop=0.0)


def persons(count, seed=0, spread=0.3):
    draw = torch.Generator().manual_seed(seed)
    return axis_angle_numbers(
        spread * torch.randn(count, 24, 3, generator=draw, dtype=torch.float64)
    )


def placed(count):
    return torch.tensor([[0.1, -0.1, 3.0]], dtype=torch.float64).repeat(count, 1)


def observed(numbers, translation, focal=600.0, **more):
    """What a camera sees of poses exactly."""
    at = POINTS(numbers) + translation[:, None]
    size = torch.tensor([[500.0, 400.0]], dtype=torch.float64).repeat(len(numbers), 1)
    pixels = focal * at[..., :2] / at[..., 2:] + size[:, None] / 2
    return Observed(
        keypoints=pixels,
        confidence=torch.ones_like(pixels[..., 0]),
        focal=torch.full_like(size[:, 0], focal),
        centre=size / 2,
        image_size=size,
        **more,
    )


def near(numbers, sd=0.1):
    return GaussianPrior(numbers, sd, SCHEDULE)


@given(st.integers(0, 100))
@hypothesis_settings(max_examples=5, deadline=None)
def test_sampling_undoes_inversion(seed):
    torch.manual_seed(seed)
    network = Denoiser(Widths(condition=12, hidden=24)).eval()
    prior = PublishedPrior(network, torch.randn(3, 12), SCHEDULE)
    x = persons(3, seed).float()
    settings = PUBLISHED["single"]
    error = (sampled(prior, inverted(prior, x, settings), settings) - x).abs()
    assert error.mean() < 1e-3 and error.max() < 3e-3  # of a network that knows nothing


def test_inversion_is_off_by_a_thousandth_on_average_and_less_in_smaller_steps():
    prior, settings = near(persons(4, 1), 0.3), PUBLISHED["single"]
    draw = torch.Generator().manual_seed(1)
    x = prior.mean + 0.3 * torch.randn(prior.mean.shape, generator=draw, dtype=torch.float64)
    errors = [
        (sampled(prior, inverted(prior, x, each), each) - x).abs().mean()
        for each in (settings, replace(settings, step=1))
    ]
    assert errors[0] < 1e-3 and errors[1] < 0.6 * errors[0]


def test_the_network_is_called_as_often_as_published():
    calls = []

    class Counting(GaussianPrior):
        def noise(self, x, t):
            assert not torch.is_grad_enabled() or not x.requires_grad
            calls.append(t)
            return super().noise(x, t)

    truth, at = persons(1), placed(1)
    prior = Counting(truth, 0.1, SCHEDULE)
    Guidance(prior, POINTS, observed(truth, at), replace(PUBLISHED["image"], rounds=2))(truth, at)
    up, down = list(range(0, 50, 2)), list(range(50, 0, -2))
    assert calls == 2 * (up + down)


def test_keypoint_loss_by_hand():
    points = torch.tensor([[[0.5, 0.0, 0.0], [0.0, 1.0, 0.0]]], dtype=torch.float64)
    seen = Observed(
        keypoints=torch.tensor([[[300.0, 200.0], [0.0, 0.0]]], dtype=torch.float64),
        confidence=torch.tensor([[0.5, 0.0]], dtype=torch.float64),
        focal=torch.tensor([400.0], dtype=torch.float64),
        centre=torch.tensor([[250.0, 200.0]], dtype=torch.float64),
        image_size=torch.tensor([[500.0, 400.0]], dtype=torch.float64),
    )
    found = keypoint_loss(points, torch.tensor([[0.0, 0.0, 2.0]]).double(), seen, 100.0)
    # The first point lies at 250 + 400 * 0.5 / 2 = 350, 50 pixels off; the image counts twofold.
    assert float(found) == pytest.approx(4 * 0.25 * 100**2 * 50**2 / (100**2 + 50**2))


def test_a_keypoint_without_confidence_may_be_anything():
    truth, at = persons(1), placed(1)
    seen = observed(truth, at)
    seen.keypoints[0, 3] = math.nan
    seen.confidence[0, 3] = 0
    numbers = persons(1, 1).requires_grad_()
    keypoint_loss(POINTS(numbers), at, seen, 100.0).sum().backward()
    assert numbers.grad.isfinite().all()


def test_consistency_and_smoothness_by_hand():
    numbers = torch.zeros(4, 144)
    numbers[0, 6], numbers[1, 6] = 0.1, 0.3
    numbers[:, 0] = torch.arange(4.0)  # the views' global rotations differ anyway
    found = consistency_loss(numbers, torch.tensor([5, 5, 2, 5]))
    mean = 0.4 / 3
    expected = [(0.1 - mean) ** 2, (0.3 - mean) ** 2, 0, mean**2]
    torch.testing.assert_close(found, 300**2 * torch.tensor(expected))
    found = smoothness_loss(numbers, torch.tensor([1, 1, 3, 3]))
    torch.testing.assert_close(found, torch.tensor([0.0, 1 + 0.2**2, 0.0, 1.0]))


@pytest.mark.parametrize("which", ["keypoints", "consistency", "smoothness"])
def test_steps_against_the_gradient_lower_each_loss(which):
    numbers, at = persons(4, 2), placed(4)
    seen = observed(persons(4, 3), at)
    group = torch.tensor([0, 0, 1, 1])
    losses = {
        "keypoints": lambda x: keypoint_loss(POINTS(x), at, seen, 100.0),
        "consistency": lambda x: consistency_loss(x, group),
        "smoothness": lambda x: smoothness_loss(x, group),
    }
    loss = losses[which]
    x = numbers.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x).sum(), x)
    step = 1e-6 * torch.randn_like(x)
    change = (loss(numbers + step) - loss(numbers - step)).sum() / 2
    torch.testing.assert_close(change, (gradient * step).sum(), rtol=1e-4, atol=1e-12)
    down = numbers - 1e-4 * gradient / gradient.norm()
    assert loss(down).sum() < loss(numbers).sum()


def test_keypoints_draw_poses_and_cameras_to_what_is_seen():
    truth, at = persons(3, 4), placed(3)
    start = persons(3, 5, 0.02) - persons(1, 5, 0.0) + truth
    away = at + torch.tensor([0.05, 0.05, 0.2]).double()
    given_ = start.clone(), away.clone()
    guide = Guidance(near(start), POINTS, observed(truth, at), PUBLISHED["single"])
    found = guide(start, away)
    assert (found.loss < 0.2 * found.loss_before).all()
    assert (found.translation - away).abs().max() > 0.01
    assert torch.equal(start, given_[0]) and torch.equal(away, given_[1])


def test_views_come_to_agree():
    truth, at = persons(1, 6).repeat(3, 1), placed(3)
    start = truth + 0.05 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    seen = observed(truth, at, person=torch.tensor([7, 7, 7]))
    found = Guidance(near(start), POINTS, seen, PUBLISHED["views"])(start, at)
    assert (found.loss.sum() < 0.5 * found.loss_before.sum()).all()
    both = replace(PUBLISHED["single"], consistency=0.001, rounds=3, stop=0.0)
    found = Guidance(near(start), POINTS, seen, both)(start, at)
    assert (
        consistency_loss(found.numbers, seen.person).sum()
        < 0.5 * consistency_loss(start, seen.person).sum()
    )
    assert keypoint_loss(POINTS(found.numbers), found.translation, seen, 100.0).sum() < (
        keypoint_loss(POINTS(start), at, seen, 100.0).sum()
    )


def test_frames_become_smoother_and_tracks_stay_apart():
    steady = persons(2, 7).repeat_interleave(6, 0)
    start = steady + 0.05 * torch.randn(steady.shape, generator=torch.Generator().manual_seed(1))
    track = torch.arange(2).repeat_interleave(6)
    seen = observed(steady, placed(12), track=track)
    settings = replace(PUBLISHED["video"], rounds=3)
    found = Guidance(near(start), POINTS, seen, settings)(start, placed(12))
    smooth = smoothness_loss(found.numbers, track).sum()
    assert smooth < 0.5 * smoothness_loss(start, track).sum()
    one = torch.arange(6)
    alone = Observed(
        **{name: value[one] for name, value in vars(seen).items() if value is not None}
    )
    single = Guidance(near(start[one]), POINTS, alone, settings)(start[one], placed(6))
    torch.testing.assert_close(found.numbers[one], single.numbers, rtol=1e-6, atol=1e-9)


def test_a_person_does_not_depend_on_its_batch():
    truth, at = persons(4, 8), placed(4)
    start = truth + 0.03 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(2))
    seen, settings = observed(truth, at), replace(PUBLISHED["single"], stop=1e-3, rounds=2)
    whole = Guidance(near(start), POINTS, seen, settings)(start, at)
    for row in range(4):
        one = slice(row, row + 1)
        alone = Observed(**{n: v[one] for n, v in vars(seen).items() if v is not None})
        single = Guidance(near(start[one]), POINTS, alone, settings)(start[one], at[one])
        torch.testing.assert_close(single.numbers, whole.numbers[one], rtol=1e-6, atol=1e-9)
        assert single.stopped[0] == whole.stopped[row]


def test_who_is_finished_early_is_kept_as_then():
    truth, at = persons(2, 9), placed(2)
    seen = observed(truth, at)
    found = Guidance(near(truth), POINTS, seen, PUBLISHED["single"])(truth, at)
    assert found.stopped.all()
    torch.testing.assert_close(found.numbers, truth, atol=1e-3, rtol=0)


def test_no_fit_is_worse_than_its_start():
    truth, at = persons(3, 10), placed(3)
    seen = observed(truth, at)
    wild = replace(QUICK, strength=1e4)
    start = truth + 0.02 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(3))
    found = Guidance(near(start), POINTS, seen, wild)(start, at)
    assert (found.loss <= found.loss_before).all()
    bad = GaussianPrior(torch.full_like(start, math.nan), 0.1, SCHEDULE)
    found = Guidance(bad, POINTS, seen, QUICK)(start, at)
    assert torch.equal(found.numbers, start) and torch.equal(found.translation, at)
    assert torch.equal(found.loss, found.loss_before)


def test_drawn_samples_have_the_priors_mean_and_spread():
    mean = persons(1, 11).repeat(400, 1)
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(mean.shape, generator=draw, dtype=torch.float64)
    found = drawn(near(mean, 0.2), noise, 40)
    torch.testing.assert_close(found.mean(0), mean[0], atol=0.05, rtol=0)
    assert float((found - mean).std()) == pytest.approx(0.2, rel=0.1)


def test_rows_that_belong_together_must_be_told():
    truth, at = persons(2), placed(2)
    with pytest.raises(BadInput, match="needs `person`"):
        Guidance(near(truth), POINTS, observed(truth, at), PUBLISHED["views"])
    with pytest.raises(BadInput, match=r"track must have the shape \(2,\)"):
        observed(truth, at, track=torch.zeros(3))


@pytest.mark.parametrize(
    "change", [{"level": 51}, {"level": 1000}, {"step": 0}, {"strength": -1.0}, {"rounds": -1}]
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(BadInput, match="guidance setting"):
        GuidanceSettings(**change)


def test_points_of_rotations_are_those_of_the_body():
    numbers = persons(2, 12)
    found = stick_body().posed_joints(pose_rotations(numbers).float())
    shoulder = (found[:, 16] - found[:, 0]).double()
    torch.testing.assert_close(POINTS(numbers)[:, 5], shoulder, atol=1e-5, rtol=1e-5)

"""Noise schedules: the published values, the exact steps, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chorus.errors import BadInput
from chorus.refinement.score.schedule import LEVELS, Schedule, levels_between

COSINE = Schedule()


def test_the_cosine_schedule_has_the_published_values():
    left = COSINE.alphas_cumprod
    np.testing.assert_allclose(left[[0, 50, 100]], [0.9999587, 0.9917247, 0.9715757], atol=5e-8)
    assert left.dtype == np.float64 and (np.diff(left) < 0).all()


def test_the_linear_schedule_runs_between_its_ends():
    betas = Schedule("linear").betas
    assert (betas[0], betas[-1], len(betas)) == (1e-4, 0.02, LEVELS)


def test_the_buffers_are_those_of_the_checkpoint():
    buffers = COSINE.buffers()
    assert len(buffers) == 13 and {value.shape for value in buffers.values()} == {(LEVELS,)}
    np.testing.assert_allclose(
        buffers["sqrt_alphas_cumprod"] ** 2 + buffers["sqrt_one_minus_alphas_cumprod"] ** 2, 1
    )
    # The mean of q(x_{t-1} | x_t, x_0) keeps a clean vector's mean.
    signal = buffers["sqrt_alphas_cumprod"]
    mean = buffers["posterior_mean_coef1"] + buffers["posterior_mean_coef2"] * signal
    np.testing.assert_allclose(mean, np.sqrt(buffers["alphas_cumprod_prev"]), atol=1e-9)


def test_placing_and_cleaning_are_inverse():
    x0, eps = torch.randn(3, 5).double(), torch.randn(3, 5).double()
    x = COSINE.placed(x0, 40, eps)
    torch.testing.assert_close(COSINE.clean(x, 40, eps), x0)
    torch.testing.assert_close(x, COSINE.noised(x0, torch.full((3,), 40), eps))


def test_levels_follow_each_other_up_to_the_end():
    assert levels_between(6, 2) == [(0, 2), (2, 4), (4, 6)]


@pytest.mark.parametrize(("end", "step"), [(5, 2), (0, 2), (4, 0), (2, 4)])
def test_levels_that_do_not_fit_are_refused(end, step):
    with pytest.raises(BadInput, match="multiple of the step"):
        levels_between(end, step)


def test_unknown_schedules_are_refused():
    with pytest.raises(BadInput, match="unknown noise schedule 'cosin'; did you mean 'cosine'"):
        Schedule("cosin")
    with pytest.raises(BadInput, match="at least 1 level"):
        Schedule(levels=0)

"""The density of an object's points: values, integral, gradients, bad input."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reconstruction.md"


def distribution(probability: np.ndarray, side: float = 2.0) -> Distribution:
    probability = probability.astype(np.float32)
    grid = VoxelGrid(len(probability), side)
    return Distribution(probability, grid, np.ones(grid.shape, np.uint32))


def ball(centre: tuple[float, float, float], radius: float = 0.3) -> Distribution:
    grid = VoxelGrid(24, 2.0)
    inside = np.linalg.norm(grid.centres() - np.array(centre), axis=1) < radius
    return distribution(0.7 * inside.reshape(grid.shape))


def test_by_hand():
    probability = np.zeros((4, 4, 4))
    probability[1, 2, 3], probability[2, 2, 3] = 0.2, 0.6
    field = distribution(probability)
    # Voxels of 0.5 m: centres at -0.75, -0.25, 0.25, 0.75; both densities per cubic metre.
    low, high = 0.2 / (0.8 * 0.125), 0.6 / (0.8 * 0.125)
    points = torch.tensor([[-0.25, 0.25, 0.75], [0.0, 0.25, 0.75], [-0.9, -0.9, -0.9]])
    mean = torch.tensor([0.125, 0.25, 0.75])
    squares = ((points - mean) ** 2).sum(1) / 0.5**2  # the spread is less than a voxel
    normal = (-0.5 * squares).exp() / (2 * math.pi * 0.25) ** 1.5
    expected = 0.99 * torch.tensor([low, (low + high) / 2, 0.0]) + 0.01 * normal
    assert torch.allclose(field.log_density(points), expected.log(), atol=1e-5)


def test_it_integrates_to_one():
    rng = np.random.default_rng(3)
    field = distribution(rng.random((5, 5, 5)) * (rng.random((5, 5, 5)) < 0.4))
    axis = (torch.arange(160) + 0.5) * 0.05 - 4  # no cell crosses a voxel's centre
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    mass = field.log_density(points).exp().double().sum() * 0.05**3
    assert float(mass) == pytest.approx(1, abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=3, max_size=3))
def test_finite_with_a_gradient_everywhere(place):
    field = ball((0.4, 0.1, -0.2))
    point = torch.tensor(place, requires_grad=True)
    value = field.log_density(point)
    value.backward()
    assert value.isfinite() and point.grad.isfinite().all()
    away = point.detach() - torch.tensor([0.4, 0.1, -0.2])
    if away.norm() > 0.5:  # beyond the ball every step along the gradient is a step towards it
        assert (point.grad * away).sum() < 0


def test_gradients_are_the_slope():
    field = ball((0.4, 0.1, -0.2))
    inside, outside = [0.41, 0.13, -0.17], [-0.77, 0.6, 0.3]
    points = torch.tensor([inside, outside], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(field.log_density, points)
    assert field.log_density(points.float()).dtype == torch.float32


def test_batches_and_nan():
    field = ball((0, 0, 0))
    points = torch.randn(2, 3, 5, 3)
    found = field.log_density(points)
    assert found.shape == (2, 3, 5)
    assert torch.allclose(found[1, 2, 4], field.log_density(points[1, 2, 4]))
    assert field.log_density(torch.zeros(0, 3)).shape == (0,)
    points[0, 0, 0, 1] = torch.nan
    assert field.log_density(points).isnan().nonzero().tolist() == [[0, 0, 0]]


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(BadInput, match=r"\(\.\.\., 3\)"):
        ball((0, 0, 0)).log_density(torch.zeros(3, 2))
    with pytest.raises(BadInput, match="int64"):
        ball((0, 0, 0)).log_density(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(BadInput, match="zero everywhere"):
        distribution(np.zeros((3, 3, 3))).log_density(torch.zeros(2, 3))


def test_the_documented_optimiser_pulls_an_object_to_where_it_belongs():
    block = re.search(r"```python\n(.*?log_density.*?)```", DOCUMENT.read_text(), re.DOTALL)[1]
    lines = [line for line in block.splitlines() if "Distribution.load" not in line]
    names = {"field": ball((0.4, 0.1, -0.2))}
    exec("\n".join(lines), names)
    middle = (names["thing"] + names["shift"]).mean(0)
    assert np.allclose(middle.detach().numpy(), [0.4, 0.1, -0.2], atol=0.1)

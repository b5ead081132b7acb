"""The published denoiser: names, shapes and sizes, its formulas by hand, pose numbers."""

from __future__ import annotations

import math

import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from chorus.errors import BadInput
from chorus.refinement.score.denoiser import (
    PARE_FEATURES,
    PROHMR_FEATURES,
    SHAPE_FEATURES,
    Denoiser,
    LevelEmbedding,
    Widths,
    axis_angle_numbers,
    pose_numbers,
    pose_rotations,
)


def shapes(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def test_the_network_has_the_published_size_and_names():
    network = Denoiser()
    assert sum(value.numel() for value in network.parameters()) == 11_307_024
    found = shapes(network)
    assert found["time_mlp.1.weight"] == (576, 144) and found["time_mlp.3.weight"] == (576, 576)
    assert found["init_mlp.weight"] == found["final_mlp.weight"] == (144, 144)
    for block in range(3):
        of = f"blocks.{block}"
        assert found[f"{of}.mlp.1.weight"] == (288, 576)
        assert found[f"{of}.block.layer_norm1.weight"] == (144 + PARE_FEATURES,)
        assert found[f"{of}.block.linear_layer1.weight"] == (1024, 3216)
        assert found[f"{of}.block.layer_norm2.weight"] == (1024,)
        assert found[f"{of}.block.linear_layer2.weight"] == (144, 1024)
    assert len(found) == 8 + 3 * 10


def test_the_shape_branch_has_the_published_shapes():
    found = shapes(Denoiser(Widths(shape=True, shape_condition=SHAPE_FEATURES)))
    assert found["time_mlp_betas.1.weight"] == (40, 10)
    assert found["time_mlp_betas.3.weight"] == (40, 40)
    assert found["blocks_betas.1.mlp.1.weight"] == (20, 40)
    assert found["blocks_betas.1.block.linear_layer1.weight"] == (1024, 1546)
    assert found["blocks_betas.1.block.linear_layer2.weight"] == (10, 1024)
    assert "blocks_betas.2.mlp.1.weight" not in found


@pytest.mark.parametrize("condition", [PARE_FEATURES, PROHMR_FEATURES])
def test_the_branches_do_not_see_each_other(condition):
    of_shape = SHAPE_FEATURES if condition == PARE_FEATURES else 0
    widths = Widths(condition, hidden=16, shape=True, shape_condition=of_shape)
    assert widths.given == condition + of_shape
    network = Denoiser(widths)
    x, t, given_ = torch.randn(2, 154), torch.tensor([3, 900]), torch.randn(2, widths.given)
    first = network(x, t, given_)
    other = x.clone()
    other[:, 144:] += 1
    second = network(other, t, given_)
    assert torch.equal(first[:, :144], second[:, :144])
    assert not torch.allclose(first[:, 144:], second[:, 144:])


def test_forward_is_the_formula_written_out():
    torch.manual_seed(0)
    network = Denoiser(Widths(condition=7, hidden=11))
    state = network.state_dict()
    x, t, condition = torch.randn(2, 144), torch.tensor([0, 77]), torch.randn(2, 7)

    def linear(name, value):
        return functional.linear(value, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name, value):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.layer_norm(value, value.shape[-1:], weight, bias, 1e-5)

    level = torch.zeros(2, 144)
    for row, at in enumerate(t.tolist()):
        for k in range(72):
            angle = at * math.exp(-k * math.log(10000) / 71)
            level[row, k], level[row, 72 + k] = math.sin(angle), math.cos(angle)
    level = linear("time_mlp.3", functional.gelu(linear("time_mlp.1", level)))
    found = linear("init_mlp", x)
    for block in range(3):
        of = f"blocks.{block}"
        scale, shift = linear(f"{of}.mlp.1", functional.silu(level)).chunk(2, -1)
        found = found * (1 + scale) + shift
        inner = norm(f"{of}.block.layer_norm1", torch.cat([found, condition], -1))
        inner = functional.gelu(linear(f"{of}.block.linear_layer1", inner))
        inner = norm(f"{of}.block.layer_norm2", inner)
        found = found + functional.gelu(linear(f"{of}.block.linear_layer2", inner))
    torch.testing.assert_close(network(x, t, condition), linear("final_mlp", found))


def test_levels_are_sines_then_cosines():
    found = LevelEmbedding(10)(torch.tensor([2]))[0]
    angles = [2 * 10000 ** (-k / 4) for k in range(5)]
    expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    torch.testing.assert_close(found, torch.tensor(expected))


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_pose_numbers_are_two_columns_and_come_back(seed):
    draw = torch.Generator().manual_seed(seed)
    rotations = roma.rotvec_to_rotmat(torch.randn(2, 24, 3, generator=draw))
    numbers = pose_numbers(rotations)
    assert torch.equal(numbers[0, :6], torch.cat([rotations[0, 0, :, 0], rotations[0, 0, :, 1]]))
    torch.testing.assert_close(pose_rotations(numbers), rotations, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        axis_angle_numbers(roma.rotmat_to_rotvec(rotations)), numbers, atol=1e-5, rtol=1e-4
    )


def test_other_sizes_are_refused():
    network = Denoiser(Widths(condition=7, hidden=11))
    t = torch.tensor([0])
    with pytest.raises(BadInput, match="pose of 144 numbers, found 154"):
        network(torch.zeros(1, 154), t, torch.zeros(1, 7))
    with pytest.raises(BadInput, match="condition of 7 numbers, found 3072"):
        network(torch.zeros(1, 144), t, torch.zeros(1, 3072))
    with pytest.raises(BadInput, match="hidden is at least 1"):
        Widths(hidden=0)
    with pytest.raises(BadInput, match="shape_condition lies between"):
        Widths(condition=5, shape_condition=6)

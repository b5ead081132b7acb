"""The skinning field against the reference values and a brute-force version of method.md 7."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.occupancy import skinning_field as module
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.presets import FieldSettings
from chorus.occupancy.skinning_field import skinning_field
from chorus.occupancy.smoothing import _with_tensors, smoothed
from references.skinning_field import plain_field


def small_body(seed: int = 0, count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Random vertices within 0.6 m and sparse weights of 24 joints."""
    rng = np.random.default_rng(seed)
    vertices = rng.uniform(-0.6, 0.6, (count, 3)).astype(np.float32)
    weights = rng.dirichlet(np.full(24, 0.1), count).astype(np.float32)
    return torch.from_numpy(vertices), torch.from_numpy(weights / weights.sum(1, keepdims=True))


@pytest.mark.parametrize("resolution", [16, 24])
def test_agrees_with_the_reference_field(golden, resolution):
    body, expected = golden("body"), golden(f"lbs_grid_{resolution}")
    field = skinning_field(
        torch.from_numpy(body["star_v_template"]),
        torch.from_numpy(body["weights"]),
        VoxelGrid(resolution),
    )
    assert np.abs(field.numpy() - expected["lbs_weight_grid"].reshape(-1, 24)).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "reach"),
    [("default_merge_nosmooth", 0.8), ("nn_only_nosmooth", math.inf)],
)
def test_agrees_with_the_reference_variants(golden, name, reach):
    body, expected = golden("body"), golden("lbs_grid_16")
    field = skinning_field(
        torch.from_numpy(body["star_v_template"]),
        torch.from_numpy(body["weights"]),
        VoxelGrid(16),
        FieldSettings(smoothing_rounds=0, reach=reach),
    )
    assert np.abs(field.numpy() - expected[f"lbs_weight_grid_{name}"].reshape(-1, 24)).max() < 1e-5


@settings(max_examples=15, deadline=None)
@given(
    resolution=st.integers(1, 9),
    side=st.floats(0.5, 4),
    neighbours=st.integers(1, 70),
    rounds=st.integers(0, 4),
    seed=st.integers(0, 1000),
)
def test_agrees_with_the_plain_version(resolution, side, neighbours, rounds, seed):
    vertices, weights = small_body(seed)
    grid = VoxelGrid(resolution, side)
    s = FieldSettings(neighbours=neighbours, smoothing_rounds=rounds)
    field = skinning_field(vertices, weights, grid, s)
    assert np.abs(field.numpy() - plain_field(vertices, weights, grid, s)).max() < 2e-5
    torch.testing.assert_close(field.sum(1), torch.ones(grid.count))


@pytest.mark.parametrize("at_once", [70, 1 << 16])
def test_brute_force_finds_what_the_search_finds(monkeypatch, at_once):
    monkeypatch.setattr(module, "_PLACES_AT_ONCE", at_once)
    vertices, weights = small_body()
    points, values = torch.from_numpy(VoxelGrid(9).centres()), weights.double()
    near, distance, blend = module._nearest_blend(points, vertices, values, FieldSettings(), 9)
    brute = module._by_brute_force(vertices, values, points, 30, 0.8)
    assert torch.equal(near, brute[0])
    np.testing.assert_allclose(distance, brute[1], atol=1e-6)
    np.testing.assert_allclose(blend, brute[2], atol=1e-5)  # its distances are float32


def test_smoothing_is_the_same_on_every_device():
    n, rng = 7, np.random.default_rng(1)
    field = torch.from_numpy(rng.random((n**3, 5)).astype(np.float32))
    inner = torch.arange(n**3).reshape(n, n, n)[1:-1, 1:-1, 1:-1].reshape(-1)[::2].clone()
    compiled = smoothed(field.clone(), inner, n, 5, 0.7)
    np.testing.assert_allclose(compiled, _with_tensors(field.clone(), inner, n, 5, 0.7), atol=1e-6)
    assert (compiled - field)[inner].abs().min() > 0


def test_free_points_hits_and_distance():
    vertices, weights = small_body()
    points = torch.stack([vertices[5], torch.tensor([5.0, 0, 0])])
    field = skinning_field(vertices, weights, points)
    torch.testing.assert_close(field[0], weights[5], atol=1e-6, rtol=0)
    assert field[1].tolist() == [1.0] + [0.0] * 23


def test_cache_is_used_repaired_and_optional(tmp_path, monkeypatch):
    vertices, weights = small_body()
    grid = VoxelGrid(8)
    first = skinning_field(vertices, weights, grid, cache_dir=tmp_path)
    (file,) = tmp_path.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(module, "_compute", lambda *_: pytest.fail("the cache was not used"))
        assert torch.equal(skinning_field(vertices, weights, grid, cache_dir=tmp_path), first)
    file.write_bytes(file.read_bytes()[:500])
    assert torch.equal(skinning_field(vertices, weights, grid, cache_dir=tmp_path), first)
    assert torch.equal(skinning_field(vertices, weights, grid, cache_dir=tmp_path), first)
    skinning_field(vertices + 0.1, weights, grid, cache_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert torch.equal(skinning_field(vertices, weights, grid, cache_dir=blocked), first)


def test_bad_input_is_refused():
    vertices, weights = small_body()
    with pytest.raises(BadInput, match="finite"):
        skinning_field(vertices * math.nan, weights, VoxelGrid(4))
    with pytest.raises(BadInput, match="finite points"):
        skinning_field(vertices, weights, torch.tensor([[0.0, math.nan, 0.0]]))
    with pytest.raises(BadInput, match="neighbour"):
        FieldSettings(neighbours=0)
    with pytest.raises(BadInput, match="smoothing"):
        FieldSettings(smoothing_keep=2)

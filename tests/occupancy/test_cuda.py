"""The occupancy room on a GPU agrees with the CPU. Skips where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chorus.body.model import star_body
from chorus.occupancy.accumulate import accumulate
from chorus.occupancy.canonical import canonical_space
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.posing import canonical_points
from chorus.occupancy.presets import AggregationSettings
from chorus.occupancy.regions import Part
from chorus.occupancy.skinning_field import skinning_field

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_skinning_field(stick_body):
    vertices, grid = star_body(stick_body).vertices, VoxelGrid(16, 2.0)
    expected = skinning_field(vertices, stick_body.weights, grid)
    found = skinning_field(vertices.cuda(), stick_body.weights.cuda(), grid)
    assert found.is_cuda and (found.cpu() - expected).abs().max() < 1e-5


def test_counts(stick_body, make_views):
    clusters = (Part("all"), Part("arms", (("leftForeArm",),)))
    space = canonical_space(stick_body, AggregationSettings(resolution=16), clusters=clusters)
    views = make_views(70)
    expected, found = accumulate(space, views), accumulate(space, views, device="cuda")
    assert np.array_equal(found.members, expected.members)
    for part, counts in expected.counts.items():
        for name in ("image", "mask"):
            one, other = getattr(counts, name), getattr(found.counts[part], name)
            assert np.abs(one.astype(int) - other.astype(int)).sum() <= 2e-5 * 70 * 16**3


def test_hidden_counts(clad_body, make_views):
    settings = AggregationSettings(resolution=16, hidden=True)
    space = canonical_space(clad_body, settings, clusters=(Part("all"),))
    views = make_views(70)
    expected, found = accumulate(space, views), accumulate(space, views, device="cuda")
    for name in ("image", "mask", "hidden"):
        one, other = (getattr(each.counts["all"], name).astype(int) for each in (expected, found))
        assert np.abs(one - other).sum() <= 2e-5 * 70 * 16**3
    assert found.counts["all"].hidden.any()


def test_posing(stick_body):
    pose = torch.from_numpy(np.random.default_rng(0).normal(0, 0.2, (24, 3))).float()
    expected = canonical_points(stick_body, pose, VoxelGrid(12, 2.0))
    found = canonical_points(stick_body.to("cuda"), pose, VoxelGrid(12, 2.0))
    assert np.nanmax(np.abs(found - expected)) < 1e-3

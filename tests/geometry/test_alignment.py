"""Distances after alignment: nothing is left of a similarity, and a mirror image is none."""

from __future__ import annotations

import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.geometry.alignment import aligned_distances


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_similarity_leaves_nothing(seed):
    draw = torch.Generator().manual_seed(seed)
    points = torch.randn(3, 8, 3, generator=draw, dtype=torch.float64)
    R = roma.rotvec_to_rotmat(torch.randn(3, 3, generator=draw, dtype=torch.float64))
    moved = 2.5 * points @ R.mT + torch.randn(3, 1, 3, generator=draw, dtype=torch.float64)
    assert aligned_distances(points, moved).max() < 1e-9


def test_what_is_left_by_hand():
    square = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]]])
    stretched = square * torch.tensor([1.5, 0.5, 1.0])
    # The best scale is 1: corners at 1.5 and 0.5 are as far from it.
    torch.testing.assert_close(aligned_distances(square, stretched), torch.full((1, 4), 0.5))


def test_a_mirror_image_is_no_similarity():
    points = torch.randn(1, 8, 3, generator=torch.Generator().manual_seed(0))
    assert aligned_distances(points, points * torch.tensor([-1.0, 1, 1])).mean() > 0.1

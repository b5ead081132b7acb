"""The made phones of benchmarks/hand_frames.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.hand_frames import PHONE, Held, true_share
from chorus.occupancy.grid import VoxelGrid


def test_the_true_share_is_the_phones_volume():
    middle = np.array([-0.09, -0.028, 0.0])
    places = middle + np.random.default_rng(0).uniform(-0.006, 0.006, (60, 3))
    some = Held(
        torch.zeros(60, 16, 3), torch.zeros(60, 3), [], places, np.tile(np.eye(3), (60, 1, 1))
    )
    grid = VoxelGrid(48, 0.6)
    share = true_share(some, grid, probes=2)
    assert share.sum() * grid.size**3 == pytest.approx(PHONE.prod(), rel=0.1)
    inside = grid.centres()[share > 0]
    assert (np.abs(inside - middle) <= PHONE / 2 + 0.006 + grid.size).all()

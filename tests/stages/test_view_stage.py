"""What `chorus view` draws of a category."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.records.keys import TOTAL
from chorus.stages.view import Drawing, _without_repeated_total

PARTS = ("all", "torso")


def drawings(root: Path, prompt: str, level: float, parts: tuple[str, ...] = PARTS) -> list:
    """Distributions of a prompt on disk, `level` everywhere."""
    folder = root / prompt / "filter(3)-aggr(qual%3Ademo)"
    folder.mkdir(parents=True)
    grid = VoxelGrid(4, 3.0)
    for part in parts:
        probability = np.full(grid.shape, level, np.float32)
        seen = np.ones(grid.shape, np.uint32)
        Distribution(probability, grid, seen, "tie", prompt, part).save(folder / f"{part}.npz")
    return [Drawing(folder, part) for part in parts]


def test_a_total_of_one_prompt_is_not_drawn_again(tmp_path):
    prompt = drawings(tmp_path, "A person wears a tie", 0.5)
    assert _without_repeated_total([*prompt, *drawings(tmp_path, TOTAL, 0.5)]) == prompt


@pytest.mark.parametrize(("level", "parts"), [(0.4, PARTS), (0.5, ("all",))])
def test_a_total_that_differs_is_drawn(tmp_path, level, parts):
    group = drawings(tmp_path, "A person wears a tie", 0.5)
    group += drawings(tmp_path, TOTAL, level, parts)
    assert _without_repeated_total(group) == group


def test_a_total_alone_or_of_several_prompts_is_drawn(tmp_path):
    total = drawings(tmp_path, TOTAL, 0.5)
    assert _without_repeated_total(total) == total
    group = [*drawings(tmp_path, "A", 0.5), *drawings(tmp_path, "B", 0.5)]
    assert _without_repeated_total(group) == group
    assert _without_repeated_total([*group, *total]) == [*group, *total]


def test_a_damaged_distribution_is_left_to_the_drawing(tmp_path):
    group = [*drawings(tmp_path, "A", 0.5), *drawings(tmp_path, TOTAL, 0.5)]
    group[0].file(".npz").write_bytes(b"nonsense")
    assert _without_repeated_total(group) == group

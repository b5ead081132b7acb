"""Options that all stages share."""

from __future__ import annotations

import pytest

from chorus.errors import BadInput
from chorus.settings import RunOptions


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_the_parts_of_an_array_job_make_the_whole(parts):
    work = list(range(20))
    pieces = [RunOptions(shard=f"{part}/{parts}").mine(work) for part in range(1, parts + 1)]
    assert sorted(n for piece in pieces for n in piece) == work
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


def test_without_a_shard_all_is_mine():
    assert RunOptions().mine("abc") == "abc"


@pytest.mark.parametrize("shard", ["", "0/3", "4/3", "1", "a/b", "1/0", "-1/2"])
def test_a_shard_that_is_none(shard):
    with pytest.raises(BadInput, match="i/n"):
        RunOptions(shard=shard)

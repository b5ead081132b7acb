"""Options that all stages share."""

from __future__ import annotations

import pytest

from chorus.errors import BadInput
from chorus.samples import ShardKey
from chorus.settings import RunOptions

SHARDS = sorted(ShardKey("m", "chair", "A person sits on a chair", f"view {n}") for n in range(30))


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_the_parts_of_an_array_job_make_the_whole(parts):
    work = list(range(20))
    pieces = [RunOptions(shard=f"{part}/{parts}").mine(work) for part in range(1, parts + 1)]
    assert sorted(n for piece in pieces for n in piece) == work
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


def test_without_a_shard_all_is_mine():
    assert RunOptions().mine("abc") == "abc"
    assert RunOptions().my_shards(SHARDS) == SHARDS


def test_a_shard_stays_in_its_part_whichever_others_are_there():
    pieces = [RunOptions(shard=f"{part}/3").my_shards(SHARDS) for part in (1, 2, 3)]
    assert sorted(shard for piece in pieces for shard in piece) == SHARDS
    assert min(map(len, pieces)) >= 5
    assert RunOptions(shard="2/3").my_shards(SHARDS[7:]) == [
        shard for shard in pieces[1] if shard in SHARDS[7:]
    ]


@pytest.mark.parametrize("shard", ["", "0/3", "4/3", "1", "a/b", "1/0", "-1/2"])
def test_a_shard_that_is_none(shard):
    with pytest.raises(BadInput, match="i/n"):
        RunOptions(shard=shard)

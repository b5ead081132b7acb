"""Options that all stages share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from chorus.errors import BadInput
from chorus.records.keys import ShardKey
from chorus.settings import (
    BodyOptions,
    EngineOptions,
    ImageTreeOptions,
    RedoOptions,
    ShardOptions,
    WorkerOptions,
)

SHARDS = sorted(ShardKey("m", "chair", "A person sits on a chair", f"view {n}") for n in range(30))


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_the_parts_of_an_array_job_make_the_whole(parts):
    work = list(range(20))
    pieces = [ShardOptions(shard=f"{part}/{parts}").my_part(work) for part in range(1, parts + 1)]
    assert sorted(n for piece in pieces for n in piece) == work
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


def test_without_a_shard_all_is_my_part():
    assert ShardOptions().my_part("abc") == "abc"
    assert ShardOptions().my_shards(SHARDS) == SHARDS


def test_a_shard_stays_in_its_part_whichever_others_are_there():
    pieces = [ShardOptions(shard=f"{part}/3").my_shards(SHARDS) for part in (1, 2, 3)]
    assert sorted(shard for piece in pieces for shard in piece) == SHARDS
    assert min(map(len, pieces)) >= 5
    assert ShardOptions(shard="2/3").my_shards(SHARDS[7:]) == [
        shard for shard in pieces[1] if shard in SHARDS[7:]
    ]


@pytest.mark.parametrize("shard", ["", "0/3", "4/3", "1", "a/b", "1/0", "-1/2"])
def test_a_shard_that_is_none(shard):
    with pytest.raises(BadInput, match="i/n"):
        ShardOptions(shard=shard)


@dataclass(frozen=True)
class MoreOptions(EngineOptions, ImageTreeOptions):
    """A stage's options with paths of its own."""

    save_dir: Path | None = None
    out: Path = Path("export")
    model: str = "some/relative"


def test_every_path_is_absolute_for_other_machines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = MoreOptions(results_dir=Path("results"), save_dir=Path("pictures"), engine="ray")
    assert options.results_dir == tmp_path / "results" and options.image_dir is None
    assert options.save_dir == tmp_path / "pictures" and options.out == tmp_path / "export"
    assert options.model == "some/relative"


def test_paths_stay_as_they_are_given_on_this_machine():
    assert MoreOptions(engine="local", save_dir=Path("pictures")).save_dir == Path("pictures")


def test_one_worker_for_each_core_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 8}, raising=False)
    assert WorkerOptions().worker_count == 3 and WorkerOptions(workers=7).worker_count == 7
    monkeypatch.delattr(os, "sched_getaffinity")
    assert WorkerOptions().worker_count == 64


def test_a_body_that_is_no_file(tmp_path):
    with pytest.raises(BadInput, match=f"--body {tmp_path} is a folder; give an SMPL-family"):
        BodyOptions(body=tmp_path)
    with pytest.raises(BadInput, match="is not there; give an SMPL-family"):
        BodyOptions(body=tmp_path / "smpl.npz")


def test_there_is_one_way_to_be_made_anew():
    assert not RedoOptions().fresh
    assert RedoOptions(overwrite=True).fresh and RedoOptions(skip_done=False).fresh


def test_another_commands_options_take_what_both_have():
    options = MoreOptions(workers=3, results_dir=Path("elsewhere"), out=Path("there"))
    carried = options.carried_to(ImageTreeOptions, image_dir=Path("images"))
    assert carried == ImageTreeOptions(results_dir=Path("elsewhere"), image_dir=Path("images"))

"""Names on disk, atomic writes, locks and tables."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.files import DiskFull, atomic_write, display_name, portable_name
from chorus.pipeline import tables
from chorus.records.keys import SampleKey, ShardKey, sample_seed
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import Table, read_key, read_settings, read_table, write_table

SHARD = ShardKey("synthetic-v1", "surfboard-demo", "A person carries a surfboard", ", side view")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("A person carries a surfboard", "A person carries a surfboard"),
        (", side view", ", side view"),
        ("filter(3)-aggr(quant:full)", "filter(3)-aggr(quant%3Afull)"),
        ("a/b\\c", "a%2Fb%5Cc"),
        ("..", "%2E%2E"),
        (".hidden", "%2Ehidden"),
        ("ends with dot.", "ends with dot%2E"),
        ("con", "%63on"),
        ("COM1.txt", "%43OM1.txt"),
        ("ein Surfbrett für Ü", "ein Surfbrett f%C3%BCr %C3%9C"),
        ("100%", "100%25"),
    ],
)
def test_portable_names_are_readable_and_known(name, expected):
    assert portable_name(name) == expected
    assert display_name(expected) == name


@given(st.text(min_size=1, max_size=300))
def test_portable_names_suit_every_file_system_and_come_back(name):
    encoded = portable_name(name)
    assert encoded.isascii() and len(encoded) <= 120
    assert not set(encoded) & set('<>:"/\\|?*')
    assert encoded[0] not in ". " and encoded[-1] not in ". "
    assert encoded.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
    assert display_name(encoded) in (name, None)
    if len(name) < 12:
        assert display_name(encoded) == name


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_different_names_stay_different(first, second):
    assert (portable_name(first) == portable_name(second)) == (first == second)


def test_an_empty_name_is_refused():
    with pytest.raises(BadInput, match="empty"):
        portable_name("")


def test_atomic_write_leaves_nothing_behind_on_a_full_disk(tmp_path, monkeypatch):
    target = tmp_path / "table.parquet"
    atomic_write(target, b"old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="disk is full"):
        atomic_write(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["table.parquet"]


def test_a_long_prompt_is_found_again_by_its_full_text(tmp_path):
    tree = ResultsTree(tmp_path)
    long = SHARD._replace(prompt="A person carries a surfboard " * 20)
    for shard in (SHARD, long):
        write_table(tree.table("humans", shard), "humans", Table(shard, {}, _human_rows()))
    assert set(tree.shards("humans", "synthetic-v1")) == {SHARD, long}
    assert tree.shards("humans", "synthetic-v1", prompts=[long.prompt]) == [long]
    with pytest.raises(BadInput, match="did you mean 'surfboard-demo'"):
        tree.shards("humans", "synthetic-v1", ["surfbord-demo"])


def test_a_table_comes_back_as_written(tmp_path):
    path = tmp_path / "t.parquet"
    table = Table(SHARD, {"threshold": 0.8}, _human_rows())
    write_table(path, "humans", table)
    first = path.read_bytes()
    assert read_table(path, "humans") == table
    assert read_settings(path) == {"threshold": 0.8} and read_key(path) == SHARD
    write_table(path, "humans", table)
    assert path.read_bytes() == first, "writing must be deterministic"


def test_some_columns_are_read_without_the_others(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, "humans", Table(SHARD, {"threshold": 0.8}, _human_rows()))
    common = read_table(path, "humans", columns=())
    assert (common.shard, common.settings) == (SHARD, {"threshold": 0.8})
    whole = read_table(path, "humans")
    names = ("index", "status", "reason")
    assert common.rows == {i: {n: row[n] for n in names} for i, row in whole.rows.items()}
    assert common.finished() == whole.finished()
    assert read_table(path, "humans", columns=("persons",)) == whole


def test_tables_that_are_not_ours_are_refused(tmp_path):
    path = tmp_path / "t.parquet"
    with pytest.raises(BadInput, match="does not exist"):
        read_table(path, "humans")
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(BadInput, match="not a readable Parquet"):
        read_table(path, "humans")
    pyarrow.parquet.write_table(pyarrow.table({"index": [1]}), path)
    with pytest.raises(BadInput, match="not a CHORUS table"):
        read_table(path, "humans")
    write_table(path, "human_kps", Table(SHARD, {}))
    with pytest.raises(BadInput, match="'human_kps' version 1, expected 'humans'"):
        read_table(path, "humans")
    write_table(path, "humans", Table(SHARD, {}, _human_rows()))
    foreign = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(foreign.drop_columns(["persons"]), path)
    with pytest.raises(BadInput, match=r"foreign schema: persons \(missing"):
        read_table(path, "humans")
    write_table(path, "humans", Table(SHARD, {}, _human_rows()))
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + bytes(40) + whole[80:])
    with pytest.raises(BadInput, match=r"damaged|not a readable"):
        read_table(path, "humans")


def test_a_turned_bit_among_the_values_is_found(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, "humans", Table(SHARD, {}, _human_rows()))
    whole, table = path.read_bytes(), read_table(path, "humans")
    found = 0
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for at in range(4, footer, 37):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        try:
            assert read_table(path, "humans") == table  # what the bit said is not read
        except BadInput:
            found += 1
    assert found > 10


def test_rows_that_break_the_schema_are_refused(tmp_path):
    rows = _human_rows()
    rows[0]["persons"][0]["pose"] = [0.0] * 71
    with pytest.raises(BadInput, match=r"row 0, persons\[0\].pose: 71 values, expected 72"):
        write_table(tmp_path / "t.parquet", "humans", Table(SHARD, {}, rows))
    with pytest.raises(BadInput, match="status 'perhaps'"):
        bad = {0: {"index": 0, "status": "perhaps", "reason": "", "persons": None}}
        write_table(tmp_path / "t.parquet", "humans", Table(SHARD, {}, bad))
    with pytest.raises(BadInput, match="failed with reason ''"):
        bad = {0: {"index": 0, "status": "failed", "reason": "", "persons": None}}
        write_table(tmp_path / "t.parquet", "humans", Table(SHARD, {}, bad))


def test_seeds_belong_to_samples():
    key = SampleKey(*SHARD, 7)
    assert sample_seed(key) == sample_seed(key._replace(model="other"))
    others = [
        key._replace(index=8),
        key._replace(prompt="A person carries a surfboard."),
        key._replace(category="surfboard"),
    ]
    seeds = {sample_seed(k) for k in (key, *others)} | {sample_seed(key, "image")}
    assert len(seeds) == 5 and all(0 <= seed < 2**63 for seed in seeds)


def test_a_lock_dies_with_its_holder_and_its_leftovers_go(tmp_path):
    tree = ResultsTree(tmp_path)
    path = tree.table("images", SHARD)
    code = f"""
        import os, signal
        from pathlib import Path
        from chorus.files import replacing
        from chorus.records.results_tree import ResultsTree
        from chorus.records.keys import ShardKey
        tree = ResultsTree(Path({str(tmp_path)!r}))
        path = tree.table("images", ShardKey(*{tuple(SHARD)!r}))
        with tree.lock(path), replacing(path) as temporary:
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert killed.returncode == -9
    assert len(list(path.parent.iterdir())) == 1, "the killed run left its temporary file"
    with tree.lock(path):
        assert list(path.parent.iterdir()) == []


def _human_rows() -> dict[int, dict]:
    person = {
        "box": [0.0, 1.0, 2.0, 3.0],
        "pose": [0.5] * 72,
        "betas": [0.0] * 10,
        "camera": [1.0, 0.0, 0.0],
        "crop_centre": [1.0, 2.0],
        "crop_side": 3.0,
        "joints": [0.25] * 48,
    }
    return {
        0: {"index": 0, "status": "done", "reason": "", "persons": [person]},
        3: {"index": 3, "status": "failed", "reason": "unreadable", "persons": None},
    }


def test_a_table_that_is_not_there_names_the_command_that_makes_it(tmp_path):
    for name in tables():
        with pytest.raises(BadInput, match=f"no {name} in .* run chorus .*, or give the --results"):
            ResultsTree(tmp_path).shards(name, "synthetic-v1")
    with pytest.raises(BadInput, match="run chorus filter first"):
        ResultsTree(tmp_path).shards("filtered", "synthetic-v1")


def test_nothing_under_a_model_key_names_the_keys_that_are_there(tmp_path):
    tree = ResultsTree(tmp_path)
    shard = ShardKey("mine", "chair", "A person sits on a chair", "original")
    write_table(tree.table("filtered", shard), "filtered", Table(shard, {}))
    with pytest.raises(BadInput, match="it has those of --model_key mine; else run chorus filter"):
        tree.shards("filtered", "synthetic-v1")


def test_only_some_fields_of_a_list_are_read(tmp_path):
    path = tmp_path / "humans.parquet"
    write_table(path, "humans", Table(ShardKey("m", "c", "p", "a"), {}, _human_rows()))
    rows = read_table(path, "humans", ("persons.pose", "persons.crop_side")).rows
    assert rows[0]["persons"] == [{"pose": [0.5] * 72, "crop_side": 3.0}]
    assert rows[3]["persons"] is None and rows[3]["reason"] == "unreadable"
    assert "persons" not in read_table(path, "humans", ()).rows[0]

"""The benchmark's machinery on tiny operations; nothing here depends on how long anything takes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import measuring, operations, per_sample, scaling
from benchmarks.inputs import Setting
from benchmarks.measuring import Disagreement, Job, Work, measure, spread_of, within
from chorus.body.model import BodyModel
from chorus.body.skeleton import PARENTS

MACHINE = {
    "bandwidth": 2e9,
    "float32_rate": 4e9,
    "threads": 2,
    "name": "a machine",
    "versions": {"torch": "2"},
}


def tiny(expected: float = 6.0) -> Job:
    """The sum of three numbers, compared with `expected`."""
    return Job(
        size="3 numbers",
        fast=lambda: float(np.arange(4).sum()),
        warm=lambda: None,
        work=lambda result: Work(2 * result, "flop"),
        check=lambda found, other: within("difference", abs(found - other), 1e-9),
        unit="number",
        units=3,
        reference=lambda: expected,
        reference_units=3,
        reference_size="3",
    )


def test_a_row_is_per_unit_and_rates_follow():
    row = measure("sum", tiny(), budget=0, runs=4)
    assert (row.name, row.runs, row.unit, row.work) == ("sum", 4, "number", 4.0)
    assert row.rate == pytest.approx(row.work / row.median)
    assert row.ratio == pytest.approx(row.reference / row.median)
    assert row.agreement == "difference 0.0e+00 (at most 1e-09)"


def test_a_wrong_result_raises():
    with pytest.raises(Disagreement, match="differ: difference"):
        measure("sum", tiny(expected=6.1), budget=0)
    with pytest.raises(Disagreement):
        within("nothing", float("nan"), 1.0)


def test_the_same_size_is_what_is_compared():
    job = replace(tiny(expected=1.0), same=lambda: 1.0)
    assert measure("sum", job, budget=0).ratio > 0
    with pytest.raises(Disagreement):
        measure("sum", replace(job, same=lambda: 2.0), budget=0)


def test_peak_memory_is_that_of_the_operation():
    job = replace(tiny(), reference=None, check=lambda *_: "", work=lambda _: Work(1.0, "B"))
    row = measure("ones", replace(job, fast=lambda: np.ones(8_000_000).sum()), budget=0)
    assert 60e6 < row.memory < 80e6


def test_spread_is_the_interquartile_range():
    assert spread_of([1.0, 2.0, 3.0, 4.0, 5.0]) == 2.0 and spread_of([1.0]) == 0.0


def test_results_survive_json(tmp_path):
    path, row = tmp_path / "results.json", measure("sum", tiny(), budget=0)
    measuring.save(path, {"machine": MACHINE}, [row])
    content, rows = measuring.load(path)
    assert rows == [row] and content["machine"] == MACHINE
    path.write_text(json.dumps({"schema": "other"}))
    with pytest.raises(SystemExit, match="make it again"):
        measuring.load(path)


def test_the_table_says_what_was_attained():
    row = replace(measure("sum", tiny(), budget=0), median=2e-3, rate=1e9, ratio=1234.0)
    text = command.table([row, replace(row, work_unit="B", reference=None, ratio=None)], MACHINE)
    assert "2 ms / number" in text and "| 25% |" in text and "| 50% |" in text
    assert "| 1,234 |" in text and "| — | — |" in text


def test_comparing_leaves_out_what_changed_size():
    row = replace(measure("sum", tiny(), budget=0), median=1e-3, memory=100)
    now = [replace(row, median=5e-4, memory=150), replace(row, size="4 numbers")]
    lines = command.comparison([row], now).splitlines()
    assert lines[2:] == ["| sum | 1 ms | 500 µs | 0.50 | 1.50 |"]


def test_the_command_measures_each_row_in_a_child(tmp_path, monkeypatch, capsys):
    row = measure("sum", tiny(), budget=0)
    asked = []

    def child(module, arguments):
        asked.append(arguments[1])
        return MACHINE if arguments[1] == "machine" else {**vars(row), "name": arguments[1]}

    monkeypatch.setattr(command, "in_child", child)
    path = tmp_path / "new.json"
    command.main(["--only", "pap", "read-table", "--json", str(path)])
    assert asked == ["machine", "pap", "read-table"]
    command.main(["--quick", "--compare", str(path)])
    assert not set(command.NOT_QUICK) & set(asked)
    assert "| pap | " in capsys.readouterr().out.split("memory, now / earlier")[1]
    with pytest.raises(SystemExit):
        command.main(["--only", "papp"])
    assert "no row is called papp" in capsys.readouterr().err


def test_a_failing_child_is_told(tmp_path, monkeypatch):
    (tmp_path / "broken_row.py").write_text("raise SystemExit('no body here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SystemExit, match="no body here"):
        measuring.in_child("broken_row", [])
    (tmp_path / "whole_row.py").write_text("print('{\"a\": 1}')")
    assert measuring.in_child("whole_row", []) == {"a": 1}


def test_scaling_tables_and_picture(tmp_path):
    row = measure("sum", tiny(), budget=0)
    names = [f"{kind}:{n}" for kind in ("field", "aggregation") for n in (24, 48)]
    rows = [replace(row, name=name, median=1.0) for name in [*names, "images:100", "images:1000"]]
    text = scaling.table(rows)
    assert "| skinning field | 24^3 | 1 s | 72.3 µs |" in text and "| 1,000 | 1 s |" in text
    scaling.draw(rows, tmp_path / "images" / "scaling.png")
    assert (tmp_path / "images" / "scaling.png").read_bytes().startswith(b"\x89PNG")


# Every operation against its reference at sizes that take no time


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A setting whose body is a few clouds of vertices in the free body's place."""
    rng = np.random.default_rng(3)
    joints = np.cumsum(rng.normal(0, 0.12, (24, 3)), axis=0)
    vertices = np.repeat(joints, 8, axis=0) + rng.normal(0, 0.05, (24 * 8, 3))
    body = BodyModel(
        name="clouds",
        v_template=torch.tensor(vertices, dtype=torch.float32),
        shapedirs=torch.zeros(192, 3, 10),
        posedirs=None,
        weights=torch.tensor(np.repeat(np.eye(24), 8, axis=0), dtype=torch.float32),
        joint_regressor=torch.tensor(np.repeat(np.eye(24), 8, axis=1) / 8, dtype=torch.float32),
        faces=torch.arange(192).reshape(-1, 3),
        parents=PARENTS,
    )
    found = Setting(str(tmp_path_factory.mktemp("imports")), quick=True, threads=1)
    found.__dict__["body"] = body
    return found


SMALL = {
    "skinning-field": partial(operations.field, resolution=24),
    "calibration": partial(per_sample.calibration, persons=3),
    "aggregation-quant-64": partial(
        per_sample.aggregation, name="quant:full", images=3, resolution=12
    ),
    "aggregation-hidden-64": partial(
        per_sample.aggregation, name="quant:full", images=3, resolution=12, hidden=True
    ),
    "aggregation-qual-64": partial(
        per_sample.aggregation, name="qual:demo", images=3, resolution=12
    ),
    "pap": partial(operations.pap, resolution=24),
    "interaction-regions": partial(operations.regions, resolution=24),
    "read-table": partial(per_sample.table, rows=3),
    "mask-decoding": partial(per_sample.mask, masks=3),
    "posing-bodies": partial(operations.pose_body, poses=3),
    "posing-a-distribution": partial(operations.pose_distribution, resolution=24),
}


def test_every_row_has_its_operation():
    assert tuple(operations.ROWS) == command.NAMES
    assert set(SMALL) == set(command.NAMES) - set(command.NOT_QUICK)


@pytest.mark.parametrize("name", SMALL)
def test_operations_agree_with_their_references(setting, name):
    row = measure(name, SMALL[name](setting), budget=0, runs=1)
    assert row.agreement and row.median > 0 and row.work > 0
    assert row.ratio > 0


WRONG = {
    "skinning-field": (operations, "skinning_field", lambda field: field.roll(1, 0)),
    "interaction-regions": (operations, "interaction_region", lambda voxels: voxels[3:]),
    "mask-decoding": (per_sample, "of_counts", lambda bits: replace(bits, words=~bits.words)),
    "aggregation-quant-64": (
        per_sample,
        "accumulate",
        lambda done: done._replace(members=~done.members),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_operations_that_are_wrong_raise(setting, name, monkeypatch):
    module, called, spoil = WRONG[name]
    right = getattr(module, called)
    monkeypatch.setattr(module, called, lambda *a, **k: spoil(right(*a, **k)))
    with pytest.raises(Disagreement):
        measure(name, SMALL[name](setting), budget=0, runs=1)

"""What `chorus verify` says of impossible values in the tables `refined` and `quality`."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chorus.cli import main
from chorus.commands.verifying.values import check_values
from chorus.filtering.rules import RULES
from chorus.filtering.verdicts import RETAINED
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import Table, write_table

SHARD = ShardKey("synthetic-v1", "chair", "A person sits on a chair", "original")
NAN, INFINITE = float("nan"), float("inf")


def turned(angle: float) -> dict:
    """Pose and R of a person turned about y, who bends a knee by 1 radian."""
    pose = np.zeros((24, 3))
    pose[0, 1], pose[4, 0] = angle, 1
    c, s = math.cos(angle), math.sin(angle)
    return {"pose": pose.ravel().tolist(), "R": [c, 0, s, 0, 1, 0, -s, 0, c]}


def person(index: int, **changed) -> dict:
    usual = {"t": [0.0, 0.0, 3.0], "K": [500.0, 0, 128, 0, 500, 128, 0, 0, 1]}
    fit = {"residual_before": 0.1, "residual": 0.02, "agreement": 0.8, "iterations": 7}
    done = {"index": index, "status": "done", "reason": "", "converged": True, "doubt": ""}
    return {**turned(3.1), **usual, **fit, **done, **changed}


def qualities(index: int, **changed) -> dict:
    usual = {"confidence": 1.0, "consistency": NAN, "agreement": NAN, "reprojection": NAN}
    return {"index": index, "status": "done", "reason": "", **usual, **changed}


def verdicts(*said: str) -> Table:
    rows = [
        {"index": at, "status": "done", "reason": "", "verdicts": [each] * len(RULES),
         "person": 0, "objects": [1]}
        for at, each in enumerate(said)
    ]  # fmt: skip
    return Table(SHARD, {}, {row["index"]: row for row in rows})


def refined(row: dict) -> list[str]:
    table = Table(SHARD, {}, {0: person(0), 1: row, 2: {**row, "index": 2}})
    return list(check_values("refined", table, verdicts(*[RETAINED] * 3)))


def quality(row: dict, criteria=("confidence", "reprojection")) -> list[str]:
    table = Table(SHARD, {"criteria": list(criteria)}, {0: qualities(0), 1: row})
    return list(check_values("quality", table, verdicts(RETAINED, RETAINED)))


@pytest.mark.parametrize(
    "row",
    [
        person(1),
        person(1, residual=NAN, residual_before=NAN, doubt="keypoints not explained"),
        person(1, agreement=NAN),
        person(1, agreement=0.2, doubt="body and mask disagree", iterations=0),
        person(1, **turned(-math.pi)),
    ],
)
def test_what_refine_writes_is_sound(row):
    assert refined(row) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pose": [NAN] * 72}, "has NaN or infinity in pose, R, t or K"),
        ({"t": [0.0, INFINITE, 3.0]}, "has NaN or infinity in pose, R, t or K"),
        ({"K": [None] * 9}, "has NaN or infinity in pose, R, t or K"),
        ({"pose": [*turned(3.1)["pose"][:69], 0, 12.6, 0]}, "has a rotation vector longer than 2"),
        ({"R": [0.5, 0, 0, 0, 0.5, 0, 0, 0, 0.5]}, "has an R that is no rotation"),
        ({"R": [1, 0, 0, 0, 1, 0, 0, 0, -1]}, "has an R that is no rotation"),
        ({"R": turned(3.0)["R"]}, "has a pose whose first rotation vector is not that of R"),
        ({"K": [0, 0, 128, 0, 500, 128, 0, 0, 1]}, "has a focal length that is not above 0"),
        ({"K": [500, 0, 128, 0, -500, 128, 0, 0, 1]}, "has a focal length that is not above 0"),
        ({"K": [500, 0, 128, 0, 500, 128, 0, 0, 2]}, "has a K that is not [[f, 0, cx]"),
        ({"residual": -0.1}, "has a residual that is infinite or below 0"),
        ({"residual_before": INFINITE}, "has a residual_before that is infinite or below 0"),
        ({"residual": NAN}, "has a residual of NaN without the doubt"),
        ({"agreement": 1.2}, "has an agreement that is not between 0 and 1"),
        ({"agreement": -INFINITE}, "has an agreement that is not between 0 and 1"),
        ({"iterations": -1}, "has iterations below 0"),
        ({"doubt": "hm"}, "has an unknown doubt"),
    ],
)
def test_impossible_persons_are_told(changed, said):
    (told,) = refined(person(1, **changed))
    assert told.startswith(said) and told.endswith("(first: 000001, 2 in all)")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"confidence": 1.5}, "has a confidence that is not between 0 and 1"),
        ({"reprojection": -0.1}, "has a reprojection that is not between 0 and 1"),
        ({"reprojection": INFINITE}, "has a reprojection that is not between 0 and 1"),
        ({"agreement": 0.5}, "has agreement, which its settings say was not computed"),
    ],
)
def test_impossible_qualities_are_told(changed, said):
    (told,) = quality(qualities(1, **changed))
    assert told.startswith(said) and told.endswith("(first: 000001, 1 in all)")


def test_qualities_that_cannot_be_told_are_sound():
    assert quality(qualities(1, confidence=NAN, reprojection=0.0)) == []


@pytest.mark.parametrize("criteria", [(), ("beauty",)])
def test_criteria_that_there_are_not(criteria):
    (told,) = quality(qualities(1), criteria)
    assert told.startswith("was made with no criteria of quality that there are, but [")


def test_a_row_of_a_sample_that_is_not_retained():
    judged = verdicts(RETAINED, "2 persons")
    for name, row, settings in (
        ("refined", person(1), {}),
        ("quality", qualities(1), {"criteria": ["confidence"]}),
    ):
        (told,) = check_values(name, Table(SHARD, settings, {1: row}), judged)
        assert told == "has a row of a sample that no filter rule retains (first: 000001, 1 in all)"
        skipped = {**row, "status": "skipped", "reason": "2 persons"}
        assert not list(check_values(name, Table(SHARD, settings, {1: skipped}), judged))


def test_the_command_names_what_mends(tmp_path, capsys):
    tree = ResultsTree(tmp_path)
    table = Table(SHARD, {"criteria": ["confidence"]}, {0: qualities(0, confidence=2.0)})
    write_table(tree.table("quality", SHARD), "quality", table)
    assert main(["verify", "--results_dir", str(tmp_path)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "has a confidence that is not between 0 and 1 (first: 000000, 1 in all); rerun: " in said
    assert "chorus quality --categories chair" in said and "--overwrite" in said

"""The contact sheet: what tells its images apart, and the bodies that it draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chorus.filtering.rules import RULES
from chorus.filtering.verdicts import RETAINED
from chorus.pipeline import step
from chorus.records.keys import SampleKey
from chorus.records.results_tree import ResultsTree
from chorus.viewing.judged import JudgedSample
from chorus.viewing.sheet import SheetSettings, _shared_words, _tile, caption
from references.stick_body import stick_body

RIDES, PUSHES = "A person rides a motorcycle", "A person pushes a motorcycle"


@pytest.mark.parametrize(
    ("prompts", "augprompt", "expected"),
    [
        ([RIDES, PUSHES], ", side view", "rides, side view"),
        ([RIDES, PUSHES], "original", "rides"),
        ([RIDES], ", bottom view", "bottom view"),
        ([RIDES], "original", "original"),
        ([RIDES, f"{RIDES} uphill"], ", side view", "side view"),
        ([RIDES, "Somebody waits"], "original", RIDES),
    ],
)
def test_a_caption_has_what_is_not_shared(prompts, augprompt, expected):
    key = SampleKey("m", "motorcycle", RIDES, augprompt, 0)
    assert caption(key, _shared_words(prompts)) == expected


# ---- bodies


def about(tmp_path, anchor: str) -> SheetSettings:
    return SheetSettings(ResultsTree(tmp_path), "m", (), (3,), anchor)


def sample(doubt: str = "", **without) -> JudgedSample:
    """One retained sample, its regressed body 3 m away, the refined one, which bends a knee, 4."""

    def done(**values):
        return {"status": "done", "reason": "", **values}

    camera = {"R": np.eye(3).ravel().tolist(), "K": np.eye(3).ravel().tolist()}
    bent = np.zeros((24, 3))
    bent[4] = 1, 0, 0
    rows = {
        "filtered": done(verdicts=[RETAINED] * len(RULES)),
        "humans": done(persons=[{"pose": [0.3] * 3 + [0.0] * 69}]),
        "filtered_cameras": done(**camera, t=[0, 0, 3]),
        "refined": done(**camera, t=[0, 0, 4], pose=bent.ravel().tolist(), doubt=doubt),
    }
    return JudgedSample(SampleKey("m", "bench", RIDES, "original", 0), {**rows, **without})


@pytest.mark.parametrize("anchor", ["calibrated", "refined"])
def test_the_body_is_the_one_that_the_aggregation_took(tmp_path, anchor):
    body = stick_body()
    drawn = _tile(about(tmp_path, anchor), sample(), "", body).body
    pose = torch.zeros(24, 3)
    pose[4, 0] = anchor == "refined"
    np.testing.assert_allclose(drawn.vertices, body.pose(pose).vertices.numpy(), atol=1e-6)
    assert drawn.t.tolist() == [0, 0, 4 if anchor == "refined" else 3]


def test_where_the_aggregation_had_no_body_none_is_drawn(tmp_path):
    failed = {"status": "skipped", "reason": "refinement: not finite", "doubt": None}
    for refined in (None, failed):
        without = sample(refined=refined)
        tile = _tile(about(tmp_path, "refined"), without, "", stick_body())
        assert tile.body is None and tile.verdict == RETAINED
        assert _tile(about(tmp_path, "calibrated"), without, "", stick_body()).body is not None


def test_a_doubt_stands_beside_the_verdict(tmp_path):
    tile = _tile(about(tmp_path, "refined"), sample("body and mask disagree"), "", stick_body())
    assert tile.verdict == "retained, but body and mask disagree"


def test_the_graph_of_tables_knows_what_a_sheet_reads(tmp_path):
    read = {name for anchor in ("calibrated", "refined") for name in about(tmp_path, anchor).tables}
    assert read == {*step("view").reads, *step("view").may_read}

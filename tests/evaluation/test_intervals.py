"""A mean over one image has no interval, and no table prints one."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from chorus.commands.ablation.definitions import FULL
from chorus.commands.ablation.table import rows_of, write_rows
from chorus.evaluation.summary import SummarySettings, summarise

ANY = SummarySettings(min_images=1)
ONE, MANY = np.full((1, 4), 0.184), np.linspace(0, 1, 40).reshape(10, 4)


def test_a_mean_over_one_image_has_no_interval():
    summary = summarise({"tie": ONE, "skis": MANY}, "pap/v2", ANY)
    skis, tie = summary.categories
    np.testing.assert_allclose(tie.mean, 0.184)
    assert np.isnan([tie.low, tie.high]).all()
    assert (skis.low < skis.mean).all() and (skis.mean < skis.high).all()
    # the mean over categories is resampled over the images of those that have several
    assert (summary.overall.low < summary.overall.high).all()


def test_one_image_with_a_target_is_one_image():
    values = MANY.copy()
    values[1:, 2:] = np.nan
    for figures in (
        summarise({"skis": values}, "pap/v2").categories[0],
        summarise({"skis": values}, "pap/v2", ANY).overall,
    ):
        assert np.isnan(figures.low).tolist() == [False, False, True, True]
        assert not np.isnan(figures.mean).any()


def test_a_mean_over_categories_of_one_image_each_has_no_interval():
    overall = summarise({"tie": ONE, "skis": ONE / 2}, "pap/v2", ANY).overall
    np.testing.assert_allclose(overall.mean, 0.138)
    assert np.isnan([overall.low, overall.high]).all()


def test_the_report_prints_the_mean_alone():
    from chorus.commands.report import _cells

    summary = summarise({"tie": ONE}, "pap/v2", ANY)
    assert _cells(summary.overall) == ["18.4"] * 4
    nothing = summarise({"tie": ONE * np.nan}, "pap/v2", ANY)
    assert _cells(nothing.overall) == ["-"] * 4


@pytest.mark.parametrize("form", ["table", "markdown", "json", "csv"])
def test_the_ablation_table_prints_the_mean_alone(form):
    counts = {"truth": {}, "retained": 1, "seconds": 1.0, "bytes": 1}
    records = {
        name: {"tie": {"pap": {"pap/v2": [[value] * 4]}, **counts}}
        for name, value in ((FULL, 0.184), ("symmetric", 0.2))
    }
    rows, _ = rows_of(records, FULL, ["pap/v2"], 1)
    text = write_rows(rows, FULL, form)
    assert "nan" not in text.lower() and "[18" not in text
    if form == "json":
        row = json.loads(text)["rows"][0]
        assert row["mPAP (pap/v2)"] == pytest.approx(18.4) and row["mPAP (pap/v2) low"] is None
    elif form == "csv":
        assert next(csv.DictReader(io.StringIO(text)))["mPAP (pap/v2) low"] == ""
    else:
        assert "18.4" in text and "+1.6" in text

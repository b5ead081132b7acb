"""Ablations as data, and the table's arithmetic, worked out by hand."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import fields

import numpy as np
import pytest

from chorus.commands.ablation.definitions import ABLATIONS, FULL, NOISE_OF
from chorus.commands.ablation.scores import at_resolution
from chorus.commands.ablation.table import rows_of, write_rows
from chorus.commands.ablation.trees import AblationOptions
from chorus.commands.ablation.trees import _changed as changed_settings
from chorus.commands.ablation.trees import _stage_options as stage_options
from chorus.errors import BadInput, StaleResults
from chorus.occupancy.presets import PRESETS
from chorus.records.gathering import Retained
from chorus.records.keys import SampleKey
from chorus.records.results_tree import ResultsTree
from chorus.refinement.score.settings import ScoreSettings
from chorus.stages import quality, refine
from chorus.stages.quality import _recorded as recorded
from chorus.synthetic.perceive.noise_settings import NoiseSettings


def test_every_noise_knob_is_there_at_0_and_doubled():
    knobs = {field.name for field in fields(NoiseSettings)}
    assert NOISE_OF.keys() == knobs
    on = {field.name for field in fields(NoiseSettings) if field.default}
    found = {(a.knob, a.factor) for a in ABLATIONS.values() if a.knob}
    assert found == {(knob, factor) for knob in on for factor in (0.0, 2.0)}


def test_every_ablation_changes_something_else():
    resolved = [one.against(FULL) for one in ABLATIONS.values()]
    changes = [json.dumps(one.recorded(), sort_keys=True) for one in resolved]
    assert len(set(changes)) == len(changes)
    assert all(one.preset in PRESETS for one in resolved)


def test_an_ablation_without_a_preset_takes_its_references():
    knob = ABLATIONS["pose-error-0"]
    assert knob.against(FULL).preset == "quant:full"
    assert knob.against("evidence").preset == "quant:evidence"
    assert ABLATIONS["symmetric"].against("evidence") == ABLATIONS["symmetric"].against(FULL)
    assert knob.against("evidence").rules == knob.against(FULL).rules == (3,)
    assert knob.against("evidence").makes == ("humans", "refined")
    assert ABLATIONS["evidence-selection"].against(FULL).rules == (15,)
    assert knob.against("evidence-selection").rules == (15,)
    assert knob.against("evidence").leaves_out == ("quality", "filtered_cameras")


def test_an_ablation_with_a_selection_makes_the_quality_too():
    knob, levels = (
        ABLATIONS["pose-error-0"].against("evidence-levels"),
        ABLATIONS["evidence-levels"],
    )
    assert "quality" in levels.ingredients and not levels.makes
    assert "quality" not in ABLATIONS["evidence"].ingredients
    assert knob.makes == ("humans", "refined", "quality")
    assert knob.leaves_out == ("filtered_cameras",)
    assert ABLATIONS["weak-perspective"].against("evidence-share").makes == ()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"criteria": ("confidence", "reprojection"), "reprojected": "refined"},
        {
            "criteria": ("consistency", "agreement"),
            "second_keypoint_model": "synthetic:other",
            "noise": NoiseSettings(keypoint_jitter=0.02, shared_error=0.1),
            "seed": 7,
        },
    ],
)
def test_quality_is_made_with_the_options_that_its_table_records(options, tmp_path):
    made = recorded(quality.Options(results_dir=tmp_path, **options))
    again = stage_options(quality, "quality", AblationOptions(results_dir=tmp_path), made)
    assert recorded(again) == made
    changed = changed_settings("quality", ABLATIONS["keypoint-jitter-doubled"], made)
    looks = "noise" in made
    assert (changed != made) == looks
    assert not looks or changed["noise"]["keypoint_jitter"] == 0.04


def test_persons_are_refined_again_by_the_same_learned_prior(tmp_path):
    prior, other = tmp_path / "prior.safetensors", tmp_path / "other.safetensors"
    prior.write_bytes(b"weights")
    other.write_bytes(b"others")
    asked = refine.Options(
        results_dir=tmp_path, refinement="score", prior=prior, score=ScoreSettings(joint_sd=2.0)
    )
    scored = refine.score_settings(asked)
    made = {"body": asked.body_name, "refinement": "score", **asked.fit.recorded(), **scored}

    tree = ResultsTree.on(ResultsTree(tmp_path), tmp_path / "ablations" / "x", ("refined",))

    def options(**more):
        of_ablation = AblationOptions(results_dir=tree.root, **more)
        return stage_options(refine, "refined", of_ablation, dict(made))

    again = options(prior=prior)
    assert refine.score_settings(again) == scored and again.fit == asked.fit
    for given in (None, other):
        with pytest.raises(StaleResults, match="give that prior's file with --prior"):
            options(prior=given)


@pytest.mark.parametrize(
    ("name", "makes"),
    [
        (FULL, ()),
        ("resolution-24", ()),
        ("weak-perspective", ("filtered_cameras",)),
        ("pose-error-0", ("humans", "filtered_cameras")),
        ("keypoint-jitter-doubled", ("human_kps", "filtered", "filtered_cameras")),
        ("no-filtering", ("humans", "filtered", "filtered_cameras")),
        (
            "miss-rate-0",
            ("segmentations", "humans", "human_kps", "filtered", "filtered_cameras"),
        ),
    ],
)
def test_an_ablation_makes_what_it_changes_and_what_follows(name, makes):
    ablation = ABLATIONS[name].against(FULL)
    assert ablation.makes == makes
    refined = {"humans", "human_kps", "segmentations", "filtered"}.intersection(makes)
    assert ablation.leaves_out == (("refined", "quality") if refined else ())


def samples(count: int) -> Retained:
    keys = [SampleKey("m", "chair", "A person sits", "original", n) for n in range(count)]
    columns = [[np.full(3, n) for n in range(count)] for _ in range(4)]
    return Retained(keys, *columns, [((), n, n) for n in range(count)], [1] * count)


def test_shares_are_nested_and_never_empty():
    everything = samples(200)
    tenth, hundredth = everything.share(0.1), everything.share(0.01)
    assert (len(tenth), len(hundredth), len(samples(3).share(0.01))) == (20, 2, 1)
    assert set(hundredth.keys) < set(tenth.keys) < set(everything.keys)
    assert tenth.keys == sorted(tenth.keys) and tenth.keys != everything.keys[:20]
    assert [int(pose[0]) for pose in tenth.pose] == [key.index for key in tenth.keys]
    assert tenth.dropped == {"not in the share of the data": 180}
    assert everything.share(1.0) is everything and len(samples(0).share(0.1)) == 0


def test_resolutions_by_hand():
    coarse = np.arange(8.0).reshape(2, 2, 2)
    fine = at_resolution(coarse, 4)
    assert fine.shape == (4, 4, 4) and (fine[:2, :2, 2:] == 1).all() and fine[3, 3, 3] == 7
    np.testing.assert_array_equal(at_resolution(fine, 2), coarse)
    mixed = np.zeros((2, 2, 2))
    mixed[0, 0, 0] = 1
    assert at_resolution(mixed, 1).item() == 1 / 8
    with pytest.raises(BadInput, match="3 voxels a side"):
        at_resolution(np.zeros((3, 3, 3)), 2)


def record(pap: list[float | None], truth: list[float], **more) -> dict:
    images = [[value] * 4 for value in pap]
    prompts = {
        str(number): {"soft_ap": value, "region_ap": value / 2, "best_iou": value / 4}
        for number, value in enumerate(truth)
    }
    counts = {"retained": 10, "seconds": 1.5, "bytes": 2_000_000}
    return {"pap": {"pap/v2": images}, "truth": prompts, **counts, **more}


RECORDS = {
    FULL: {"bench": record([0.5, None, 0.7], [0.2, 0.4]), "tie": record([0.1, 0.1, 0.1], [0.1])},
    "symmetric": {"bench": record([0.4, None, 0.6], [0.5, 0.5], retained=7)},
}


def test_differences_are_signed_and_on_the_same_categories():
    (full, other), notes = rows_of(RECORDS, FULL, ["pap/v2"], 3)
    assert full["mPAP (pap/v2)"] == pytest.approx(35) and full["3D AP"] == pytest.approx(20)
    assert (full["retained"], full["seconds"], full["bytes"]) == (20, 3.0, 4_000_000)
    assert other["mPAP (pap/v2)"] == pytest.approx(50)
    for end in ("", " low", " high"):  # every image differs by as much
        assert other[f"mPAP (pap/v2) difference{end}"] == pytest.approx(-10)
    assert other["3D AP difference"] == pytest.approx(20) and not notes
    assert other["3D AP difference low"] is None  # one category tells of no spread
    assert (full["region AP"], full["IoU"]) == (pytest.approx(10), pytest.approx(5))
    text = write_rows([full, other], FULL, "table")
    assert "-10.0 [-10.0, -10.0]" in text and "+20.0" in text and "1 of 2" in text


def test_every_form_says_the_same():
    rows, notes = rows_of(RECORDS, FULL, ["pap/v2"], 30)
    assert len(notes) == 2 and notes[0].startswith("bench: 3 test images, fewer than 30")
    loaded = json.loads(write_rows(rows, FULL, "json"))
    assert loaded["rows"] == rows and rows[0]["mPAP (pap/v2)"] is None
    lines = list(csv.DictReader(io.StringIO(write_rows(rows, FULL, "csv"))))
    assert [line["retained"] for line in lines] == ["20", "7"]
    assert lines[1]["mPAP (pap/v2)"] == ""
    markdown = write_rows(rows, FULL, "markdown").splitlines()
    assert markdown[2].startswith(f"| {FULL} | - |") and len(markdown) == 4


def test_without_a_known_truth_there_is_no_3d_figure():
    records = {FULL: {"bench": record([0.5], [])}, "symmetric": {"bench": record([0.4], [])}}
    rows, _ = rows_of(records, FULL, ["pap/v2"], 1)
    assert [row["3D AP"] for row in rows] == [None, None]
    assert rows[1]["3D AP difference"] is None


def test_the_interval_of_3d_figures_is_over_categories():
    full = {str(n): record([0.5], [0.1]) for n in range(8)}
    other = {str(n): record([0.5], [0.2 + 0.1 * (n % 2)]) for n in range(8)}
    _, row = rows_of({FULL: full, "symmetric": other}, FULL, ["pap/v2"], 1)[0]
    assert row["3D AP difference"] == pytest.approx(15)
    assert 10 < row["3D AP difference low"] < 15 < row["3D AP difference high"] < 20

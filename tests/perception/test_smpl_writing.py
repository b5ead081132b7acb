"""Persons as .smpl files and SMPL-X's npz: read back by the packages that read them."""

from __future__ import annotations

import io
import logging
import sys
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from chorus.body.loading import FREE_BODY_NAME
from chorus.errors import BadInput, Unavailable
from chorus.perception.recorded_poses import SMPLX_PELVIS
from chorus.perception.smpl_writing import (
    PosedPerson,
    check_smpl_codec,
    smpl_file,
    smplx_arrays,
)
from chorus.records.rows import Camera
from references.bodies import stick_figure

UPRIGHT = np.diag([1.0, -1.0, -1.0])
K = np.array([[900, 0, 320], [0, 900, 240], [0, 0, 1]], np.float32)


def grown(vertices: int, name: str = "SMPL_NEUTRAL.npz"):
    """The stick figure with as many vertices as a published model, and shapes that move joints."""
    figure = stick_figure()
    own = len(figure.v_template)
    further = vertices - own
    shapes = torch.randn(vertices, 3, 10, generator=torch.Generator().manual_seed(1)) * 0.01
    shapes[:own] += 0.02
    return replace(
        figure,
        name=name,
        v_template=torch.cat([figure.v_template, figure.v_template[:1].repeat(further, 1)]),
        weights=torch.cat([figure.weights, figure.weights[:1].repeat(further, 1)]),
        joint_regressor=torch.cat([figure.joint_regressor, torch.zeros(24, further)], dim=1),
        shapedirs=shapes,
    )


def persons(count: int = 3) -> list[PosedPerson]:
    draw = torch.Generator().manual_seed(3)
    made = []
    for number in range(count):
        R = roma.random_rotmat(1, generator=draw)[0].numpy()
        t = np.array([0.1, -0.2, 4.0 + number], np.float32)
        pose = (torch.randn(24, 3, generator=draw) * 0.4).numpy()
        betas = torch.randn(10, generator=draw).numpy()
        made.append(PosedPerson(f"{number}.jpg", pose, betas, Camera(R, t, K)))
    return made


def in_camera(person: PosedPerson, body) -> np.ndarray:
    """Joints (24, 3) of the zero-shape body before the camera, its axes turned to y up."""
    pose = torch.from_numpy(person.pose.copy())
    pose[0] = 0
    joints = body.pose(pose).joints.numpy()
    return (joints @ person.camera.R.T + person.camera.t) @ UPRIGHT


def test_a_smpl_file_holds_the_person_before_the_camera():
    smplcodec = pytest.importorskip("smplcodec", reason="the extra formats is not installed")
    body, (person, *_) = grown(6890), persons()
    flat = replace(person, betas=np.zeros(10, np.float32))
    read = smplcodec.SMPLCodec.from_file(io.BytesIO(smpl_file(flat, body)))
    assert read.smpl_version == smplcodec.SMPLVersion.SMPL and read.frame_count == 1
    posed = body.pose(
        torch.tensor(read.body_pose[0]), translation=torch.tensor(read.body_translation[0])
    )
    np.testing.assert_allclose(posed.joints, in_camera(flat, body), atol=2e-5)

    read = smplcodec.SMPLCodec.from_file(io.BytesIO(smpl_file(person, body)))
    np.testing.assert_array_equal(read.shape_parameters, person.betas)
    shaped = body.pose(
        torch.tensor(read.body_pose[0]),
        torch.tensor(read.shape_parameters),
        torch.tensor(read.body_translation[0]),
    )
    # the camera was calibrated to the zero shape, whose pelvis the shaped one takes over
    np.testing.assert_allclose(shaped.joints[0], in_camera(person, body)[0], atol=2e-5)
    assert smpl_file(person, body) == smpl_file(person, body)


def test_a_smpl_file_of_smplx_has_its_22_body_joints():
    smplcodec = pytest.importorskip("smplcodec", reason="the extra formats is not installed")
    read = smplcodec.SMPLCodec.from_file(io.BytesIO(smpl_file(persons()[0], grown(10475))))
    assert read.smpl_version == smplcodec.SMPLVersion.SMPLX
    assert read.full_pose.shape == (1, 55, 3)


def test_what_a_smpl_file_cannot_hold_is_refused():
    pytest.importorskip("smplcodec", reason="the extra formats is not installed")
    with pytest.raises(BadInput, match="the free body has shape parameters of its own"):
        check_smpl_codec(grown(6890, FREE_BODY_NAME))
    with pytest.raises(BadInput, match="'stick figure' has 288"):
        check_smpl_codec(stick_figure())


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "smplcodec", None)
    with pytest.raises(Unavailable, match=r"smplcodec: .*\[formats\]"):
        check_smpl_codec(grown(6890))


def test_the_package_leaves_our_log_alone(monkeypatch):
    pytest.importorskip("smplcodec", reason="the extra formats is not installed")
    for name in [name for name in sys.modules if name.startswith("smplcodec")]:
        monkeypatch.delitem(sys.modules, name)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)
    check_smpl_codec(grown(6890))
    assert root.handlers == [] and root.level == logging.WARNING


def test_smplx_arrays_are_what_the_add_on_and_smplx_ask_for():
    body, three = grown(6890), persons()
    arrays = smplx_arrays(three, body)
    assert {"trans", "gender", "mocap_frame_rate", "betas", "poses"} <= arrays.keys()
    assert arrays["poses"].shape == (3, 55 * 3) and arrays["trans"].shape == (3, 3)
    assert str(arrays["gender"]) == "neutral" and int(arrays["mocap_frame_rate"]) >= 30
    assert arrays["betas"].shape == (10,) and not arrays["betas"].any()
    widths = {"global_orient": 3, "body_pose": 63, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3}
    widths |= {"left_hand_pose": 45, "right_hand_pose": 45, "transl": 3, "expression": 10}
    assert {name: arrays[name].shape for name in widths} == {n: (3, w) for n, w in widths.items()}
    for at, person in enumerate(three):
        # SMPL-X's zero shape has its pelvis at SMPLX_PELVIS, about which it turns
        expected = in_camera(person, body)[0]
        np.testing.assert_allclose(arrays["transl"][at] + SMPLX_PELVIS, expected, atol=2e-5)
        turn = roma.rotvec_to_rotmat(torch.tensor(arrays["global_orient"][at])).numpy()
        np.testing.assert_allclose(turn, UPRIGHT @ person.camera.R, atol=1e-5)
        np.testing.assert_array_equal(arrays["body_pose"][at], person.pose[1:22].ravel())
    assert "betas_of_frames" not in arrays


def test_smplxs_own_shapes_are_kept():
    body, three = grown(10475), persons()
    arrays = smplx_arrays(three, body)
    betas = np.array([person.betas for person in three])
    np.testing.assert_allclose(arrays["betas"], betas.mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(arrays["betas_of_frames"], betas)
    pelvis = body.rest(torch.tensor(arrays["betas"]))[1][0].numpy()
    expected = in_camera(three[1], body)[0]
    np.testing.assert_allclose(arrays["transl"][1] + pelvis, expected, atol=2e-5)

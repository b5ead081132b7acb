"""Forward kinematics, skinning, star pose and mirror against hand-computed and reference values."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.body.model import BodyModel, check_pose, mirror_pose, star_body, star_pose
from chorus.body.skeleton import JOINT_NAMES, MIRROR, PARENTS, SEGMENT_NAMES
from chorus.errors import BadInput

J = {name: index for index, name in enumerate(JOINT_NAMES)}
FLIP = torch.tensor([-1.0, 1.0, 1.0])


def stick_body(dtype: torch.dtype = torch.float64) -> BodyModel:
    """A body of 25 vertices that lie on the joints, rigidly bound, plus one shared by two joints.

    Joints lie on simple places: the left arm along x at height 1, hips at x = +-0.1.
    """
    generator = torch.Generator().manual_seed(7)
    joints = torch.zeros(24, 3, dtype=dtype)
    for joint, parent in enumerate(PARENTS[1:], start=1):
        step = {"shoulder": (0.2, 0, 0), "elbow": (0.3, 0, 0), "wrist": (0.25, 0, 0)}
        step |= {"collar": (0.0, 1.0, 0), "hip": (0.1, 0, 0), "hand": (0.1, 0, 0)}
        side, _, base = JOINT_NAMES[joint].rpartition("_")
        offset = torch.tensor(step.get(base, (0.0, -0.4 if side else 0.0, 0.0)), dtype=dtype)
        joints[joint] = joints[parent] + offset * (FLIP if side == "right" else 1)
    vertices = torch.cat([joints, joints[[J["left_elbow"]]]])
    weights = torch.cat([torch.eye(24, dtype=dtype), torch.zeros(1, 24, dtype=dtype)])
    weights[24, J["left_shoulder"]] = weights[24, J["left_elbow"]] = 0.5
    regressor = torch.cat([torch.eye(24, dtype=dtype), torch.zeros(24, 1, dtype=dtype)], dim=1)
    return BodyModel(
        name="sticks",
        v_template=vertices,
        shapedirs=0.02 * torch.randn(25, 3, 4, generator=generator, dtype=dtype),
        posedirs=None,
        weights=weights,
        joint_regressor=regressor,
        faces=torch.tensor([[0, 1, 2]]),
        parents=PARENTS,
    )


def random_pose(seed: int, *batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, 24, 3, generator=generator, dtype=torch.float64)


def test_tables_of_the_skeleton():
    assert len(JOINT_NAMES) == len(PARENTS) == len(SEGMENT_NAMES) == len(MIRROR) == 24
    assert all(parent < joint for joint, parent in enumerate(PARENTS))
    assert [MIRROR[MIRROR[joint]] for joint in range(24)] == list(range(24))
    for joint, other in enumerate(MIRROR):
        swapped = JOINT_NAMES[joint].replace("left", "?").replace("right", "left")
        assert JOINT_NAMES[other] == swapped.replace("?", "right")
        swapped = SEGMENT_NAMES[joint].replace("left", "?").replace("right", "left")
        assert SEGMENT_NAMES[other] == swapped.replace("?", "right")


def test_elbow_by_hand():
    body = stick_body()
    pose = torch.zeros(24, 3)
    pose[J["left_elbow"], 1] = -math.pi / 2  # the forearm, along x, turns forward to z
    posed = body.pose(pose)
    elbow = body.v_template[J["left_elbow"]]
    expected = elbow + torch.tensor([0, 0, 0.25])
    torch.testing.assert_close(posed.joints[J["left_wrist"]], expected, atol=1e-6, rtol=0)
    expected = elbow + torch.tensor([0, 0, 0.35])
    torch.testing.assert_close(posed.vertices[J["left_hand"]], expected, atol=1e-6, rtol=0)
    # the vertex shared half and half lies on the axis and stays
    torch.testing.assert_close(posed.vertices[24], elbow, atol=1e-6, rtol=0)
    untouched = [joint for joint in range(24) if joint not in (J["left_wrist"], J["left_hand"])]
    torch.testing.assert_close(posed.joints[untouched], body.v_template[untouched])


def test_chain_of_two_turns_by_hand():
    body = stick_body()
    pose = torch.zeros(24, 3)
    pose[J["left_shoulder"], 2] = math.pi / 2  # arm up
    pose[J["left_elbow"], 2] = math.pi / 2  # and the forearm back over the head
    posed = body.pose(pose)
    shoulder = body.v_template[J["left_shoulder"]]
    wrist = shoulder + torch.tensor([-0.25, 0.3, 0.0])
    torch.testing.assert_close(posed.joints[J["left_wrist"]], wrist, atol=1e-6, rtol=0)


def test_translation_and_broadcasting():
    body = stick_body()
    pose, betas = random_pose(1, 2, 1), torch.randn(3, 4)
    translation = torch.tensor([1.0, 2.0, 3.0])
    plain, moved = body.pose(pose, betas), body.pose(pose, betas, translation)
    assert plain.vertices.shape == (2, 3, 25, 3)
    assert plain.joints.shape == (2, 3, 24, 3)
    assert plain.transforms.shape == (2, 3, 24, 4, 4)
    torch.testing.assert_close(moved.vertices, plain.vertices + translation)
    torch.testing.assert_close(moved.joints, plain.joints + translation)
    for row in range(2):
        for column in range(3):
            single = body.pose(pose[row, 0], betas[column])
            torch.testing.assert_close(plain.vertices[row, column], single.vertices)


def test_numpy_and_matrices_are_accepted():
    body, pose = stick_body(), random_pose(2)
    expected = body.pose(pose).vertices
    torch.testing.assert_close(body.pose(pose.numpy()).vertices, expected)
    torch.testing.assert_close(body.pose(roma.rotvec_to_rotmat(pose)).vertices, expected)


def test_fewer_betas_count_as_zero():
    body, betas = stick_body(), torch.tensor([0.5, -1.0])
    torch.testing.assert_close(
        body.rest(betas)[0], body.rest(torch.tensor([0.5, -1.0, 0.0, 0.0]))[0]
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_a_body_does_not_depend_on_its_batch(threads):
    body, pose = stick_body(torch.float32), random_pose(1, 33).float()
    betas = torch.randn(33, 4, generator=torch.Generator().manual_seed(2))
    together = body.posed_joints(pose, betas), body.rest(betas)[0]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for count in (1, 2, 5, 7, 16):
            some = body.posed_joints(pose[:count], betas[:count]), body.rest(betas[:count])[0]
            for one, all_ in zip(some, together, strict=True):
                assert torch.equal(one, all_[:count]), count
    finally:
        torch.set_num_threads(before)


def test_joints_follow_the_shape():
    body, betas = stick_body(), torch.randn(5, 4, dtype=torch.float64)
    vertices, joints = body.rest(betas)
    torch.testing.assert_close(joints, body.joint_regressor @ vertices)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_transforms_agree_with_vertices(seed):
    body, pose = stick_body(), random_pose(seed)
    betas = torch.randn(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    posed = body.pose(pose, betas, [0.1, 0.2, 0.3])
    rest, rest_joints = body.rest(betas)
    homogeneous = torch.cat([rest, torch.ones(25, 1)], dim=1)
    blended = torch.einsum("vj,jab,vb->va", body.weights, posed.transforms, homogeneous)[:, :3]
    torch.testing.assert_close(posed.vertices, blended)
    homogeneous = torch.cat([rest_joints, torch.ones(24, 1)], dim=1)
    mapped = torch.einsum("jab,jb->ja", posed.transforms, homogeneous)[:, :3]
    torch.testing.assert_close(posed.joints, mapped)
    fast = body.skinning_transforms(pose, betas, [0.1, 0.2, 0.3])
    torch.testing.assert_close(fast, posed.transforms)
    joints = body.posed_joints(pose, betas, [0.1, 0.2, 0.3])
    torch.testing.assert_close(joints, posed.joints, rtol=0, atol=0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_global_rotation_turns_everything_about_the_pelvis(seed):
    body, pose = stick_body(), random_pose(seed)
    still = pose.clone()
    still[0] = 0
    turned, plain = body.pose(pose), body.pose(still)
    turn, pelvis = roma.rotvec_to_rotmat(pose[0]), body.rest()[1][0]
    expected = (plain.vertices - pelvis) @ turn.T + pelvis
    torch.testing.assert_close(turned.vertices, expected, atol=1e-9, rtol=0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_mirror_is_its_own_inverse_and_mirrors_the_skeleton(seed):
    pose = random_pose(seed)
    torch.testing.assert_close(mirror_pose(mirror_pose(pose)), pose)
    matrices = roma.rotvec_to_rotmat(pose)
    torch.testing.assert_close(mirror_pose(matrices), roma.rotvec_to_rotmat(mirror_pose(pose)))
    body = stick_body()  # its joints are symmetric
    mirrored = body.pose(pose).joints[list(MIRROR)] * FLIP
    torch.testing.assert_close(body.pose(mirror_pose(pose)).joints, mirrored, atol=1e-9, rtol=0)


def test_zero_pose_is_the_template():
    body = stick_body()
    posed = body.pose(torch.zeros(24, 3))
    torch.testing.assert_close(posed.vertices, body.v_template)
    torch.testing.assert_close(posed.transforms, torch.eye(4, dtype=torch.float64).expand(24, 4, 4))


def test_pose_blend_shapes_by_hand():
    body = stick_body()
    posedirs = torch.zeros(207, 75, dtype=torch.float64)
    # entry (0, 0) of joint 1's rotation minus one moves the pelvis vertex along y
    posedirs[0, 1] = 0.5
    body = replace(body, posedirs=posedirs)
    pose = torch.zeros(24, 3)
    pose[1, 2] = math.pi / 2
    expected = body.v_template[0] + torch.tensor([0, -0.5, 0])
    torch.testing.assert_close(body.pose(pose).vertices[0], expected, atol=1e-6, rtol=0)


def test_gradients_reach_the_pose():
    body = stick_body()
    pose = torch.zeros(2, 24, 3, dtype=torch.float64, requires_grad=True)
    body.pose(pose).joints[:, J["left_hand"]].sum().backward()
    assert torch.isfinite(pose.grad).all()
    assert pose.grad[:, J["left_elbow"]].abs().sum() > 0


def test_fingerprint_is_of_the_content():
    body = stick_body()
    assert body.fingerprint == replace(stick_body(), name="another").fingerprint
    moved = body.v_template.clone()
    moved[3, 1] += 1e-9
    assert replace(body, v_template=moved).fingerprint != body.fingerprint
    assert body.to("cpu").fingerprint == body.fingerprint


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_same_on_a_gpu():
    body, pose = stick_body(torch.float32), random_pose(4, 3)
    there = body.to("cuda").pose(pose)
    assert there.vertices.device.type == "cuda"
    torch.testing.assert_close(there.vertices.cpu(), body.pose(pose).vertices, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(24,), (72,), (23, 3), (24, 4), (2, 24, 3, 2), (3, 3)])
def test_misshapen_poses_are_refused(shape):
    for call in (stick_body().pose, mirror_pose, check_pose):
        with pytest.raises(BadInput, match=r"24, 3"):
            call(torch.zeros(shape))


def test_too_many_betas_are_refused():
    with pytest.raises(BadInput, match="from 1 to 4"):
        stick_body().rest(torch.zeros(5))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_check_pose_names_the_joint(value):
    pose = np.zeros((5, 24, 3))
    check_pose(pose)
    pose[3, J["right_knee"], 1] = value
    with pytest.raises(BadInput, match=r"row 3 .*right_knee"):
        check_pose(pose, "row 3 of humans")
    matrices = torch.eye(3).repeat(24, 1, 1)
    check_pose(matrices)
    matrices[J["head"], 2, 2] = value
    with pytest.raises(BadInput, match="head"):
        check_pose(matrices)


def test_nan_propagates_without_the_check():
    pose = torch.zeros(24, 3)
    pose[J["left_elbow"]] = math.nan
    posed = stick_body().pose(pose)
    assert torch.isnan(posed.joints[J["left_hand"]]).all()
    assert torch.isfinite(posed.joints[J["right_hand"]]).all()


@pytest.fixture(scope="module")
def golden_body(golden) -> BodyModel:
    stored = golden("body")
    return BodyModel(
        name="golden",
        v_template=torch.tensor(stored["v_template"]),
        shapedirs=torch.tensor(stored["shapedirs"]),
        posedirs=None,
        weights=torch.tensor(stored["weights"]),
        joint_regressor=torch.tensor(stored["J_regressor"]),
        faces=torch.tensor(stored["faces"].astype(np.int64)),
        parents=PARENTS,
    )


def test_golden_star_body(golden, golden_body):
    stored = golden("body")
    np.testing.assert_allclose(star_pose().reshape(1, 72), stored["star_pose"], atol=1e-7)
    star = star_body(golden_body)
    np.testing.assert_allclose(star.vertices, stored["star_v_template"], atol=1e-5)
    np.testing.assert_allclose(star.joints, stored["star_joints"], atol=1e-5)
    np.testing.assert_allclose(golden_body.rest()[1], stored["T_joints"], atol=1e-5)
    # the stored numbers count the segments in alphabetical order
    segments = np.array(SEGMENT_NAMES)[golden_body.part_of_vertex]
    np.testing.assert_array_equal(segments, stored["part_names"][stored["part_of_vertex"]])


def test_golden_posed_vertices(golden, golden_body):
    stored = golden("deform_24")
    pose = stored["poses"].reshape(-1, 24, 3).copy()
    pose[:, 0] = 0
    posed = golden_body.pose(pose).vertices
    np.testing.assert_allclose(posed, stored["deformed_verts"].reshape(posed.shape), atol=1e-5)


def test_golden_pose_blend_shapes(golden, golden_body):
    stored = golden("posedirs_24")
    posedirs = torch.tensor((stored["posedirs_A"] @ stored["posedirs_B"]).reshape(-1, 207).T)
    body = replace(golden_body, posedirs=posedirs)
    np.testing.assert_allclose(star_body(body).vertices, stored["star_v_template"], atol=1e-5)
    pose = stored["poses"].reshape(-1, 24, 3).copy()
    pose[:, 0] = 0
    posed = body.pose(pose).vertices
    np.testing.assert_allclose(posed, stored["deformed_verts"].reshape(posed.shape), atol=1e-5)


def test_golden_mirror(golden):
    stored = golden("symmetric")
    mirrored = mirror_pose(torch.tensor(stored["in_pose"].reshape(-1, 24, 3)))
    np.testing.assert_allclose(mirrored, stored["out_pose"].reshape(-1, 24, 3), atol=1e-6)

"""SAM 3D Body's keypoints: the camera in its files, the bodies fitted to them, damaged files."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from chorus.body.landmarks import BLAZEPOSE, MHR70, body_landmarks
from chorus.body.skeleton import JOINT_NAMES
from chorus.errors import BadInput, Unavailable
from chorus.perception.keypoint_bodies import with_bodies
from chorus.perception.pose_files import read_poses
from chorus.perception.recorded_persons import image_joints, posed_joints
from chorus.perception.recorded_poses import Recording
from chorus.perception.vertex_bodies import VertexFitter, read_correspondence
from chorus.refinement.landmark_fit import LandmarkFitter, Landmarks
from references.stick_body import shaped_stick_body

BODY = shaped_stick_body()
ON_BODY = body_landmarks(BODY, MHR70)
SIZE = (640, 480)
FOCAL, PRINCIPAL = 900.0, np.array([300.0, 260.0])


def pose_of(seed: int) -> torch.Tensor:
    """An ordinary pose of someone who faces the camera, more or less."""
    draw = torch.Generator().manual_seed(seed)
    pose = 0.1 * torch.randn(24, 3, generator=draw)
    for side, sign in (("left", 1), ("right", -1)):
        pose[JOINT_NAMES.index(f"{side}_shoulder"), 2] -= 0.8 * sign
        pose[JOINT_NAMES.index(f"{side}_elbow"), 1] -= 0.6 * sign
        pose[JOINT_NAMES.index(f"{side}_knee"), 0] += 0.5
    about = roma.rotvec_to_rotmat(torch.tensor([0.1, 0.6 * seed, 0.0]))
    upright = roma.rotvec_to_rotmat(torch.tensor([math.pi, 0.0, 0.0]))
    pose[0] = roma.rotmat_to_rotvec(about @ upright)
    return pose


def person_of(pose: torch.Tensor, place: tuple[float, float, float]) -> dict[str, np.ndarray]:
    """What SAM 3D Body would write of a body with this pose, if MHR were that body."""
    transforms = BODY.skinning_transforms(pose[None])[0][ON_BODY.carrier]
    rest = ON_BODY.rest.float()
    points = np.zeros((70, 3), np.float32)
    posed = (transforms[:, :3, :3] @ rest[..., None])[..., 0] + transforms[:, :3, 3]
    points[list(ON_BODY.numbers)] = posed.numpy()
    camera = points + np.array(place)
    return {
        "pred_keypoints_3d": points,
        "pred_keypoints_2d": PRINCIPAL + FOCAL * camera[:, :2] / camera[:, 2:],
        "pred_cam_t": np.array(place, np.float32),
        "focal_length": np.float32(FOCAL),
        "bbox": np.array([200, 50, 400, 460], np.float32),
        "pred_vertices": np.zeros((18439, 3), np.float32),
        "mhr_model_params": np.zeros(204, np.float32),
        "shape_params": np.zeros(45, np.float32),
        "mask": np.array(None, dtype=object),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("sam3d")
    for at, place in enumerate([(0.2, 0.1, 4.0), (-1.1, 0.0, 3.0)]):
        np.savez(root / f"party_{at}.npz", **person_of(pose_of(at), place))
    return root


def test_bodies_are_found_again_where_they_stood(folder):
    read = read_poses(folder)
    assert not read.poses and not read.faults and len(read.keypoints) == 2
    np.testing.assert_allclose(read.keypoints[1].principal, PRINCIPAL, atol=1e-2)
    recording = with_bodies(read, BODY)
    assert [pose.image for pose in recording.poses] == ["party", "party"]
    assert "bodies fitted to MHR's 70 keypoints: 2, which lie" in recording.notes[0]
    points = posed_joints(recording.poses, BODY)
    for at, place in enumerate([(0.2, 0.1, 4.0), (-1.1, 0.0, 3.0)]):
        joints = BODY.posed_joints(pose_of(at)[None])[0].numpy() + np.array(place)
        expected = PRINCIPAL + FOCAL * joints[:, :2] / joints[:, 2:]
        pose = recording.poses[at]
        pixels = image_joints(pose, points[at], SIZE, BODY)
        limbs = [
            JOINT_NAMES.index(f"{s}_{j}") for s in ("left", "right") for j in ("knee", "wrist")
        ]
        assert np.abs(pixels - expected)[limbs].max() < 8  # of a person of some 400 px
        assert abs(pose.camera.translation[2] + float(points[at][0, 2]) - joints[0, 2]) < 0.15
        np.testing.assert_array_equal(pose.box, [200, 50, 400, 460])


def test_stacked_persons_and_a_stored_name(tmp_path):
    both = [person_of(pose_of(at), (0.0, 0.0, 4.0)) for at in range(2)]
    arrays = {name: np.stack([each[name] for each in both]) for name in both[0] if name != "mask"}
    np.savez(tmp_path / "a.npz", image=np.array("photo.jpg"), **arrays)
    recording = read_poses(tmp_path / "a.npz")
    assert [person.image for person in recording.keypoints] == ["photo.jpg"] * 2


def test_keypoints_of_no_camera_are_left_out(tmp_path):
    content = person_of(pose_of(0), (0.0, 0.0, 4.0))
    content["pred_keypoints_2d"] = 1.5 * content["pred_keypoints_2d"]
    np.savez(tmp_path / "a.npz", **content)
    (fault,) = read_poses(tmp_path / "a.npz").faults
    assert "belong to no one camera" in fault


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pred_keypoints_3d": np.zeros((33, 3))}, r"has the shape \(1, 33, 3\)"),
        ({"focal_length": None}, r"lacks focal_length"),
        ({"pred_keypoints_2d": np.array([["a"]])}, "expected numbers"),
        ({"pred_keypoints_2d": np.array(None, dtype=object)}, "without pickled objects"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, said):
    content = person_of(pose_of(0), (0.0, 0.0, 4.0)) | change
    np.savez(tmp_path / "a.npz", **{k: v for k, v in content.items() if v is not None})
    with pytest.raises(BadInput, match=said):
        read_poses(tmp_path / "a.npz")


def test_no_keypoints_leave_a_recording_as_it_is():
    recording = Recording(faults=["x"], notes=["y"])
    assert with_bodies(recording, BODY) == recording


def test_both_sets_know_the_joints_that_a_fit_needs():
    for landmarks in (BLAZEPOSE, MHR70):
        for side in ("left", "right"):
            for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
                assert 0 <= landmarks.number(f"{side}_{part}") < landmarks.count
    place = dict(zip(ON_BODY.numbers, ON_BODY.rest, strict=True))
    joints = BODY.rest()[1].double()
    torch.testing.assert_close(place[62], joints[JOINT_NAMES.index("left_wrist")])
    assert place[17][2] < place[15][2] and place[15][0] > 0 > place[18][0]


def test_landmarks_of_another_set_are_refused():
    blank = Landmarks(
        torch.ones(1, 33, 2), torch.ones(1, 33, 3), torch.ones(1, 33), torch.ones(1, 2)
    )
    with pytest.raises(BadInput, match="MHR's 70 keypoints has 70 landmarks; found 33"):
        LandmarkFitter(BODY, landmarks=MHR70)(blank)


def mesh_of(pose: torch.Tensor, place) -> np.ndarray:
    """MHR's vertices, if its first were the body's."""
    vertices = np.zeros((18439, 3), np.float32)
    posed = BODY.pose(pose[None]).vertices[0].numpy()
    vertices[: len(posed)] = posed
    return vertices


def correspondence(path, **change) -> Path:
    count = len(BODY.v_template)
    faces, weights = np.tile(np.arange(count)[:, None], 3), np.eye(3)[[0] * count]
    np.savez(path, **({"faces": faces, "weights": weights} | change))
    return path


def test_bodies_fitted_to_meshes_over_a_correspondence(tmp_path):
    pytest.importorskip("smplfitter")
    place = (0.2, 0.1, 4.0)
    (tmp_path / "poses").mkdir()
    content = person_of(pose_of(1), place) | {"pred_vertices": mesh_of(pose_of(1), place)}
    np.savez(tmp_path / "poses" / "a_0.npz", **content)
    read = read_poses(tmp_path / "poses")
    recording = with_bodies(read, BODY, correspondence(tmp_path / "c.npz"))
    assert "bodies fitted to MHR's meshes: 1, which lie 0." in recording.notes[0]
    (pose,) = recording.poses
    joints = posed_joints([pose], BODY)[0].numpy() + pose.camera.translation
    expected = BODY.posed_joints(pose_of(1)[None])[0].numpy() + np.array(place)
    assert np.linalg.norm(joints - expected, axis=1).mean() < 0.02


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"faces": np.zeros((5, 3), int)}, r"faces is int64 \(5, 3\); expected numbers \(192, 3\)"),
        ({"faces": np.full((192, 3), 18439)}, "expected numbers of MHR's 18439 vertices"),
        ({"faces": np.zeros((192, 3))}, "faces are float64"),
        ({"weights": np.ones((192, 3))}, "must add up to 1"),
    ],
)
def test_a_correspondence_of_another_body_is_refused(tmp_path, change, said):
    with pytest.raises(BadInput, match=said):
        read_correspondence(correspondence(tmp_path / "c.npz", **change), BODY)


def test_meshes_of_another_size_and_none_at_all(tmp_path):
    pytest.importorskip("smplfitter")
    content = person_of(pose_of(1), (0.0, 0.0, 4.0))
    file = correspondence(tmp_path / "c.npz")
    for vertices, said in ((np.zeros((7, 3)), r"float64 \(7, 3\)"), (None, "lacks pred_vertices")):
        wrong = {k: v for k, v in (content | {"pred_vertices": vertices}).items() if v is not None}
        np.savez(tmp_path / "a.npz", **wrong)
        with pytest.raises(BadInput, match=said):
            with_bodies(read_poses(tmp_path / "a.npz"), BODY, file)
    nan = {"pred_vertices": np.full((18439, 3), np.nan, np.float32)}
    np.savez(tmp_path / "a.npz", **(content | nan))
    recording = with_bodies(read_poses(tmp_path / "a.npz"), BODY, file)
    assert not recording.poses and "is not finite" in recording.faults[0]
    with pytest.raises(BadInput, match="belongs to poses of SAM 3D Body"):
        with_bodies(Recording(), BODY, file)


def test_without_the_package_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "smplfitter.np", None)
    with pytest.raises(Unavailable, match=r"needs the package smplfitter: .*\[mhr\]"):
        VertexFitter(BODY, read_correspondence(correspondence(tmp_path / "c.npz"), BODY))

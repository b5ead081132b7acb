from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
from recorded_people import SIZE, People, small_body, wham, write_pickle

from chorus.errors import BadInput
from chorus.geometry.rotations import turn_to_ray
from chorus.geometry.weak_perspective import project_weak
from chorus.perception.pose_files import read_poses
from chorus.perception.poses_of_npz import read_npz
from chorus.perception.recorded_persons import (
    image_joints,
    match,
    nearest_weak_camera,
    persons_of,
    posed_joints,
)
from chorus.perception.recorded_poses import (
    FREE_BODY,
    PinholeCamera,
    RecordedPose,
    weak_of_hmr2,
)


@pytest.fixture(scope="module")
def body():
    return small_body()


def pixels_of(recording, body) -> np.ndarray:
    points = posed_joints(recording.poses, body)
    return np.stack(
        [image_joints(p, each, SIZE, body) for p, each in zip(recording.poses, points, strict=True)]
    )


def ours(people: People) -> dict[str, np.ndarray]:
    """The same persons under our own keys."""
    from chorus.perception.recorded_poses import axis_angle

    return {
        "image": np.array([f"{at:06d}.jpg" for at in range(people.count)]),
        "pose": axis_angle(people.rotations.numpy()),
        "betas": people.betas.numpy(),
        "camera": weak_of_hmr2(people.pred_cam.numpy()),
        "crop_centre": people.centre.numpy(),
        "crop_side": people.side.numpy(),
    }


@pytest.mark.parametrize("bend", [0.1, 1.0])
def test_hmr2_arrays_project_to_the_pixels_that_hmr2_draws(tmp_path, body, bend):
    people = People(4, bend=bend)
    np.savez(tmp_path / "poses.npz", **people.hmr2())
    recording = read_npz(tmp_path / "poses.npz")
    assert not recording.faults and recording.poses[2].image == "000002.jpg"
    np.testing.assert_allclose(pixels_of(recording, body), people.pixels, rtol=0, atol=2e-3)


def test_tracks_of_4d_humans_project_to_the_same_pixels(tmp_path, body):
    people = People(3)
    recording = read_poses(write_pickle(tmp_path / "demo_clip.pkl", people.phalp()))
    assert {pose.image for pose in recording.poses} == {"outputs/_DEMO/clip/img/000007.jpg"}
    np.testing.assert_allclose(pixels_of(recording, body), people.pixels, rtol=0, atol=0.02)
    np.testing.assert_allclose([p.box for p in recording.poses], people.boxes, rtol=1e-5)


def test_persons_whom_a_frame_does_not_show_are_left_out(tmp_path):
    content = People(3).phalp()
    next(iter(content.values()))["tracked_time"] = [0, 4, 0]
    recording = read_poses(write_pickle(tmp_path / "t.pkl", content))
    assert len(recording.poses) == 2


def test_wham_projects_to_the_true_pixels_and_gets_the_nearest_weak_camera(tmp_path, body):
    people = People(3)
    tracks, pixels = wham(people, depth=20)
    recording = read_poses(write_pickle(tmp_path / "wham_output.pkl", tracks))
    assert [pose.image for pose in recording.poses] == [0, 1, 2]
    np.testing.assert_allclose(pixels_of(recording, body), pixels, atol=1e-2)
    points = posed_joints(recording.poses, body)
    box = np.concatenate([pixels[0].min(0), pixels[0].max(0)])
    (person,) = persons_of(recording.poses[:1], points[:1], box[None], SIZE, body)
    np.testing.assert_allclose(person.joints, pixels[0], atol=1e-2)
    numbers = (person.camera, person.crop_centre, np.float32(person.crop_side))
    weak = project_weak(points[0], *(torch.as_tensor(n) for n in numbers)).numpy()
    error = np.linalg.norm(weak - pixels[0], axis=1)
    assert 0.02 < error.max() < 0.03 * person.crop_side  # perspective is nearly weak from afar


def test_nearest_weak_camera_finds_an_exact_one_again(body):
    points = body.pose(torch.zeros(24, 3)).joints
    box = np.array([100.0, 50.0, 220.0, 330.0])
    camera = torch.tensor([0.8, 0.1, -0.2])
    centre, side = torch.tensor([160.0, 190.0]), torch.tensor(336.0)
    found = nearest_weak_camera(points, project_weak(points, camera, centre, side).numpy(), box)
    np.testing.assert_allclose(found.camera, camera, atol=1e-5)
    assert found.side == pytest.approx(336)


@pytest.mark.parametrize("form", ["vectors", "flat", "matrices"])
def test_own_keys_take_all_forms_of_rotations(tmp_path, body, form):
    people = People(2, bend=1.0, focal=5e6)
    arrays = ours(people)
    if form == "flat":
        arrays["pose"] = arrays["pose"].reshape(2, 72)
    if form == "matrices":
        arrays["pose"] = people.rotations.numpy()
    np.savez(tmp_path / "poses.npz", **arrays)
    np.testing.assert_allclose(
        pixels_of(read_npz(tmp_path / "poses.npz"), body), people.pixels, rtol=0, atol=0.02
    )


def test_perspective_cameras_in_npz(tmp_path, body):
    people = People(2)
    tracks, pixels = wham(people)
    arrays = {key: ours(people)[key] for key in ("image", "pose", "betas")}
    arrays["translation"] = np.concatenate([tracks[at]["trans"] for at in range(2)])
    arrays["focal_length"] = np.full(2, np.hypot(*SIZE))
    arrays["principal_point"] = np.tile(np.array(SIZE) / 2 + 10, (2, 1))
    np.savez(tmp_path / "poses.npz", **arrays)
    found = pixels_of(read_npz(tmp_path / "poses.npz"), body)
    np.testing.assert_allclose(found, pixels + 10, atol=1e-2)


def test_shape_of_another_family_of_bodies_counts_as_zero(tmp_path, body):
    arrays = ours(People(2))
    np.savez(tmp_path / "smpl.npz", **arrays)
    np.savez(tmp_path / "free.npz", **arrays, body=np.array(FREE_BODY))
    np.savez(tmp_path / "plain.npz", **(arrays | {"betas": np.zeros((2, 10))}))
    smpl, free, plain = (
        pixels_of(read_npz(tmp_path / f"{name}.npz"), body) for name in ("smpl", "free", "plain")
    )
    np.testing.assert_array_equal(free, plain)
    assert np.abs(smpl - plain).max() > 1


def test_recorded_joints_are_taken_as_they_are(tmp_path, body):
    joints = np.random.default_rng(0).uniform(0, 400, (2, 24, 2)).astype(np.float32)
    np.savez(tmp_path / "poses.npz", **ours(People(2)), joints=joints)
    np.testing.assert_array_equal(pixels_of(read_npz(tmp_path / "poses.npz"), body), joints)


def test_a_person_with_nan_is_left_out_and_told(tmp_path):
    arrays = ours(People(3))
    arrays["pose"][1, 4, 2] = np.nan
    arrays["camera"][2, 0] = -1
    np.savez(tmp_path / "poses.npz", **arrays)
    recording = read_npz(tmp_path / "poses.npz")
    assert [pose.image for pose in recording.poses] == ["000000.jpg"]
    assert "person 1: pose is not finite" in recording.faults[0]
    assert "person 2: its camera's scale is not positive" in recording.faults[1]


def test_matrices_that_are_no_rotations_are_told(tmp_path):
    arrays = ours(People(2)) | {"pose": People(2).rotations.numpy().copy()}
    arrays["pose"][0, 3] *= 1.1
    np.savez(tmp_path / "poses.npz", **arrays)
    (fault,) = read_npz(tmp_path / "poses.npz").faults
    assert "person 0: pose is not made of rotations" in fault


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pose": np.zeros((2, 23, 3))}, r"pose has the shape \(2, 23, 3\); expected \(2, 72\)"),
        ({"betas": np.zeros((2, 16))}, r"betas has the shape \(2, 16\); expected \(2, 10\)"),
        ({"camera": np.zeros((1, 3))}, r"camera is float64 \(1, 3\)"),
        ({"image": np.array([1, 2])}, "image is int64"),
        ({"pose": np.zeros(72)}, r"\(72,\)\. The first axis, persons, is missing: write \(1, 72\)"),
        ({"pose": np.zeros((24, 3, 3))}, r"persons, is missing: write \(1, 24, 3, 3\)"),
        ({"betas": np.zeros(10)}, r"persons, is missing: write \(1, 10\)"),
        ({"body": np.array("star")}, "body is 'star'"),
        ({"crop_side": None}, r"lacks crop_side \(2\)"),
        ({"pose": None}, r"is of no known format; found image, betas.*our own \.npz"),
        ({"joints": np.array([["a"]] * 2)}, "joints is <U1"),
    ],
)
def test_wrong_keys_and_shapes_are_named(tmp_path, change, said):
    arrays = {k: v for k, v in (ours(People(2)) | change).items() if v is not None}
    np.savez(tmp_path / "poses.npz", **arrays)
    with pytest.raises(BadInput, match=said):
        read_poses(tmp_path / "poses.npz")


def test_npz_with_pickled_objects_is_refused(tmp_path):
    np.savez(tmp_path / "poses.npz", pose=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadInput, match="without pickled objects"):
        read_npz(tmp_path / "poses.npz")


@pytest.mark.parametrize(
    "content",
    [{}, [1, 2], {"a": 3}, {"frame": {"boxes": []}}, {0: {"pose": 1, "trans": 2}}],
)
def test_pickles_of_another_kind_are_told_what_is_known(tmp_path, content):
    with pytest.raises(BadInput, match="is of no known format; found"):
        read_poses(write_pickle(tmp_path / "x.pkl", content))


@pytest.mark.parametrize("key", ["camera_bbox", "bbox", "center", "scale"])
def test_a_frame_that_lacks_something_is_named(tmp_path, key):
    content = People(2).phalp()
    del next(iter(content.values()))[key]
    with pytest.raises(BadInput, match=f"000007.jpg' lacks {key} for each of its 2 persons"):
        read_poses(write_pickle(tmp_path / "x.pkl", content))


def test_a_folder_of_files_named_after_their_images(tmp_path):
    people = People(2)
    for at, name in enumerate(("b", "a")):
        arrays = {k: v[at : at + 1] for k, v in people.hmr2().items() if k != "image"}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    assert [pose.image for pose in read_poses(tmp_path).poses] == ["a", "b"]


def test_missing_and_empty_sources_are_told(tmp_path):
    for path, said in (
        (tmp_path / "none.npz", "is not there"),
        (tmp_path, r"holds no file of poses \(\*\.npz"),
    ):
        with pytest.raises(BadInput, match=said):
            read_poses(path)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(BadInput, match=r"none of \.npz, \.pkl"):
        read_poses(tmp_path / "a.json")


def test_matching_takes_the_largest_overlaps_first_and_each_box_once():
    wanted = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [100, 100, 110, 110]], float)
    found = np.array([[3, 0, 13, 10], [1, 0, 11, 10]], float)
    assert match(found, wanted) == [1, 0, None]
    assert match(np.zeros((0, 4)), wanted) == [None, None, None]
    assert match(found, wanted[2:]) == [None]


def test_a_person_aside_before_a_pinhole_camera_is_told_as_its_crop_shows_it(body):
    """Calibration turns a row's rotation to the line of sight: that must give back the recorded
    one, or a person at the image's edge is turned twice."""
    upright = np.zeros((24, 3), np.float32)
    upright[0, 0] = np.pi
    camera = PinholeCamera(np.array([1.2, 0.3, 4.0]), 600.0)
    recorded = RecordedPose("a.jpg", upright, np.zeros(10, np.float32), camera)
    points = posed_joints([recorded], body)
    pixels = image_joints(recorded, points[0], SIZE, body)
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    (person,) = persons_of([recorded], points, box[None], SIZE, body)
    ray = torch.tensor([*(pixels.mean(0) - np.array(SIZE) / 2) / 600, 1.0]).float()
    rotation = turn_to_ray(ray) @ roma.rotvec_to_rotmat(torch.from_numpy(person.pose[0]))
    recorded_rotation = roma.rotvec_to_rotmat(torch.from_numpy(upright[0]))
    torch.testing.assert_close(rotation, recorded_rotation, atol=1e-5, rtol=0)
    assert np.array_equal(person.pose[1:], upright[1:])
    assert np.linalg.norm(person.pose[0] - upright[0]) > 0.2

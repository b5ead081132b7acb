"""Files as other tools write them: the pixels that their cameras mean, and damaged ones."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import roma
import torch
from recorded_people import SIZE, People, small_body, wham, write_pickle

from chorus.errors import BadInput
from chorus.perception.pose_files import companions, files_of, read_poses
from chorus.perception.recorded_persons import image_joints, posed_joints
from chorus.perception.recorded_poses import SMPLX, SMPLX_PELVIS

PLACE = np.array([0.4, -0.1, 5.0])
FOCAL, PRINCIPAL = 700.0, np.array([310.0, 250.0])


@pytest.fixture(scope="module")
def body():
    return small_body()


def smplx_people(count: int = 3, seed: int = 4) -> People:
    """Persons whose hands are not turned: SMPL-X's body has no joint for them."""
    people = People(count, seed=seed, bend=0.5)
    people.rotations[:, 22:] = torch.eye(3)
    return people


def vectors(people: People) -> torch.Tensor:
    return roma.rotmat_to_rotvec(people.rotations)


def places(count: int) -> np.ndarray:
    return PLACE + 0.2 * np.arange(count)[:, None] * [1, 0, 1]


def pixels_by_hand(people: People, pelvis: np.ndarray, focal: float, principal) -> np.ndarray:
    """What SMPL-X's convention means for a body of another family: its pelvis lies at `pelvis` of
    the recorded model's rest pose, plus the translation, whatever the rotation."""
    joints = small_body().pose(people.rotations).joints.double().numpy()
    points = joints - joints[:, :1] + pelvis + places(people.count)[:, None]
    return np.asarray(principal) + focal * points[..., :2] / points[..., 2:]


def pixels_of(recording, body, size=SIZE) -> np.ndarray:
    points = posed_joints(recording.poses, body)
    return np.stack(
        [image_joints(p, each, size, body) for p, each in zip(recording.poses, points, strict=True)]
    )


def gvhmr(people: People, prefix: str = "smpl_params") -> dict:
    count = people.count
    K = torch.tensor([[FOCAL, 0, PRINCIPAL[0]], [0, FOCAL, PRINCIPAL[1]], [0, 0, 1]])
    turned = vectors(people)
    incam = {
        "body_pose": turned[:, 1:22].reshape(count, 63),
        "betas": people.betas,
        "global_orient": turned[:, 0],
        "transl": torch.from_numpy(places(count)).float(),
    }
    world = incam | {"transl": incam["transl"] + 1}
    return {
        f"{prefix}_global": world,
        f"{prefix}_incam": incam,
        "K_fullimg": K.repeat(count, 1, 1),
        "net_outputs": {"model_output": {"pred_cam": torch.zeros(1, count, 3)}},
    }


@pytest.mark.parametrize("prefix", ["smpl_params", "body_params"])
def test_gvhmr_and_gem_put_the_pelvis_where_smplx_has_it(tmp_path, body, prefix):
    people = smplx_people()
    torch.save(gvhmr(people, prefix), tmp_path / "hmr4d_results.pt")
    recording = read_poses(tmp_path / "hmr4d_results.pt")
    assert [pose.image for pose in recording.poses] == [0, 1, 2]
    assert not recording.faults and not recording.notes
    assert recording.poses[0].shape_of == SMPLX
    expected = pixels_by_hand(people, SMPLX_PELVIS, FOCAL, PRINCIPAL)
    np.testing.assert_allclose(pixels_of(recording, body), expected, atol=1e-2)
    # the pelvis, by hand: it does not move with the body's rotation
    x, y, z = SMPLX_PELVIS + PLACE
    np.testing.assert_allclose(
        pixels_of(recording, body)[0, 0], PRINCIPAL + FOCAL * np.array([x, y]) / z, atol=1e-2
    )


def test_a_body_of_smplx_keeps_its_own_origin_and_shape(tmp_path, body):
    from dataclasses import replace

    spare = torch.zeros(10475 - 24, 3)
    own = replace(
        body,
        v_template=torch.cat([body.v_template, spare]),
        shapedirs=torch.cat([body.shapedirs, spare[..., None].expand(-1, -1, 10)]),
        weights=torch.cat([body.weights, torch.eye(24)[:1].expand(len(spare), -1)]),
        joint_regressor=torch.cat([body.joint_regressor, torch.zeros(24, len(spare))], 1),
    )
    people = smplx_people()
    torch.save(gvhmr(people), tmp_path / "a.pt")
    points = people.joints.double().numpy() + places(3)[:, None]  # with the shape
    expected = PRINCIPAL + FOCAL * points[..., :2] / points[..., 2:]
    found = pixels_of(read_poses(tmp_path / "a.pt"), own)
    np.testing.assert_allclose(found, expected, atol=1e-2)


def test_poses_that_are_the_worlds_are_noted(tmp_path):
    content = gvhmr(smplx_people())
    content["smpl_params_global"] = content["smpl_params_incam"]
    torch.save(content, tmp_path / "a.pt")
    (note,) = read_poses(tmp_path / "a.pt").notes
    assert "equal those in the world" in note


def test_frames_that_gem_made_from_text_have_no_image(tmp_path):
    content = gvhmr(smplx_people(4), "body_params")
    content["segment_info"] = [
        {"type": "text", "start": 0, "end": 1, "caption": "a person waves"},
        {"type": "video", "start": 1, "end": 3},
        {"type": "video", "start": 3, "end": 4},
    ]
    torch.save(content, tmp_path / "smpl_params.pt")
    recording = read_poses(tmp_path / "smpl_params.pt")
    assert [pose.image for pose in recording.poses] == [0, 1]
    assert len(recording.faults) == 2 and "no video's" in recording.faults[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"K_fullimg": None}, r"lacks K_fullimg \(2, 3, 3\)"),
        ({"smpl_params_incam": None}, "is of no known format; found smpl_params_global"),
        ({"smpl_params_incam": 3}, "holds no parameters"),
        ({"smpl_params_incam": {"transl": torch.zeros(2, 3)}}, r"lacks global_orient \(2, 3\)"),
    ],
)
def test_what_gvhmr_lacks_is_named(tmp_path, change, said):
    content = {k: v for k, v in (gvhmr(smplx_people(2)) | change).items() if v is not None}
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(BadInput, match=said):
        read_poses(tmp_path / "a.pt")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_a_pt_file_cut_short_is_named(tmp_path, share):
    torch.save(gvhmr(smplx_people(2)), tmp_path / "a.pt")
    content = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadInput, match=r"a\.pt is no whole file of torch.save"):
        read_poses(tmp_path / "a.pt")


class Harmful:
    def __reduce__(self):
        return (open, ("harm.txt", "w"))


def test_a_pt_file_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(gvhmr(smplx_people(2)) | {"net_outputs": Harmful()}, tmp_path / "a.pt")
    with pytest.raises(BadInput, match=r"a\.pt is refused: it asks for .*open"):
        read_poses(tmp_path / "a.pt")
    assert not (tmp_path / "harm.txt").exists()


def test_old_files_of_torch_are_read(tmp_path):
    torch.save(gvhmr(smplx_people(2)), tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert len(read_poses(tmp_path / "a.pt").poses) == 2


def phalp_without_crop(people: People) -> dict:
    """Frames with `camera` alone, as PHALP computes it from HMR2's (s, tx, ty)."""
    content = people.phalp()
    (frame,) = content.values()
    height, width = frame["size"][0]
    longest = max(height, width)
    ratio = 256 / longest
    padding = np.array([(longest - width) // 2, (longest - height) // 2])
    cameras = []
    for cam, centre, side in zip(people.pred_cam, people.centre, people.side, strict=True):
        s, tx, ty = cam.double().numpy()
        z = 2 * 5000 / (s * float(side) * ratio)
        away = ((centre.numpy() + padding) * ratio - 128) * z / 5000
        cameras.append(np.array([tx + away[0], ty + away[1], z], np.float32))
    frame["camera"] = cameras
    for name in ("camera_bbox", "center", "scale"):
        del frame[name]
    return content


@pytest.mark.parametrize("order", ["HW", "WH"])
def test_phalps_camera_is_that_of_the_padded_image(tmp_path, body, order):
    """f_px = 5000 max(H, W) / 256; the order of `size` plays no part."""
    people = People(3)
    content = phalp_without_crop(people)
    (frame,) = content.values()
    if order == "WH":
        frame["size"] = [[SIZE[0], SIZE[1]]] * 3
    recording = read_poses(write_pickle(tmp_path / "demo_clip.pkl", content))
    focal = 5000 * max(SIZE) / 256
    points = people.joints.double().numpy() + np.stack(frame["camera"])[:, None]
    expected = np.array(SIZE) / 2 + focal * points[..., :2] / points[..., 2:]
    np.testing.assert_allclose(pixels_of(recording, body), expected, atol=1e-2)
    # and nearly where the crop's own camera has them
    np.testing.assert_allclose(pixels_of(recording, body), people.pixels, atol=2.5)


def test_gaps_that_the_temporal_model_filled_are_left_out(tmp_path):
    content = People(3).phalp()
    next(iter(content.values()))["tracked_time"] = [0, -1, 3]
    assert len(read_poses(write_pickle(tmp_path / "t.pkl", content)).poses) == 1


def test_whams_other_files_say_what_to_give(tmp_path):
    write_pickle(tmp_path / "wham_results.pth", np.zeros((30, 7)))
    with pytest.raises(BadInput, match=r"track of the camera \(SLAM\).*wham_output\.pkl"):
        read_poses(tmp_path / "wham_results.pth")
    track = {"poses_body": np.zeros((2, 23, 3, 3)), "poses_root_cam": np.zeros((2, 1, 3, 3))}
    write_pickle(tmp_path / "a.pth", {0: track})
    with pytest.raises(BadInput, match="without their place before the camera"):
        read_poses(tmp_path / "a.pth")


def test_whams_folder_is_read_without_its_other_files(tmp_path):
    tracks, _ = wham(People(2))
    write_pickle(tmp_path / "wham_output.pkl", tracks)
    write_pickle(tmp_path / "slam_results.pth", np.zeros((30, 7)))
    assert len(read_poses(tmp_path).poses) == 2


def tram(folder, people: People, camera: dict | None = None) -> None:
    (folder / "hps").mkdir(parents=True)
    count = people.count
    track = {
        "pred_cam": torch.zeros(count, 3),
        "pred_pose": torch.zeros(count, 144),
        "pred_shape": people.betas,
        "pred_rotmat": people.rotations,
        "pred_trans": torch.from_numpy(places(count)).float()[:, None],
        "frame": torch.arange(5, 5 + count),
    }
    np.save(folder / "hps" / "hps_track_0.npy", track)
    own = {
        "pred_cam_R": np.tile(np.eye(3, dtype=np.float32), (9, 1, 1)),
        "pred_cam_T": np.zeros((9, 3), np.float32),
        "img_focal": np.float64(FOCAL),
        "img_center": PRINCIPAL,
    }
    np.save(folder / "camera.npy", own if camera is None else camera)
    np.save(folder / "boxes.npy", np.array([np.zeros((1, 5)), np.zeros((2, 5))], dtype=object))


def test_tram_projects_by_the_camera_beside_its_tracks(tmp_path, body):
    people = People(3, bend=0.5)
    tram(tmp_path / "clip", people)
    recording = read_poses(tmp_path / "clip")
    assert [pose.image for pose in recording.poses] == [5, 6, 7]
    points = people.joints.double().numpy() + places(3)[:, None]
    expected = PRINCIPAL + FOCAL * points[..., :2] / points[..., 2:]
    np.testing.assert_allclose(pixels_of(recording, body), expected, atol=1e-2)
    alone = read_poses(tmp_path / "clip" / "hps" / "hps_track_0.npy")
    assert len(alone.poses) == 3
    files = files_of(tmp_path / "clip")
    assert companions(files) == [tmp_path / "clip" / "camera.npy"]


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ({"img_focal": 3.0}, "lacks img_focal and img_center"),
        ({"img_focal": -3.0, "img_center": [1.0, 2.0]}, "expected f > 0"),
        ({"img_focal": 3.0, "img_center": [1.0]}, "expected f > 0"),
        ({"img_focal": "x", "img_center": [1.0]}, "is a str; an array was expected"),
    ],
)
def test_trams_camera_must_be_whole(tmp_path, camera, said):
    tram(tmp_path / "clip", People(1), camera)
    with pytest.raises(BadInput, match=said):
        read_poses(tmp_path / "clip")


def test_tracks_of_tram_without_a_camera(tmp_path):
    tram(tmp_path / "clip", People(1))
    (tmp_path / "clip" / "camera.npy").unlink()
    with pytest.raises(BadInput, match=r"needs camera\.npy.*the whole folder"):
        read_poses(tmp_path / "clip")


def prompthmr_image(people: People) -> dict:
    """output.pt of an image of SIZE, whose camera is in the padded square of 896 px."""
    scale = 896 / max(SIZE)
    K = torch.tensor([[FOCAL * scale, 0, 448.0], [0, FOCAL * scale, 448.0], [0, 0, 1]])
    count = people.count
    return {
        "pose": torch.zeros(count, 22, 6),
        "betas": people.betas,
        "transl": torch.from_numpy(places(count)).float(),
        "rotmat": people.rotations[:, :22],
        "vertices": torch.zeros(count, 7, 3),
        "body_joints": torch.zeros(count, 25, 3),
        "cam_int": K.expand(count, 3, 3),
    }


def test_an_image_of_prompthmr(tmp_path, body):
    people = smplx_people()
    for name in ("a.jpg", "b.c.jpg"):
        (tmp_path / name).mkdir()
        torch.save(prompthmr_image(people), tmp_path / name / "output.pt")
    recording = read_poses(tmp_path)
    assert [pose.image for pose in recording.poses] == ["a.jpg"] * 3 + ["b.c.jpg"] * 3
    expected = pixels_by_hand(people, SMPLX_PELVIS, FOCAL, np.array(SIZE) / 2)
    found = pixels_of(read_poses(tmp_path / "a.jpg" / "output.pt"), body)
    np.testing.assert_allclose(found, expected, atol=1e-2)


def test_a_crop_of_prompthmr_is_left_out(tmp_path):
    content = prompthmr_image(smplx_people())
    content["cam_int"] = content["cam_int"].clone()
    content["cam_int"][1, 0, 2] += 50
    torch.save(content, tmp_path / "a.pt")
    recording = read_poses(tmp_path / "a.pt")
    assert len(recording.poses) == 2 and "not the middle" in recording.faults[0]


def prompthmr_video(people: People, scale: float = 0.5) -> dict:
    """results.pkl of a video of SIZE whose frames were scaled before."""
    count = people.count
    rotations = np.zeros((count, 55, 3, 3), np.float32)
    rotations[:, :22] = people.rotations[:, :22]
    rotations[:, 22:25] = np.eye(3)
    return {
        "camera": {
            "img_focal": np.float64(FOCAL * scale),
            "img_center": np.array(SIZE) / 2 * scale,
        },
        "people": {
            1: {
                "frames": np.arange(2, 2 + count),
                "bboxes": np.zeros((count, 4), np.float32),
                "track_id": 1,
                "smplx_cam": {
                    "rotmat": rotations,
                    "pose": np.zeros((count, 75), np.float32),
                    "shape": people.betas.numpy(),
                    "trans": places(count).astype(np.float32),
                    "contact": np.zeros((count, 6), bool),
                },
                "smplx_world": {"pose": np.zeros((count, 165), np.float32)},
            }
        },
        "timings": {},
        "masks": None,
        "has_tracks": True,
    }


def test_a_video_of_prompthmr_with_hands_of_zeros(tmp_path, body):
    people = smplx_people()
    write_pickle(tmp_path / "results.pkl", prompthmr_video(people))
    recording = read_poses(tmp_path / "results.pkl")
    assert [pose.image for pose in recording.poses] == [2, 3, 4] and not recording.faults
    expected = pixels_by_hand(people, SMPLX_PELVIS, FOCAL, np.array(SIZE) / 2)
    np.testing.assert_allclose(pixels_of(recording, body), expected, atol=1e-2)


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (("camera",), {"img_focal": 3.0}, r"lacks img_focal and img_center"),
        (("camera", "img_focal"), -1.0, "focal length of camera is not positive"),
        (("people",), [1], "must be dictionaries"),
        (("people", 1), {"frames": np.arange(3)}, "lacks smplx_cam and frames"),
        (("people", 1, "smplx_cam", "rotmat"), np.zeros((3, 20, 3, 3)), r"expected \(3, 66\)"),
    ],
)
def test_what_prompthmrs_video_lacks_is_named(tmp_path, at, value, said):
    content = prompthmr_video(smplx_people())
    inner = content
    for name in at[:-1]:
        inner = inner[name]
    inner[at[-1]] = value
    write_pickle(tmp_path / "results.pkl", content)
    with pytest.raises(BadInput, match=said):
        read_poses(tmp_path / "results.pkl")


def smplerx(folder, people: People, **meta) -> None:
    for name in ("smplx", "meta"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    turned = vectors(people).numpy()
    for at in range(people.count):
        stem = f"{at + 1:05}_0"
        np.savez(
            folder / "smplx" / f"{stem}.npz",
            global_orient=turned[at, :1],
            body_pose=turned[at, 1:22],
            left_hand_pose=np.zeros((15, 3)),
            right_hand_pose=np.zeros((15, 3)),
            jaw_pose=np.zeros((1, 3)),
            leye_pose=np.zeros((1, 3)),
            reye_pose=np.zeros((1, 3)),
            betas=people.betas[at][None].numpy(),
            expression=np.zeros((1, 10)),
            transl=places(people.count)[at][None].astype(np.float32),
        )
        content = {
            "focal": [FOCAL, FOCAL],
            "princpt": PRINCIPAL.tolist(),
            "bbox": [90.0, 40.0, 150.0, 200.0],
            "bbox_mmdet": [100.0, 50.0, 80.0, 180.0],
            "bbox_id": 0,
            "img_path": f"../demo/images/clip/{at + 1:06d}.jpg",
        }
        (folder / "meta" / f"{stem}.json").write_text(json.dumps(content | meta))


def test_smplerx_with_its_cameras(tmp_path, body):
    people = smplx_people()
    smplerx(tmp_path, people)
    for folder in (tmp_path, tmp_path / "smplx"):
        recording = read_poses(folder)
        assert [pose.image for pose in recording.poses] == [f"{n:06d}.jpg" for n in (1, 2, 3)]
        np.testing.assert_array_equal(recording.poses[0].box, [100, 50, 180, 230])
        expected = pixels_by_hand(people, SMPLX_PELVIS, FOCAL, PRINCIPAL)
        np.testing.assert_allclose(pixels_of(recording, body), expected, atol=1e-2)
    assert len(companions(files_of(tmp_path))) == 3


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"focal": [700.0, 500.0]}, "expected one length above 0, told twice"),
        ({"focal": [0.0, 0.0]}, "expected one length above 0"),
        ({"princpt": None}, "princpt is None; expected 2 numbers"),
        ({"bbox_mmdet": ["a"]}, "expected 4 numbers"),
    ],
)
def test_smplerxs_camera_must_be_whole(tmp_path, meta, said):
    smplerx(tmp_path, smplx_people(1), **meta)
    with pytest.raises(BadInput, match=said):
        read_poses(tmp_path)


def test_smplerx_without_or_with_damaged_meta(tmp_path):
    smplerx(tmp_path, smplx_people(1))
    file = tmp_path / "meta" / "00001_0.json"
    for content, said in (("{", "is not whole JSON"), ("[]", "lacks img_path")):
        file.write_text(content)
        with pytest.raises(BadInput, match=said):
            read_poses(tmp_path)
    file.unlink()
    with pytest.raises(BadInput, match="the folder that holds smplx/ and meta/"):
        read_poses(tmp_path)


def test_every_pickle_protocol_of_numpy_objects(tmp_path):
    """numpy.save's pickles of tensors come in the protocols of their time."""
    for protocol in (2, 4, 5):
        content = pickle.dumps({"a": np.eye(2), "t": torch.eye(2)}, protocol=protocol)
        (tmp_path / "a.pkl").write_bytes(content)
        with pytest.raises(BadInput, match="is of no known format; found a, t"):
            read_poses(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("key", "value"), [("tracked_time", 5), ("smpl", 3), ("tracked_time", [None, None])]
)
def test_the_right_keys_with_something_else_in_them(tmp_path, key, value):
    content = People(2).phalp()
    next(iter(content.values()))[key] = value
    with pytest.raises(BadInput, match=r"has the keys of PHALP .*but not the values"):
        read_poses(write_pickle(tmp_path / "a.pkl", content))


def test_damaged_bytes_end_in_a_sentence_or_in_nothing(tmp_path):
    """Whatever byte is wrong: the file is read, or BadInput says that it cannot be."""
    people = smplx_people(2)
    torch.save(gvhmr(people), tmp_path / "a.pt")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(prompthmr_video(people)))
    tram(tmp_path / "clip", people)
    smplerx(tmp_path / "x", people)
    draw = np.random.default_rng(0)
    for file in (
        tmp_path / "a.pt",
        tmp_path / "a.pkl",
        tmp_path / "clip" / "hps" / "hps_track_0.npy",
        tmp_path / "x" / "smplx" / "00001_0.npz",
    ):
        whole = file.read_bytes()
        for at in draw.integers(0, len(whole), 12):
            file.write_bytes(whole[:at] + bytes([draw.integers(256)]) + whole[at + 1 :])
            try:
                read_poses(file)
            except BadInput as error:
                assert str(file) in str(error)

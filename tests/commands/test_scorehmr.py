"""ScoreHMR's evaluations on hand-made files of its schemas, of bodies whose errors are known."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from body import model_files
from PIL import Image

from chorus.body.loading import load_body
from chorus.cli import main
from chorus.commands.refinement_tasks.caching import CacheHmr2, cached, regressed
from chorus.commands.refinement_tasks.data_files import (
    FOCAL,
    of_weak_camera,
    read_data_set,
    read_predictions,
)
from chorus.commands.refinement_tasks.errors import acceleration_errors, position_errors
from chorus.commands.refinement_tasks.evaluation import batches, group_means
from chorus.commands.refinement_tasks.evaluations import KeypointFitting, MultiView, Video
from chorus.commands.refinement_tasks.trainings import Train
from chorus.errors import BadInput, ChorusError, Unavailable
from chorus.records.rows import Person
from chorus.refinement.score.checkpoint import save_published
from chorus.refinement.score.denoiser import Denoiser, Widths, pose_numbers
from chorus.refinement.score.published_points import (
    JOINTS_14,
    JOINTS_17,
    OpenPosePoints,
    ShapeRange,
    all_points,
)
from chorus.refinement.score.schedule import Schedule
from chorus.refinement.score.settings import PUBLISHED

VERTICES = 6890
SIZE = (640, 480)
GROUPS = (3, 2)


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    """One round up to a low level, so that tests are quick."""
    for task in ("single", "video"):
        quick = replace(PUBLISHED[task], rounds=1, level=10)
        monkeypatch.setitem(PUBLISHED, task, quick)


def few(rows, rng):
    """A matrix (rows, 6890), each row a mean of 8 vertices."""
    matrix = np.zeros((rows, VERTICES))
    for row in matrix:
        row[rng.choice(VERTICES, 8, replace=False)] = rng.dirichlet(np.ones(8))
    return matrix


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The release's folder with a made body, a small random denoiser, statistics and no data."""
    root, rng = tmp_path_factory.mktemp("release"), np.random.default_rng(1)
    for folder in ("data/smpl", "data/stats", "data/datasets", "cache/hmr2b", "cache/pare"):
        (root / folder).mkdir(parents=True)
    model = model_files.arrays(vertices=VERTICES)
    model["v_template"] *= 0.5
    model["J_regressor"] = few(24, rng)
    with (root / "data/smpl/SMPL_NEUTRAL.pkl").open("wb") as stream:
        pickle.dump(model, stream)
    with (root / "data/SMPL_to_J19.pkl").open("wb") as stream:
        pickle.dump(few(19, rng), stream)
    for name, size in (("pose_feats", 3072), ("cam_shape_feats", 1536)):
        stats = {f"{name}_mean": np.zeros(size), f"{name}_std": np.ones(size)}
        path = root / "data/stats/pare_feat_stats.npz"
        known = dict(np.load(path)) if path.is_file() else {}
        np.savez(path, **known, **stats)
    np.savez(
        root / "data/stats/betas_stats_eft_fits.npz",
        betas_min=np.full(10, -5.0),
        betas_max=np.full(10, 5.0),
    )
    torch.manual_seed(0)
    for name, widths in (("pose", Widths(hidden=8)), ("shape", Widths(3072, 8, True, 1536))):
        (root / "logs/checkpoints" / name).mkdir(parents=True)
        network = Denoiser(widths)
        path = root / "logs/checkpoints" / name / "model-100.pt"
        save_published(path, network, network, Schedule(), 1_000_000)
    return root


@pytest.fixture(scope="module")
def body(release):
    return load_body(release / "data/smpl/SMPL_NEUTRAL.pkl")


def averaging(release):
    with (release / "data/SMPL_to_J19.pkl").open("rb") as stream:
        return torch.from_numpy(pickle.load(stream)).float()


def turned(count, seed, spread):
    import roma

    draw = torch.Generator().manual_seed(seed)
    return roma.rotvec_to_rotmat(spread * torch.randn(count, 24, 3, generator=draw))


def made(release, body, truth, start, betas=None):
    """Rows of a data set of true bodies (N, 24, 3, 3), and of the cache of those at the start."""
    count = len(truth)
    betas = torch.zeros(count, 10) if betas is None else betas
    at = torch.tensor([0.1, -0.2, 40.0]).repeat(count, 1)
    points = all_points(body, averaging(release), truth, betas) + at[:, None]
    pixels = FOCAL * points[..., :2] / points[..., 2:] + torch.tensor(SIZE) / 2
    sure = torch.ones(count, 44, 1)
    seen, known = torch.cat([pixels, sure], 2).numpy(), torch.cat([points, sure], 2).numpy()
    rows = {
        "imgname": np.array([f"images/{at}.jpg" for at in range(count)]),
        "center": np.full((count, 2), 300.0),
        "scale": np.full(count, 200.0),
        "body_keypoints_2d": seen[:, :25],
        "extra_keypoints_2d": seen[:, 25:],
        "body_keypoints_3d": known[:, :25],
        "extra_keypoints_3d": known[:, 25:],
        "img_size": np.tile(SIZE, (count, 1)),
    }
    cache = {
        "pred_betas": betas.numpy(),
        "pred_pose": start.numpy(),
        "pred_cam": np.tile([0.9, 0.0, 0.0], (count, 1)),
        "pred_cam_t": at.numpy(),
    }
    return rows, cache


def features(count):
    rng = np.random.default_rng(2)
    return {
        "pose_feats": rng.normal(size=(count, 128, 24)).astype(np.float32),
        "cam_shape_feats": rng.normal(size=(count, 64, 24)).astype(np.float32),
    }


def write(release, file, rows, cache):
    """Files as the release has them: .npz, or a pickled list of dicts by GROUPS."""
    everything = {"data/datasets": rows, "cache/hmr2b": cache}
    everything["cache/pare"] = features(len(rows["imgname"]))
    for folder, arrays in everything.items():
        path = release / folder / file
        if path.suffix == ".npz":
            np.savez(path, **arrays)
            continue
        ends = np.cumsum(GROUPS)
        groups = [
            {name: value[end - count : end] for name, value in arrays.items()}
            for end, count in zip(ends, GROUPS, strict=True)
        ]
        with path.open("wb") as stream:
            pickle.dump(groups, stream)


def record(out, name):
    return json.loads((out / f"{name}.json").read_text()), np.load(out / f"{name}.npz")


def test_points_without_the_mesh_are_those_of_the_mesh(release, body):
    rotations, betas = turned(3, 5, 0.4), torch.randn(3, 10)
    whole = all_points(body, averaging(release), rotations, betas)
    found = OpenPosePoints(body, betas)(pose_numbers(rotations))
    torch.testing.assert_close(found, whole[:, :25], atol=1e-4, rtol=1e-4)
    shape = ShapeRange(torch.full((10,), -4.0), torch.full((10,), 6.0))
    numbers = torch.cat([pose_numbers(rotations), shape.numbers(betas)], -1)
    again = OpenPosePoints(body, torch.zeros(3, 10), shape)(numbers)
    torch.testing.assert_close(again, found, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(whole[:, 1], body.posed_joints(rotations, betas)[:, 12])  # neck
    assert len(JOINTS_14) == 14 and len(JOINTS_17) == 17


def test_errors_by_hand():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(2, 44, 3))
    moved = truth + 3.0
    plain, aligned = position_errors(moved, truth, JOINTS_14)
    np.testing.assert_allclose([plain, aligned], 0, atol=1e-9)
    twice = 2 * truth
    plain, aligned = position_errors(twice, truth, JOINTS_14)
    off = np.linalg.norm(truth - truth[:, 39:40], axis=2)[:, list(JOINTS_14)]
    np.testing.assert_allclose(plain, 1000 * off.mean(1))
    np.testing.assert_allclose(aligned, 0, atol=1e-6)
    clip = np.zeros((5, 44, 3))
    still = clip.copy()
    still[2, list(JOINTS_14), 0] = 0.01  # one frame jumps by 10 mm
    found = acceleration_errors(still, clip, JOINTS_14, np.zeros(5))
    np.testing.assert_allclose(found[0], [10, 20, 10])


def test_keypoint_fitting_of_known_bodies(release, body, tmp_path, capsys):
    truth = turned(4, 1, 0.2)
    start = truth.clone()
    start[2:] = turned(4, 1, 0.25)[2:]  # the first two are right already
    write(release, "3dpw_test.npz", *made(release, body, truth, start))
    arguments = ["--name", "pose", "--root", str(release), "--out", str(tmp_path)]
    assert main(["scorehmr", "keypoint_fitting", *arguments]) == 0
    said = capsys.readouterr().out
    assert "4 / 4 samples\nreg_mpjpe: " in said and "***" in said
    found, arrays = record(tmp_path, "3DPW-TEST")
    samples = found["samples"]
    assert [each["imgname"] for each in samples] == [f"images/{at}.jpg" for at in range(4)]
    for each in samples[:2]:
        assert each["reg_mpjpe"] < 0.1 and each["reg_re"] < 0.1 and each["opt_mpjpe"] < 5
    joints = all_points(body, averaging(release), start, torch.zeros(4, 10)).numpy()
    known = all_points(body, averaging(release), truth, torch.zeros(4, 10)).numpy()
    expected = position_errors(joints, known, JOINTS_14)[0]
    np.testing.assert_allclose([e["reg_mpjpe"] for e in samples], expected, atol=0.1)
    assert found["means"]["reg_mpjpe"] == pytest.approx(float(np.mean(expected)), abs=0.1)
    assert all(each["loss"] <= each["loss_before"] for each in samples)
    assert arrays["pose"].shape == (4, 24, 3) and arrays["joints"].shape == (4, 44, 3)
    assert (arrays["focal_length"] == FOCAL).all()
    np.testing.assert_array_equal(arrays["principal_point"], np.tile([320, 240], (4, 1)))


def test_views_come_to_agree_with_one_shape(release, body, tmp_path):
    truth = turned(1, 2, 0.2).repeat(5, 1, 1, 1)
    start = truth @ turned(5, 3, 0.05)
    betas = torch.arange(5.0)[:, None].repeat(1, 10)
    write(release, "mannequin.pkl", *made(release, body, truth, start, betas))
    options = MultiView(
        name="pose", root=release, out=tmp_path, dataset="MANNEQUIN", batch_size=3, optim_iters=1
    )
    assert "5 persons" in options.run().line
    found, arrays = record(tmp_path, "MANNEQUIN")
    assert [each["group"] for each in found["samples"]] == [0, 0, 0, 1, 1]
    np.testing.assert_allclose(arrays["betas"][:, 0], [1, 1, 1, 3.5, 3.5])
    assert found["points"] == list(JOINTS_17)
    assert found["settings"]["level"] == 100 and found["settings"]["keypoints"] == 0
    assert sum(e["loss"] for e in found["samples"]) < sum(
        e["loss_before"] for e in found["samples"]
    )


def test_tracks_become_smoother(release, body, tmp_path):
    truth = turned(1, 2, 0.2).repeat(5, 1, 1, 1)
    start = truth @ turned(5, 4, 0.05)
    write(release, "3dpw_test_video.pkl", *made(release, body, truth, start))
    text = Video(name="pose", root=release, out=tmp_path).run().text
    assert "reg_accel: " in text and "opt_accel: " in text
    found, _ = record(tmp_path, "3DPW-TEST-VIDEO")
    assert len(found["groups"]["opt_accel"]["0"]) == 1 and not found["groups"]["opt_accel"]["1"]
    assert found["means"]["opt_accel"] < found["means"]["reg_accel"]


def test_a_model_of_pose_and_shape(release, body, tmp_path):
    truth = turned(2, 1, 0.2)
    write(release, "3dpw_test.npz", *made(release, body, truth, truth))
    with pytest.raises(BadInput, match="model of pose and shape; say --use_betas"):
        KeypointFitting(name="shape", root=release, out=tmp_path).run()
    with pytest.raises(BadInput, match="of the pose alone; leave --use_betas out"):
        KeypointFitting(name="pose", root=release, use_betas=True, out=tmp_path).run()
    KeypointFitting(name="shape", root=release, use_betas=True, out=tmp_path).run()
    assert record(tmp_path, "3DPW-TEST")[1]["betas"].shape == (2, 10)


def test_sizes_of_images_are_read_from_the_images(release, body, tmp_path):
    rows, _ = made(release, body, turned(1, 1, 0.2), turned(1, 1, 0.2))
    del rows["img_size"]
    np.savez(tmp_path / "data.npz", **rows)
    with pytest.raises(BadInput, match="give the folder of its images with --img_dir"):
        read_data_set(tmp_path / "data.npz", None)
    with pytest.raises(BadInput, match=r"0\.jpg cannot be read as an image"):
        read_data_set(tmp_path / "data.npz", tmp_path)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "images/0.jpg")
    assert read_data_set(tmp_path / "data.npz", tmp_path).image_size.tolist() == [[30, 20]]


def test_a_weak_camera_by_hand():
    values = ([[0.5, 0.1, -0.1]], [[420.0, 240.0]], [200.0], [[640.0, 480.0]])
    found = of_weak_camera(*(np.array(value) for value in values))
    # s b = 100 pixels a metre at half scale: 2 * 5000 / 100 m away, 100 pixels right of the middle
    np.testing.assert_allclose(found, [[0.1 + 2.0, -0.1, 100.0]], rtol=1e-6)


def test_batches_keep_groups_whole():
    group = np.array([0, 0, 0, 1, 1, 2, 5, 5, 5, 5])
    found = [group[rows].tolist() for rows in batches(group, 3)]
    assert found == [[0, 0, 0], [1, 1, 2], [5, 5, 5, 5]]
    means = group_means(np.arange(10.0)[:, None], group)[:, 0]
    assert means.tolist() == [1, 1, 1, 3.5, 3.5, 5, 7.5, 7.5, 7.5, 7.5]


def test_training_by_the_releases_names(release, tmp_path, capsys):
    rng = np.random.default_rng(3)
    for name in ("a", "b", "c"):
        rows = {"body_pose": rng.normal(size=(4, 72)) * 0.2, "has_body_pose": np.ones(4)}
        np.savez(release / f"data/datasets/{name}.npz", **rows)
    files = tuple(release / f"data/datasets/{name}.npz" for name in ("a", "b", "c"))
    with pytest.raises(BadInput, match=r"cache/pare/a\.npz is not there"):
        Train(name="mine", data=files, root=release).run()
    for name in ("a", "b", "c"):
        np.savez(release / f"cache/pare/{name}.npz", **features(4))
    assert "after 1 steps" in Train(name="mine", data=files, root=release, steps=1).run().line
    assert (release / "logs/checkpoints/mine/model-0.pt").is_file()
    assert main(["scorehmr", "train", "--name", "mine"]) == 2
    assert "CHORUS has no PARE network" in capsys.readouterr().err
    with pytest.raises(BadInput, match="no path"):
        Train(name="a/b", data=files)


class SeenRegressor:
    """Answers every box with a person at rest, and remembers the boxes."""

    def regress(self, images, boxes):
        self.boxes = [of_image[0].tolist() for of_image in boxes]
        crop = {"camera": np.array([0.5, 0.1, -0.1]), "crop_side": 200.0, "betas": np.ones(10)}
        return [
            [
                Person(
                    box=of_image[0],
                    pose=np.zeros((24, 3)),
                    crop_centre=np.array([420.0, 240.0]),
                    joints=np.zeros((24, 2)),
                    **crop,
                )
            ]
            for of_image in boxes
        ]


def test_bodies_are_cached_as_scorehmr_reads_them(release, body, tmp_path):
    rows, _ = made(release, body, turned(2, 1, 0.2), turned(2, 1, 0.2))
    path = tmp_path / "data.npz"
    np.savez(path, **rows)
    data = read_data_set(path, None)
    with pytest.raises(BadInput, match=r"1\.jpg: it cannot be read"):
        regressed(SeenRegressor(), data, [1], tmp_path)
    (tmp_path / "images").mkdir()
    for at in range(2):
        Image.new("RGB", SIZE).save(tmp_path / f"images/{at}.jpg")
    regressor = SeenRegressor()
    persons = regressed(regressor, data, range(2), tmp_path)
    assert regressor.boxes[0] == [225, 200, 375, 400]  # 200 pixels high about (300, 300)
    np.savez(tmp_path / "cache.npz", **cached(persons, data))
    found = read_predictions(tmp_path / "cache.npz", data, path)
    np.testing.assert_allclose(found.translation, [[2.1, -0.1, 100.0]] * 2, rtol=1e-5)
    np.testing.assert_allclose(found.rotations, np.tile(np.eye(3), (2, 24, 1, 1)), atol=1e-6)


def test_a_missing_regressor_is_named(tmp_path):
    with pytest.raises(ChorusError, match=r"hmr2|HMR2"):
        CacheHmr2(root=tmp_path, imports_dir=tmp_path).run()


def no_truth(rows, cache):
    del rows["extra_keypoints_3d"]


def no_name(rows, cache):
    del rows["imgname"]


def other_points(rows, cache):
    rows["body_keypoints_2d"] = rows["body_keypoints_2d"][:, :17]


def not_finite(rows, cache):
    rows["body_keypoints_2d"][1, 3, 0] = np.nan


def words(rows, cache):
    rows["scale"] = np.array(["a", "b"])


def no_rotation(rows, cache):
    cache["pred_pose"][1] *= 2


def behind(rows, cache):
    cache["pred_cam_t"][1, 2] = -1


def no_camera(rows, cache):
    del cache["pred_cam_t"]
    cache["pred_cam"][1, 0] = 0


def one_place(rows, cache):
    rows["extra_keypoints_3d"][1] = 0


def fewer(rows, cache):
    cache["pred_betas"] = cache["pred_betas"][:1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (no_truth, "has no 'extra_keypoints_3d'"),
        (no_name, "has no 'imgname', found center"),
        (other_points, r"body_keypoints_2d is float32 of the shape \(2, 17, 3\), expected numbers"),
        (not_finite, "body_keypoints_2d of row 1 is not finite"),
        (words, "scale is <U1"),
        (no_rotation, "pred_pose of row 1 is no rotation matrices"),
        (behind, "row 1 stands behind its camera"),
        (no_camera, "row 1 stands behind its camera, or nowhere"),
        (one_place, "extra_keypoints_3d of row 1 all lie in one place"),
        (fewer, r"pred_betas is float32 of the shape \(1, 10\)"),
    ],
)
def test_files_of_another_form_are_refused(release, body, tmp_path, change, sentence):
    rows, cache = made(release, body, turned(2, 1, 0.2), turned(2, 1, 0.2))
    change(rows, cache)
    write_rows = {**rows, "imgname": rows.get("imgname", rows["scale"])}
    write(release, "3dpw_test.npz", write_rows, cache)
    np.savez(release / "data/datasets/3dpw_test.npz", **rows)
    with pytest.raises(BadInput, match=sentence):
        KeypointFitting(name="pose", root=release, out=tmp_path).run()


def test_pickles_that_are_no_groups_are_refused(release, body, tmp_path):
    rows, cache = made(release, body, turned(5, 1, 0.2), turned(5, 1, 0.2))
    write(release, "mannequin.pkl", rows, cache)
    options = MultiView(name="pose", root=release, out=tmp_path, dataset="MANNEQUIN")
    path = release / "cache/hmr2b/mannequin.pkl"
    path.write_bytes(pickle.dumps([cache]))
    with pytest.raises(BadInput, match=r"has 1 groups, .* has 2"):
        options.run()
    path.write_bytes(pickle.dumps({"pred_pose": 3}))
    with pytest.raises(BadInput, match="must be a pickled list of dicts"):
        options.run()
    path.write_bytes(pickle.dumps([print, 1]))
    with pytest.raises(BadInput, match="could run code"):
        options.run()


def test_what_is_missing_is_named(release, tmp_path):
    with pytest.raises(Unavailable, match=r"none/model-100\.pt is not there; train one with"):
        KeypointFitting(name="none", root=release, out=tmp_path).run()
    with pytest.raises(Unavailable, match=r"model_weights/score_hmr/model-100\.pt is not there"):
        KeypointFitting(use_default_ckpt=True, root=release, out=tmp_path).run()
    with pytest.raises(BadInput, match="vertices of SMPL's mesh"):
        small = tmp_path / "small.npz"
        np.savez(small, **model_files.arrays())
        KeypointFitting(name="pose", root=release, body=small, out=tmp_path).run()
    with pytest.raises(BadInput, match="--name must be the name of a training"):
        KeypointFitting(name="../x")
    with pytest.raises(BadInput, match="guidance setting level must be a multiple"):
        MultiView(sample_start=55)

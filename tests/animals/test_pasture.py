"""The synthetic pasture: its truth agrees with its pictures, its files with the published forms."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from chorus.animals.annotations import check_category, read_ids, read_image, read_labels
from chorus.animals.keypoints import CATEGORIES, KEYPOINTS
from chorus.animals.pasture.drawing import draw_scene
from chorus.animals.pasture.scenes import LABELLED, WEB, PastureSettings, sample_scene
from chorus.animals.pasture.sets import PastureSizes, draw_all, is_drawn, pictures, write_sets
from chorus.animals.tree import AnimalTree
from chorus.errors import BadInput

SMALL = replace(LABELLED, width=96, height=80, occluded=0, truncated=0, second=0)


@pytest.mark.parametrize("category", CATEGORIES)
def test_truth_agrees_with_the_picture(category):
    scene = sample_scene(category, 3, SMALL)
    drawn = draw_scene(scene)
    assert drawn.image.shape == (80, 96, 3) and drawn.mask.sum() > 200
    assert drawn.visible.sum() >= 3
    # a visible keypoint lies on the mask, or within two pixels of it
    rows, columns = np.nonzero(drawn.mask)
    seen = drawn.keypoints[drawn.visible]
    gaps = np.hypot(columns[:, None] + 0.5 - seen[:, 0], rows[:, None] + 0.5 - seen[:, 1]).min(0)
    assert gaps.max() < 2
    assert drawn.box[0] == columns.min() and drawn.box[3] == rows.max() + 1


def test_the_weak_camera_is_near_the_pinhole():
    scene = sample_scene("horse", 5, SMALL)
    drawn = draw_scene(scene)
    animal = scene.animals[0]
    template = animal.template
    unit = 2 / template.size
    posed = unit * animal.posed() - unit * template.vertices.mean(0)
    points = posed[template.keypoint_vertices] @ drawn.camera.rotation.T
    pixels = drawn.camera.scale * points[:, :2] + drawn.camera.shift
    assert np.allclose(drawn.camera.rotation @ drawn.camera.rotation.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(drawn.camera.rotation) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(pixels - drawn.keypoints, axis=1).mean() < 5


def test_a_scene_follows_from_its_seed_and_poses_keep_their_limits():
    for seed in range(12):
        scene = sample_scene("cow", seed, WEB)
        for animal in scene.animals:
            low, high = animal.template.limits.T
            assert ((animal.angles >= low - 1e-6) & (animal.angles <= high + 1e-6)).all()
            assert animal.in_world()[:, 1].min() == pytest.approx(0, abs=1e-4)
    again = sample_scene("cow", 11, WEB)
    assert np.array_equal(again.animals[0].angles, scene.animals[0].angles)
    assert np.array_equal(again.camera.R, scene.camera.R)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"width": 8}, "32 pixels"),
        ({"second": 1.5}, "share"),
        ({"spread": -1}, "spread"),
        ({"wrong_box": float("nan")}, "share"),
    ],
)
def test_settings_out_of_range_are_refused(values, says):
    with pytest.raises(BadInput, match=says):
        PastureSettings(**values)
    with pytest.raises(BadInput, match="animal"):
        sample_scene("unicorn", 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("pasture")
    everything = pictures(root, "horse", PastureSizes(2, 2, 1))
    assert draw_all(everything, lambda _: None) == 5
    write_sets(root, "horse", everything)
    return root, everything


def test_sets_have_the_published_forms(made):
    root, everything = made
    tree = AnimalTree(root)
    assert all(map(is_drawn, everything))
    train = read_labels(tree.annotations("pascal", "horse", "train"))
    assert tree.annotations("pascal", "horse", "train").name == "horse_all.json"
    assert list(train.ids) == read_ids(tree.split("pascal", "horse", "train"))
    assert train.joints.shape == (2, len(KEYPOINTS), 3)
    test = json.loads(tree.annotations("pascal", "horse", "val").read_text())[0]
    image = read_image(tree.labelled("pascal") / "images", test)
    assert np.shape(test["seg"]) == image.shape[:2]
    assert np.shape(test["cam_rot"]) == (3, 3) and test["valid_cam"] == 1
    web = read_labels(tree.boxes("horse"), with_joints=False)
    assert set(web.records[0]) == {"img_id", "img_path", "img_bbox", "box_score"}
    read_image(tree.web / "images", web.records[0])
    assert read_labels(tree.truth("horse")).ids == web.ids


def test_a_picture_does_not_depend_on_the_run(made, tmp_path):
    root, everything = made
    other = pictures(tmp_path, "horse", PastureSizes(2, 1, 1))[1]
    draw_all([other], lambda _: None)
    first = root / everything[1].images.relative_to(root) / everything[1].path
    assert (other.images / other.path).read_bytes() == first.read_bytes()


def record(**changed) -> dict:
    joints = [[1.0, 2.0, 1.0]] * 16
    made = {"img_id": "a", "img_path": "a.jpg", "img_bbox": [0, 0, 4, 4], "joints": joints}
    return made | changed


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "one or more"),
        ({}, "one or more"),
        ([3], "no object"),
        ([record(), record()], "more than once"),
        ([record(img_id="")], "img_id"),
        ([record(img_bbox=[0, 0, 0, 4])], "img_bbox"),
        ([record(img_bbox=[0, 0, "x", 4])], "img_bbox"),
        ([record(joints=[[0, 0, 1]] * 17)], "joints"),
        ([record(joints=[[0, 0, 1]] * 15 + [[1, 1]])], "joints"),
        ([record(joints=[[1e400, 0, 1]] * 16)], "infinity"),
    ],
)
def test_damaged_labels_are_refused(tmp_path, records, says):
    path = tmp_path / "horse.json"
    path.write_text(json.dumps(records))
    with pytest.raises(BadInput, match=says):
        read_labels(path)


def test_unusual_labels_are_read(tmp_path):
    path = tmp_path / "horse.json"
    hidden = [[0, 0, 0]] * 15 + [[3, 4, 1]]
    path.write_text(json.dumps([record(joints=hidden), record(img_id=7, joints=[[1, 2]] * 16)]))
    labels = read_labels(path)
    assert labels.ids == ("a", "7")
    assert labels.joints[0, :, 2].sum() == 1 and labels.joints[1, :, 2].sum() == 16
    assert labels.chosen(["7"], "x").ids == ("7",)
    with pytest.raises(BadInput, match="lacks 1 of 1"):
        labels.chosen(["b"], "horse.json")


def test_images_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    for path, says in (("a.jpg", "a.jpg"), ("b.jpg", "b.jpg"), ("../b.jpg", "below")):
        with pytest.raises(BadInput, match=says):
            read_image(tmp_path, record(img_path=path))


def test_lists_that_are_empty_or_repeat_are_refused(tmp_path):
    path = tmp_path / "list.txt"
    for text, says in (("\n \n", "no image"), ("a\nb\na", "more than once")):
        path.write_text(text)
        with pytest.raises(BadInput, match=says):
            read_ids(path)


def test_labels_of_another_category_are_refused(tmp_path):
    path = tmp_path / "horse.json"
    path.write_text(json.dumps([record(), record(img_id="b", category="cow")]))
    labels = read_labels(path)
    check_category(labels.chosen(["a"], "x"), "horse", path)
    with pytest.raises(BadInput, match="cow"):
        check_category(labels, "horse", path)

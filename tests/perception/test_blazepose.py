"""BlazePose's published networks on real photographs, and on what no photograph is like.

The networks are fetched once if they are not in imports/blazepose. The photographs are no part of
the repository (`photographs` in conftest.py); scikit-image brings one of a person.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from chorus.errors import BadInput, Unavailable
from chorus.geometry import masks as mask_geometry
from chorus.geometry.boxes import iou
from chorus.geometry.coco_annotations import mask_of
from chorus.perception import blazepose, blazepose_keypoints, blazepose_segmenter
from chorus.perception.blazepose_agreement import COCO_LANDMARKS, mask_iou
from chorus.perception.blazepose_keypoints import BlazeposeKeypoints, keypoints_of
from chorus.perception.blazepose_segmenter import BlazeposeSegmenter
from chorus.records.keys import SampleKey
from chorus.records.rows import Image
from chorus.vocabulary import PERSON

NAMES = (
    "cyclist_front.jpg",
    "cyclist_side.jpg",
    "skier_coco_000000000785.jpg",
    "barbell_pexels_4793258.jpg",
    "phone_pexels_15732209.jpg",
)


def read(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


@pytest.fixture(scope="session")
def annotated(photographs):
    """By name: pixels, the person's mask, recorded landmarks (33, 2) and world (33, 3)."""
    instances = json.loads((photographs / "instances.json").read_text())
    names = {image["id"]: image["file_name"] for image in instances["images"]}
    persons = {
        names[each["image_id"]]: each
        for each in instances["annotations"]
        if each["category_id"] == 1
    }
    found = {}
    for each in json.loads((photographs / "landmarks_blazepose_full.json").read_text()):
        pixels = read(photographs / each["file"])
        size = pixels.shape[:2]
        mask = mask_geometry.decode(mask_of(persons[each["file"]], *size), *size)
        found[each["file"]] = pixels, mask, np.array(each["xy"]), np.array(each["world"])
    return found


@pytest.fixture(scope="session")
def astronaut():
    return pytest.importorskip("skimage.data").astronaut()


@pytest.fixture(scope="session")
def found_astronaut(networks, astronaut):
    (found,) = networks.find_persons(astronaut)
    return found


def assert_is(found, mask, landmarks, world):
    """The person, with the landmarks that mediapipe's way of using the networks gave."""
    assert not found.doubt and 0.5 <= found.score <= 1
    assert found.mask.shape == mask.shape and mask_iou(found.mask, mask) > 0.75
    assert iou(found.box, mask_geometry.box_of(mask)) > 0.85
    apart = np.linalg.norm(found.landmarks[:, :2] - landmarks, axis=1) / found.region.side
    assert apart.mean() < 0.012 and apart.max() < 0.06
    assert np.abs(found.world - world).mean() < 0.04  # metres


@pytest.mark.parametrize("name", NAMES)
def test_the_person_of_a_photograph_is_found(networks, annotated, name):
    pixels, mask, landmarks, world = annotated[name]
    best, *_ = networks.find_persons(pixels)
    assert_is(best, mask, landmarks, world)


@pytest.mark.parametrize("name", NAMES)
def test_the_person_of_a_box_is_looked_at(networks, annotated, name):
    pixels, mask, landmarks, world = annotated[name]
    (found,) = networks.look_at(pixels, mask_geometry.box_of(mask)[None])
    assert_is(found, mask, landmarks, world)


def test_all_five_in_one_panorama(networks, annotated):
    height = 500
    parts, masks, left = [], [], 0
    for pixels, mask, *_ in annotated.values():
        size = (round(pixels.shape[1] * height / pixels.shape[0]), height)
        parts.append(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
        masks.append((left, cv2.resize(mask.view(np.uint8), size).view(bool)))
        left += size[0]
    panorama = np.hstack(parts)
    found = networks.find_persons(panorama)
    assert len(found) >= 5
    boxes = []
    for left, mask in masks:
        whole = np.zeros(panorama.shape[:2], bool)
        whole[:, left : left + mask.shape[1]] = mask
        assert max(mask_iou(whole, one.mask) for one in found) > 0.7
        boxes.append(mask_geometry.box_of(whole))
    order = [3, 0, 4, 1, 2]
    looked = networks.look_at(panorama, np.array(boxes)[order])
    for at, one in zip(order, looked, strict=True):
        assert iou(one.box, boxes[at]) > 0.7


def test_a_person_upside_down(networks, annotated):
    pixels, mask, landmarks, world = annotated["barbell_pexels_4793258.jpg"]
    turned = np.ascontiguousarray(pixels[::-1, ::-1])
    height, width = mask.shape
    expected = mask[::-1, ::-1], [width, height] - landmarks, world * [-1, -1, 1]
    assert_is(networks.find_persons(turned)[0], *expected)
    (found,) = networks.look_at(turned, mask_geometry.box_of(expected[0])[None])
    assert_is(found, *expected)


def test_fifty_megapixels(networks, astronaut, found_astronaut):
    large = cv2.resize(astronaut, (7100, 7100), interpolation=cv2.INTER_LINEAR)
    small_one, (large_one,) = found_astronaut, networks.find_persons(large)
    assert large_one.mask.shape == (7100, 7100)
    assert iou(large_one.box * 512 / 7100, small_one.box) > 0.9
    apart = np.abs(large_one.landmarks[:, :2] * 512 / 7100 - small_one.landmarks[:, :2])
    seen = small_one.landmarks[:, 3] > 0.9
    assert apart[seen].mean() < 8


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (3, 7), (40, 2000), (30, 30)])
def test_odd_images_hold_nobody(networks, size):
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    assert networks.find_persons(pixels) == []
    height, width = size
    answers = networks.look_at(pixels, np.array([[0, 0, width, height]]))
    assert all(one is None or one.doubt for one in answers)


@pytest.mark.parametrize("name", ["coffee", "chelsea", "brick", "grass", "coins"])
def test_nobody_where_nobody_is(networks, name):
    pixels = getattr(pytest.importorskip("skimage.data"), name)()
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    assert networks.find_persons(pixels) == []


def test_boxes_about_nobody(networks, astronaut):
    boxes = np.array(
        [
            [-90, -90, -10, -10],
            [5, 5, 12, 9],
            [np.nan, 0, 5, 5],
            [200, 100, 100, 300],
            [600, 600, 900, 900],
        ]
    )
    assert networks.look_at(astronaut, boxes) == [None] * 5
    assert networks.look_at(astronaut, np.zeros((0, 4))) == []


def test_the_same_twice(networks, astronaut, found_astronaut):
    (again,) = networks.find_persons(astronaut.copy())
    np.testing.assert_array_equal(again.landmarks, found_astronaut.landmarks)


def sample(pixels, category=PERSON):
    return Image(SampleKey("model", category, "prompt", "augprompt", 0), pixels)


def test_the_segmenter_finds_persons_alone(networks, astronaut, assert_detections):
    segmenter = BlazeposeSegmenter(networks, 0.5)
    blank = np.zeros((50, 60, 3), np.uint8)
    found, nothing = segmenter.segment([sample(astronaut), sample(blank)])
    assert len(found) == 1 and nothing == []
    assert_detections(found, sample(astronaut), {PERSON})
    assert segmenter.segment([]) == []
    assert BlazeposeSegmenter(networks, 0.99).segment([sample(astronaut)]) == [[]]
    with pytest.raises(BadInput, match="finds persons and no objects, and 'umbrella'"):
        segmenter.segment([sample(astronaut), sample(astronaut, "umbrella")])


@pytest.mark.parametrize("name", NAMES)
def test_keypoints_are_those_recorded(networks, annotated, name):
    pixels, mask, landmarks, _ = annotated[name]
    (found,) = BlazeposeKeypoints(networks).detect(
        [sample(pixels)], [mask_geometry.box_of(mask)[None]]
    )
    assert found.shape == (1, 17, 3) and found.dtype == np.float32
    places = landmarks[list(COCO_LANDMARKS)]
    sure = found[0, :, 2] >= 0.7
    assert sure.sum() >= 11
    side = max(mask.shape)
    assert np.linalg.norm(found[0, sure, :2] - places[sure], axis=1).max() < 0.04 * side


def test_keypoints_of_many_images_in_order(networks, astronaut):
    detector = BlazeposeKeypoints(networks)
    boxes = [
        np.array([[30, 0, 480, 512], [2, 2, 5, 5]], np.float32),
        np.zeros((0, 4), np.float32),
        np.array([[np.inf, 0, 3, np.nan]], np.float32),
    ]
    found = detector.detect([sample(astronaut)] * 3, boxes)
    assert [each.shape for each in found] == [(2, 17, 3), (0, 17, 3), (1, 17, 3)]
    assert all(np.isfinite(each).all() for each in found)
    np.testing.assert_allclose(found[0][1], np.tile([3.5, 3.5, 0], (17, 1)))
    np.testing.assert_array_equal(detector.detect([sample(astronaut)], boxes[:1])[0], found[0])
    assert detector.detect([], []) == []
    assert found[0][0, :7, 2].min() > 0.5  # face and shoulders


def test_a_doubted_body_has_doubted_keypoints(networks, found_astronaut):
    sure = keypoints_of(found_astronaut, found_astronaut.box)[:, 2]
    assert (sure >= 0).all() and (sure <= 1).all()
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    box = np.array([50, 20, 250, 290])
    unsure = keypoints_of(networks.look_at(noise, box[None])[0], box)[:, 2]
    assert unsure.max() < 0.5


@pytest.mark.parametrize("module", [blazepose_segmenter, blazepose_keypoints])
def test_missing_weights(module, tmp_path):
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(Unavailable, match=r"download_off_the_shelf.sh blazepose$"):
        module.check("blazepose", "", tmp_path)


def test_a_missing_package(monkeypatch, tmp_path):
    monkeypatch.setattr(blazepose.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"\[pocket\]"):
        blazepose.check("blazepose", "", tmp_path)


def test_damaged_and_exchanged_networks(blazepose_imports, tmp_path):
    blazepose.check("blazepose", "", blazepose_imports)
    shutil.copytree(blazepose_imports / "blazepose", tmp_path / "blazepose")
    detector = tmp_path / "blazepose" / "pose_detection.tflite"
    detector.write_bytes(b"not a network")
    with pytest.raises(BadInput, match=r"is not a network .* delete it and fetch it again with"):
        blazepose.Blazepose(tmp_path)
    shutil.copy(tmp_path / "blazepose" / "pose_landmark_full.tflite", detector)
    with pytest.raises(BadInput, match="its tensors have shapes"):
        blazepose.Blazepose(tmp_path)


def test_it_starts_without_a_word(blazepose_imports):
    code = (
        "import sys; from pathlib import Path; from chorus.perception.blazepose import Blazepose\n"
        "Blazepose(Path(sys.argv[1]))"
    )  # in a process of its own: LiteRT speaks once in each
    done = subprocess.run(
        [sys.executable, "-c", code, str(blazepose_imports)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

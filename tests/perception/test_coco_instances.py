from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as reference
from pycocotools.coco import COCO

from chorus.errors import BadInput
from chorus.geometry import masks
from chorus.perception.box_and_mask import disagreement
from chorus.perception.coco_instances import annotations_of, instances_of
from chorus.perception.coco_writing import CocoFile

W, H = 40, 30


def content() -> dict:
    """Two images; a person with keypoints, two surfboards in different forms, a crowd."""
    return {
        "images": [
            {"id": 7, "file_name": "b.jpg", "width": W, "height": H},
            {"id": 3, "file_name": "a.jpg", "width": W, "height": H, "prompt": "A person rests"},
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 1,
                "bbox": [2, 3, 10, 20],
                "segmentation": [[2, 3, 12, 3, 12, 23, 2, 23]],
                "keypoints": [5, 6, 2, 6, 7, 1, 0, 0, 0] + [4, 4, 2] * 14,
                "iscrowd": 0,
            },
            {
                "id": 2,
                "image_id": 7,
                "category_id": 42,
                "segmentation": {"size": [H, W], "counts": [65, 4, W * H - 69]},
                "score": 0.9,
            },
            {
                "id": 3,
                "image_id": 7,
                "category_id": 1,
                "bbox": [0, 0, 5, 5],
                "segmentation": {"size": [H, W], "counts": [0, 5, W * H - 5]},
                "iscrowd": 1,
            },
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 42, "name": "surfboard"}],
    }


def test_images_are_sorted_and_crowds_kept_apart():
    found = annotations_of(content(), "x.json")
    assert [image.name for image in found.images] == ["a.jpg", "b.jpg"]
    assert found.crowds == 1 and found.keypoints_are_flags and found.has_keypoints
    assert found.objects() == ["surfboard"]
    assert found.images[0].prompt == "A person rests"
    assert [image.name for image in found.of("surfboard-demo")] == ["b.jpg"]
    image = found.images[1]
    assert image.number == 7 and [each["id"] for each in image.crowds] == [3]
    assert [each["id"] for each in image.annotations] == [1, 2]
    assert [each["id"] for each in image.everything_of(1)] == [1, 3]


def test_instances_have_labels_boxes_masks_scores_and_keypoints():
    found = annotations_of(content(), "x.json")
    person, board = instances_of(found.images[1], "surfboard", found)
    assert (person.detection.label, board.detection.label) == ("person", "surfboard")
    np.testing.assert_array_equal(person.detection.box, [2, 3, 12, 23])
    assert person.detection.score == 1 and board.detection.score == pytest.approx(0.9)
    assert masks.decode(person.detection.mask, H, W).sum() == 200
    drawn = masks.decode(board.detection.mask, H, W)
    assert drawn.sum() == 4 and drawn[5:9, 2].all()
    np.testing.assert_array_equal(board.detection.box, [2, 5, 3, 9])  # from the mask
    np.testing.assert_array_equal(person.keypoints[:3], [[5, 6, 1], [6, 7, 1], [0, 0, 0]])


def test_confidences_of_detectors_are_kept():
    changed = content()
    changed["annotations"][0]["keypoints"] = [5, 6, 0.35] + [4, 4, 1] * 16
    found = annotations_of(changed, "x.json")
    person, _ = instances_of(found.images[1], "surfboard", found)
    assert person.keypoints[0, 2] == pytest.approx(0.35) and not found.keypoints_are_flags
    changed["annotations"][0]["keypoints"][5] = 2.5
    found = annotations_of(changed, "x.json")
    with pytest.raises(BadInput, match=r"confidence is 2\.5, expected 0 to 1"):
        instances_of(found.images[1], "surfboard", found)


@pytest.mark.parametrize(("confidence", "taken"), [(1.0862956, 1), (1.49, 1), (-0.01, 0)])
def test_confidences_of_heat_maps_may_pass_one_a_little(confidence, taken):
    changed = content()
    changed["annotations"][0]["keypoints"] = [5, 6, confidence] + [4, 4, 0.9] * 16
    found = annotations_of(changed, "x.json")
    assert instances_of(found.images[1], "surfboard", found)[0].keypoints[0, 2] == taken


@pytest.mark.parametrize(("third", "flags"), [(2, True), (0.93, False)])
def test_keypoints_may_be_seventeen_lists_of_three(third, flags):
    changed = content()
    changed["annotations"][0]["keypoints"] = [[5.5, 6, third], *[[4, 4, 1]] * 16]
    found = annotations_of(changed, "x.json")
    assert found.keypoints_are_flags == flags
    points = instances_of(found.images[1], "surfboard", found)[0].keypoints
    assert points[0].tolist() == pytest.approx([5.5, 6, min(third, 1)])


def test_annotations_of_nothing_in_the_file_are_told_and_left_out():
    changed = content()
    changed["annotations"][2]["image_id"] = 77
    changed["annotations"].append(changed["annotations"][1] | {"id": 9, "category_id": 5})
    found = annotations_of(changed, "x.json")
    assert found.orphans == ("3 of image 77", "9 of category 5") and found.crowds == 0
    assert len(instances_of(found.images[1], "surfboard", found)) == 2


def test_crowds_can_be_taken_as_instances():
    changed = content()
    for annotation in changed["annotations"]:
        annotation["iscrowd"] = 1
    assert annotations_of(changed, "x.json").crowds_of("surfboard-demo") == 1
    found = annotations_of(changed, "x.json", take_crowds=True)
    assert found.crowds == 0 and len(instances_of(found.images[1], "surfboard", found)) == 3


def test_one_flat_polygon_is_taken():
    outline = [20, 18, 32, 18, 32, 28, 20, 28]
    found = annotations_of(with_change("annotations", 1, segmentation=outline), "x.json")
    board = instances_of(found.images[1], "surfboard", found)[1].detection
    assert board.box.tolist() == [20, 18, 32, 28]


def with_change(part: str, at: int, **values) -> dict:
    changed = content()
    for key, value in values.items():
        if value is None:
            changed[part][at].pop(key, None)
        else:
            changed[part][at][key] = value
    return changed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ([], "is not COCO instances"),
        ({"images": []}, "is not COCO instances"),
        (with_change("images", 1, file_name="b.jpg"), "two images are called 'b.jpg'"),
        (with_change("images", 1, id=7), "or have the id 7"),
        (with_change("images", 0, file_name="../.."), "has no file_name"),
        (with_change("images", 0, file_name=None), "has no file_name"),
        (with_change("images", 0, width=0), "0 x 30 pixels"),
        (with_change("images", 0, height="30"), "height is '30'"),
        (with_change("images", 0, prompt=5), "has the prompt 5"),
        (with_change("annotations", 1, image_id=None), "annotation 1: image_id is None"),
        (with_change("categories", 1, name="person"), "each needs its own"),
        (with_change("categories", 1, id=1), "two categories have the id 1"),
    ],
)
def test_a_damaged_file_is_named_with_its_record(changed, said):
    with pytest.raises(BadInput, match=f"^x.json.*{said}"):
        annotations_of(changed, "x.json")


@pytest.mark.parametrize(
    ("keypoints", "said"),
    [
        ([1.0] * 42, "42 keypoint numbers, expected 51: x, y and visibility"),
        ([1.0] * 34, "34 keypoint numbers"),
        ([1.0] * 399, "399 keypoint numbers"),
        ([[1.0, 2.0]] * 17, "34 keypoint numbers"),
        (["a"] * 51, "not numbers"),
        ([[1, 2, 3], [1]], "not numbers"),
        ([float("nan")] * 51, "not finite"),
        ([{}] * 51, "not numbers"),
    ],
)
def test_keypoints_that_cannot_be_used_are_named(keypoints, said):
    found = annotations_of(with_change("annotations", 0, keypoints=keypoints), "x.json")
    with pytest.raises(BadInput, match=rf"annotation 1 \(person\) of b.jpg: .*{said}"):
        instances_of(found.images[1], "surfboard", found)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (with_change("annotations", 1, segmentation=None), "no segmentation"),
        (with_change("annotations", 1, segmentation=[]), "no segmentation"),
        (with_change("annotations", 1, segmentation=[[1, 2, 3]]), "fewer than three points"),
        (with_change("annotations", 1, segmentation={"size": [5, 5], "counts": [25]}), "size"),
        (with_change("annotations", 1, bbox=[W, 2, 9, 9]), "outside of the image"),
        (with_change("annotations", 1, bbox=[-20, 2, 9, 9]), "outside of the image"),
        (with_change("annotations", 1, bbox=[1, 2, -9, 9]), "degenerate box"),
        (with_change("annotations", 1, bbox=[1, 2, float("nan"), 9]), "degenerate box"),
        (with_change("annotations", 1, score=93), "score 93, expected 0 to 1; divide percents"),
        (
            with_change("annotations", 1, segmentation={"size": [H, W], "counts": "b'P1'"}),
            r"text of Python's bytes, b'\.\.\.'; write counts.decode",
        ),
    ],
)
def test_an_annotation_that_cannot_be_used_is_named(changed, said):
    found = annotations_of(changed, "x.json")
    with pytest.raises(BadInput, match=rf"annotation 2 \(surfboard\) of b.jpg: .*{said}"):
        instances_of(found.images[1], "surfboard", found)


X, Y, X2, Y2 = 20, 18, 32, 28  # of the surfboard below


def outlined(bbox, segmentation=None) -> dict:
    """The surfboard with another box, or other run lengths."""
    outline = [[X, Y, X2, Y, X2, Y2, X, Y2]]
    return with_change("annotations", 1, bbox=bbox, segmentation=segmentation or outline)


def rectangle_by_rows() -> list[int]:
    drawn = np.zeros((H, W), bool)
    drawn[Y:Y2, X:X2] = True
    changes = np.flatnonzero(np.diff(drawn.ravel())) + 1
    return np.diff([0, *changes, H * W]).tolist()


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        (outlined([X, Y, X2, Y2]), "is x1, y1, x2, y2"),
        (outlined([X, H - Y2, X2 - X, Y2 - Y]), "counts y from the bottom"),
        (outlined([X / W, Y / H, (X2 - X) / W, (Y2 - Y) / H]), "is of shares of the image's size"),
        (outlined([26, 23, 12, 10]), "is the middle and the size;"),
        (outlined([26 / W, 23 / H, 12 / W, 10 / H]), "as shares of the image's size"),
        (outlined([0, 0, 9, 9]), "lie in different places"),
        (
            outlined([X, Y, 12, 10], {"size": [H, W], "counts": rectangle_by_rows()}),
            "count row by row",
        ),
    ],
)
def test_a_box_that_is_not_its_masks_is_refused_with_the_cause(changed, cause):
    found = annotations_of(changed, "x.json")
    with pytest.raises(BadInput, match=rf"annotation 2 \(surfboard\) of b.jpg: .*{cause}"):
        instances_of(found.images[1], "surfboard", found)


@pytest.mark.parametrize("bbox", [[18, 15, 20, 14], [20, 18, 3, 10], [10, 9, 30, 21]])
def test_a_box_may_be_loose_or_tight(bbox):
    found = annotations_of(outlined(bbox), "x.json")
    x, y, w, h = bbox
    board = instances_of(found.images[1], "surfboard", found)[1].detection
    assert board.box.tolist() == [x, y, x + w, y + h]


@settings(deadline=None, max_examples=100)
@given(
    st.tuples(st.integers(0, W - 2), st.integers(0, H - 2)),
    st.tuples(st.integers(2, W), st.integers(2, H)),
    st.floats(-0.3, 0.3),
)
def test_a_box_about_its_mask_is_never_refused(start, sides, off):
    end = [min(a + b, n) for a, b, n in zip(start, sides, (W, H), strict=True)]
    drawn = np.zeros((H, W), bool)
    drawn[start[1] : end[1], start[0] : end[0]] = True
    w, h = end[0] - start[0], end[1] - start[1]
    bbox = [start[0] + off * w / 2, start[1] + off * h / 2, w, h]
    box = np.array([bbox[0], bbox[1], bbox[0] + w, bbox[1] + h])
    annotation = {"bbox": bbox, "segmentation": []}
    assert disagreement(annotation, box, masks.encode(drawn), H, W) == ""


@pytest.mark.parametrize("bbox", [[0, 0, 0, 0], [0.0, 0.0, 0.0, 0.0], None, []])
def test_a_box_of_zeros_is_replaced_by_the_masks(bbox):
    found = annotations_of(outlined(bbox), "x.json")
    board = instances_of(found.images[1], "surfboard", found)[1].detection
    assert board.box.tolist() == [X, Y, X2, Y2]


def test_scraps_beside_a_polygon_are_left_out_and_counted():
    outline = [X, Y, X2, Y, X2, Y2, X, Y2]
    scraps = [[3, 3, 4, 4], [5, 5], []]
    changed = with_change("annotations", 1, segmentation=[scraps[0], outline, *scraps[1:]])
    found = annotations_of(changed, "x.json")
    assert found.scraps == 3
    board = instances_of(found.images[1], "surfboard", found)[1].detection
    assert masks.decode(board.mask, H, W).sum() == (X2 - X) * (Y2 - Y)


def test_what_alone_is_annotated():
    whole = content()
    assert annotations_of(whole, "x.json").only is None
    persons = whole | {"annotations": whole["annotations"][:1]}
    found = annotations_of(persons, "x.json")
    assert found.only == "persons" and [image.name for image in found.of("kite")] == ["b.jpg"]
    (person,) = instances_of(found.images[1], "kite", found)
    assert person.detection.label == "person"
    boards = whole | {"annotations": whole["annotations"][1:2]}
    assert annotations_of(boards, "x.json").only == "objects"
    crowd = whole | {"annotations": whole["annotations"][1:]}  # a crowd of persons is annotated
    assert annotations_of(crowd, "x.json").only is None


def test_unknown_categories_are_refused_with_near_names():
    found = annotations_of(content(), "x.json")
    for name in ("surfbord", "person"):
        with pytest.raises(BadInput, match="surfboard"):
            found.of(name)


def test_no_annotation_is_no_object():
    assert annotations_of(content() | {"annotations": []}, "x.json").objects() == []


def test_what_is_written_is_read_by_coco_and_by_us(tmp_path):
    drawn = np.zeros((H, W), bool)
    drawn[3:20, 5:9] = True
    confidences = np.linspace(0, 0.96, 51, dtype=np.float32)
    file = CocoFile()
    box = np.array([5.25, 3.1, 9.7, 20.3], np.float32).tolist()
    detection = {"score": np.float32(0.93), "box": box, "mask": masks.encode(drawn)}
    file.add(
        {"file_name": "s/é/0.jpg", "width": W, "height": H, "prompt": "p", "augprompt": "q"},
        [{"label": "garden gnome", **detection}, {"label": "person", **detection}],
        [{"keypoints": confidences.tolist()}],
    )
    file.add({"file_name": "s/é/0.jpg", "width": W, "height": H}, [], None)
    assert file.repeated == 1
    (tmp_path / "i.json").write_bytes(file.content())
    coco = COCO(str(tmp_path / "i.json"))
    (gnome,) = coco.loadAnns(coco.getAnnIds(catIds=coco.getCatIds(catNms=["garden gnome"])))
    np.testing.assert_array_equal(coco.annToMask(gnome), drawn)
    assert gnome["area"] == reference.area(coco.annToRLE(gnome)) == 68
    assert gnome["category_id"] > 90 and gnome["bbox"][2] == pytest.approx(4.45)
    found = annotations_of(json.loads(file.content()), "i.json")
    assert (found.images[0].prompt, found.images[0].augprompt) == ("p", "q")
    first, person = instances_of(found.images[0], "garden gnome", found)
    assert first.detection.box.tolist() == box and first.detection.mask == detection["mask"]
    np.testing.assert_array_equal(person.keypoints.ravel(), confidences)

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as reference
from pycocotools.coco import COCO

from chorus.errors import BadInput
from chorus.geometry import masks
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
    with pytest.raises(BadInput, match="confidence is not between 0 and 1"):
        instances_of(found.images[1], "surfboard", found)


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
        (with_change("images", 0, file_name="../b.jpg"), "inside the folder"),
        (with_change("images", 0, file_name=None), "has no file_name"),
        (with_change("images", 0, width=0), "0 x 30 pixels"),
        (with_change("images", 0, height="30"), "height is '30'"),
        (with_change("images", 0, prompt=5), "has the prompt 5"),
        (with_change("annotations", 1, image_id=99), "belongs to image 99"),
        (with_change("annotations", 1, category_id=5), "belongs to category 5"),
        (with_change("annotations", 1, image_id=None), "annotation 1: image_id is None"),
        (with_change("categories", 1, name="person"), "each needs its own"),
        (with_change("categories", 1, id=1), "two categories have the id 1"),
    ],
)
def test_a_damaged_file_is_named_with_its_record(changed, said):
    with pytest.raises(BadInput, match=f"^x.json.*{said}"):
        annotations_of(changed, "x.json")


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
        (with_change("annotations", 1, score=7), "score 7"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_named(changed, said):
    found = annotations_of(changed, "x.json")
    with pytest.raises(BadInput, match=rf"annotation 2 \(surfboard\) of b.jpg: .*{said}"):
        instances_of(found.images[1], "surfboard", found)


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

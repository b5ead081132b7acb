"""`chorus import` with annotations exactly as annotation programs write them, whole and damaged."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chorus.cli import main
from chorus.commands.importing.sources import found_by_end, read_annotations
from chorus.errors import BadInput
from chorus.geometry import masks
from chorus.perception.coco_instances import instances_of
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import read_table

W, H = 60, 40
PERSON, BOARD = (4, 2, 24, 38), (20, 10, 50, 22)  # xyxy


def outline(box) -> list[float]:
    x, y, x2, y2 = box
    return [x, y, x2, y, x2, y2, x, y2]


def coco(names: dict[str, int], image: dict, **more) -> dict:
    """COCO's JSON of a picture with a person and a surfboard, whose categories are so called."""
    person, board = names.values()
    given = [(person, PERSON), (board, BOARD)]
    return {
        "info": {},
        "licenses": [],
        "images": [{"id": 1, "width": W, "height": H, **image}],
        "categories": [{"id": n, "name": name, "supercategory": ""} for name, n in names.items()],
        "annotations": [
            {
                "id": at + 1,
                "image_id": 1,
                "category_id": number,
                "segmentation": [outline(box)],
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                "area": 1.0,
                "iscrowd": 0,
                **more,
            }
            for at, (number, box) in enumerate(given)
        ],
    }


def as_json(name: str, content: dict) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        (root / name).write_text(json.dumps(content))
        return root / name

    return write


def cvat(root: Path) -> Path:
    content = coco(
        {"person": 1, "surfboard": 2},
        {"file_name": "a.jpg", "license": 0, "flickr_url": "", "coco_url": "", "date_captured": 0},
        attributes={"occluded": False},
    )
    return as_json("instances_default.json", content)(root)


def roboflow(root: Path) -> Path:
    """Category 0 is the whole set's, called like one of the classes, and none is of it."""
    image = {"file_name": "a.jpg", "license": 1, "extra": {"name": "a.png"}}
    content = coco({"person": 1, "surfboard": 2}, image)
    content["categories"].insert(0, {"id": 0, "name": "surfboard", "supercategory": "none"})
    return as_json("_annotations.coco.json", content)(root)


LVIS = {"coco_url": "http://images.cocodataset.org/train2017/a.jpg"}
COCO_FILES = {
    "CVAT": cvat,
    "Roboflow": roboflow,
    "Label Studio": as_json(
        "result.json",
        coco({"person": 0, "surfboard": 1}, {"file_name": "images\\a.jpg"}, ignore=0),
    ),
    "Label Studio's upload": as_json(
        "result.json",
        coco({"person": 0, "surfboard": 1}, {"file_name": "../../data/upload/1/a.jpg"}),
    ),
    "labelme's labelme2coco": as_json(
        "annotations.json",
        coco({"person": 1, "surfboard": 2}, {"file_name": "JPEGImages/a.jpg", "license": 0}),
    ),
    "LVIS v1": as_json(
        "lvis_v1_val.json",
        coco(
            {"person": 793, "surfboard": 1037},
            LVIS | {"neg_category_ids": [3], "not_exhaustive_category_ids": []},
        ),
    ),
    "Objects365 with masks": as_json(
        "zhiyuan_objv2_val.json",
        coco(
            {"Person": 1, "Surfboard ": 120},
            {"file_name": "images/v2/patch16/a.jpg"},
            isfake=0,
            isreflected=0,
        ),
    ),
}


def labelme_shape(label: str, points: list, kind: str, group=None, **more) -> dict:
    return {
        "label": label,
        "points": points,
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
        **more,
    }


def labelme(shapes: list, **more) -> dict:
    return {
        "version": "5.8.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": "..\\photos\\a.jpg",
        "imageData": None,
        "imageHeight": H,
        "imageWidth": W,
        **more,
    }


def mask_shape(label: str, box) -> dict:
    x, y, x2, y2 = box
    stream = io.BytesIO()
    Image.fromarray(np.ones((y2 - y, x2 - x), np.uint8)).save(stream, "PNG")
    points = [[x, y], [x2 - 1, y2 - 1]]
    return labelme_shape(label, points, "mask", mask=base64.b64encode(stream.getvalue()).decode())


def write_labelme(root: Path, content: dict) -> Path:
    (root / "marks").mkdir()
    (root / "marks" / "a.json").write_text(json.dumps(content))
    return root / "marks"


def labelme_folder(root: Path) -> Path:
    x, y, x2, y2 = BOARD
    middle = (x + x2) // 2
    board = [
        labelme_shape("surfboard", [[x, y], [middle, y2]], "rectangle", 3),
        labelme_shape("surfboard", [[middle, y], [x2, y], [x2, y2], [middle, y2]], "polygon", 3),
        labelme_shape("nose", [[5, 5]], "point"),
    ]
    return write_labelme(root, labelme([mask_shape("person", PERSON), *board]))


def yolo_line(number: int, box, *more: float) -> str:
    shares = np.array(outline(box)).reshape(-1, 2) / [W, H]
    return " ".join(map(str, [number, *np.round(shares.ravel(), 6), *more]))


LINES = yolo_line(0, PERSON) + "\n" + yolo_line(1, BOARD) + "\n"


def yolo_predictions(root: Path) -> Path:
    labels = root / "runs" / "segment" / "predict" / "labels"
    labels.mkdir(parents=True)
    (labels / "a.txt").write_text(f"{yolo_line(0, PERSON, 0.93)}\n{yolo_line(1, BOARD, 0.81)}\n")
    (labels.parent / "data.yaml").write_text("names:\n  0: person\n  1: surfboard\n")
    return labels


def yolo_labels(root: Path) -> Path:
    """A data set as Roboflow, CVAT and Ultralytics lay it out: photos are moved into it."""
    (root / "set" / "train" / "labels").mkdir(parents=True)
    (root / "photos").rename(root / "set" / "train" / "images")
    (root / "photos").symlink_to(root / "set" / "train" / "images")
    (root / "set" / "train" / "labels" / "a.txt").write_text(LINES)
    path = root / "set" / "data.yaml"
    path.write_text("path: .\ntrain: train/images\nnc: 2\nnames: ['person', 'surfboard']\n")
    return path


def yolo_of_label_studio(root: Path) -> Path:
    (root / "export" / "labels").mkdir(parents=True)
    (root / "export" / "labels" / "a.txt").write_text(LINES)
    (root / "export" / "classes.txt").write_text("person\nsurfboard\n")
    return root / "export" / "labels"


TOOLS = COCO_FILES | {
    "labelme": labelme_folder,
    "Ultralytics' predictions": yolo_predictions,
    "Ultralytics' data set": yolo_labels,
    "Label Studio's YOLO": yolo_of_label_studio,
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("CHORUS_PROFILE", raising=False)
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (H, W, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photos" / "a.jpg")
    return tmp_path


def imported(root: Path, annotations: Path, *more: str) -> int:
    photos = root / "set" / "train" / "images"
    photos = photos if photos.is_dir() else root / "photos"
    given = ["--images", str(photos), "--annotations", str(annotations), "--model_key", "mine"]
    where = ["--results_dir", str(root / "results"), "--without_keypoints"]
    return main(["import", *given, *where, "--categories", "surfboard", *more])


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_writes_is_taken(root, tool, capsys):
    path = TOOLS[tool](root)
    assert imported(root, path, "--dry_run") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[2].split()[:4] == ["a.jpg", "surfboard", "1", "1"]
    assert imported(root, path) == 0
    table = ResultsTree(root / "results").table(
        "segmentations", ShardKey("mine", "surfboard", "imported", "original")
    )
    (row,) = read_table(table, "segmentations").rows.values()
    found = {one["label"]: masks.decode(one["mask"], H, W) for one in row["detections"]}
    for label, (x, y, x2, y2) in {"person": PERSON, "surfboard": BOARD}.items():
        assert found[label].sum() == (x2 - x) * (y2 - y) and found[label][y:y2, x:x2].all()


def lvis(person: bool, absent=(), incomplete=()) -> dict:
    content = coco(
        {"person": 793, "surfboard": 1037},
        LVIS | {"neg_category_ids": list(absent), "not_exhaustive_category_ids": list(incomplete)},
    )
    if not person:  # annotated in another image only
        content["images"].append(content["images"][0] | {"id": 2, "coco_url": "http://x/b.jpg"})
        content["annotations"][0]["image_id"] = 2
    return content


@pytest.mark.parametrize(
    ("content", "taken"),
    [
        (lvis(True), True),
        (lvis(False), False),  # nobody looked for persons there
        (lvis(False, absent=[793]), True),
        (lvis(True, incomplete=[793]), False),
        (lvis(True, incomplete=[1037]), False),
        (lvis(True, incomplete=[5]), True),
    ],
)
def test_images_that_lvis_has_not_judged_are_left_out(root, content, taken, capsys):
    status = imported(root, as_json("lvis.json", content)(root))
    said = capsys.readouterr().err
    assert (status == 0) == taken
    assert taken or ("not all of these, or not all persons" in said and "1 have one" in said)


def test_boxes_alone_and_bare_results_are_refused_with_a_cure(root, capsys):
    boxes = coco({"Person": 1, "Surfboard": 120}, {"file_name": "a.jpg"})
    for each in boxes["annotations"]:
        del each["segmentation"]
    predictions = [{"image_id": "a", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9}]
    for content, said in ((boxes, "only boxes"), (predictions, "save_txt=True")):
        assert imported(root, as_json("x.json", content)(root)) == 2
        assert said in capsys.readouterr().err


def read(root: Path, path: Path, category: str = "surfboard"):
    annotations = read_annotations(path, root / "photos").annotations
    return instances_of(annotations.images[0], category, annotations)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (mask_shape("surfboard", BOARD) | {"mask": "?"}, "not base64 of a PNG"),
        (mask_shape("surfboard", BOARD) | {"mask": "AAAA"}, "no PNG file"),
        (mask_shape("surfboard", BOARD) | {"points": [[50, 30], [79, 41]]}, "reaches beyond"),
        (mask_shape("surfboard", BOARD) | {"points": None}, "not pairs"),
        (labelme_shape("surfboard", [[1, 2], ["x", 3]], "polygon"), "not pairs of numbers"),
        (labelme_shape("surfboard", [[1, 2]], "circle"), "a circle of 1 points, expected 2"),
        (labelme_shape("surfboard", [[1, 2], [3, 9]], "blob"), "of the type 'blob'"),
        (labelme_shape("surfboard", [[1, 2], [3, 9]], "polygon"), "fewer than three points"),
    ],
)
def test_a_damaged_shape_of_labelme_fails_its_image(root, shape, said):
    path = write_labelme(root, labelme([shape]))
    with pytest.raises(BadInput, match=f"surfboard.*a.jpg: .*{said}"):
        read(root, path)


def test_a_circle_and_notes_of_labelme(root):
    circle = labelme_shape("surfboard", [[20, 20], [20, 30]], "circle")
    path = write_labelme(root, labelme([circle, labelme_shape("x", [[1, 1]], "point")]))
    (path / "half.json").write_text("{")
    source = read_annotations(path, root / "photos")
    (found,) = instances_of(source.annotations.images[0], "surfboard", source.annotations)
    drawn = masks.decode(found.detection.mask, H, W).sum()
    assert drawn == pytest.approx(np.pi * 100, rel=0.03)
    notes = "\n".join(source.notes)
    assert "half.json is not whole JSON" in notes and "without an area (points, lines)" in notes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"imagePath": None}, "imagePath is None"),
        ({"shapes": "x"}, "expected a list of shapes"),
        ({"imageHeight": None}, "expected the image's pixels"),
    ],
)
def test_a_damaged_file_of_labelme_is_named(root, change, said):
    path = write_labelme(root, labelme([]) | change)
    with pytest.raises(BadInput, match=rf"a\.json: .*{said}"):
        read_annotations(path, root / "photos")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1 0.1 0.2 0.3 0.4", "a box of a detector"),
        ("1 0.1 0.2 0.3 0.4 0.9", "a box of a detector"),
        ("1 10 20 30 40 50 60", "10 is no share"),
        ("1 0.1 0.2 0.3 nan 0.5 0.6", "nan is no share"),
        ("1 0.1 0.2 0.3 x 0.5 0.6", "not made of numbers"),
        ("1 0.1", "expected 3 points"),
    ],
)
def test_a_damaged_line_of_yolo_fails_its_image(root, line, said):
    path = yolo_predictions(root)
    (path / "a.txt").write_text(f"{yolo_line(0, PERSON)}\n{line}\n")
    with pytest.raises(BadInput, match=rf"surfboard.*a\.jpg: a\.txt, line 2: .*{said}"):
        read(root, path)


@pytest.mark.parametrize(
    ("names", "lines", "said"),
    [
        ("names: [person]", LINES, "no number of a class; known are 0 person"),
        ("names: [person, surfboard]", "dog 0.1", "no number of a class"),
        ("names: [person, surfboard]", None, "none of the 1 pictures"),
        ("names: 5", LINES, "names no classes"),
        ("nc: 2", LINES, "names no classes"),
        ("kpt_shape: [17, 3]\nnames: [person]", LINES, "labels of poses"),
        ("names: [a, {", LINES, "not whole YAML"),
        (None, LINES, "write one: `names"),
        ("- a", LINES, "found no keys"),
    ],
)
def test_labels_of_yolo_that_cannot_be_used_are_named(root, names, lines, said):
    path = yolo_predictions(root)
    file = path.parent / "data.yaml"
    file.unlink() if names is None else file.write_text(names)
    (path / "a.txt").unlink()
    (path / ("a.txt" if lines else "b.txt")).write_text(lines or "")
    with pytest.raises(BadInput, match=said):
        read_annotations(path, root / "photos")


def test_shares_of_a_turned_photograph_are_of_the_turned_size(root):
    path = yolo_predictions(root)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored H x W, shown W x H
    Image.fromarray(np.zeros((W, H, 3), np.uint8)).save(root / "photos" / "a.jpg", exif=exif)
    boxes = {one.detection.label: one.detection.box.tolist() for one in read(root, path)}
    assert boxes == {"person": list(PERSON), "surfboard": list(BOARD)}


def test_a_folder_of_no_known_form_says_what_is_there(root):
    folder = root / "export" / "annotations"
    folder.mkdir(parents=True)
    cvat(folder)
    with pytest.raises(BadInput, match=r"name one of its files: annotations/instances_default"):
        read_annotations(root / "export", root / "photos")
    with pytest.raises(BadInput, match="neither JSON nor text"):
        read_annotations(root / "photos", root / "photos")


def test_names_are_found_by_their_end_only_where_one_has_it():
    assert found_by_end(["x/a.jpg", "b.jpg"], ["a.jpg", "b.jpg"]) == {"x/a.jpg": "a.jpg"}
    assert found_by_end(["x/a.jpg", "y/a.jpg"], ["a.jpg"]) == {}
    assert found_by_end(["x/a.jpg", "a.jpg"], ["a.jpg"]) == {}
    assert found_by_end(["u/x/a.jpg"], ["x/a.jpg", "a.jpg"]) == {"u/x/a.jpg": "x/a.jpg"}


NAMES = st.lists(st.sampled_from("abx"), min_size=1, max_size=3).map("/".join)


@settings(deadline=None)
@given(st.lists(NAMES, max_size=6), st.lists(NAMES, max_size=6))
def test_no_picture_is_found_for_two_names(names, pictures):
    found = found_by_end(names, pictures)
    assert len(set(found.values())) == len(found)
    for name, picture in found.items():
        assert name.endswith(f"/{picture}") and picture in pictures and picture not in names

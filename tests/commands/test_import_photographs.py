"""`chorus import` of photographs with no annotations or some, and `chorus segment` that adds the
rest."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from chorus.cli import main
from chorus.geometry import masks
from chorus.models import registry
from chorus.perception import mask2former
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import Detection
from chorus.records.tables import DONE, Table, read_settings, read_table, write_table

W, H = 60, 40
RIDE = "A person rides a bicycle"
SHARD = ShardKey("mine", "bicycle", RIDE, "original")
NAMES = ("a.jpg", "d.png", "day.1/b.c.jpg")


class Segmenter:
    """Finds a person at the left and an object at the right of every image; fails when told."""

    def __init__(self):
        self.asked: list[str] = []
        self.failing: set[int] = set()

    def segment(self, images):
        found = []
        for image in images:
            if image.key.index in self.failing:
                raise RuntimeError("out of luck")
            self.asked.append(image.key.category)
            size = image.pixels.shape[:2]
            left, right = slice(0, size[1] // 2), slice(size[1] // 2, None)
            found.append([self.detection("person", left, size)])
            if image.key.category != "person":
                found[-1].append(self.detection(image.key.category, right, size))
        return found

    @staticmethod
    def detection(label, columns, size):
        mask = np.zeros(size, bool)
        mask[:, columns] = True
        return Detection(label, 0.9, masks.box_of(mask), masks.encode(mask))


@pytest.fixture
def segmenter(monkeypatch):
    made = Segmenter()
    monkeypatch.setattr(mask2former, "check", lambda *_: None)
    monkeypatch.setattr(mask2former, "load", lambda *_, **__: made)
    return made


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with three photographs."""
    monkeypatch.delenv("CHORUS_PROFILE", raising=False)
    pixels = np.random.default_rng(0).integers(0, 255, (len(NAMES), H, W, 3), np.uint8)
    for name, of_image in zip(NAMES, pixels, strict=True):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(of_image).save(path)
    return tmp_path


def run(root: Path, stage: str, *extra: str, category: str = "bicycle") -> int:
    words = [stage, "--results_dir", str(root / "results"), "--model_key", "mine"]
    words += ["--categories", category]
    if stage == "import":
        words += ["--images", str(root / "photos"), "--prompt", RIDE]
    if stage == "segment":
        words += ["--segmenter", "mask2former", "--device", "cpu"]
    return main([*words, *map(str, extra)])


def table(root: Path, name: str, category: str = "bicycle") -> Path:
    shard = SHARD._replace(category=category)
    return ResultsTree(root / "results").table(name, shard)


def rows(root: Path, name: str, category: str = "bicycle") -> list[dict]:
    return list(read_table(table(root, name, category), name).rows.values())


def draw(path: Path, columns: slice, size=(H, W), value=255) -> np.ndarray:
    """Write a mask of some columns of the upper half; the mask."""
    mask = np.zeros(size, np.uint8)
    mask[: size[0] // 2, columns] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)
    return mask > 0


def drawn(root: Path, folder: str) -> list[np.ndarray]:
    """Masks of all three photographs."""
    names = ("a.png", "d.png.png", "day.1/b.c.png")
    return [draw(root / folder / n, slice(9 + at, 30)) for at, n in enumerate(names)]


def labels(row: dict) -> list[str]:
    return [each["label"] for each in row["detections"]]


def of(row: dict, label: str) -> list[np.ndarray]:
    size = row["height"], row["width"]
    return [masks.decode(d["mask"], *size) for d in row["detections"] if d["label"] == label]


# Photographs alone.


def test_photographs_alone_are_segmented_as_generated_images_are(root, segmenter, capsys):
    assert run(root, "import") == 0
    told = capsys.readouterr()
    assert "images 3 done" in told.out and "no persons and objects are annotated" in told.err
    found = rows(root, "images")
    assert [row["text"] for row in found] == list(NAMES)
    assert {(row["width"], row["height"]) for row in found} == {(W, H)}
    first = table(root, "images").with_suffix("") / "000000.jpg"
    assert first.read_bytes() == (root / "photos/a.jpg").read_bytes()
    assert run(root, "segment") == 0
    assert [labels(row) for row in rows(root, "segmentations")] == [["bicycle", "person"]] * 3
    assert "from annotations" not in read_settings(table(root, "segmentations"))
    assert run(root, "verify") == 0 and run(root, "import") == 0
    assert "3 already there" in capsys.readouterr().out


def test_real_photographs(tmp_path):
    """They lie outside of the checkout, or where CHORUS_PHOTOS says."""
    beside = Path(__file__).parents[3] / "shared" / "data" / "photos"
    folder = Path(os.environ.get("CHORUS_PHOTOS", beside))
    if not folder.is_dir():
        pytest.skip("no real photographs (../shared/data/photos, or CHORUS_PHOTOS)")
    (tmp_path / "photos").symlink_to(folder)
    assert run(tmp_path, "import") == 0
    found = rows(tmp_path, "images")
    assert [row["text"] for row in found] == sorted(path.name for path in folder.glob("*.jpg"))
    stored = table(tmp_path, "images").with_suffix("")
    for row in found:
        with Image.open(stored / row["file"]) as image:
            assert image.size == (row["width"], row["height"]) and image.mode == "RGB"


def test_any_noun_may_be_a_category_and_the_same_photographs_another_prompt(root):
    assert run(root, "import", category="garden gnome") == 0
    assert run(root, "import", "--prompt", "A person falls off a bicycle") == 0
    assert len(rows(root, "images", "garden gnome")) == 3
    assert len(ResultsTree(root / "results").shards("images", "mine")) == 2


def test_other_photographs_make_the_table_stale(root, capsys):
    assert run(root, "import") == 0
    (root / "photos/d.png").unlink()
    assert run(root, "import") == 2
    assert "was made with other settings (files: " in capsys.readouterr().err
    assert run(root, "import", "--max_megapixels", "3", "--overwrite") == 0
    assert len(rows(root, "images")) == 2
    assert read_settings(table(root, "images"))["most_pixels"] == 3_000_000


def test_large_photographs_are_scaled_down_and_told(root, capsys):
    Image.fromarray(np.zeros((1000, 2000, 3), np.uint8)).save(root / "photos/e.jpg")
    assert run(root, "import", "--max_megapixels", "0.5") == 0
    assert "scaled down to 0.5 megapixels: 1 (e.jpg)" in capsys.readouterr().err
    assert [(row["width"], row["height"]) for row in rows(root, "images")][-1] == (1000, 500)


def test_what_is_no_photograph_is_told_and_the_others_go_on(root, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    photos = root / "photos"
    whole = (photos / "a.jpg").read_bytes()
    (photos / "again.jpg").write_bytes(whole)
    (photos / "cut.jpg").write_bytes(whole[:-300])
    (photos / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (photos / "._a.jpg").write_bytes(b"another system's")
    (photos / "notes.txt").write_text("no image")
    Image.fromarray(np.full((1, 1, 3), 9, np.uint8)).save(photos / "pixel.png")
    assert run(root, "import") == 0
    told = capsys.readouterr().err
    assert "there twice: 1 (again.jpg = a.jpg)" in told
    assert "cut.jpg: it is not a whole image" in told
    assert "phone.HEIC: it is HEIC" in told and "pip install pillow-heif" in told
    found = rows(root, "images")
    assert [row["status"] for row in found] == ["done", "failed", "done", "done", "failed", "done"]
    assert (found[-1]["width"], found[-1]["height"]) == (1, 1)


@pytest.mark.parametrize(
    ("names", "said"), [([], "found no file"), (["x.mp4", "y.MP4"], "found files called *.mp4")]
)
def test_a_folder_without_a_photograph_is_refused(tmp_path, capsys, names, said):
    (tmp_path / "photos").mkdir()
    for name in names:
        (tmp_path / "photos" / name).write_bytes(b"film")
    assert run(tmp_path, "import") == 2
    told = capsys.readouterr().err
    assert "holds no photograph" in told and said in told
    assert not (tmp_path / "results").exists()


def test_photographs_none_of_which_can_be_read_are_no_success(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"")
    assert run(tmp_path, "import") == 1
    assert "a.jpg: it is not a whole image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (("--categories", "bicycle", "kite"), "name the one category"),
        (("--masks", "{photos}"), "give the masks a folder"),
        (("--masks", "{photos}/day.1", "--person_masks", "{photos}/day.1"), "folder of their own"),
        (("--masks", "{photos}/a.jpg"), "is not a folder"),
        (("--masks", "{photos}", "--annotations", "x.json"), "give either it or masks"),
        (("--without_keypoints",), "belongs to --annotations"),
        (("--max_megapixels", "0"), "must be above 0"),
    ],
)
def test_options_that_contradict_each_other_are_refused(root, capsys, extra, said):
    words = [word.format(photos=root / "photos") for word in extra]
    assert run(root, "import", *words) == 2
    assert said in capsys.readouterr().err


# Masks of one kind: the others are added.


@pytest.mark.parametrize(
    ("option", "given", "added"),
    [("--masks", "bicycle", "person"), ("--person_masks", "person", "bicycle")],
)
def test_segment_adds_what_was_not_annotated(root, segmenter, capsys, option, given, added):
    expected = drawn(root, "masks")
    assert run(root, "import", option, root / "masks") == 0
    missing = {"person": "persons", "bicycle": "objects"}[added]
    assert f"no {missing} are annotated" in capsys.readouterr().err
    assert not table(root, "segmentations").exists()
    assert run(root, "verify") == 0
    assert run(root, "segment") == 0
    found = rows(root, "segmentations")
    for row, mask in zip(found, expected, strict=True):
        assert labels(row) == ["bicycle", "person"]
        np.testing.assert_array_equal(of(row, given)[0], mask)
        columns = slice(0, W // 2) if added == "person" else slice(W // 2, None)
        assert of(row, added)[0][:, columns].all() and of(row, added)[0].sum() == H * W // 2
    kept = [[d for d in row["detections"] if d["label"] == given] for row in found]
    assert [row["detections"] for row in rows(root, "annotations")] == kept
    settings = read_settings(table(root, "segmentations"))
    assert settings["segmenter"] == "mask2former" and settings["threshold"] == 0.5
    assert settings["from annotations"]["annotated"] == {"persons": "objects"}.get(
        missing, "persons"
    )
    assert segmenter.asked == ["person" if added == "person" else "bicycle"] * 3
    assert run(root, "verify") == 0


def test_what_is_done_is_skipped_and_other_masks_or_models_make_it_stale(root, segmenter, capsys):
    drawn(root, "masks")
    with_masks = ("import", "--masks", root / "masks")
    assert run(root, *with_masks) == 0 and run(root, "segment") == 0
    before = table(root, "segmentations").read_bytes()
    assert run(root, *with_masks) == 0 and run(root, "segment") == 0
    assert "3 already there" in capsys.readouterr().out
    assert table(root, "segmentations").read_bytes() == before and len(segmenter.asked) == 3
    assert run(root, "segment", "--threshold", "0.95") == 2  # not silently replaced
    assert "threshold: 0.5, now 0.95" in capsys.readouterr().err
    draw(root / "masks/a.png", slice(40, 50))
    assert run(root, *with_masks) == 2
    assert "masks of objects: " in capsys.readouterr().err
    assert run(root, *with_masks, "--overwrite") == 0
    assert run(root, "verify") == 1 and "segment" in capsys.readouterr().err
    assert run(root, "segment") == 2
    assert "from annotations.masks of objects: " in capsys.readouterr().err
    assert run(root, "segment", "--overwrite", "--threshold", "0.95") == 0
    (first, *_) = rows(root, "segmentations")
    assert labels(first) == ["bicycle"]  # the person's score is 0.9, the mask is the user's
    assert of(first, "bicycle")[0][0, 40:50].all()


def test_a_failed_image_keeps_its_masks_and_is_tried_again(root, segmenter):
    expected = drawn(root, "masks")
    assert run(root, "import", "--masks", root / "masks") == 0
    segmenter.failing = {1}
    assert run(root, "segment") == 0
    assert [row["status"] for row in rows(root, "segmentations")] == ["done", "failed", "done"]
    segmenter.failing, segmenter.asked = set(), []
    assert run(root, "segment") == 0 and len(segmenter.asked) == 1
    row = rows(root, "segmentations")[1]
    assert labels(row) == ["bicycle", "person"]
    np.testing.assert_array_equal(of(row, "bicycle")[0], expected[1])


def test_masks_of_both_kinds_are_segmentations(root, segmenter, capsys):
    expected = drawn(root, "masks")
    drawn(root, "people")
    both = ("--masks", root / "masks", "--person_masks", root / "people")
    assert run(root, "import", *both) == 0
    assert "annotated" not in capsys.readouterr().err
    row = rows(root, "segmentations")[0]
    assert labels(row) == ["bicycle", "person"]
    np.testing.assert_array_equal(of(row, "bicycle")[0], expected[0])
    before = table(root, "segmentations").read_bytes()
    assert run(root, "segment") == 0 and not segmenter.asked
    assert "1 tables imported whole" in capsys.readouterr().out
    assert table(root, "segmentations").read_bytes() == before


@pytest.mark.parametrize("name", ["person", "person-demo"])
def test_a_person_is_no_objects_category(root, capsys, name):
    assert run(root, "import", category=name) == 2
    assert "'person' is not an object category" in capsys.readouterr().err


def test_masks_that_are_all_empty_are_told(root, capsys):
    drawn(root, "people")
    for name in ("a.png", "d.png", "day.1/b.c.png"):
        draw(root / "masks" / name, slice(0, 0))
    assert run(root, "import", "--masks", root / "masks", "--person_masks", root / "people") == 0
    shown = capsys.readouterr().err
    assert f"the masks in {root / 'masks'} are all empty (3 images)" in shown
    assert str(root / "people") not in shown
    draw(root / "masks" / "a.png", slice(3, 9))  # one of three has the object
    again = ("--masks", root / "masks", "--person_masks", root / "people", "--overwrite")
    assert run(root, "import", *again) == 0


def test_what_persons_alone_cannot_complete_is_named_and_the_rest_done(
    root, segmenter, capsys, monkeypatch
):
    drawn(root, "masks")
    assert run(root, "import", "--masks", root / "masks") == 0
    assert run(root, "import", category="kite") == 0
    entry = replace(registry.MODELS["segmenter"]["mask2former"], persons_only=True)
    monkeypatch.setitem(registry.MODELS["segmenter"], "mask2former", entry)
    words = ["segment", "--results_dir", str(root / "results"), "--model_key", "mine"]
    assert main([*words, "--segmenter", "mask2former", "--device", "cpu"]) == 1
    said = capsys.readouterr().err
    assert "these need objects: kite / " in said and "bicycle / " not in said
    assert len(rows(root, "segmentations")) == 3
    assert not table(root, "segmentations", "kite").exists()


def test_tables_of_other_segmentations_are_not_joined_with_new_ones(root, segmenter, capsys):
    drawn(root, "masks")
    drawn(root, "people")
    both = ("--masks", root / "masks", "--person_masks", root / "people")
    assert run(root, "import", *both) == 0
    humans = read_table(table(root, "segmentations"), "segmentations")
    made_from = {"from segmentations": humans.settings, "keypoint_model": "imported"}
    row = {"index": 0, "status": "done", "reason": "", "persons": []}
    write_table(table(root, "human_kps"), "human_kps", Table(SHARD, made_from, {0: row}))
    run(root, "filter")
    draw(root / "masks" / "a.png", slice(20, 40))
    assert run(root, "import", *both, "--overwrite") == 0
    capsys.readouterr()
    assert run(root, "filter", "--overwrite") == 2
    assert "was made from segmentations of other settings" in capsys.readouterr().err


def test_an_import_that_says_something_else_replaces_only_when_told(root, segmenter, capsys):
    drawn(root, "masks")
    drawn(root, "people")
    objects = ("--masks", root / "masks")
    both = (*objects, "--person_masks", root / "people")
    assert run(root, "import", *objects) == 0
    for other in (both, ()):
        assert run(root, "import", *other) == 2
        assert "with annotations of objects, which is not" in capsys.readouterr().err
    assert run(root, "import", *both, "--overwrite") == 0
    assert not table(root, "annotations").exists()
    assert run(root, "import", *objects) == 2
    assert "with annotations of persons and objects" in capsys.readouterr().err
    assert run(root, "import", *objects, "--overwrite") == 0
    assert not table(root, "segmentations").exists()
    assert run(root, "import", "--overwrite") == 0
    assert not table(root, "annotations").exists()
    assert run(root, "segment") == 0


def test_masks_belong_to_photographs_by_whole_names(root, capsys):
    photos = root / "photos"
    for shade, name in enumerate(("day.1/b.jpg", "d.jpg", "e.jpg")):
        Image.fromarray(np.full((H, W, 3), shade, np.uint8)).save(photos / name)
    folder = photos / "masks"  # below the photographs, and yet none of them
    drawn(root, "photos/masks")
    draw(folder / "d.png", slice(1, 2))  # of d.jpg or d.png: not guessed
    draw(folder / "e.jpg/left.png", slice(0, 9))
    draw(folder / "e.jpg/right.png", slice(20, 29), value=1)
    draw(folder / "e.jpg/none.png", slice(0, 0))
    draw(folder / "a_mask.png", slice(0, 3))
    assert run(root, "import", "--masks", folder) == 0
    told = capsys.readouterr().err
    assert "that are no photograph's mask: 2 (a_mask.png, d.png)" in told
    assert "without a mask in" in told and "2 (d.jpg, day.1/b.jpg)" in told
    assert [row["text"] for row in rows(root, "images")] == [
        "a.jpg",
        "d.png",
        "day.1/b.c.jpg",
        "e.jpg",
    ]
    found = rows(root, "annotations")
    assert [len(row["detections"]) for row in found] == [1, 1, 1, 2]
    assert sorted(d["box"][0] for d in found[3]["detections"]) == [0, 20]


def test_a_mask_of_another_size_fails_alone_and_a_damaged_one_is_told(root, capsys):
    drawn(root, "masks")
    draw(root / "masks/a.png", slice(0, 9), size=(20, 30))
    path = root / "masks/d.png.png"
    path.write_bytes(path.read_bytes()[:9])
    assert run(root, "import", "--masks", root / "masks") == 0
    told = capsys.readouterr().err
    assert "a.jpg: it has 60 x 40 pixels, its annotations are of 30 x 20" in told
    assert "whose mask is damaged" in told and "(d.png)" in told
    assert [row["status"] for row in rows(root, "annotations")] == ["failed", "done"]


def test_a_folder_with_no_mask_of_a_photograph_says_how_they_are_called(root, capsys):
    draw(root / "masks/other.png", slice(0, 9))
    assert run(root, "import", "--masks", root / "masks") == 2
    assert "expected a.png or a.jpg.png for a.jpg" in capsys.readouterr().err


def test_a_turned_photograph_follows_its_mask(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(5).integers(0, 255, (H, W, 3), np.uint8)
    Image.fromarray(pixels).save(root / "photos/a.jpg", exif=exif)
    drawn(root, "masks")
    draw(root / "masks/a.png", slice(0, 9), size=(W, H))
    assert run(root, "import", "--masks", root / "masks") == 0
    row = rows(root, "images")[0]
    assert (row["width"], row["height"]) == (H, W)


def test_objects_that_the_segmenter_does_not_know_need_only_be_masks(root, segmenter, capsys):
    drawn(root, "masks")
    assert run(root, "import", "--masks", root / "masks", category="garden gnome") == 0
    assert run(root, "segment", category="garden gnome") == 0
    assert segmenter.asked == ["person"] * 3
    assert labels(rows(root, "segmentations", "garden gnome")[0]) == ["garden gnome", "person"]
    assert run(root, "import", "--person_masks", root / "masks", category="unicycle") == 0
    assert run(root, "segment", category="unicycle") == 2
    assert "unknown COCO category 'unicycle'" in capsys.readouterr().err


def test_a_table_of_annotations_that_does_not_say_of_what_is_refused(root, segmenter, capsys):
    drawn(root, "masks")
    assert run(root, "import", "--masks", root / "masks") == 0
    content = read_table(table(root, "annotations"), "annotations")
    content.settings["annotated"] = "dogs"
    write_table(table(root, "annotations"), "annotations", content)
    assert run(root, "segment") == 2
    assert "must be 'persons' or 'objects', found 'dogs'" in capsys.readouterr().err


# COCO annotations of one kind.


def annotations(root: Path, *kinds: str) -> Path:
    """A file of annotations of persons (1, with keypoints) or bicycles (2) in all photographs."""
    boxes = {"person": [2, 3, 20, 30], "bicycle": [30, 10, 20, 20]}
    content = {"images": [], "annotations": [], "categories": []}
    for number, kind in enumerate(boxes, 1):
        content["categories"].append({"id": number, "name": kind})
    for image, name in enumerate(NAMES):
        content["images"].append({"id": image, "file_name": name, "width": W, "height": H})
        for kind in kinds:
            x, y, w, h = boxes[kind]
            one = {"id": len(content["annotations"]), "image_id": image, "bbox": [x, y, w, h]}
            one |= {"segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}
            one |= {"category_id": list(boxes).index(kind) + 1}
            one |= {"keypoints": [9, 9, 2] * 17} if kind == "person" else {}
            content["annotations"].append(one)
    path = root / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_objects_of_coco_without_persons(root, segmenter):
    given = ("import", "--annotations", annotations(root, "bicycle"))
    assert run(root, *given) == 0
    assert not table(root, "segmentations").exists()
    assert run(root, "segment") == 0
    assert [labels(row) for row in rows(root, "segmentations")] == [["bicycle", "person"]] * 3
    assert run(root, *given, "--without_keypoints") == 0
    persons = [row["persons"] for row in rows(root, "human_kps")]
    assert [[max(p["keypoints"]) for p in each] for each in persons] == [[0.0]] * 3
    assert run(root, "filter") == 0
    assert {row["verdicts"][14] for row in rows(root, "filtered")} == {
        "object boxes per person not exactly one"
    }


def test_persons_of_coco_without_objects(root, segmenter, capsys):
    given = ("import", "--annotations", annotations(root, "person"))
    assert main(["import", "--images", str(root / "photos"), *map(str, given[1:])]) == 2
    assert "name the objects that `segment` shall add" in capsys.readouterr().err
    assert run(root, *given) == 0
    assert run(root, "segment") == 0
    assert not table(root, "human_kps").exists()
    assert run(root, *given) == 0  # their keypoints, now that the table is complete
    assert [len(row["persons"]) for row in rows(root, "human_kps")] == [1] * 3
    assert rows(root, "human_kps")[0]["persons"][0]["keypoints"] == [9.0, 9.0, 1.0] * 17
    assert run(root, "filter") == 0 and run(root, "verify") == 0
    assert "retains 0 of 3" in capsys.readouterr().out


def test_images_without_any_object_are_told_in_plain_words(root, segmenter, capsys):
    draw(root / "empty/a.png", slice(0, 0))
    assert run(root, "import", "--masks", root / "empty") == 0
    assert run(root, "segment") == 0
    (row,) = rows(root, "segmentations")
    assert labels(row) == ["person"]
    write_keypoints(root, row)
    assert run(root, "filter") == 0
    assert "none of 1 images has an object" in capsys.readouterr().err
    assert set(rows(root, "filtered")[0]["verdicts"]) == {"no object"}


def write_keypoints(root: Path, row: dict) -> None:
    persons = [
        {"box": d["box"], "keypoints": [9.0, 9.0, 1.0] * 17}
        for d in row["detections"]
        if d["label"] == "person"
    ]
    settings = {f"from {n}": read_settings(table(root, n)) for n in ("images", "segmentations")}
    done = {"index": 0, "status": DONE, "reason": "", "persons": persons}
    write_table(table(root, "human_kps"), "human_kps", Table(SHARD, settings, {0: done}))


def test_stored_images_are_eight_bit_rgb(root):
    photos = root / "photos"
    grey = np.linspace(0, 1, H * W, dtype=np.float32).reshape(H, W)
    cv2.imwrite(str(photos / "float.tiff"), grey)
    cv2.imwrite(str(photos / "deep.tiff"), (grey * 65535).astype(np.uint16))
    image = Image.fromarray(np.random.default_rng(2).integers(0, 255, (H, W, 3), np.uint8))
    for mode, name in {"CMYK": "c.jpg", "L": "l.jpg", "P": "p.png", "RGBA": "r.png"}.items():
        image.convert(mode).save(photos / name)
    assert run(root, "import") == 0
    folder = table(root, "images").with_suffix("")
    stored = {
        row["text"]: cv2.imread(str(folder / row["file"]), cv2.IMREAD_UNCHANGED)
        for row in rows(root, "images")
    }
    assert len(stored) == 9
    assert all(s.shape == (H, W, 3) and s.dtype == np.uint8 for s in stored.values())
    for name in ("float.tiff", "deep.tiff"):
        np.testing.assert_allclose(stored[name][..., 0], grey * 255, atol=0.51)

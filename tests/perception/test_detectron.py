"""The detectron2 adapter against recorded shapes: the package itself is not installed by pip."""

from __future__ import annotations

import importlib.util
import logging
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from chorus.errors import BadInput, Unavailable
from chorus.geometry import masks
from chorus.models.choice import ModelChoice
from chorus.models.registry import WEIGHTS
from chorus.perception import detectron
from chorus.perception.detectron import Classes, DetectronSegmenter, Part, load_weights
from chorus.perception.frames import frame_of
from chorus.stages import segment
from chorus.vocabulary import COCO_NAMES

COCO = Classes([(name,) for name in COCO_NAMES])
LVIS = [
    ["baby", "child", "person"],
    ["cellular_telephone", "cellphone", "mobile_phone"],
    ["mouse_(animal_rodent)"],
    ["mouse_(computer_equipment)", "computer_mouse"],
    ["hat"],
]


class Instances(SimpleNamespace):
    """What detectron2 returns: fields, and a `to` that moves them."""

    def to(self, device):
        return self


def instances(shape, boxes, scores, classes):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    drawn = torch.zeros((len(boxes), *shape), dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(drawn, boxes.int().tolist(), strict=True):
        mask[max(top, 0) : bottom, max(left, 0) : right] = True
    return Instances(
        image_size=shape,
        pred_boxes=SimpleNamespace(tensor=boxes),
        scores=torch.tensor(scores, dtype=torch.float32),
        pred_classes=torch.tensor(classes, dtype=torch.int64),
        pred_masks=drawn,
    )


def test_instances_become_detections(assert_detections, image):
    one = image(40, 60)
    found = detectron.to_detections(
        instances(
            (40, 60), [[-2, 3, 20, 70], [10, 5, 30, 25], [1, 1, 9, 9]], [0.9, 0.8, 0.7], [0, 37, 1]
        ),
        frame_of(one.pixels),
        COCO.labels("surfboard"),
    )
    assert [d.label for d in found] == ["person", "surfboard", "bicycle"]
    np.testing.assert_allclose([d.score for d in found], [0.9, 0.8, 0.7])
    np.testing.assert_array_equal(found[0].box, np.float32([0, 3, 20, 40]))
    expected = np.zeros((40, 60), bool)
    expected[5:25, 10:30] = True
    np.testing.assert_array_equal(masks.decode(found[1].mask, 40, 60), expected)
    assert_detections(found, one, COCO_NAMES)


def test_no_instances(image):
    nothing = instances((40, 60), [], [], [])
    assert detectron.to_detections(nothing, frame_of(image(40, 60).pixels), ["a"]) == []


def test_labels_of_coco_and_of_lvis():
    labels = COCO.labels("surfboard")
    assert labels[0] == "person" and labels[37] == "surfboard" and None not in labels
    only_persons = Classes([(name,) for name in COCO_NAMES], objects=False).labels("hat")
    assert only_persons[0] == "person" and set(only_persons[1:]) == {None}
    assert COCO.labels("person")[0] == "person"  # persons alone are asked for
    objects = Classes(LVIS, persons=False)
    assert set(objects.labels("person")) == {None, *(s[0].replace("_", " ") for s in LVIS[1:])}
    assert objects.labels("hat") == [
        None,
        "cellular telephone",
        "mouse (animal rodent)",
        "mouse (computer equipment)",
        "hat",
    ]
    assert objects.labels("mobile phone")[1] == "mobile phone"
    assert objects.labels("computer mouse")[3] == "computer mouse"
    assert objects.labels("mouse (animal rodent)")[2] == "mouse (animal rodent)"


@pytest.mark.parametrize(
    ("category", "sentence"),
    [
        ("cellphon", "did you mean 'cellphone'.*--segmenter open-vocabulary"),
        ("mouse", r"ambiguous in LVIS; name it 'mouse \(animal rodent\)' or 'mouse \(computer"),
        ("child", "unknown category of this segmenter: 'child'"),
    ],
)
def test_categories_outside_lvis(category, sentence):
    with pytest.raises(BadInput, match=sentence):
        Classes(LVIS, persons=False).labels(category)


class Model:
    """Stands for detectron2's network: a person in the left half, a class in the right half."""

    def __init__(self, right: int):
        self.right = right
        self.batches = []

    def __call__(self, batch):
        self.batches.append(batch)
        answers = []
        for item in batch:
            height, width = item["height"], item["width"]
            boxes = [[0, 0, width / 2, height], [width / 2, 0, width, height]]
            found = instances((height, width), boxes, [0.95, 0.9], [0, self.right])
            answers.append({"instances": found})
        return answers


def halve(image):
    return image[::2, ::2]


def test_images_of_a_size_go_in_together_as_bgr(image, assert_detections):
    model = Model(right=37)
    segmenter = DetectronSegmenter([Part(model, halve, COCO)])
    images = [image(40, 60), image(50, 50, 1), image(40, 60, 2), image(1, 1, 3)]
    found = segmenter.segment(images)
    assert [len(batch) for batch in model.batches] == [2, 1, 1]
    first = model.batches[0][0]
    assert first["image"].dtype == torch.float32 and first["image"].shape == (3, 20, 30)
    np.testing.assert_array_equal(first["image"][0], images[0].pixels[::2, ::2, 2])
    assert (first["height"], first["width"]) == (40, 60)
    for one, own in zip(images, found, strict=True):
        assert_detections(own, one, COCO_NAMES)
    assert [[d.label for d in own] for own in found[:3]] == [["person", "surfboard"]] * 3
    alone = segmenter.segment(images[2:3])[0]
    assert [d.mask for d in alone] == [d.mask for d in found[2]]
    assert segmenter.segment([]) == []


def test_large_images_are_answered_in_their_own_size(image, assert_detections):
    one = image(3000, 4000)
    found = DetectronSegmenter([Part(Model(right=37), halve, COCO)]).segment([one])[0]
    np.testing.assert_allclose(found[1].box, [2000, 0, 4000, 3000], atol=1)
    assert masks.decode(found[1].mask, 3000, 4000).mean() == pytest.approx(0.5, abs=1e-3)


def test_lvis_objects_and_coco_persons_are_put_together(image):
    objects, persons = Model(right=4), Model(right=37)
    segmenter = DetectronSegmenter(
        [
            Part(objects, halve, Classes(LVIS, persons=False)),
            Part(persons, halve, Classes([(name,) for name in COCO_NAMES], objects=False)),
        ]
    )
    (found,) = segmenter.segment([image(40, 60, category="hat-demo")])
    assert [d.label for d in found] == ["hat", "person"]
    assert found[0].box[0] == 30 and found[1].box[0] == 0


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("pixel_mean", torch.zeros(3))
        self.first = torch.nn.Linear(2, 3)
        self.second = torch.nn.Linear(3, 1)


def zoo_file(path: Path, change=lambda state: None) -> Path:
    state = {name: value.numpy() + 1 for name, value in Net().state_dict().items()}
    del state["pixel_mean"]
    state["proposal_generator.anchor_generator.cell_anchors.0"] = np.zeros((3, 4), np.float32)
    change(state)
    path.write_bytes(pickle.dumps({"model": state, "__author__": "someone"}))
    return path


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_weights_of_the_model_zoo(tmp_path, suffix):
    path = zoo_file(tmp_path / "model.pkl")
    state = pickle.loads(path.read_bytes())["model"]
    if suffix == ".pth":
        path = tmp_path / "model.pth"
        torch.save({"model": {name: torch.tensor(value) for name, value in state.items()}}, path)
    net = Net()
    load_weights(net, path)
    np.testing.assert_array_equal(net.second.weight.detach(), state["second.weight"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: state.pop("second.weight"), "another network: second.weight is missing"),
        (
            lambda state: state.update({"first.bias": np.zeros(9, np.float32)}),
            "size mismatch for first.bias",
        ),
        (lambda state: state.update({"first.bias": "text"}), "first.bias in .* an array was"),
    ],
)
def test_weights_of_another_network(tmp_path, change, sentence):
    with pytest.raises(BadInput, match=sentence):
        load_weights(Net(), zoo_file(tmp_path / "model.pkl", change))


class Converted(Net):
    """Warns as PointRend's heads do when they load weights without a version."""

    def _load_from_state_dict(self, *arguments):
        for module in ("mask_head", "roi_heads"):
            logger = logging.getLogger(f"detectron2.projects.point_rend.{module}")
            logger.warning("Weight format of PointRend models have changed! Please upgrade …")
            logger.warning("something else about %s", module)
        super()._load_from_state_dict(*arguments)


def test_the_notice_of_a_conversion_is_not_shown(tmp_path, caplog):
    load_weights(Converted(), zoo_file(tmp_path / "model.pkl"))
    assert {record.getMessage() for record in caplog.records} == {
        "something else about mask_head",
        "something else about roi_heads",
    }
    logging.getLogger("detectron2.projects.point_rend.mask_head").warning("Weight format of …")
    assert caplog.records[-1].getMessage() == "Weight format of …"  # as before, afterwards


def test_exchanged_lvis_weights_make_another_table(tmp_path, monkeypatch):
    monkeypatch.setattr(ModelChoice, "check", lambda *_: None)
    monkeypatch.setattr(segment.Options, "shards_of", lambda *_: [])
    asked = []
    monkeypatch.setattr(segment, "run_perception_stage", lambda stage, *_: asked.append(stage))
    lvis = tmp_path / WEIGHTS["mask-rcnn-x101-lvis"].destination

    def settings(**more):
        paths = {"results_dir": tmp_path / "results", "imports_dir": tmp_path}
        segment.run(segment.Options(segmenter="pointrend-r50", **paths, **more))
        return asked.pop().settings

    assert "segmenter weights" not in settings()
    with pytest.raises(Unavailable, match=r"model_final_5e3439.pkl is not there.*lvis"):
        settings(mode="lvis")
    lvis.parent.mkdir(parents=True)
    lvis.write_bytes(b"weights")
    before = settings(mode="lvis")
    lvis.write_bytes(b"others")
    assert settings(mode="lvis")["segmenter weights"] != before["segmenter weights"]
    assert "segmenter weights" not in settings()


class Evil:
    def __reduce__(self):
        return (Path.write_text, (Path("executed"), "x"))


def test_pickles_are_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"model": {"first.bias": Evil()}}))
    with pytest.raises(BadInput, match="is refused"):
        load_weights(Net(), tmp_path / "evil.pkl")
    (tmp_path / "half.pkl").write_bytes(zoo_file(tmp_path / "model.pkl").read_bytes()[:80])
    with pytest.raises(BadInput, match=r"half.pkl cannot be read as a pickle .*fetch it again\.$"):
        load_weights(Net(), tmp_path / "half.pkl")
    place = tmp_path / WEIGHTS["pointrend-r50"].destination
    place.parent.mkdir(parents=True)
    place.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(BadInput, match=r"with `sh scripts/download_\w+\.sh pointrend-r50`\.$"):
        load_weights(Net(), place)
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(BadInput, match="has no 'model'"):
        load_weights(Net(), tmp_path / "list.pkl")
    assert not (tmp_path / "executed").exists()


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Unavailable) as raised:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        detectron.check("pointrend-r50", "", tmp_path)
    assert "needs the package detectron2" in str(raised.value)
    section = str(raised.value).partition("see INSTALL.md, '")[2].partition("'")[0]
    install = Path(__file__).resolve().parents[2] / "INSTALL.md"
    assert f"\n## {section}\n" in install.read_text()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(Unavailable, match="no such file; give a file of weights"):
        detectron.check("pointrend-r50", str(tmp_path / "nowhere.pkl"), tmp_path)

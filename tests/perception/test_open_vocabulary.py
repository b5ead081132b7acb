"""The open-vocabulary adapter on small random networks in the real format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from tiny_models import (
    save_tiny_grounding_dino,
    save_tiny_owl,
    save_tiny_sam,
    save_tiny_vitpose,
)

from chorus.errors import BadInput
from chorus.geometry import masks
from chorus.perception import open_vocabulary
from chorus.perception.frames import frame_of
from chorus.perception.open_vocabulary import DETECTORS, SamMasks

LABELS = ("person", "surfboard")
KINDS = ("grounding-dino", "owlv2", "owlvit")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("open")
    return {
        "grounding-dino": save_tiny_grounding_dino(root / "dino"),
        "owlv2": save_tiny_owl(root / "owlv2"),
        "owlvit": save_tiny_owl(root / "owlvit", "owlvit"),
        "sam": save_tiny_sam(root / "sam"),
    }


@pytest.fixture(scope="module")
def segmenters(folders):
    def make(kind):
        source = f"{folders[kind]}+{folders['sam']}"
        open_vocabulary.check("open-vocabulary", source, Path())
        options = {"mode": "coco", "threshold": 0.05}
        return open_vocabulary.load("open-vocabulary", source, Path(), "cpu", **options)

    return {kind: make(kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_instances_of_many_images_are_those_of_each_alone(
    segmenters, kind, image, assert_detections, assert_same
):
    images = [
        image(64, 64),
        image(48, 90, 1),
        image(64, 64, 2, "garden gnome-demo"),
        image(64, 64, 3),
        image(150, 40, 4),
    ]
    together = segmenters[kind].segment(images)
    assert sum(map(len, together)) > 5
    for one, found in zip(images, together, strict=True):
        assert_detections(found, one, ("person", one.key.category.removesuffix("-demo")))
        assert_same(segmenters[kind].segment([one])[0], found, one, tolerance=0.1)
    assert {d.label for found in together for d in found} == {"person", "surfboard", "garden gnome"}
    assert segmenters[kind].segment([]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_persons_alone(segmenters, kind, image):
    (found,) = segmenters[kind].segment([image(64, 64, 0, "person")])
    assert {each.label for each in found} <= {"person"}


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        *((kind, size) for kind in KINDS for size in ((1, 1), (1, 900), (2, 2))),
        ("grounding-dino", (2100, 2500)),
    ],
)
def test_odd_images(segmenters, kind, image, assert_detections, size):
    one = image(*size)
    (found,) = segmenters[kind].segment([one])
    assert_detections(found, one, LABELS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_found_by_the_library_is_found_here(segmenters, folders, kind, image):
    """The library's own reading of the same network, for a wide image."""
    from transformers import AutoProcessor

    pixels = image(40, 80).pixels
    detector = segmenters[kind]._detector
    (found,) = detector.find([pixels], LABELS)
    if kind == "grounding-dino":
        processor = AutoProcessor.from_pretrained(folders[kind], backend="pil")
        text = ["person", "surfboard"]
        inputs = processor(images=pixels, text=[text], return_tensors="pt")
        with torch.inference_mode():
            output = detector._model(**inputs)
        (expected,) = processor.post_process_grounded_object_detection(
            output, inputs.input_ids, threshold=0, text_threshold=0, target_sizes=[(40, 80)]
        )
        # theirs also counts the full stops among a box's tokens
        assert (expected["scores"] + 1e-4 >= found.scores).all()
    else:
        processor = detector._processor
        inputs = processor(pixels, return_tensors="pt")
        text = [f"a photo of a {noun}" for noun in LABELS]
        inputs.update(
            detector._tokenizer(text, padding="max_length", max_length=64, return_tensors="pt")
        )
        with torch.inference_mode():
            output = detector._model(**inputs)
        (expected,) = processor.post_process_object_detection(
            output, threshold=0.0, target_sizes=torch.tensor([[40, 80]])
        )
        torch.testing.assert_close(found.scores, expected["scores"])
        torch.testing.assert_close(found.nouns, expected["labels"])
    torch.testing.assert_close(found.boxes, expected["boxes"], atol=1e-3, rtol=1e-4)


def test_tokens_of_a_noun():
    #                   [CLS]   person    .       surf     ##board    .        [SEP]
    offsets = np.array([[0, 0], [0, 6], [7, 8], [9, 13], [13, 18], [19, 20], [0, 0]])
    places = open_vocabulary._token_places(offsets, ["person", "surfboard"])
    assert [place.tolist() for place in places] == [[1], [3, 4]]
    with pytest.raises(BadInput, match="no token for ' '"):
        open_vocabulary._token_places(np.array([[0, 6], [7, 8]]), ["person", " "])


def test_grounding_dino_reads_the_nouns(segmenters, image):
    """A score belongs to a noun: it follows the noun, whatever its place in the text."""
    detector = segmenters["grounding-dino"]._detector
    pixels = [image(64, 64).pixels]
    tennis, gnome = (
        detector.find(pixels, ["person", noun])[0] for noun in ("tennis racket", "garden gnome")
    )
    assert not torch.allclose(tennis.scores, gnome.scores, atol=1e-3)
    (strange,) = detector.find(pixels, ["person", "st. surf? board"])
    assert torch.isfinite(strange.scores).all()


def test_masks_agree_with_the_librarys_own_reading(folders, image):
    from transformers import SamProcessor

    sam = SamMasks(str(folders["sam"]), "cpu")
    frames = [frame_of(image(48, 80, number).pixels) for number in range(6)]
    boxes = [
        torch.tensor([[4.0, 5, 30, 40], [20, 10, 70, 44]])[: number % 3] for number in range(6)
    ]
    found = [list(drawn) for drawn in sam.masks(frames, boxes)]
    assert [len(drawn) for drawn in found] == [0, 1, 2, 0, 1, 2]
    processor = SamProcessor(image_processor=sam._processor)
    inputs = processor(frames[5].pixels, input_boxes=[boxes[5].tolist()], return_tensors="pt")
    with torch.inference_mode():
        output = sam._model(
            pixel_values=inputs["pixel_values"],
            input_boxes=inputs["input_boxes"].float(),
            multimask_output=False,
        )
    (expected,) = processor.post_process_masks(
        output.pred_masks,
        inputs["original_sizes"],
        inputs["reshaped_input_sizes"],
        pad_size={"height": 64, "width": 64},
    )
    for own, theirs in zip(found[5], expected[:, 0].numpy(), strict=True):
        assert own.shape == (48, 80) and (own != theirs).mean() < 0.002


def test_fifty_boxes_of_an_image_go_in_by_portions(folders, image):
    sam = SamMasks(str(folders["sam"]), "cpu")
    frame = frame_of(image(40, 40).pixels)
    corners = torch.arange(50).remainder(10).float()[:, None] * torch.tensor([[1.0, 2.0]])
    boxes = torch.cat([corners, corners + 15], 1)
    (crowd,) = sam.masks([frame], [boxes])
    crowd = list(crowd)
    assert len(crowd) == 50
    for number in (0, 31, 32, 49):
        (alone,) = sam.masks([frame], [boxes[number : number + 1]])
        assert (next(alone) != crowd[number]).mean() < 0.002
    assert any((crowd[0] != other).any() for other in crowd)


def test_other_weights_give_other_instances(segmenters, folders, image, tmp_path):
    one = image(64, 64)
    (found,) = segmenters["owlv2"].segment([one])
    detector = save_tiny_owl(tmp_path / "owl", seed=1)
    mask_model = save_tiny_sam(tmp_path / "sam", seed=1)

    def segment(source):
        options = {"mode": "coco", "threshold": 0.05}
        adapter = open_vocabulary.load("open-vocabulary", source, Path(), "cpu", **options)
        return adapter.segment([one])[0]

    boxes = segment(f"{detector}+{folders['sam']}")
    assert [d.score for d in boxes] != [d.score for d in found]
    drawn = segment(f"{folders['owlv2']}+{mask_model}")
    assert [d.score for d in drawn] == [d.score for d in found]
    pairs = [
        [masks.decode(d.mask, 64, 64) for d in pair] for pair in zip(found, drawn, strict=True)
    ]
    assert any((own != other).mean() > 0.05 for own, other in pairs)


def test_the_best_hundred_of_a_crowd():
    scores = torch.linspace(0, 1, 900)
    found = open_vocabulary.Boxes(torch.zeros(900, 4), scores, torch.zeros(900, dtype=int))
    best = open_vocabulary._best(found, 0.05)
    assert len(best.scores) == 100 and best.scores[0] == 1 and best.boxes.shape == (100, 4)
    assert len(open_vocabulary._best(found, 0.99).scores) == 9


def test_networks_of_other_kinds_are_refused(folders, tmp_path):
    save_tiny_vitpose(tmp_path)
    options = {"mode": "coco", "threshold": 0.1}
    with pytest.raises(BadInput, match="cannot detect by text: unknown model type 'vitpose'"):
        open_vocabulary.load("open-vocabulary", f"{tmp_path}+", Path(), "cpu", **options)
    with pytest.raises(BadInput, match="of type 'vitpose'; masks need SAM"):
        source = f"{folders['owlv2']}+{tmp_path}"
        open_vocabulary.load("open-vocabulary", source, Path(), "cpu", **options)
    assert set(DETECTORS) == set(KINDS)

"""`open-vocabulary`: instances of any noun by transformers (method.md 3, profile `modern`).

A detector that reads text (Grounding DINO, OWLv2 or OWL-ViT) finds the boxes of persons and of the
category, and SAM draws the mask inside each box. SOURCE is DETECTOR+MASKMODEL, folders or hub
repositories; either side may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import interpolate

from chorus.errors import BadInput, unknown_name
from chorus.models.registry import WEIGHTS
from chorus.perception import pretrained
from chorus.perception.frames import MOST_INSTANCES, Frame, alike, detections, frame_of
from chorus.records.rows import Detection, Image
from chorus.vocabulary import PERSON, strip_demo

DETECTOR = WEIGHTS["grounding-dino-base"].repository
MASK_MODEL = WEIGHTS["sam-vit-large"].repository

_IMAGES_AT_ONCE = 8
_MASK_IMAGES_AT_ONCE = 4
_BOXES_AT_ONCE = 32


class Boxes(NamedTuple):
    """What a detector finds in one frame, best first: boxes (N, 4) xyxy in the frame's pixels,
    scores (N,), and the place (N,) of each one's noun among those asked for."""

    boxes: torch.Tensor
    scores: torch.Tensor
    nouns: torch.Tensor


def check(name: str, source: str, imports_dir: Path) -> None:
    """Raise Unavailable if a package is missing."""
    pretrained.require_transformers(name)


def load(
    name: str, source: str, imports_dir: Path, device: str, *, mode: str, threshold: float
) -> OpenVocabularySegmenter:
    """The segmenter of `source`, or of DETECTOR and MASK_MODEL; any noun in every mode."""
    detector, _, mask_model = source.partition("+")
    return OpenVocabularySegmenter(
        _detector(detector or DETECTOR, device),
        SamMasks(mask_model or MASK_MODEL, device),
        threshold,
    )


def _detector(source: str, device: str) -> GroundingDino | Owl:
    kind = pretrained.model_type(source)
    if kind not in DETECTORS:
        raise BadInput(
            f"{source} cannot detect by text: {unknown_name('model type', kind, DETECTORS)}"
        )
    return DETECTORS[kind](source, device)


class OpenVocabularySegmenter:
    """Persons and instances of each image's own category."""

    def __init__(self, detector: GroundingDino | Owl, mask_model: SamMasks, threshold: float):
        self._detector = detector
        self._mask_model = mask_model
        self._threshold = threshold

    def segment(self, images: Sequence[Image]) -> list[list[Detection]]:
        """Instances per image of score >= threshold, labelled "person" or with the category."""
        frames = [frame_of(image.pixels) for image in images]
        nouns = [strip_demo(image.key.category) for image in images]
        instances: list[list[Detection]] = [[] for _ in images]
        keys = [(frame.shape, noun) for frame, noun in zip(frames, nouns, strict=True)]
        for places in alike(keys, _IMAGES_AT_ONCE):
            queries = list(dict.fromkeys((PERSON, nouns[places[0]])))
            batch = [frames[at] for at in places]
            boxes = [
                _best(image_boxes, self._threshold)
                for image_boxes in self._detector.find([frame.pixels for frame in batch], queries)
            ]
            masks = self._mask_model.masks(batch, [image_boxes.boxes for image_boxes in boxes])
            for at, image_boxes, drawn in zip(places, boxes, masks, strict=True):
                labels = [queries[noun] for noun in image_boxes.nouns.tolist()]
                instances[at] = detections(
                    frames[at],
                    labels,
                    image_boxes.scores.cpu().numpy(),
                    drawn,
                    image_boxes.boxes.cpu().numpy(),
                )
        return instances


def _best(boxes: Boxes, threshold: float) -> Boxes:
    """The best instances of sufficient score, best first."""
    order = boxes.scores.argsort(descending=True, stable=True)[:MOST_INSTANCES]
    order = order[boxes.scores[order] >= threshold]
    return Boxes(*(values[order] for values in boxes))


class GroundingDino:
    """Grounding DINO (Liu et al. 2023): all nouns in one text, separated by full stops."""

    def __init__(self, source: str, device: str):
        from transformers import GroundingDinoForObjectDetection

        self._processor = pretrained.image_processor(source)
        self._tokenizer = pretrained.tokenizer(source)
        self._model = pretrained.network(GroundingDinoForObjectDetection, source, device)
        self._device = device

    def find(self, pixels: Sequence[np.ndarray], nouns: Sequence[str]) -> list[Boxes]:
        """Boxes in B frames of one size (H', W', 3); a box belongs to the noun it scores best for,
        its score is that of the noun's best token."""
        # Full stops and question marks separate nouns, also for the network's own attention.
        words = [re.sub(r"[.?]", " ", noun.lower()) for noun in nouns]
        text = self._tokenizer(
            " . ".join(words) + " .",
            return_offsets_mapping=True,
            return_token_type_ids=True,
            return_tensors="pt",
        )
        spans = _token_places(text.pop("offset_mapping")[0].numpy(), words)
        text = {name: values.expand(len(pixels), -1) for name, values in text.items()}
        inputs = self._processor(
            list(pixels), input_data_format="channels_last", return_tensors="pt"
        )
        inputs.update(text)
        with torch.inference_mode():
            output = self._model(**inputs.to(self._device))
        logits = torch.stack([output.logits[..., span].amax(-1) for span in spans], -1)
        height, width = pixels[0].shape[:2]
        return _boxes(logits, output.pred_boxes, (width, height))


class Owl:
    """OWL-ViT and OWLv2 (Minderer et al. 2022, 2023): every noun is a query of its own."""

    def __init__(self, source: str, device: str):
        from transformers import Owlv2ForObjectDetection, OwlViTForObjectDetection

        self._squares = pretrained.model_type(source) == "owlv2"
        network = Owlv2ForObjectDetection if self._squares else OwlViTForObjectDetection
        self._processor = pretrained.image_processor(source)
        self._tokenizer = pretrained.tokenizer(source)
        self._model = pretrained.network(network, source, device)
        self._device = device

    def find(self, pixels: Sequence[np.ndarray], nouns: Sequence[str]) -> list[Boxes]:
        """Boxes in B frames of one size (H', W', 3); a box belongs to the noun it scores best
        for."""
        text = self._tokenizer(
            [f"a photo of a {noun}" for noun in nouns],
            padding="max_length",
            truncation=True,
            max_length=self._model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        inputs = self._processor(
            list(pixels), input_data_format="channels_last", return_tensors="pt"
        )
        for name in ("input_ids", "attention_mask"):  # the queries, once per image
            inputs[name] = text[name].repeat(len(pixels), 1)
        with torch.inference_mode():
            output = self._model(**inputs.to(self._device))
        height, width = pixels[0].shape[:2]
        if self._squares:  # OWLv2 pads frames to squares, at the right or at the bottom
            height = width = max(height, width)
        return _boxes(output.logits, output.pred_boxes, (width, height))


DETECTORS = {"grounding-dino": GroundingDino, "owlv2": Owl, "owlvit": Owl}
"""Detectors that read text, by the model type of their configuration."""


def _token_places(offsets: np.ndarray, words: Sequence[str]) -> list[np.ndarray]:
    """For each noun the places of its tokens, from the offsets (L, 2) of the tokens in the text
    "noun . noun ."; BadInput if a noun has none."""
    places, start = [], 0
    for word in words:
        end = start + len(word)
        inside = (offsets[:, 0] >= start) & (offsets[:, 1] <= end) & (offsets[:, 1] > offsets[:, 0])
        places.append(np.flatnonzero(inside))
        if not places[-1].size:
            raise BadInput(f"the detector has no token for {word!r}; use another noun.")
        start = end + len(" . ")
    return places


def _boxes(logits: torch.Tensor, relative: torch.Tensor, size: tuple[int, int]) -> list[Boxes]:
    """Boxes per image from logits (B, Q, nouns) and relative boxes (B, Q, 4): centre, sides."""
    scores, nouns = logits.float().sigmoid().max(-1)
    centre, sides = relative.float().split(2, -1)
    scale = torch.tensor([*size, *size], device=relative.device)
    boxes = torch.cat([centre - sides / 2, centre + sides / 2], -1) * scale
    return [Boxes(*of_image) for of_image in zip(boxes, scores, nouns, strict=True)]


class SamMasks:
    """Masks of given boxes by SAM (Kirillov et al. 2023). Every image is encoded once."""

    def __init__(self, source: str, device: str):
        from transformers import SamModel

        kind = pretrained.model_type(source)
        if kind != "sam":
            raise BadInput(
                f"{source} is a network of type {kind!r}; masks need SAM ('sam'), such as "
                f"{MASK_MODEL}."
            )
        self._processor = pretrained.image_processor(source)
        self._model = pretrained.network(SamModel, source, device)
        self._device = device

    def masks(
        self, frames: Sequence[Frame], boxes: Sequence[torch.Tensor]
    ) -> list[Iterator[np.ndarray]]:
        """For each frame and its boxes (N, 4) xyxy, N masks (H', W') bool, drawn when taken."""
        masks: list[Iterator[np.ndarray]] = [iter(()) for _ in frames]
        busy = [at for at, image_boxes in enumerate(boxes) if len(image_boxes)]
        for start in range(0, len(busy), _MASK_IMAGES_AT_ONCE):
            chunk = busy[start : start + _MASK_IMAGES_AT_ONCE]
            inputs = self._processor(
                [frames[at].pixels for at in chunk],
                input_data_format="channels_last",
                return_tensors="pt",
            )
            side = inputs["pixel_values"].shape[-1]
            seen = [tuple(size) for size in inputs["reshaped_input_sizes"].tolist()]
            prompts = [
                _scaled(boxes[at], frames[at].shape, size)
                for at, size in zip(chunk, seen, strict=True)
            ]
            logits = self._logits(inputs["pixel_values"], prompts)
            for at, size, own in zip(chunk, seen, logits, strict=True):
                masks[at] = _full_masks(own, side, size, frames[at].shape)
        return masks

    @torch.inference_mode()
    def _logits(
        self, pixels: torch.Tensor, boxes: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        """Mask logits (N, h, w) for each of the images (B, 3, side, side) and its boxes (N, 4)."""
        images = self._model.get_image_embeddings(pixels.to(self._device))
        counts = [len(image_boxes) for image_boxes in boxes]
        owners = torch.repeat_interleave(torch.tensor(counts)).to(self._device)
        prompts = torch.cat(list(boxes)).to(self._device)
        logits = [
            self._model(
                image_embeddings=images[owners[some]],
                input_boxes=prompts[some, None],
                multimask_output=False,
            ).pred_masks[:, 0, 0]
            for start in range(0, len(owners), _BOXES_AT_ONCE)
            for some in [slice(start, start + _BOXES_AT_ONCE)]
        ]
        return torch.cat(logits).split(counts)


def _scaled(boxes: torch.Tensor, shape: tuple[int, int], seen: tuple[int, int]) -> torch.Tensor:
    """Boxes of a frame of some shape in the pixels of the shape SAM sees it in."""
    scale = [seen[1] / shape[1], seen[0] / shape[0]] * 2
    return boxes.float() * torch.tensor(scale, device=boxes.device)


def _full_masks(
    logits: torch.Tensor, side: int, seen: tuple[int, int], shape: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Masks of a frame's shape from logits (N, h, w) of SAM's square, which is padded beyond
    `seen` at the right and bottom. One at a time: in full size they may be large."""
    for mask_logits in logits:
        full = interpolate(mask_logits[None, None], (side, side), mode="bilinear")
        full = interpolate(full[..., : seen[0], : seen[1]], shape, mode="bilinear")
        yield (full[0, 0] > 0).cpu().numpy()

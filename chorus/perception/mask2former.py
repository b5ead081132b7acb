"""`mask2former`: instances of COCO's classes by Mask2Former of transformers.

See method.md 3, `modern`.

SOURCE is a folder or a hub repository of a Mask2Former network trained on instances; its own names
of classes count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import interpolate

from chorus.errors import BadInput, unknown_name
from chorus.models.registry import WEIGHTS
from chorus.perception import pretrained
from chorus.perception.frames import MOST_INSTANCES, alike, detections, frame_of
from chorus.records.rows import Detection, Image
from chorus.vocabulary import PERSON, strip_demo

DEFAULT = WEIGHTS["mask2former-swin-large"].repository

_IMAGES_AT_ONCE = 4


def check(name: str, source: str, imports_dir: Path) -> None:
    """Raise Unavailable if a package is missing."""
    pretrained.require_transformers(name)


def load(
    name: str, source: str, imports_dir: Path, device: str, *, mode: str, threshold: float
) -> Mask2FormerSegmenter:
    """The segmenter with the weights of `source`, or of DEFAULT; its classes are the network's."""
    return Mask2FormerSegmenter(source or DEFAULT, device, threshold)


class Mask2FormerSegmenter:
    """Instances of a closed list of classes."""

    def __init__(self, source: str, device: str, threshold: float):
        from transformers import Mask2FormerForUniversalSegmentation

        self._source = source
        self._processor = pretrained.image_processor(source)
        self._model = pretrained.network(Mask2FormerForUniversalSegmentation, source, device)
        self._device = device
        self._threshold = threshold
        self._names = self._model.config.id2label
        if PERSON not in self._names.values():
            raise BadInput(
                f"{source} has no class {PERSON!r}; give a network trained on COCO instances."
            )

    def segment(self, images: Sequence[Image]) -> list[list[Detection]]:
        """Instances per image of score >= threshold, of all classes."""
        for category in {strip_demo(image.key.category) for image in images}:
            if category not in self._names.values():
                raise BadInput(
                    f"{unknown_name(f'class of {self._source}:', category, self._names.values())} "
                    "For any noun take --segmenter open-vocabulary."
                )
        frames = [frame_of(image.pixels) for image in images]
        instances: list[list[Detection]] = [[] for _ in images]
        for places in alike([frame.shape for frame in frames], _IMAGES_AT_ONCE):
            batch = self._forward([frames[at].pixels for at in places])
            for at, logits in zip(places, zip(*batch, strict=True), strict=True):
                scores, classes, kept = best_instances(*logits, self._threshold)
                labels = [self._names[int(number)] for number in classes]
                masks = _full_masks(kept, frames[at].shape)
                instances[at] = detections(frames[at], labels, scores, masks)
        return instances

    def _forward(self, pixels: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the queries' classes (B, Q, C + 1) and masks (B, Q, h, w)."""
        inputs = self._processor(pixels, input_data_format="channels_last", return_tensors="pt")
        with torch.inference_mode():
            output = self._model(**inputs.to(self._device))
        return output.class_queries_logits, output.masks_queries_logits


def best_instances(
    class_logits: torch.Tensor, mask_logits: torch.Tensor, threshold: float
) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """Scores (N,), classes (N,) and mask logits (N, h, w) of one image's instances.

    class_logits (Q, C + 1), the last column "nothing"; mask_logits (Q, h, w). Every pair of query
    and class is a candidate; its score is the class's probability times the mean probability of the
    pixels inside its mask (Cheng et al. 2022, section 4). Best first, at most MOST_INSTANCES.
    """
    chances = class_logits.softmax(-1)[:, :-1]
    most = min(MOST_INSTANCES, chances.numel())
    scores, places = chances.flatten().topk(most)
    queries, classes = places // chances.shape[1], places % chances.shape[1]
    inside = mask_logits > 0
    certainty = (mask_logits.sigmoid() * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
    scores = scores * certainty[queries]
    kept = scores >= threshold
    order = scores[kept].argsort(descending=True, stable=True)
    return (
        scores[kept][order].cpu().numpy(),
        classes[kept][order].cpu().numpy(),
        mask_logits[queries[kept][order]],
    )


def _full_masks(logits: torch.Tensor, shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """Masks of a frame's shape from logits (N, h, w), one at a time."""
    for mask_logits in logits:
        full = interpolate(mask_logits[None, None], shape, mode="bilinear")
        yield (full[0, 0] > 0).cpu().numpy()

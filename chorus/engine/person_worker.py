"""The worker that `humans` and `keypoints` share: a network that looks at the persons of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

from chorus.engine.image_reader import ImageReader
from chorus.engine.loop import Outcome, Sample
from chorus.perception.protocols import Image
from chorus.records.results_tree import ResultsTree
from chorus.vocabulary import PERSON

Found = TypeVar("Found")


def person_boxes(segmentation: dict) -> np.ndarray:
    """Boxes (P, 4) of the persons of a segmentations row, in its order."""
    boxes = [d["box"] for d in segmentation["detections"] if d["label"] == PERSON]
    return np.array(boxes, np.float32).reshape(-1, 4)


class PersonWorker(Generic[Found]):
    """Looks at batches of images and their persons' boxes.

    look: images and, for each, its boxes (P, 4) xyxy to what is found in each image, in order.
    outcome: an image's boxes and what was found to what its row holds.
    """

    def __init__(
        self,
        tree: ResultsTree,
        look: Callable[[Sequence[Image], Sequence[np.ndarray]], Sequence[Found]],
        outcome: Callable[[np.ndarray, Found], Outcome],
    ):
        self._images = ImageReader(tree)
        self._look = look
        self._outcome = outcome

    def prefetch(self, samples: Sequence[Sample]) -> None:
        """Begin to decode a batch of images."""
        self._images.prefetch(samples)

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Look at one batch of images."""
        images = self._images.read(samples)
        boxes = [person_boxes(sample.inputs["segmentations"]) for sample in samples]
        found = self._look(images, boxes)
        return [self._outcome(*one) for one in zip(boxes, found, strict=True)]

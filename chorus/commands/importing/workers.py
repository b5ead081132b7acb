"""The workers of `chorus import`: files of other programs → rows of our tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chorus.commands.importing.sources import PoseIndex, Shard
from chorus.engine.loop import Outcome, Sample
from chorus.errors import BadInput
from chorus.files import atomic_write
from chorus.perception.clean_up import clean_up
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import person_boxes

if TYPE_CHECKING:
    from torch import Tensor

    from chorus.body.model import BodyModel
    from chorus.perception.coco_instances import AnnotatedImage, Annotations, Instance
    from chorus.perception.photographs import Photograph
    from chorus.perception.recorded_poses import RecordedPose

NO_POSE = "no pose was imported for a person"
NOT_THERE = "not in the folder of images"


class ImageWorker:
    """Copies photographs into the tree."""

    def __init__(self, tree: ResultsTree, folder: Path, shard: Shard):
        self._tree = tree
        self._folder = folder
        self._images = shard.images

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Copy one batch."""
        return [self._copy(sample) for sample in samples]

    def _copy(self, sample: Sample) -> Outcome:
        image = self._images[sample.key.index]
        photograph = photograph_of(self._folder, image)
        path = self._tree.image(sample.key, photograph.suffix)
        atomic_write(path, photograph.content)
        values = {"file": path.name, "width": photograph.width, "height": photograph.height}
        return Outcome({**values, "seed": 0, "text": image.name})


def photograph_of(folder: Path, image: AnnotatedImage) -> Photograph:
    """The upright photograph of an annotated image; BadInput if it is missing, damaged or of
    another size than its annotations."""
    from chorus.perception.photographs import upright_rgb

    try:
        content = (folder / image.name).read_bytes()
    except OSError as error:
        raise BadInput(NOT_THERE) from error
    try:
        return upright_rgb(content, image.width, image.height)
    except BadInput as error:
        raise BadInput(f"{image.name}: {error}") from error


class InstanceWorker:
    """Takes instances from annotations."""

    def __init__(self, threshold: float, shard: Shard, annotations: Annotations):
        self._threshold = threshold
        self._shard = shard
        self._annotations = annotations

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Convert one batch."""
        return [self._convert(self._shard.images[sample.key.index]) for sample in samples]

    def _convert(self, image: AnnotatedImage) -> Outcome:
        rows = [instance.detection.row() for instance in self.kept(image)]
        return Outcome({"width": image.width, "height": image.height, "detections": rows})

    def kept(self, image: AnnotatedImage) -> list[Instance]:
        """The instances after the score threshold and the clean-up that `segment` also does."""
        from chorus.perception.coco_instances import instances_of

        instances = instances_of(image, self._shard.key.category, self._annotations)
        kept = clean_up([instance.detection for instance in instances], self._threshold)
        by_detection = {id(instance.detection): instance for instance in instances}
        return [by_detection[id(detection)] for detection in kept]


class KeypointWorker(InstanceWorker):
    """Takes the keypoints of the same persons from annotations."""

    def _convert(self, image: AnnotatedImage) -> Outcome:
        from chorus.vocabulary import PERSON

        unknown = np.zeros((17, 3), np.float32)
        persons = []
        for instance in self.kept(image):
            if instance.detection.label == PERSON:
                points = unknown if instance.keypoints is None else instance.keypoints
                box = instance.detection.box.tolist()
                persons.append({"box": box, "keypoints": points.ravel().tolist()})
        return Outcome({"persons": persons})


class PoseWorker:
    """Gives recorded poses to the persons of the segmentations."""

    def __init__(self, body: BodyModel, index: PoseIndex, names: dict[int, str]):
        self._body = body
        self._index = index
        self._names = names

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Match and convert one batch; all its bodies are posed at once."""
        from chorus.perception.recorded_persons import posed_joints

        poses = [self._index.of(self._names[sample.key.index]) for sample in samples]
        counts = [len(image_poses) for image_poses in poses]
        every = [pose for image_poses in poses for pose in image_poses]
        points = posed_joints(every, self._body).split(counts) if every else [None] * len(samples)
        return [
            self._match(sample, image_poses, image_points)
            for sample, image_poses, image_points in zip(samples, poses, points, strict=True)
        ]

    def _match(
        self, sample: Sample, poses: Sequence[RecordedPose], points: Tensor | None
    ) -> Outcome:
        from chorus.perception.recorded_persons import persons_of

        row = sample.inputs["images"]
        boxes = person_boxes(sample.inputs["segmentations"])
        persons = persons_of(poses, points, boxes, (row["width"], row["height"]), self._body)
        if None in persons:
            return Outcome(skipped=NO_POSE)
        return Outcome({"persons": [person.row() for person in persons]})

"""The workers of `chorus import`: files of other programs → rows of our tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chorus.commands.importing.sources import Photo, PoseIndex, Shard
from chorus.engine.loop import Outcome, Sample
from chorus.errors import BadInput
from chorus.files import atomic_write
from chorus.geometry import masks
from chorus.perception.clean_up import clean_up
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import Detection, person_boxes
from chorus.vocabulary import PERSON, strip_demo

if TYPE_CHECKING:
    from torch import Tensor

    from chorus.body.model import BodyModel
    from chorus.perception.coco_images import AnnotatedImage
    from chorus.perception.coco_instances import Annotations, Instance
    from chorus.perception.photographs import Photograph
    from chorus.perception.recorded_poses import RecordedPose

NO_POSE = "no pose was imported for a person"
NO_KEYPOINTS = "its persons have no keypoints in the file"
NOT_THERE = "not in the folder of images"


class ImageWorker:
    """Copies photographs into the tree; those without annotations with at most so many pixels."""

    def __init__(
        self,
        tree: ResultsTree,
        folder: Path,
        shard: Shard,
        most_pixels: int | None = None,
        writes: bool = True,
    ):
        self._tree = tree
        self._folder = folder
        self._images = shard.images
        self._most_pixels = most_pixels
        self._writes = writes

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Copy one batch."""
        return [self._copy(sample) for sample in samples]

    def _copy(self, sample: Sample) -> Outcome:
        image = self._images[sample.key.index]
        photograph = photograph_of(self._folder, image, self._most_pixels)
        path = self._tree.image(sample.key, photograph.suffix)
        if self._writes:
            atomic_write(path, photograph.content)
        values = {"file": path.name, "width": photograph.width, "height": photograph.height}
        return Outcome({**values, "seed": 0, "text": image.name})


def photograph_of(
    folder: Path, image: AnnotatedImage | Photo, most_pixels: int | None = None
) -> Photograph:
    """The upright photograph of an image, without annotations at most so many pixels of it;
    BadInput if it is missing, damaged or of another size than its annotations."""
    from chorus.perception.photographs import upright_rgb

    try:
        content = (folder / image.name).read_bytes()
    except OSError as error:
        raise BadInput(NOT_THERE) from error
    size = None if image.width is None else (image.width, image.height)
    try:
        return upright_rgb(content, size, most_pixels)
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
        return _instances(image, [instance.detection for instance in self.kept(image)])

    def kept(self, image: AnnotatedImage) -> list[Instance]:
        """The instances after the score threshold and the clean-up that `segment` also does."""
        from chorus.perception.coco_instances import instances_of

        instances = instances_of(image, self._shard.key.category, self._annotations)
        kept = clean_up([instance.detection for instance in instances], self._threshold)
        by_detection = {id(instance.detection): instance for instance in instances}
        return [by_detection[id(detection)] for detection in kept]


class MaskWorker:
    """Takes instances from files of masks."""

    def __init__(self, shard: Shard):
        self._shard = shard

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Convert one batch."""
        return [self._convert(self._shard.images[sample.key.index]) for sample in samples]

    def _convert(self, photo: Photo) -> Outcome:
        labels = {"persons": PERSON, "objects": strip_demo(self._shard.key.category)}
        found = [
            detection
            for kind, files in photo.masks.items()
            for file in files
            if (detection := _of_file(file, labels[kind], photo)) is not None
        ]
        return _instances(photo, clean_up(found, 0.0))


def _of_file(file: Path, label: str, photo: Photo) -> Detection | None:
    """The instance of a mask's file; None if it is empty."""
    from chorus.perception.mask_files import mask_of_png

    try:
        mask = mask_of_png(file.read_bytes())
        if mask.shape != (photo.height, photo.width):
            height, width = mask.shape
            raise BadInput(
                f"it has {width} x {height} pixels, another mask {photo.width} x {photo.height}"
            )
    except BadInput as error:
        raise BadInput(f"the mask {file.name} of {photo.name}: {error}") from error
    if not mask.any():
        return None
    return Detection(label, 1.0, masks.box_of(mask), masks.encode(mask))


def _instances(image: AnnotatedImage | Photo, found: Sequence[Detection]) -> Outcome:
    rows = [detection.row() for detection in found]
    return Outcome({"width": image.width, "height": image.height, "detections": rows})


class KeypointWorker(InstanceWorker):
    """Takes the keypoints of the persons from annotations; of those that a network found (the
    annotations then have none), that they are unknown."""

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Convert one batch."""
        return [self._keypoints(sample) for sample in samples]

    def _keypoints(self, sample: Sample) -> Outcome:
        annotated = [
            instance.keypoints
            for instance in self.kept(self._shard.images[sample.key.index])
            if instance.detection.label == PERSON
        ]
        boxes = person_boxes(sample.inputs["segmentations"])
        kept = self._annotations.from_tables and self._annotations.has_keypoints
        if kept and annotated and all(each is None for each in annotated):
            return Outcome(skipped=NO_KEYPOINTS)
        unknown = np.zeros((17, 3), np.float32)
        persons = []
        for box, points in zip(boxes, annotated or [None] * len(boxes), strict=True):
            points = unknown if points is None else points
            persons.append({"box": box.tolist(), "keypoints": points.ravel().tolist()})
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

"""COCO's instance annotations, parsed JSON → annotations, detections, keypoints of each image.

docs/bring-your-own.md describes what is read. Crowds (`iscrowd` 1) stand for no single instance and
are kept apart. A score that is not there counts as 1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput, shown, unknown_name
from chorus.geometry import masks
from chorus.geometry.boxes import area, intersection
from chorus.geometry.coco_annotations import box_of, has_box, mask_of, scraps_of
from chorus.perception.box_and_mask import disagreement
from chorus.perception.category_names import category_numbers, plain
from chorus.perception.coco_images import AnnotatedImage, image_records, integer_of
from chorus.records.rows import Detection
from chorus.vocabulary import PERSON, strip_demo

EXPORTED = "exported by chorus"
"""How the description begins of files that we write."""

FAULT = "chorus:fault"
"""The key, in annotations that `annotation_files` made of another form, of why one is unusable."""

KEYPOINTS = 17
_BEYOND = 0.5  # by which a heat map's confidence may pass 0 and 1


@dataclass(frozen=True)
class Annotations:
    """A whole file of annotations."""

    images: tuple[AnnotatedImage, ...]
    """By name."""
    categories: Mapping[str, int]
    """Category numbers by name."""
    keypoints_are_flags: bool
    """Whether the keypoints' third numbers are COCO's visibility (0, 1, 2), not confidences."""
    orphans: tuple[str, ...] = ()
    """What the annotations are called that belong to an image or a category that is not there."""
    ours: bool = False
    """Whether `chorus export` or `chorus perceive` wrote the file: the scores have passed their
    network's threshold."""
    from_tables: bool = False
    """Whether `chorus export` wrote the file: images without an object are samples, too, all
    instances of an image are its own, and they have been cleaned up."""

    def objects(self) -> list[str]:
        """Names of the categories that annotations exist for, without persons; sorted."""
        if self.from_tables:
            return sorted({image.category for image in self.images})
        used = {each["category_id"] for image in self.images for each in image.annotations}
        return sorted(n for n, number in self.categories.items() if number in used and n != PERSON)

    def of(self, category: str) -> list[AnnotatedImage]:
        """The images with an object of a category, or, if persons alone are annotated, with a
        person; BadInput for a category of objects that the file does not know.

        `surfboard-demo` means the objects `surfboard` (method.md 1).
        """
        label = strip_demo(category)
        made_for = [image for image in self.images if strip_demo(image.category) == label]
        if self.from_tables and made_for:
            return made_for
        return [i for i in self._showing(label) if self._is_judged(i, label)]

    def unjudged(self, category: str) -> list[AnnotatedImage]:
        """The images with an object of a category that `of` leaves out, since the file says that
        not all of these objects, or not all persons, are annotated."""
        label = strip_demo(category)
        if self.from_tables or self.number_of(label) is None:
            return []
        return [i for i in self._showing(label) if not self._is_judged(i, label)]

    def number_of(self, name: str) -> int | None:
        """A category's number by its name; else by the only one that differs from it by capitals
        and underscores; None if there is none."""
        if name in self.categories:
            return self.categories[name]
        near = self._numbers_by_plain_name.get(plain(name), [])
        return near[0] if len(near) == 1 else None

    @cached_property
    def _numbers_by_plain_name(self) -> dict[str, list[int]]:
        numbers: dict[str, list[int]] = defaultdict(list)
        for name, number in self.categories.items():
            numbers[plain(name)].append(number)
        return dict(numbers)

    def _showing(self, label: str) -> list[AnnotatedImage]:
        number = self.number_of(PERSON if self.only == "persons" else label)
        if label == PERSON or number is None:
            known = [name for name in self.categories if name != PERSON]
            raise unknown_name("category in the annotations:", label, known)
        return [
            image
            for image in self.images
            if any(each["category_id"] == number for each in image.annotations)
        ]

    def _is_judged(self, image: AnnotatedImage, label: str) -> bool:
        numbers = [self.number_of(label)] if self.only != "persons" else []
        numbers += [self.number_of(PERSON)] if self.only != "objects" else []
        return all(image.is_judged(number) for number in numbers)

    @cached_property
    def only(self) -> Literal["persons", "objects"] | None:
        """What alone is annotated, if it is not both; crowds count as annotated."""
        if self.from_tables:
            return None
        used = {each["category_id"] for i in self.images for each in (*i.annotations, *i.crowds)}
        persons = {self.categories.get(PERSON)} & used
        if persons and used - persons:
            return None
        return "persons" if persons else "objects"

    @property
    def crowds(self) -> int:
        """How many annotations are of crowds."""
        return sum(len(image.crowds) for image in self.images)

    def crowds_of(self, category: str) -> int:
        """How many annotations are of crowds of a category."""
        number = self.number_of(strip_demo(category))
        return sum(each["category_id"] == number for i in self.images for each in i.crowds)

    @property
    def scraps(self) -> int:
        """How many polygons of fewer than three points lie beside others."""
        return sum(scraps_of(each) for image in self.images for each in image.annotations)

    @property
    def has_keypoints(self) -> bool:
        """Whether any person has keypoints."""
        return any("keypoints" in each for image in self.images for each in image.annotations)


@dataclass(frozen=True)
class Instance:
    """One annotation: what a segmenter would have found, and the person's keypoints."""

    detection: Detection
    number: int | None
    """The annotation's own number."""
    keypoints: Float[np.ndarray, "17 3"] | None = field(default=None, compare=False)
    """Persons only: COCO-17 as x, y, confidence; None where there are none."""


def annotations_of(content: Any, where: str, take_crowds: bool = False) -> Annotations:
    """A parsed annotation file; BadInput, naming `where` and the record, if it is none.

    Also if two images have one name. With `take_crowds` an annotation of a crowd counts as one
    instance: annotation programs write masks of the brush so.
    """
    _check_form(content, where)
    used = {
        number
        for each in content["annotations"]
        if isinstance(each, Mapping) and isinstance(number := each.get("category_id"), int)
    }
    categories = category_numbers(content["categories"], used, where)
    numbers = set(categories.values())
    from_tables = _of_tables(content)
    records = image_records(content["images"], where, from_tables)
    instances: dict[int, list] = defaultdict(list)
    crowds: dict[int, list] = defaultdict(list)
    orphans: list[str] = []
    for at, annotation in enumerate(content["annotations"]):
        image = integer_of(annotation, "image_id", where, "annotation", at)
        category = integer_of(annotation, "category_id", where, "annotation", at)
        if image not in records or category not in numbers:
            what = "image" if image not in records else "category"
            orphans.append(
                f"{shown(annotation.get('id', at))} of {what} {annotation[f'{what}_id']}"
            )
            continue
        crowd = annotation.get("iscrowd") and not take_crowds
        (crowds if crowd else instances)[image].append(annotation)
    images = [
        AnnotatedImage(
            number, **record, annotations=tuple(instances[number]), crowds=tuple(crowds[number])
        )
        for number, record in records.items()
    ]
    return Annotations(
        images=tuple(sorted(images, key=lambda image: image.name)),
        categories=categories,
        keypoints_are_flags=_are_flags(content["annotations"]),
        ours=_is_ours(content),
        orphans=tuple(orphans),
        from_tables=from_tables,
    )


def instances_of(image: AnnotatedImage, category: str, annotations: Annotations) -> list[Instance]:
    """The persons and the objects of one category in an image, in the file's order; of a file of
    tables all that the image has.

    BadInput naming the annotation whose segmentation, box, score or keypoints cannot be used: the
    image then cannot be judged, since an instance would be missing.
    """
    names = (strip_demo(category), PERSON)
    names = annotations.categories if annotations.from_tables else names
    labels = {annotations.number_of(name): name for name in names}
    return [
        _instance(each, labels[each["category_id"]], image, annotations)
        for each in image.annotations
        if each["category_id"] in labels
    ]


def _instance(
    annotation: Mapping, label: str, image: AnnotatedImage, annotations: Annotations
) -> Instance:
    number = annotation.get("id")
    try:
        if FAULT in annotation:
            raise BadInput(annotation[FAULT])
        mask = mask_of(annotation, image.height, image.width)
        if not has_box(annotation):
            box = masks.box_of(masks.decode(mask, image.height, image.width))
        else:
            box = box_of(annotation)
        frame = np.array([0, 0, image.width, image.height], np.float32)
        if not intersection(box, frame) > 0 or area(box) > 4 * area(frame):
            raise BadInput(
                f"box {[round(float(v), 1) for v in box]} (xyxy) outside of the image's "
                f"{image.width} x {image.height} pixels"
            )
        if has_box(annotation) and not annotations.from_tables:
            wrong = disagreement(annotation, box, mask, image.height, image.width)
            if wrong:
                raise BadInput(wrong)
        score = annotation.get("score", 1.0)
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise BadInput(f"score {shown(score)}, expected 0 to 1; divide percents by 100")
        keypoints = None
        if label == PERSON and annotation.get("keypoints") is not None:
            keypoints = _keypoints(annotation["keypoints"], annotations.keypoints_are_flags)
    except BadInput as error:
        raise BadInput(f"annotation {shown(number)} ({label}) of {image.name}: {error}") from error
    detection = Detection(label, float(score), box, mask)
    return Instance(detection, number if isinstance(number, int) else None, keypoints)


def _keypoints(values: Any, flags: bool) -> Float[np.ndarray, "17 3"]:
    """COCO's keypoints as 51 numbers or 17 times 3; confidences a little beyond 0 and 1, as the
    heat maps of networks give them, count as 0 and 1."""
    try:
        points = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput("its keypoints are not numbers") from error
    if points.shape not in ((3 * KEYPOINTS,), (KEYPOINTS, 3)):
        raise BadInput(
            f"{points.size} keypoint numbers, expected {3 * KEYPOINTS}: x, y and visibility of "
            f"COCO's {KEYPOINTS} keypoints"
        )
    points = points.reshape(KEYPOINTS, 3).astype(np.float32)
    if not np.isfinite(points).all():
        raise BadInput("a keypoint's number is not finite; write 0, 0, 0 for one that is unknown")
    if flags:
        # Detectors are trained on hidden but labelled points (1) as on visible ones (2).
        points[:, 2] = points[:, 2] > 0
        return points
    outside = (points[:, 2] <= -_BEYOND) | (points[:, 2] >= 1 + _BEYOND)
    if outside.any():
        raise BadInput(
            f"a keypoint's confidence is {points[outside, 2][0]:g}, expected 0 to 1 (COCO's flags "
            "0, 1 and 2 count only if the whole file has no other numbers)"
        )
    points[:, 2] = points[:, 2].clip(0, 1)
    return points


def _are_flags(annotations: Sequence[Mapping]) -> bool:
    """Whether no keypoint of the file has a third number other than 0, 1 and 2."""
    for annotation in annotations:
        values = annotation.get("keypoints")
        if not isinstance(values, list):
            continue
        nested = [value[2:3] for value in values if isinstance(value, list)]
        thirds = [third for point in nested for third in point] if nested else values[2::3]
        if not all(isinstance(third, int | float) and third in (0, 1, 2) for third in thirds):
            return False
    return True


def _check_form(content: Any, where: str) -> None:
    """BadInput if parsed JSON is not COCO instances, or has boxes alone."""
    keys = ("images", "annotations", "categories")
    if isinstance(content, list) and content and isinstance(content[0], Mapping):
        raise BadInput(
            f"{where} is a bare list, as of COCO's results (predictions.json), which does not name "
            "its categories; give an object with the lists images, annotations and categories, or, "
            "of Ultralytics, the folder of labels that save_txt=True writes."
        )
    if not isinstance(content, Mapping) or not all(isinstance(content.get(k), list) for k in keys):
        is_object = isinstance(content, Mapping)
        found = ", ".join(map(str, content)) if is_object else type(content).__name__
        raise BadInput(
            f"{where} is not COCO instances: expected an object with the lists images, annotations "
            f"and categories, found {found or 'nothing':.200}."
        )
    records = [each for each in content["annotations"] if isinstance(each, Mapping)]
    if records and not any(each.get("segmentation") or FAULT in each for each in records):
        raise BadInput(
            f"{where}: none of its {len(records)} annotations has a segmentation, only boxes (as "
            "in Objects365 and other sets for detectors); give annotations with masks, or leave "
            "--annotations out, and `chorus segment` finds persons and objects."
        )


def _is_ours(content: Mapping) -> bool:
    """Whether `CocoFile` wrote a file."""
    info = content.get("info")
    said = info.get("description") if isinstance(info, Mapping) else None
    return isinstance(said, str) and said.startswith(EXPORTED)


def _of_tables(content: Mapping) -> bool:
    """Whether `chorus export` wrote a file of tables, where every image has its category."""
    images = content["images"]
    return (
        _is_ours(content)
        and bool(images)
        and all(isinstance(i, Mapping) and i.get("category") for i in images)
    )

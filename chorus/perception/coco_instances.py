"""COCO's instance annotations, parsed JSON → annotations, detections, keypoints of each image.

docs/bring-your-own.md describes what is read. Crowds (`iscrowd` 1) stand for no single instance and
are kept apart. A score that is not there counts as 1.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput, shown, unknown_name
from chorus.geometry import masks
from chorus.geometry.boxes import area, intersection
from chorus.geometry.coco_annotations import box_of, has_box, mask_of, scraps_of
from chorus.perception.box_and_mask import disagreement
from chorus.records.rows import Detection
from chorus.vocabulary import PERSON, strip_demo

EXPORTED = "exported by chorus"
"""How the description begins of files that we write."""

KEYPOINTS = 17
_BEYOND = 0.5  # by which a heat map's confidence may pass 0 and 1


@dataclass(frozen=True)
class AnnotatedImage:
    """An image of the annotations: its record, and the records of what it shows."""

    number: int
    """The image's own number."""
    name: str
    """File name, with the folders that the record gives, separated by /."""
    width: int
    height: int
    prompt: str = ""
    """The interaction it shows, where the record says so."""
    augprompt: str = ""
    """The augprompt it was made with, where the record says so."""
    category: str = ""
    """The category it was made for, in a file that `chorus export` wrote of tables."""
    annotations: tuple[Mapping[str, Any], ...] = ()
    """Those that stand for one instance each."""
    crowds: tuple[Mapping[str, Any], ...] = ()
    """Those of crowds."""

    def everything_of(self, category: int) -> list[Mapping[str, Any]]:
        """The annotations of a category number, crowds included."""
        every = (*self.annotations, *self.crowds)
        return [annotation for annotation in every if annotation["category_id"] == category]


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
        if label == PERSON or (label not in self.categories and self.only != "persons"):
            known = [name for name in self.categories if name != PERSON]
            raise unknown_name("category in the annotations:", label, known)
        number = self.categories[PERSON if self.only == "persons" else label]
        return [
            image
            for image in self.images
            if any(each["category_id"] == number for each in image.annotations)
        ]

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
        number = self.categories.get(strip_demo(category))
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
    if not isinstance(content, Mapping) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations", "categories")
    ):
        is_object = isinstance(content, Mapping)
        found = ", ".join(map(str, content)) if is_object else type(content).__name__
        raise BadInput(
            f"{where} is not COCO instances: expected an object with the lists images, annotations "
            f"and categories, found {found or 'nothing':.200}."
        )
    categories = _categories(content["categories"], where)
    numbers = set(categories.values())
    from_tables = _of_tables(content)
    records = _records(content["images"], where, from_tables)
    instances: dict[int, list] = defaultdict(list)
    crowds: dict[int, list] = defaultdict(list)
    orphans: list[str] = []
    for at, annotation in enumerate(content["annotations"]):
        image = _integer(annotation, "image_id", where, "annotation", at)
        category = _integer(annotation, "category_id", where, "annotation", at)
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
    labels = {annotations.categories[n]: n for n in names if n in annotations.categories}
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


def _categories(records: list, where: str) -> dict[str, int]:
    categories: dict[str, int] = {}
    for at, record in enumerate(records):
        number = _integer(record, "id", where, "category", at)
        name = record.get("name")
        if not isinstance(name, str) or not name or name in categories:
            raise BadInput(
                f"{where}: category {number} has the name {shown(name)}; each needs its own."
            )
        categories[name] = number
    twice = [number for number, count in Counter(categories.values()).items() if count > 1]
    if twice:
        raise BadInput(f"{where}: two categories have the id {twice[0]}.")
    return categories


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


def _records(records: list, where: str, from_tables: bool) -> dict[int, dict[str, Any]]:
    """What `AnnotatedImage` takes from the records of images, by the images' numbers."""
    images: dict[int, dict[str, Any]] = {}
    names: set[str] = set()
    for at, record in enumerate(records):
        number = _integer(record, "id", where, "image", at)
        name = record.get("file_name")
        if not isinstance(name, str) or not name.strip("/"):
            raise BadInput(f"{where}: image {number} has no file_name.")
        if len(name) > _LONGEST_NAME:
            raise BadInput(
                f"{where}: image {number} has a file_name of {len(name):,} characters; no path is "
                f"longer than {_LONGEST_NAME:,}."
            )
        name = name.replace("\\", "/")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BadInput(
                f"{where}: image {number} is called {shown(name)}; expected a name inside the "
                "folder of images."
            )
        if name in names or number in images:
            raise BadInput(f"{where}: two images are called {shown(name)} or have the id {number}.")
        width, height = (_integer(record, side, where, "image", name) for side in _SIDES)
        if width < 1 or height < 1:
            raise BadInput(f"{where}: image {shown(name)} has {width} x {height} pixels.")
        names.add(name)
        keys = ("prompt", "augprompt", "category") if from_tables else ("prompt", "augprompt")
        texts = {key: record.get(key, "") for key in keys}
        for key, text in texts.items():
            if not isinstance(text, str):
                raise BadInput(
                    f"{where}: image {shown(name)} has the {key} {shown(text)}; expected text."
                )
        images[number] = {"name": name, "width": width, "height": height, **texts}
    return images


_SIDES = ("width", "height")
_TOO_LARGE = 10**18
_LONGEST_NAME = 4096  # of a path, as systems have it


def _integer(record: Any, key: str, where: str, what: str, name: object) -> int:
    value = record.get(key) if isinstance(record, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= _TOO_LARGE:
        raise BadInput(
            f"{where}: {what} {name}: {key} is {shown(value)}; expected a whole number of at most "
            "18 digits."
        )
    return value

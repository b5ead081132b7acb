"""What `chorus import` reads: its files with their digests, and which sample is which image."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from chorus.errors import BadInput
from chorus.models.registry import IMPORTED
from chorus.perception.photographs import SUFFIXES
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, read_settings, read_table

if TYPE_CHECKING:
    from chorus.perception.coco_images import AnnotatedImage
    from chorus.perception.coco_instances import Annotations
    from chorus.perception.recorded_poses import RecordedPose

DEFAULT_PROMPT, DEFAULT_AUGPROMPT = "imported", "original"


@dataclass(frozen=True)
class Photo:
    """A photograph: its name in the folder, and its masks with their size, if it has any."""

    name: str
    width: int | None = None
    height: int | None = None
    masks: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """The files of its instances' masks, by what they are masks of: "objects" or "persons"."""


@dataclass(frozen=True)
class Shard:
    """The images of one shard; a sample's index is its image's place."""

    key: ShardKey
    images: tuple[AnnotatedImage, ...] | tuple[Photo, ...]

    def digest(self, folder: Path) -> str:
        """Fingerprint of the images' names, annotated sizes, and the sizes of their files."""
        content = hashlib.sha256()
        for image in self.images:
            path = folder / image.name
            size = path.stat().st_size if path.is_file() else -1
            content.update(f"{image.name}\0{image.width}\0{image.height}\0{size}\n".encode())
        return content.hexdigest()[:16]


@dataclass(frozen=True)
class AnnotationSource:
    """Annotations; the fingerprint of their files; lines about what was left out."""

    annotations: Annotations
    digest: str
    notes: tuple[str, ...]


def read_annotations(path: Path, folder: Path, take_crowds: bool = False) -> AnnotationSource:
    """The annotations of a file, or of a folder's files, with their images called as in a folder.

    BadInput if they are missing, damaged, or of no known form.
    """
    from chorus.perception.annotation_files import read_annotation_files
    from chorus.perception.coco_instances import annotations_of

    pictures = pictures_of(folder)
    read = read_annotation_files(path, folder, pictures)
    annotations = annotations_of(read.content, str(path), take_crowds)
    found = found_by_end([image.name for image in annotations.images], pictures)
    images = (replace(i, name=found.get(i.name, i.name)) for i in annotations.images)
    images = tuple(sorted(images, key=lambda image: image.name))
    return AnnotationSource(replace(annotations, images=images), digest_of(*read.files), read.notes)


def found_by_end(names: Iterable[str], pictures: Sequence[str]) -> dict[str, str]:
    """The pictures of names that no picture has, where one has the name without some of its first
    folders: programs write the path from a folder of their own. Such a picture is of one name
    only."""
    names, there = set(names), set(pictures)
    free = there - names
    found: dict[str, str] = {}
    for name in names - there:
        parts = name.split("/")
        ends = ("/".join(parts[at:]) for at in range(1, len(parts)))
        if end := next((end for end in ends if end in free), None):
            found[name] = end
    counts = Counter(found.values())
    return {name: end for name, end in found.items() if counts[end] == 1}


def plan(
    annotations: Annotations,
    model: str,
    categories: Sequence[str],
    prompts: Sequence[str],
    prompt: str | None,
) -> list[Shard]:
    """The shards of some categories (all if empty) and prompts (all if empty).

    An image belongs to the interaction `prompt`, else to the one its record names. BadInput for an
    unknown category, one without any image, and if nothing is left.
    """
    chosen = list(categories) or annotations.objects()
    if not chosen and annotations.only == "persons":
        raise BadInput(
            "the annotations hold persons only; name the objects that `segment` shall add: "
            "--categories bicycle, or give other --annotations."
        )
    if not chosen:
        raise BadInput(
            "the annotations hold no object (every annotation is a person, a crowd, or there is "
            f"none); annotate the objects, or give other --annotations.{_cure(annotations.crowds)}"
        )
    groups: dict[ShardKey, list[AnnotatedImage]] = defaultdict(list)
    for category in chosen:
        images = annotations.of(category)
        if not images:
            why = _cure(annotations.crowds_of(category)) + _half(annotations.unjudged(category))
            raise BadInput(f"no image of the annotations has an annotation of {category!r}.{why}")
        for image in images:
            key = ShardKey(
                model,
                category,
                prompt or image.prompt or DEFAULT_PROMPT,
                image.augprompt or DEFAULT_AUGPROMPT,
            )
            if not prompts or key.prompt in prompts:
                groups[key].append(image)
    if not groups:
        raise BadInput(f"no image of the annotations belongs to --prompts {', '.join(prompts)}.")
    return [Shard(key, tuple(groups[key])) for key in sorted(groups)]


def _cure(crowds: int) -> str:
    """The sentence about so many annotations of crowds that may not be any; none for none."""
    if not crowds:
        return ""
    return (
        f" {crowds} {'is' if crowds == 1 else 'are'} marked as a crowd (iscrowd 1), as CVAT marks "
        "every mask of its brush: --take_crowds takes each as one instance."
    )


def _half(images: Sequence[AnnotatedImage]) -> str:
    """The sentence about images of which the file says that not all is annotated; none for none."""
    if not images:
        return ""
    return (
        f" {len(images)} have one, but the file says (neg_category_ids, not_exhaustive_category_ids"
        ") that not all of these, or not all persons, are annotated there: leave the persons out "
        "of the file, and `chorus segment` finds them."
    )


def pictures_of(folder: Path) -> list[str]:
    """Names of the image files below a folder, with / between folders, sorted; hidden ones are
    other programs' own."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    names = (path.relative_to(folder) for path in files if path.is_file())
    return sorted(
        name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts)
    )


def without_suffix(name: str) -> str:
    """A name without the ending of an image file; any other dot is part of the name."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot + ending.lower() in SUFFIXES else name


def digest_of(*files: Path) -> str:
    """Fingerprint of files, one after the other."""
    content = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            content.update(hashlib.file_digest(stream, "sha256").digest())
    return content.hexdigest()[:16]


def image_names(tree: ResultsTree, shard: ShardKey) -> dict[int, str]:
    """What the images of a shard are called outside, by sample index.

    An imported image keeps its name; any other is category/prompt/augprompt/file, as `chorus
    export` calls it. Images that failed have none.
    """
    path = tree.table("images", shard)
    rows = read_table(path, "images").rows
    imported = read_settings(path).get("image_model") == IMPORTED
    return {
        index: row["text"] if imported else outside_name(tree, shard, row["file"])
        for index, row in rows.items()
        if row["status"] == DONE
    }


def outside_name(tree: ResultsTree, shard: ShardKey, file: str) -> str:
    """What an image of the tree is called in exported files: its path below the model's folder."""
    folder = tree.table("images", shard).with_suffix("")
    return "/".join((*folder.parts[-3:], file))


class PoseIndex:
    """Recorded poses by the image they belong to.

    A pose's image is looked up by its whole name, then by its file name, each as it is and without
    the ending of an image file (`without_suffix`); a frame number by the number at the end of the
    name, which counts from 0 or 1 (`first_frame`). A name that several images share is not guessed
    at.
    """

    def __init__(
        self, poses: Iterable[RecordedPose], names: Iterable[str], others: Iterable[str] = ()
    ):
        """names: the images' whose poses are asked for; others: those of further images beside
        them. BadInput if frames are numbered and the names do not show from which number on."""
        self._by_name: dict[str, list[RecordedPose]] = defaultdict(list)
        self.homeless: list[str] = []
        """The images of poses that belong to none of the names."""
        poses, names = list(poses), list(names)
        self._tables = [_unique(names, of) for of in _SPELLINGS]
        self._numbers = _unique(names, _number)
        self._first = 0
        if any(self._is_numbered(pose) for pose in poses):
            self._first = first_frame([*names, *others])
        for pose in poses:
            name = self._name(pose)
            if name is None:
                self.homeless.append(str(pose.image))
            else:
                self._by_name[name].append(pose)

    def _is_numbered(self, pose: RecordedPose) -> bool:
        """Whether the number of its frame says which image is a pose's: it has no other name, or
        one that its tracker made up."""
        if isinstance(pose.image, int):
            return True
        return pose.frame is not None and pose.image.replace("\\", "/") not in self._tables[0]

    def _name(self, pose: RecordedPose) -> str | None:
        if self._is_numbered(pose):
            number = pose.image if isinstance(pose.image, int) else pose.frame
            return self._numbers.get(number + self._first)
        path = pose.image.replace("\\", "/")
        matches = (t.get(of(path)) for t, of in zip(self._tables, _SPELLINGS, strict=True))
        return next((match for match in matches if match), None)

    def of(self, name: str) -> list[RecordedPose]:
        """The poses of one image, in the order they were recorded."""
        return self._by_name.get(name, [])


def _whole(name: str) -> str:
    return name


def _file(name: str) -> str:
    return PurePosixPath(name).name


def _stem(name: str) -> str:
    return without_suffix(_file(name))


def _number(name: str) -> int | None:
    digits = re.search(r"(\d+)$", _stem(name))
    return int(digits[1]) if digits else None


_SPELLINGS = (_whole, without_suffix, _file, _stem)


def first_frame(names: Iterable[str]) -> int:
    """The number in the name of a clip's first frame, 0 or 1; BadInput if neither is there."""
    numbers = {number for name in names if (number := _number(name)) is not None}
    if not numbers or 0 in numbers:
        return 0
    if 1 in numbers:
        return 1
    raise BadInput(
        "the poses are of a clip's frames, and the images' names do not show whether these are "
        f"numbered from 0 or from 1: the smallest number is {min(numbers)}. Keep the clip's first "
        "frame in the folder of --images, called 000000.jpg if frames were extracted with ffmpeg "
        "-start_number 0 and 000001.jpg if without."
    )


def _unique(names: Iterable[str], of: Any) -> dict[Any, str]:
    """Names by what `of` makes of them, where that tells them apart."""
    by_key: dict[Any, set[str]] = defaultdict(set)
    for name in names:
        by_key[of(name)].add(name)
    return {
        key: group.pop() for key, group in by_key.items() if key is not None and len(group) == 1
    }


def with_annotated_boxes(
    poses: Sequence[RecordedPose], annotations: Annotations
) -> list[RecordedPose]:
    """Poses that name their person's annotation, with its box."""
    from chorus.geometry.coco_annotations import box_of, has_box

    records: Mapping[int, Any] = {
        annotation["id"]: annotation
        for image in annotations.images
        for annotation in image.annotations
        if isinstance(annotation.get("id"), int) and has_box(annotation)
    }
    return [
        replace(pose, box=box_of(records[pose.annotation])) if pose.annotation in records else pose
        for pose in poses
    ]

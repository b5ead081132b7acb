"""Images in COCO's annotation files: their names, sizes, and what the file says of each.

Where a file has no `file_name` (LVIS v1), the path in `coco_url` is the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from chorus.errors import BadInput, shown

_SIDES = ("width", "height")
_DRIVE = re.compile("[A-Za-z]:")
_TOO_LARGE = 10**18
_LONGEST_NAME = 4096  # of a path, as systems have it


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
    absent: frozenset[int] | None = None
    """Numbers of the categories that are known not to be there, where the file tells (LVIS)."""
    incomplete: frozenset[int] = frozenset()
    """Numbers of the categories of which some instances are not annotated, where the file tells."""

    def is_judged(self, category: int | None) -> bool:
        """Whether all instances of a category number are annotated, as far as the file tells."""
        if self.absent is None or category is None:
            return True
        if category in self.incomplete:
            return False
        return category in self.absent or bool(self.everything_of(category))

    def everything_of(self, category: int) -> list[Mapping[str, Any]]:
        """The annotations of a category number, crowds included."""
        every = (*self.annotations, *self.crowds)
        return [annotation for annotation in every if annotation["category_id"] == category]


def image_records(records: list, where: str, from_tables: bool) -> dict[int, dict[str, Any]]:
    """What `AnnotatedImage` takes from the records of images, by the images' numbers."""
    images: dict[int, dict[str, Any]] = {}
    names: set[str] = set()
    for at, record in enumerate(records):
        number = integer_of(record, "id", where, "image", at)
        name = _name(record)
        if not name:
            raise BadInput(f"{where}: image {number} has no file_name, nor a coco_url.")
        if len(name) > _LONGEST_NAME:
            raise BadInput(
                f"{where}: image {number} has a name of {len(name):,} characters; no path is "
                f"longer than {_LONGEST_NAME:,}."
            )
        if name in names or number in images:
            raise BadInput(f"{where}: two images are called {shown(name)} or have the id {number}.")
        width, height = (integer_of(record, side, where, "image", name) for side in _SIDES)
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
        size = {"width": width, "height": height}
        images[number] = {"name": name, **size, **texts, **_completeness(record, where)}
    return images


def _name(record: Mapping) -> str:
    """What the record of an image calls its file, separated by /, without what leads out of a
    folder (Label Studio, labelme); where LVIS has no file_name, the path of its coco_url."""
    name, url = record.get("file_name"), record.get("coco_url")
    if not name and isinstance(url, str):
        try:
            name = unquote(urlsplit(url).path)
        except ValueError:  # an address that is none
            return ""
    if not isinstance(name, str):
        return ""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    outside = [at for at, part in enumerate(parts) if part == ".." or _DRIVE.fullmatch(part)]
    return "/".join(parts[outside[-1] + 1 :] if outside else parts)


def _completeness(record: Mapping, where: str) -> dict[str, Any]:
    """What LVIS says of an image: of which categories there is none, and some are left out."""
    if "neg_category_ids" not in record:
        return {}
    named = {"absent": "neg_category_ids", "incomplete": "not_exhaustive_category_ids"}
    values = {key: record.get(name, []) for key, name in named.items()}
    for key, numbers in values.items():
        if not isinstance(numbers, list) or not all(isinstance(n, int) for n in numbers):
            raise BadInput(
                f"{where}: image {shown(record.get('id'))}: {named[key]} is {shown(numbers)}; "
                "expected a list of category ids."
            )
    return {key: frozenset(numbers) for key, numbers in values.items()}


def integer_of(record: Any, key: str, where: str, what: str, name: object) -> int:
    """The whole number of a record's entry; BadInput, naming the record, if it is none."""
    value = record.get(key) if isinstance(record, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= _TOO_LARGE:
        raise BadInput(
            f"{where}: {what} {name}: {key} is {shown(value)}; expected a whole number of at most "
            "18 digits."
        )
    return value

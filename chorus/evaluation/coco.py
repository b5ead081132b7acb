"""COCO's instance annotations (instances_val2014.json), from parsed JSON; no image is needed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from chorus.errors import BadInput, unknown_name
from chorus.vocabulary import PERSON


@dataclass(frozen=True)
class Instances:
    """The annotations by image and category. Records are as in the file."""

    images: dict[str, dict]
    """Image records by file name."""
    categories: dict[str, int]
    """Category numbers by name."""
    annotations: dict[int, dict[int, list[dict]]]
    """Annotations by image number and category number, crowds included."""

    def of(self, image_id: int, category: str) -> list[dict]:
        """The annotations of one category in one image; BadInput for an unknown category."""
        if category not in self.categories:
            raise unknown_name("COCO category", category, self.categories)
        return self.annotations.get(image_id, {}).get(self.categories[category], [])


def instances(content: Any, where: str = "the COCO annotations") -> Instances:
    """Index a parsed instances file; BadInput, naming `where`, if it is none."""
    try:
        images = {str(one["file_name"]): one for one in content["images"]}
        for one in images.values():
            if not (int(one["id"]) >= 0 and int(one["width"]) > 0 and int(one["height"]) > 0):
                raise ValueError(f"image {one['file_name']} has no size")
        categories = {str(one["name"]): int(one["id"]) for one in content["categories"]}
        annotations: dict = defaultdict(lambda: defaultdict(list))
        for one in content["annotations"]:
            annotations[int(one["image_id"])][int(one["category_id"])].append(one)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{where}: expected COCO instances with images, annotations and categories, found a "
            f"record without what it needs ({type(error).__name__}: {error}); download "
            "instances_val2014.json again."
        ) from error
    if PERSON not in categories:
        raise BadInput(f"{where}: no category {PERSON!r} among {', '.join(sorted(categories))}.")
    return Instances(images, categories, annotations)

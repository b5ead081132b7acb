"""COCO instances made of another program's annotations, and what people should know of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chorus.perception.coco_instances import FAULT


@dataclass
class CocoContent:
    """A file of COCO instances in the making.

    files: what it is read from; notes: lines about what was left out.
    """

    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _images: list[dict[str, Any]] = field(default_factory=list)
    _annotations: list[dict[str, Any]] = field(default_factory=list)
    _categories: dict[str, int] = field(default_factory=dict)

    def image(self, name: str, width: int, height: int) -> int:
        """Add an image; its number."""
        number = len(self._images) + 1
        size = {"width": width, "height": height}
        self._images.append({"id": number, "file_name": name, **size})
        return number

    def annotation(self, image: int, label: str, **values: Any) -> None:
        """Add an instance of a label, with COCO's `segmentation`, `bbox` and `score`, or with a
        `fault`, why it cannot be used."""
        category = self._categories.setdefault(label, len(self._categories) + 1)
        if "fault" in values:
            values[FAULT] = values.pop("fault")
        ids = {"id": len(self._annotations) + 1, "image_id": image, "category_id": category}
        self._annotations.append({**ids, **values})

    def content(self) -> dict[str, list]:
        """What parsed JSON of COCO instances would be."""
        categories = [{"id": n, "name": name} for name, n in self._categories.items()]
        return {
            "images": self._images,
            "annotations": self._annotations,
            "categories": categories,
        }

"""Instances and keypoints → COCO's JSON, which `coco_instances` and pycocotools read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chorus.filtering.rules import KEYPOINTS
from chorus.geometry import masks
from chorus.perception.coco_instances import EXPORTED
from chorus.vocabulary import COCO, PERSON

_FIRST_OTHER = 1 + max(number for _, number in COCO)  # ids of names outside COCO


class CocoFile:
    """A COCO file in the making. Names that COCO has keep its category ids."""

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.repeated = 0
        """How many images were not added because one of their name was."""
        self._categories: dict[str, int] = {PERSON: 1}
        self._names: set[str] = set()

    def add(
        self,
        image: Mapping[str, Any],
        detections: Sequence[Mapping[str, Any]],
        persons: Sequence[Mapping[str, Any]] | None,
    ) -> None:
        """Add an image (its record without id), with detections as the table `segmentations` has
        them, and the rows of `human_kps`, one per person detection, if they are known."""
        if image["file_name"] in self._names:
            self.repeated += 1
            return
        self._names.add(image["file_name"])
        number = len(self.images) + 1
        self.images.append({"id": number, **image})
        of_person = iter(persons or ())
        for detection in detections:
            annotation = self._annotation(detection, number, image["height"], image["width"])
            if detection["label"] == PERSON and persons is not None:
                points = [float(value) for value in next(of_person)["keypoints"]]
                # the heat maps of some networks pass 1 a little
                points[2::3] = [min(max(c, 0.0), 1.0) + 0.0 for c in points[2::3]]
                annotation["keypoints"] = points
                annotation["num_keypoints"] = sum(confidence > 0 for confidence in points[2::3])
            self.annotations.append(annotation)

    def _annotation(
        self, detection: Mapping[str, Any], image: int, height: int, width: int
    ) -> dict[str, Any]:
        x1, y1, x2, y2 = (float(value) for value in detection["box"])
        return {
            "id": len(self.annotations) + 1,
            "image_id": image,
            "category_id": self._category(detection["label"]),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": int(masks.decode(detection["mask"], height, width).sum()),
            "segmentation": {"size": [height, width], "counts": detection["mask"].decode("ascii")},
            "score": float(detection["score"]),
            "iscrowd": 0,
        }

    def _category(self, label: str) -> int:
        if label not in self._categories:
            others = (number for number in self._categories.values() if number >= _FIRST_OTHER)
            free = max(others, default=_FIRST_OTHER - 1) + 1
            self._categories[label] = dict(COCO).get(label, free)
        return self._categories[label]

    def content(self) -> bytes:
        """The file."""
        categories = [{"id": n, "name": name} for name, n in sorted(self._categories.items())]
        for category in categories:
            if category["name"] == PERSON:
                category["keypoints"] = list(KEYPOINTS)
        whole = {
            "info": {"description": f"{EXPORTED}; keypoints are x, y, confidence"},
            "images": self.images,
            "annotations": self.annotations,
            "categories": categories,
        }
        return json.dumps(whole, separators=(",", ":")).encode()

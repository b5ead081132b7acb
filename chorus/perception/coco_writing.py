"""Instances and keypoints → COCO's JSON, which `coco_instances` and pycocotools read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chorus.body.keypoints import BONES
from chorus.filtering.rules import KEYPOINTS
from chorus.geometry import masks
from chorus.perception.coco_instances import EXPORTED
from chorus.vocabulary import COCO, PERSON

LABELLED = 0.3
"""Confidence above which a detected keypoint counts as labelled in a ground truth."""

_PERSON_ID, _VISIBLE = 1, 2
_FIRST_OTHER = 1 + max(number for _, number in COCO)  # ids of names outside COCO


class CocoFile:
    """A COCO file in the making. Names that COCO has keep its category ids."""

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.repeated = 0
        """How many images were not added because one of their name was."""
        self._categories: dict[str, int] = {PERSON: _PERSON_ID}
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


class CocoKeypoints:
    """Keypoints of persons in the two forms that COCO's keypoint evaluation compares.

    `content()` is a ground truth: keypoints of confidence above `LABELLED` count as labelled (flag
    2), the others as not (three zeros). `results` are detections, whose third number is the
    confidence.
    """

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self._names: set[str] = set()

    def add(
        self,
        image: Mapping[str, Any],
        detections: Sequence[Mapping[str, Any]],
        persons: Sequence[Mapping[str, Any]],
    ) -> None:
        """Add an image as `CocoFile.add` does; one of a name that was added is passed over."""
        if image["file_name"] in self._names:
            return
        self._names.add(image["file_name"])
        number = len(self.images) + 1
        self.images.append({"id": number, **image})
        found = [each for each in detections if each["label"] == PERSON]
        for detection, person in zip(found, persons, strict=True):
            keypoints = np.array(person["keypoints"], np.float64).reshape(-1, 3)
            self._add_person(detection, keypoints, self.images[-1])

    def _add_person(
        self, detection: Mapping[str, Any], keypoints: np.ndarray, image: Mapping[str, Any]
    ) -> None:
        x1, y1, x2, y2 = (float(value) for value in detection["box"])
        labelled = keypoints[:, 2] > LABELLED
        truth = keypoints.copy()
        truth[:, 2] = _VISIBLE
        truth[~labelled] = 0
        area = masks.decode(detection["mask"], image["height"], image["width"]).sum()
        whose = {"image_id": image["id"], "category_id": _PERSON_ID}
        self.annotations.append(
            {
                "id": len(self.annotations) + 1,
                **whose,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": int(area),
                "iscrowd": 0,
                "keypoints": truth.ravel().tolist(),
                "num_keypoints": int(labelled.sum()),
            }
        )
        if labelled.any():
            confidence = keypoints[:, 2].clip(0, 1)
            score = float(detection["score"]) * float(confidence[labelled].mean())
            points = np.column_stack([keypoints[:, :2], confidence]).ravel().tolist()
            self.results.append({**whose, "keypoints": points, "score": score})

    def content(self) -> dict[str, Any]:
        """The ground truth."""
        category = {
            "id": _PERSON_ID,
            "name": PERSON,
            "supercategory": PERSON,
            "keypoints": list(KEYPOINTS),
            "skeleton": [[a + 1, b + 1] for a, b in BONES],
        }
        return {
            "info": {"description": f"{EXPORTED}; keypoints as they were detected"},
            "images": self.images,
            "annotations": self.annotations,
            "categories": [category],
        }

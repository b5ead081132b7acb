"""Extended COCO-EFT: COCO val2014 images with one person, one object and an EFT fit.

See method.md 11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from chorus.body.model import BodyModel
from chorus.calibration.settings import PAPER, CalibrationSettings
from chorus.calibration.weak_to_perspective import NOT_CONVERGED
from chorus.errors import BadInput, unknown_name
from chorus.evaluation import eft
from chorus.evaluation.labelled_images import done_row, skipped_row
from chorus.geometry.boxes import intersection_over_smaller
from chorus.geometry.coco_annotations import box_of, mask_of
from chorus.perception.coco_images import AnnotatedImage
from chorus.perception.coco_instances import Annotations, annotations_of
from chorus.vocabulary import PERSON, QUANTITATIVE_CATEGORIES

_PERSONS_AT_ONCE = 256
"""Bodies that are posed and calibrated together (about 0.2 GB)."""


@dataclass(frozen=True)
class ExtensionSettings:
    """Which images belong to the test set."""

    min_bbox_overlap: float = 0.5
    """Least intersection of person and object box, over the smaller box."""
    reprojection_error_thresh: float = 1.0
    """Largest residual of the calibrated camera, pixels (error's Frobenius norm / joints)."""
    calibration: CalibrationSettings = field(
        default_factory=lambda: replace(PAPER, stop_residual=0.5)
    )
    """How cameras are calibrated."""


@dataclass(frozen=True)
class Extension:
    """The extended test set before it is written."""

    rows: dict[str, list[dict]]
    """Per category its candidates' rows (see `test_set`), in the order of the image numbers."""
    unusable: tuple[str, ...]
    """A sentence for every EFT record that leads to no COCO image."""


@dataclass(frozen=True, eq=False)
class _Candidate:
    """An EFT record and a category of which its image has at least one annotation."""

    record: int
    category: str
    image: AnnotatedImage

    @property
    def order(self) -> tuple:
        return self.category, self.image.number, self.record


def extend(
    instances: Any,
    fits: Any,
    body: BodyModel,
    categories: Sequence[str] = tuple(QUANTITATIVE_CATEGORIES),
    settings: ExtensionSettings | None = None,
) -> Extension:
    """Build the test set from the parsed files `instances_val2014.json` and COCO-EFT.

    Every pair of an EFT record and a category that its image shows is a candidate and becomes a
    row: a test image, or the reason why not. Cameras are calibrated with `body`, each person once
    for all categories. Images are not read. BadInput if a file is not of its format or a category
    is unknown; single damaged records only cost their own rows.
    """
    settings = settings or ExtensionSettings()
    known = _known(instances)
    records = eft.records(fits)
    for category in categories:
        if category not in known.categories or category == PERSON:
            raise unknown_name("COCO category", category, known.categories.keys() - {PERSON})
    candidates, unusable = _candidates(known, records, categories)
    usable, images = {}, {}
    outcomes: dict[_Candidate, dict | str] = {}
    taken: set[tuple[str, int]] = set()
    for candidate in candidates:
        try:
            outcomes[candidate] = _annotated(known, candidate, settings)
            if candidate.record not in usable:
                usable[candidate.record] = eft.fit_of(records[candidate.record])
            if (candidate.category, candidate.image.number) in taken:
                raise BadInput("another fit of the same person is in the test set")
            taken.add((candidate.category, candidate.image.number))
            images[candidate.record] = candidate.image
        except BadInput as reason:
            outcomes[candidate] = str(reason)
    cameras = _cameras({number: usable[number] for number in images}, images, body, settings)
    rows: dict[str, list[dict]] = {category: [] for category in categories}
    for candidate in candidates:
        outcome = outcomes[candidate]
        camera = outcome if isinstance(outcome, str) else cameras[candidate.record]
        image, category_rows = candidate.image, rows[candidate.category]
        if isinstance(camera, str):
            category_rows.append(skipped_row(len(category_rows), image.name, image.number, camera))
        else:
            category_rows.append(
                done_row(len(category_rows), body.fingerprint, **outcome, **camera)
            )
    return Extension(rows, tuple(unusable))


def _known(instances: Any) -> Annotations:
    """The parsed annotations; BadInput unless they are COCO's, of persons among others."""
    try:
        known = annotations_of(instances, "instances_val2014.json")
        if PERSON not in known.categories:
            names = ", ".join(sorted(known.categories))
            raise BadInput(
                f"instances_val2014.json: no category {PERSON!r} among {names or 'none'}."
            )
    except BadInput as error:
        raise BadInput(f"{error} Download instances_val2014.json again.") from error
    return known


def _candidates(
    known: Annotations, records: Sequence[dict], categories: Sequence[str]
) -> tuple[list[_Candidate], list[str]]:
    """The candidates in order, and a sentence for every record without an image."""
    images = {image.name: image for image in known.images}
    candidates, unusable = [], []
    for number, record in enumerate(records):
        name = record.get("imageName")
        image = images.get(PurePosixPath(str(name)).name)
        if image is None:
            unusable.append(f"EFT record {number}: its image {name!r} is not in the annotations")
            continue
        candidates += [
            _Candidate(number, category, image)
            for category in categories
            if image.everything_of(known.categories[category])
        ]
    return sorted(candidates, key=lambda candidate: candidate.order), unusable


def _annotated(known: Annotations, candidate: _Candidate, settings: ExtensionSettings) -> dict:
    """What COCO says of a candidate; BadInput with the reason if it is no test image."""
    image = candidate.image
    person = _only(image.everything_of(known.categories[PERSON]), "person")
    thing = _only(image.everything_of(known.categories[candidate.category]), "object")
    boxes = {"person_box": box_of(person), "object_box": box_of(thing)}
    overlap = float(intersection_over_smaller(*boxes.values()))
    if overlap < settings.min_bbox_overlap:
        raise BadInput(f"person and object too far apart: overlap {overlap:.2f}")
    return {
        **boxes,
        "overlap": overlap,
        "mask": mask_of(thing, image.height, image.width),
        "image": image.name,
        "image_id": image.number,
        "width": image.width,
        "height": image.height,
    }


def _only(annotations: Sequence[Mapping], what: str) -> Mapping:
    """The one annotation of its category; BadInput if there are others or it is a crowd's."""
    if len(annotations) != 1:
        raise BadInput(f"several {what}s: {len(annotations)}" if annotations else f"no {what}")
    if annotations[0].get("iscrowd"):
        raise BadInput(f"the {what} is annotated as a crowd")
    return annotations[0]


def _cameras(
    fits: dict[int, eft.Fit],
    images: dict[int, AnnotatedImage],
    body: BodyModel,
    settings: ExtensionSettings,
) -> dict[int, dict | str]:
    """Per EFT record its camera's and person's columns, or the reason why it has none."""
    cameras: dict[int, dict | str] = {}
    numbers = list(fits)
    for start in range(0, len(numbers), _PERSONS_AT_ONCE):
        batch = {number: fits[number] for number in numbers[start : start + _PERSONS_AT_ONCE]}
        cameras |= _batch_cameras(batch, images, body, settings)
    return cameras


def _batch_cameras(
    fits: dict[int, eft.Fit],
    images: dict[int, AnnotatedImage],
    body: BodyModel,
    settings: ExtensionSettings,
) -> dict[int, dict | str]:
    """`_cameras` of persons that are posed and solved together."""
    sizes = np.array([[images[number].width, images[number].height] for number in fits])
    solved = eft.calibrate_fits(list(fits.values()), sizes, body, settings.calibration)
    R, t, K, residual = (
        getattr(solved, name).cpu().double().numpy() for name in ("R", "t", "K", "residual")
    )
    cameras: dict[int, dict | str] = {}
    for at, (number, fit) in enumerate(fits.items()):
        failure = solved.failure[at]
        if failure and failure != NOT_CONVERGED:
            cameras[number] = f"no camera: {failure}"
        elif residual[at] > settings.reprojection_error_thresh:
            cameras[number] = f"camera does not fit: residual {residual[at]:.2f} px"
        else:
            cameras[number] = {
                "pose": eft.axis_angle(fit),
                "betas": fit.betas,
                "R": R[at],
                "t": t[at],
                "K": K[at],
                "residual": float(residual[at]),
            }
    return cameras

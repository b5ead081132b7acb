"""Rows of a test set, whatever it was made from: one person and one object in an image.

See method.md 11.

Every candidate is a row. A `done` row holds what scoring needs; a `skipped` row says in its reason
why the candidate is no test image.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from chorus.errors import BadInput
from chorus.geometry import masks
from chorus.records.tables import DONE, SKIPPED

if TYPE_CHECKING:
    from chorus.occupancy.distribution import Distribution

log = logging.getLogger(__name__)

NUMBERS = {
    "person_box": 4,
    "object_box": 4,
    "pose": 72,
    "betas": 10,
    "R": 9,
    "t": 3,
    "K": 9,
}
"""Columns of numbers and how many each row has."""


class LabelledImage(NamedTuple):
    """One test image: its person's pose (24, 3), axis-angle (the global rotation is in the camera),
    the camera R (3, 3), t (3,) metres, K (3, 3) pixels, body frame to image, and the object's mask
    (H, W) bool. Arrays or tensors."""

    pose: Float[np.ndarray, "24 3"]
    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, " 3"]
    K: Float[np.ndarray, "3 3"]
    mask: Bool[np.ndarray, "H W"]


def done_row(index: int, body: str, **values: Any) -> dict[str, Any]:
    """The row of a test image.

    values: `image` (file name), `image_id`, `width`, `height`, `overlap` (intersection over the
    smaller of the two boxes), `mask` (compressed counts of the object), `residual` (pixels), and
    the arrays of NUMBERS in any shape; body: fingerprint of the body the camera was calibrated
    with.
    """
    lists = {
        name: np.asarray(values[name], np.float64).reshape(length).tolist()
        for name, length in NUMBERS.items()
    }
    return {**values, **lists, "index": index, "status": DONE, "reason": "", "body": body}


def skipped_row(index: int, image: str, image_id: int, reason: str) -> dict[str, Any]:
    """The row of a candidate that is no test image."""
    row = {"index": index, "status": SKIPPED, "reason": reason}
    return {**row, "image": image, "image_id": image_id}


def labelled_image(row: Mapping[str, Any]) -> LabelledImage:
    """What scoring needs of a done row; BadInput if its mask is damaged."""
    numbers = {name: np.asarray(row[name], np.float64) for name in ("pose", "R", "t", "K")}
    return LabelledImage(
        pose=numbers["pose"].reshape(24, 3),
        R=numbers["R"].reshape(3, 3),
        t=numbers["t"],
        K=numbers["K"].reshape(3, 3),
        mask=masks.decode(row["mask"], row["height"], row["width"]),
    )


def check_one_body(rows: Iterable[Mapping[str, Any]], body: str) -> None:
    """BadInput if a done row's camera was calibrated with another body than the one given."""
    for row in rows:
        if row["status"] == DONE and row["body"] != body:
            raise BadInput(
                f"the test image {row['image']} was calibrated with another body model "
                f"(fingerprint {row['body'][:12]}) than the one in use ({body[:12]}); build the "
                "test set again with this --body, or score with the body it was built with."
            )


def check_field(field: Distribution, body: str) -> None:
    """BadInput if the field is known to be made on another body than the one of this fingerprint,
    the test set's."""
    if field.body and field.body != body:
        raise BadInput(
            f"the distribution of {field.category or 'this category'!r} was made on another body "
            f"model (fingerprint {field.body[:12]}) than the test set's ({body[:12]}), so their "
            "spaces differ; aggregate and build the test set with the same --body."
        )


def warn_of_unknown_body(field: Distribution) -> None:
    """Say so if nobody knows which body a field was made on, as for other methods' fields."""
    if not field.body:
        log.warning(
            "the field %s does not name the body it was made on; the figures hold only if it is "
            "the test set's.",
            repr(field.category) if field.category else "that is scored",
        )


def reasons(rows: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How many candidates each reason left out, whatever its details (after a colon)."""
    return Counter(row["reason"].split(":")[0] for row in rows if row["status"] != DONE)

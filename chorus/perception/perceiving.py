"""Persons of single photographs: BlazePose's keypoints, landmarks and masks, and fitted bodies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from chorus.perception.blazepose import Blazepose
from chorus.perception.blazepose_body import BodyFitter, PerceivedBody, doubt
from chorus.perception.blazepose_keypoints import keypoints_of

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.perception.blazepose_found import Found


@dataclass(frozen=True, eq=False)
class PerceivedPerson:
    """One person of a photograph.

    found: box, mask and landmarks; keypoints (17, 3): COCO's, x, y in pixels, confidence; body:
    None if it should not be believed, for the reason that `doubt` says.
    """

    found: Found
    keypoints: Float[np.ndarray, "17 3"]
    body: PerceivedBody | None
    doubt: str


class Perceiver:
    """Finds persons and fits a body to each. Unavailable if the package or a weight is missing."""

    def __init__(self, imports_dir: Path, body: BodyModel):
        self._networks = Blazepose(imports_dir)
        self._fit = BodyFitter(body)

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> list[PerceivedPerson]:
        """Everybody in an image (H, W, 3) RGB, the surest first."""
        found = self._networks.find_persons(image)
        height, width = image.shape[:2]
        persons = []
        for one, body in zip(found, self._fit(found, (width, height)), strict=True):
            reason = doubt(body)
            kept = None if reason else body
            persons.append(PerceivedPerson(one, keypoints_of(one, one.box), kept, reason))
        return persons

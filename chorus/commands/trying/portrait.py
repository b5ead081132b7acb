"""The picture that networks are tried on: scikit-image's astronaut, a portrait to the hips.

A photograph (NASA, public domain) that comes with the package. Places in it were read off by eye,
in pixels of its 512 x 512.
"""

from __future__ import annotations

import numpy as np

from chorus.records.keys import SampleKey
from chorus.records.rows import Image

SIDE = 512
CATEGORY = "airplane"
"""The category that the segmenter is asked for: a model of the space shuttle stands behind her."""
PERSON_BOX = np.array([20, 15, 362, 512], np.float32)
"""xyxy of the person."""
PLACES: dict[str, tuple[float, float]] = {
    "nose": (224, 125),
    "left_eye": (247, 104),
    "right_eye": (203, 101),
    "left_shoulder": (318, 268),
    "right_shoulder": (97, 268),
}
"""Where COCO's keypoints of these names lie; left is the person's own left. The suit hides the
shoulders, which are therefore known to a head's width."""


def portrait(category: str = CATEGORY) -> Image:
    """The picture, as the steps hand it to networks; "person" asks for persons alone."""
    from skimage.data import astronaut

    key = SampleKey("doctor", category, "A portrait of an astronaut", "original", 0)
    return Image(key, np.ascontiguousarray(astronaut()[..., :3]))

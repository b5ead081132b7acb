"""COCO's 17 keypoints on a body: shoulders to ankles are joints, the face's five are vertices.

The vertices are found by their place on the head, so that any body model will do.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from chorus.body.model import BodyModel
from chorus.body.skeleton import JOINT_NAMES

KEYPOINT_NAMES: tuple[str, ...] = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    *(
        f"{side}_{name}"
        for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ),
)
"""The 17 keypoints in COCO's order."""

BONES = tuple(
    (KEYPOINT_NAMES.index(a), KEYPOINT_NAMES.index(b))
    for a, b in (
        *((f"{s}_{u}", f"{s}_{v}") for s in ("left", "right") for u, v in (
            ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"),
            ("shoulder", "hip"), ("eye", "ear"),
        )),
        ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
        ("nose", "left_eye"), ("nose", "right_eye"),
    )
)  # fmt: skip
"""Pairs of keypoints, by number, between which a skeleton is drawn."""

BODY_KEYPOINTS = [JOINT_NAMES.index(name) for name in KEYPOINT_NAMES[5:]]
"""The joints that keypoints 5..16 are."""

# Eyes relative to the tip of the nose: sideways and up, in heights of the head.
_EYE_ASIDE, _EYE_UP = 0.125, 0.14


@lru_cache(maxsize=4)
def face_vertices(body: BodyModel) -> np.ndarray:
    """(5,) vertex numbers of nose, left eye, right eye, left ear, right ear on any body."""
    points = body.v_template.cpu().numpy()
    head = np.flatnonzero(body.part_of_vertex.cpu().numpy() == JOINT_NAMES.index("head"))
    place = points[head]
    height = np.ptp(place[:, 1])
    nose = np.argmax(place[:, 2] - np.abs(place[:, 0]))
    front = place[:, 2] > np.median(place[:, 2])
    picks = [nose]
    for side in (1, -1):
        eye = place[nose, :2] + height * np.array([side * _EYE_ASIDE, _EYE_UP])
        away = np.linalg.norm(place[:, :2] - eye, axis=1)
        picks.append(np.argmin(np.where(front, away, np.inf)))
    picks += [np.argmax(place[:, 0]), np.argmin(place[:, 0])]
    return head[picks]

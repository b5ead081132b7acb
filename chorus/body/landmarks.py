"""Landmarks on a body: those of a network's set that a body of SMPL's format has a point for.

Shoulders to ankles are joints; face, heels and toes are vertices, found by their place on the body,
so that any body model will do. What has no point of its own (BlazePose's mouth and single fingers,
MHR's finger joints) is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from chorus.body.keypoints import face_vertices
from chorus.body.model import BodyModel
from chorus.body.skeleton import JOINT_NAMES


@dataclass(frozen=True)
class LandmarkSet:
    """A network's landmarks, by their numbers.

    count: how many there are. face: nose, eyes, ears, the order of `face_vertices`. joints: pairs
    of number and joint. heels, toes: left and right.
    """

    name: str
    count: int
    face: tuple[int, int, int, int, int]
    joints: tuple[tuple[int, str], ...]
    heels: tuple[int, int]
    toes: tuple[int, int]

    def number(self, joint: str) -> int:
        """The landmark that is a joint."""
        return next(number for number, name in self.joints if name == joint)


BLAZEPOSE = LandmarkSet(
    name="BlazePose",
    count=33,
    face=(0, 2, 5, 7, 8),
    joints=(
        (11, "left_shoulder"),
        (12, "right_shoulder"),
        (13, "left_elbow"),
        (14, "right_elbow"),
        (15, "left_wrist"),
        (16, "right_wrist"),
        (23, "left_hip"),
        (24, "right_hip"),
        (25, "left_knee"),
        (26, "right_knee"),
        (27, "left_ankle"),
        (28, "right_ankle"),
    ),
    heels=(29, 30),
    toes=(31, 32),
)
MHR70 = LandmarkSet(
    name="MHR's 70 keypoints",
    count=70,
    face=(0, 1, 2, 3, 4),
    joints=(
        (5, "left_shoulder"),
        (6, "right_shoulder"),
        (7, "left_elbow"),
        (8, "right_elbow"),
        (9, "left_hip"),
        (10, "right_hip"),
        (11, "left_knee"),
        (12, "right_knee"),
        (13, "left_ankle"),
        (14, "right_ankle"),
        (32, "right_hand"),  # where the middle finger begins
        (41, "right_wrist"),
        (53, "left_hand"),
        (62, "left_wrist"),
    ),
    heels=(17, 20),
    toes=(15, 18),
)
"""The order of SAM 3D Body's keypoints (sam_3d_body/metadata/mhr70.py)."""

LANDMARKS = BLAZEPOSE.count
"""How many BlazePose tells."""

_HEELS = (("left_ankle", "left_foot"), ("right_ankle", "right_foot"))
_TOES = (("left_foot",), ("right_foot",))

COCO = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""The landmarks that COCO's 17 keypoints are, in COCO's order."""


@dataclass(frozen=True)
class BodyLandmarks:
    """K landmarks on a body.

    numbers (K,): which of its set each is; carrier (K,): the joint that it moves with; rest
    (K, 3) metres: its place on the zero-shape body in the rest pose; shapedirs (K, 3, S): how it
    moves with each shape component, metres.
    """

    numbers: tuple[int, ...]
    carrier: Int[Tensor, " K"]
    rest: Float[Tensor, "K 3"]
    shapedirs: Float[Tensor, "K 3 S"]


@lru_cache(maxsize=8)
def body_landmarks(body: BodyModel, landmarks: LandmarkSet = BLAZEPOSE) -> BodyLandmarks:
    """The landmarks of a set that a body has; those of head and feet only with a mesh of these."""
    part = body.part_of_vertex.cpu()
    points = body.v_template.cpu()
    vertices: dict[int, int] = {}
    if (part == JOINT_NAMES.index("head")).any():
        vertices.update(zip(landmarks.face, face_vertices(body).tolist(), strict=True))
    # A foot's toes are its foremost vertex, its heel the hindmost.
    for numbers, parts, sign in ((landmarks.toes, _TOES, 1.0), (landmarks.heels, _HEELS, -1.0)):
        for number, joints in zip(numbers, parts, strict=True):
            on = torch.isin(part, torch.tensor([JOINT_NAMES.index(name) for name in joints]))
            if on.any():
                vertices[number] = int(torch.where(on, sign * points[:, 2], -np.inf).argmax())
    rest, places = body.v_template.double(), body.joint_regressor.double()
    dirs = body.shapedirs.double()
    on_joints = dict(landmarks.joints)
    rows, carriers, numbers = [], [], sorted([*vertices, *on_joints])
    for number in numbers:
        if number in vertices:
            at = vertices[number]
            rows.append((rest[at], dirs[at]))
            carriers.append(int(part[at]))
        else:
            joint = JOINT_NAMES.index(on_joints[number])
            rows.append((places[joint] @ rest, torch.einsum("v,vcs->cs", places[joint], dirs)))
            carriers.append(joint)
    return BodyLandmarks(
        numbers=tuple(numbers),
        carrier=torch.tensor(carriers, device=body.device),
        rest=torch.stack([row[0] for row in rows]),
        shapedirs=torch.stack([row[1] for row in rows]),
    )

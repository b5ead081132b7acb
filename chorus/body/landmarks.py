"""BlazePose's 33 landmarks on a body: those that a body of SMPL's format has a point for.

Shoulders to ankles are joints; face, heels and toes are vertices, found by their place on the body,
so that any body model will do. The mouth and single fingers have no point of their own.
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

LANDMARKS = 33
"""How many BlazePose tells."""

_FACE = (0, 2, 5, 7, 8)  # nose, eyes, ears: the order of `face_vertices`
_JOINTS = {
    11: "left_shoulder",
    12: "right_shoulder",
    13: "left_elbow",
    14: "right_elbow",
    15: "left_wrist",
    16: "right_wrist",
    23: "left_hip",
    24: "right_hip",
    25: "left_knee",
    26: "right_knee",
    27: "left_ankle",
    28: "right_ankle",
}
_HEELS = {29: ("left_ankle", "left_foot"), 30: ("right_ankle", "right_foot")}
_TOES = {31: ("left_foot",), 32: ("right_foot",)}

COCO = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""The landmarks that COCO's 17 keypoints are, in COCO's order."""


@dataclass(frozen=True)
class BodyLandmarks:
    """K landmarks on a body.

    numbers (K,): which of the 33 each is; carrier (K,): the joint that it moves with; rest
    (K, 3) metres: its place on the zero-shape body in the rest pose; shapedirs (K, 3, S): how it
    moves with each shape component, metres.
    """

    numbers: tuple[int, ...]
    carrier: Int[Tensor, " K"]
    rest: Float[Tensor, "K 3"]
    shapedirs: Float[Tensor, "K 3 S"]


@lru_cache(maxsize=4)
def body_landmarks(body: BodyModel) -> BodyLandmarks:
    """The landmarks that a body has: 21 with a mesh of head and feet, fewer without."""
    part = body.part_of_vertex.cpu()
    points = body.v_template.cpu()
    vertices: dict[int, int] = {}
    if (part == JOINT_NAMES.index("head")).any():
        vertices.update(zip(_FACE, face_vertices(body).tolist(), strict=True))
    # A foot's toes are its foremost vertex, its heel the hindmost.
    for names, sign in ((_TOES, 1.0), (_HEELS, -1.0)):
        for number, joints in names.items():
            on = torch.isin(part, torch.tensor([JOINT_NAMES.index(name) for name in joints]))
            if on.any():
                vertices[number] = int(torch.where(on, sign * points[:, 2], -np.inf).argmax())
    rest, places = body.v_template.double(), body.joint_regressor.double()
    dirs = body.shapedirs.double()
    rows, carriers, numbers = [], [], sorted([*vertices, *_JOINTS])
    for number in numbers:
        if number in vertices:
            at = vertices[number]
            rows.append((rest[at], dirs[at]))
            carriers.append(int(part[at]))
        else:
            joint = JOINT_NAMES.index(_JOINTS[number])
            rows.append((places[joint] @ rest, torch.einsum("v,vcs->cs", places[joint], dirs)))
            carriers.append(joint)
    return BodyLandmarks(
        numbers=tuple(numbers),
        carrier=torch.tensor(carriers, device=body.device),
        rest=torch.stack([row[0] for row in rows]),
        shapedirs=torch.stack([row[1] for row in rows]),
    )

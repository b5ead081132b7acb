"""Bodies into poses: forward kinematics and two-bone inverse kinematics of one figure, numpy.

Interaction files give the spine and head as joint angles and the limbs as places for hands and
feet, which is how people describe a stance; this module turns both into SMPL rotations. Of angles,
in degrees, positive `bend` leans forward, `twist` turns to the left, `lean` tips to the right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from chorus.body.skeleton import JOINT_NAMES, PARENTS

LIMBS = {
    "left_arm": ("left_shoulder", "left_elbow", "left_wrist"),
    "right_arm": ("right_shoulder", "right_elbow", "right_wrist"),
    "left_leg": ("left_hip", "left_knee", "left_ankle"),
    "right_leg": ("right_hip", "right_knee", "right_ankle"),
}
"""The three joints of each limb."""

# In the rest pose elbows point back when they bend and knees point forward.
_REST_POLE = {"arm": np.array([0.0, 0.0, -1.0]), "leg": np.array([0.0, 0.0, 1.0])}
_WRIST_LIMIT = np.radians(65.0)
_FOREARM_SHARE = 0.7
_GRIP_DEGREES = 75.0


def angles_to_matrix(bend: float, twist: float, lean: float) -> np.ndarray:
    """Rotation (3, 3) from degrees: lean about z first, then bend about x, then twist about y."""
    x, y, z = np.radians([bend, twist, lean])
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]], dtype=float
    )
    about_y = np.array(
        [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]], dtype=float
    )
    about_z = np.array(
        [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]], dtype=float
    )
    return about_y @ about_x @ about_z


def about_axis(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation (3, 3) by an angle in radians about a unit axis (3,), Rodrigues' formula."""
    cross = np.array(
        [[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]], dtype=float
    )
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def unit(vector: np.ndarray) -> np.ndarray:
    """The vector (3,) at length 1; a vanishing one stays as it is."""
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-9 else vector


def frame_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Right-handed axes (3, 3) as columns: along `first`, along `second` as far as it goes."""
    a = unit(first)
    b = unit(second - (second @ a) * a)
    if np.linalg.norm(b) < 0.5:
        spare = np.eye(3)[np.argmin(np.abs(a))]
        b = unit(spare - (spare @ a) * a)
    return np.stack([a, b, np.cross(a, b)], axis=1)


@dataclass
class Skeleton:
    """Joints of one body at rest (24, 3), metres, and its local rotations (24, 3, 3) so far."""

    rest: np.ndarray
    local: np.ndarray

    @classmethod
    def at_rest(cls, rest_joints: np.ndarray) -> Skeleton:
        """The T-pose."""
        return cls(np.asarray(rest_joints, float), np.tile(np.eye(3), (24, 1, 1)))

    @classmethod
    def from_pose(cls, rest_joints: np.ndarray, pose: np.ndarray) -> Skeleton:
        """The skeleton of an SMPL pose (24, 3) axis-angle, radians."""
        return cls(np.asarray(rest_joints, float), Rotation.from_rotvec(pose).as_matrix())

    def turn(self, joint: str, rotation: np.ndarray) -> None:
        """Set a joint's local rotation (3, 3)."""
        self.local[JOINT_NAMES.index(joint)] = rotation

    def forward(self) -> tuple[np.ndarray, np.ndarray]:
        """Global rotations (24, 3, 3) and joints (24, 3); the pelvis stays at its rest place."""
        rotations, joints = np.empty((24, 3, 3)), np.empty((24, 3))
        rotations[0], joints[0] = self.local[0], self.rest[0]
        for joint, parent in enumerate(PARENTS[1:], start=1):
            rotations[joint] = rotations[parent] @ self.local[joint]
            joints[joint] = joints[parent] + rotations[parent] @ (
                self.rest[joint] - self.rest[parent]
            )
        return rotations, joints

    def limb_length(self, limb: str) -> float:
        """Length of a limb from its first to its last joint, metres."""
        upper, middle, end = (self.rest[JOINT_NAMES.index(name)] for name in LIMBS[limb])
        return float(np.linalg.norm(middle - upper) + np.linalg.norm(end - middle))

    def reach(self, limb: str, target: np.ndarray, pole: np.ndarray) -> None:
        """Bend a limb so that its wrist or ankle comes to `target` (3,), or as near as it can.

        pole (3,): the direction in which the elbow or knee points.
        """
        upper, middle, end = (JOINT_NAMES.index(name) for name in LIMBS[limb])
        rotations, joints = self.forward()
        first, second = self.rest[middle] - self.rest[upper], self.rest[end] - self.rest[middle]
        a, b = np.linalg.norm(first), np.linalg.norm(second)
        way = target - joints[upper]
        distance = np.clip(np.linalg.norm(way), abs(a - b) + 0.02, 0.995 * (a + b))
        axis = unit(way)
        along = (a**2 - b**2 + distance**2) / (2 * distance)
        pole = frame_of(axis, pole)[:, 1]
        elbow = along * axis + np.sqrt(max(a**2 - along**2, 0.0)) * pole
        rest_pole = _REST_POLE[limb.split("_")[1]]
        turned = [
            frame_of(now, pole) @ frame_of(rest, rest_pole).T
            for now, rest in ((elbow, first), (distance * axis - elbow, second))
        ]
        self.local[upper] = rotations[PARENTS[upper]].T @ turned[0]
        self.local[middle] = turned[0].T @ turned[1]

    def orient_hand(self, side: str, fingers: np.ndarray, palm: np.ndarray) -> None:
        """Turn a hand so that its fingers and palm face two directions (3,), as far as it can.

        The turn about the forearm is shared between forearm and wrist, as in a real arm.
        """
        rest_fingers = np.array([1.0 if side == "left" else -1.0, 0.0, 0.0])
        target = frame_of(fingers, palm) @ frame_of(rest_fingers, np.array([0.0, -1.0, 0.0])).T
        rotations, _ = self.forward()
        elbow, wrist = (JOINT_NAMES.index(f"{side}_{name}") for name in ("elbow", "wrist"))
        relative = rotations[elbow].T @ target
        # Twist: the turn about the forearm that brings the palm as near as possible.
        skew = np.array(
            [
                relative[2, 1] - relative[1, 2],
                relative[0, 2] - relative[2, 0],
                relative[1, 0] - relative[0, 1],
            ]
        )
        twist = 2 * np.arctan2(skew @ rest_fingers, 1 + np.trace(relative))
        twist = np.clip((twist + np.pi) % (2 * np.pi) - np.pi, -np.radians(130), np.radians(130))
        self.local[elbow] = self.local[elbow] @ about_axis(rest_fingers, _FOREARM_SHARE * twist)
        rest_of_it = about_axis(rest_fingers, -_FOREARM_SHARE * twist) @ relative
        self.local[wrist] = limit_angle(rest_of_it, _WRIST_LIMIT)

    def orient_foot(self, side: str, toes: np.ndarray, up: np.ndarray) -> None:
        """Turn a foot so that its sole stands square to `up` and its toes face `toes` (3,)."""
        target = frame_of(up, toes) @ frame_of(np.array([0.0, 1, 0]), np.array([0.0, 0, 1])).T
        rotations, _ = self.forward()
        knee, ankle = (JOINT_NAMES.index(f"{side}_{name}") for name in ("knee", "ankle"))
        self.local[ankle] = limit_angle(rotations[knee].T @ target, np.radians(60.0))

    def grip(self, side: str, amount: float) -> None:
        """Close a hand: 0 open, 1 a fist."""
        angle = np.radians(_GRIP_DEGREES * amount) * (-1 if side == "left" else 1)
        self.turn(f"{side}_hand", about_axis(np.array([0.0, 0.0, 1.0]), angle))

    def pose(self) -> np.ndarray:
        """SMPL pose (24, 3) axis-angle, radians."""
        return matrices_to_axis_angle(self.local)


def limit_angle(rotation: np.ndarray, limit: float) -> np.ndarray:
    """The rotation (3, 3), or the part of it that turns by `limit` radians."""
    vector = matrices_to_axis_angle(rotation[None])[0]
    angle = np.linalg.norm(vector)
    return rotation if angle <= limit else about_axis(vector / angle, limit)


def matrices_to_axis_angle(matrices: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) to axis-angle (..., 3), radians, angles in [0, pi]."""
    flat = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec()
    return flat.reshape(*matrices.shape[:-2], 3)

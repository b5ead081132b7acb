"""A quadruped as a body: what CHORUS learns around persons, it learns around animals.

`BodyModel` has SMPL's 24 joints. The parts of a quadruped take those that suit them, the others
have no vertices and stay at rest, so that canonical space, aggregation, estimator and
`Distribution` serve an animal as they are. Its frame is SMPL's: x left, y up, z ahead, the trunk's
centre at the origin. No part takes a hip, which the canonical pose of persons turns: the canonical
quadruped is the template at rest.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from chorus.animals.template import Template
from chorus.body.model import BodyModel
from chorus.body.skeleton import JOINT_COUNT, JOINT_NAMES
from chorus.errors import BadInput

JOINTS = {
    "body": "pelvis",
    "neck": "neck",
    "head": "head",
    "LF_leg": "left_shoulder",
    "RF_leg": "right_shoulder",
    "LR_leg": "left_collar",
    "RR_leg": "right_collar",
}
"""The joint that each part of the free quadruped takes."""


def quadruped_body(template: Template) -> BodyModel:
    """The template as a body. BadInput for parts other than the free quadruped's."""
    joints = _joints(template)
    vertices = template.vertices - _origin(template)
    weights = np.zeros((len(vertices), JOINT_COUNT), np.float32)
    weights[:, joints] = template.membership
    return BodyModel(
        name=f"quadruped {template.name}",
        v_template=torch.tensor(vertices),
        shapedirs=torch.zeros(*vertices.shape, 1),
        posedirs=None,
        weights=torch.from_numpy(weights),
        joint_regressor=torch.from_numpy(_regressor(template, vertices)),
        faces=torch.tensor(template.faces),
        parents=tuple(_parents(template)),
    )


def quadruped_pose(
    template: Template, angles: Float[np.ndarray, "*batch P"]
) -> Float[np.ndarray, "*batch 24 3"]:
    """The pose (..., 24, 3), axis-angle, of `quadruped_body` whose hinges have these angles."""
    angles = np.asarray(angles, float)
    pose = np.zeros((*angles.shape[:-1], JOINT_COUNT, 3))
    pose[..., _joints(template), :] = angles[..., None] * template.axes
    return pose


def body_camera(
    template: Template,
    turn: Float[np.ndarray, "3 3"],
    place: Float[np.ndarray, " 3"],
    R: Float[np.ndarray, "3 3"],
    t: Float[np.ndarray, " 3"],
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    """R (3, 3) and t (3,) from the body's frame to the camera, for an animal that stands in the
    world by `turn` and `place` before a camera R, t of the world."""
    return R @ turn, R @ (turn @ _origin(template) + place) + t


def _origin(template: Template) -> Float[np.ndarray, " 3"]:
    return template.centres[template.parents.index(-1)]


def _joints(template: Template) -> list[int]:
    if set(template.parts) != set(JOINTS):
        raise BadInput(
            f"template {template.name!r} has the parts {', '.join(template.parts)}; a body is made "
            f"of {', '.join(JOINTS)}."
        )
    return [JOINT_NAMES.index(JOINTS[part]) for part in template.parts]


def _parents(template: Template) -> list[int]:
    """The parents of the 24 joints: those of the template's parts, the root for all others."""
    joints = _joints(template)
    parents = [-1] + [0] * (JOINT_COUNT - 1)
    for joint, parent in zip(joints, template.parents, strict=True):
        if parent >= 0:
            parents[joint] = joints[parent]
    return parents


def _regressor(template: Template, vertices: np.ndarray) -> Float[np.ndarray, "24 V"]:
    """The least weights of vertices, summing to one, that give the joints; a joint that no part
    takes lies at the root."""
    places = np.zeros((JOINT_COUNT, 3))
    places[_joints(template)] = template.centres - _origin(template)
    system = np.column_stack([vertices, np.ones(len(vertices))]).astype(float)
    wanted = np.column_stack([places, np.ones(JOINT_COUNT)])
    return (wanted @ np.linalg.pinv(system)).astype(np.float32)

"""Persons before a camera → `.smpl` files (smplcodec) and the npz of SMPL-X's programs.

Both are in a camera's frame with y up, x right and z towards the viewer, the frame of a camera of
Blender and glTF: the camera stands at the origin and looks along -z. The keys of the npz are
those that SMPL-X's Blender add-on asks for (AMASS's: `poses`, `trans`, `betas`, `gender`,
`mocap_frame_rate`) and the arguments of `smplx.SMPLX.forward`.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chorus.body.model import BodyModel
from chorus.errors import BadInput, Unavailable
from chorus.perception.recorded_persons import body_family
from chorus.perception.recorded_poses import (
    FREE_BODY,
    SMPLX,
    SMPLX_BODY_JOINTS,
    SMPLX_PELVIS,
)
from chorus.records.rows import Camera

FRAME_RATE = 30
"""Frames a second that the npz states: the add-on refuses less. The frames are different people,
so it says nothing of time."""

_UPRIGHT = np.diag([1.0, -1.0, -1.0])  # from x right, y down, z forward
_SMPL_VERTICES = 6890
_BODY = 1 + SMPLX_BODY_JOINTS  # joints that SMPL and SMPL-X share
_HAND, _EXPRESSION = 45, 10


@dataclass(frozen=True)
class PosedPerson:
    """A person: the image's name, pose (24, 3) axis-angle, betas (10,), the calibrated camera."""

    image: str
    pose: Float[np.ndarray, "24 3"]
    betas: Float[np.ndarray, " 10"]
    camera: Camera


def check_smpl_codec(body: BodyModel) -> None:
    """BadInput if a .smpl file cannot hold the body's shape; Unavailable without smplcodec."""
    if body_family(body) == FREE_BODY:
        raise BadInput(
            "a .smpl file holds the shape of SMPL's bodies, and the free body has shape "
            "parameters of its own; make the poses with --body SMPL_NEUTRAL.npz, or export smplx, "
            "which goes without a shape."
        )
    if body_family(body) != SMPLX and len(body.v_template) != _SMPL_VERTICES:
        raise BadInput(
            f"a .smpl file holds SMPL's body of {_SMPL_VERTICES:,} vertices or SMPL-X's; "
            f"{body.name!r} has {len(body.v_template):,}."
        )
    _codec()


def _codec():
    """The package, whose import would configure the root logger."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        import smplcodec
    except ImportError as error:
        raise Unavailable(
            "--formats smpl needs the package smplcodec: "
            "pip install -c constraints.txt -e '.[formats]'"
        ) from error
    root.handlers[:] = handlers
    root.setLevel(level)
    return smplcodec


def smpl_file(person: PosedPerson, body: BodyModel) -> bytes:
    """A .smpl file of one frame; body: one that `check_smpl_codec` let pass."""
    smplcodec = _codec()
    turn, pelvis = _placed(person, body)
    own = body.rest(person.betas[None])[1][0, 0].double().numpy()
    pose = person.pose.astype(np.float32).copy()
    pose[0] = _axis_angle(turn)
    extended = body_family(body) == SMPLX
    version = smplcodec.SMPLVersion.SMPLX if extended else smplcodec.SMPLVersion.SMPL
    made = smplcodec.SMPLCodec(
        smpl_version=version,
        gender=smplcodec.SMPLGender.NEUTRAL,
        shape_parameters=person.betas.astype(np.float32),
        frame_count=1,
        frame_rate=float(FRAME_RATE),
        body_translation=(pelvis - own).astype(np.float32)[None],
        body_pose=pose[None, :_BODY] if extended else pose[None],
    )
    content = io.BytesIO()
    made.write_to_buffer(content)
    return content.getvalue()


def smplx_arrays(persons: Sequence[PosedPerson], body: BodyModel) -> dict[str, np.ndarray]:
    """The npz of F persons, a frame each (docs/bring-your-own.md has its keys).

    Every pelvis is where it was before the camera. `betas` are the mean of the persons' if the
    body is SMPL-X's, else zero, since other shapes mean other things; SMPL's two hand joints have
    no counterpart and are left out.
    """
    count = len(persons)
    placed = [_placed(person, body) for person in persons]
    shaped = body_family(body) == SMPLX
    betas = np.array([person.betas for person in persons], np.float32)
    mean = betas.mean(axis=0) if shaped else np.zeros(betas.shape[1], np.float32)
    own = body.rest(mean[None])[1][0, 0].double().numpy() if shaped else SMPLX_PELVIS
    parts = {
        "global_orient": np.array([_axis_angle(turn) for turn, _ in placed]),
        "body_pose": np.array([person.pose[1:_BODY].ravel() for person in persons]),
        **{name: np.zeros((count, 3)) for name in ("jaw_pose", "leye_pose", "reye_pose")},
        **{name: np.zeros((count, _HAND)) for name in ("left_hand_pose", "right_hand_pose")},
    }
    parts = {name: values.astype(np.float32) for name, values in parts.items()}
    place = np.array([pelvis - own for _, pelvis in placed]).astype(np.float32)
    return {
        "surface_model_type": np.array("smplx"),
        "gender": np.array("neutral"),
        "mocap_frame_rate": np.array(FRAME_RATE),
        "betas": mean,
        "poses": np.concatenate(list(parts.values()), axis=1),
        "trans": place,
        **parts,
        "transl": place,
        "expression": np.zeros((count, _EXPRESSION), np.float32),
        "image": np.array([person.image for person in persons]),
        "K": np.array([person.camera.K for person in persons], np.float32),
        **({"betas_of_frames": betas} if shaped else {}),
    }


def _placed(person: PosedPerson, body: BodyModel) -> tuple[np.ndarray, np.ndarray]:
    """The body frame's rotation (3, 3) and the pelvis (3,) in the camera's frame, y up.

    The camera was calibrated to the body of zero shape, which has its pelvis there.
    """
    camera = person.camera
    pelvis = body.rest()[1][0].double().numpy()
    R, t = camera.R.astype(np.float64), camera.t.astype(np.float64)
    return _UPRIGHT @ R, _UPRIGHT @ (R @ pelvis + t)


def _axis_angle(turn: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " 3"]:
    import roma
    import torch

    return roma.rotmat_to_rotvec(torch.from_numpy(turn)).float().numpy()

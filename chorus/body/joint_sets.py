"""The 24 joints that cameras are fitted to: SMPL's kinematic ones, or those of the paper's release.

The release's regressor knows 49 joints (method.md, appendix): 25 in OpenPose's order, then 24 of
which its calibration makes use. They come from three places: SMPL's 24 kinematic joints, vertices
of the posed mesh, and 9 rows of SPIN's `J_regressor_extra.npy`, which average posed vertices. Only
a mesh of SMPL's 6890 vertices (SMPL or SMPL-H) has them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from chorus.body.keypoints import BODY_KEYPOINTS, KEYPOINT_NAMES
from chorus.body.model import BodyModel, PosedBody
from chorus.body.skeleton import KINEMATIC, RELEASE_24
from chorus.errors import BadInput, unknown_name
from chorus.files import check_npy
from chorus.models import registry

VERTICES = 6890
EXTRA_JOINTS = 9
WEIGHT = "smpl-extra-joints"

# Vertices of SMPL's mesh, in the order in which the package smplx (vertex_ids, "smplh") appends
# them to the kinematic joints: nose, right and left eye, right and left ear; big toe, small toe and
# heel, left then right; finger tips from the thumb, left then right.
_FACE = (332, 6260, 2800, 4071, 583)
_FEET = (3216, 3226, 3387, 6617, 6624, 6787)
_FINGERS = (2746, 2319, 2445, 2556, 2673, 6191, 5782, 5905, 6016, 6133)
MESH_VERTICES = (*_FACE, *_FEET, *_FINGERS)

# Places of the 49 among 24 kinematic joints, 21 vertices (24 ..) and 9 extra joints (45 ..); the
# facts are those of SPIN's constants.
_OPENPOSE = (24, 12, 17, 19, 21, 16, 18, 20, 0, 2, 5, 8, 1, 4, 7, *range(25, 35))
_LIMBS = (8, 5, 45, 46, 4, 7, 21, 19, 17, 16, 18, 20)
_TRUNK_AND_FACE = (*range(47, 54), 24, 26, 25, 28, 27)
# The last 24 begin with ankles, knees, hips, wrists, elbows and shoulders, and end with the face.
_RELEASE_LIMBS = (9, 8, 10, 7, 11, 6, 3, 2, 4, 1, 5, 0)
_RELEASE_FACE = (19, 20, 21, 22, 23)
ORDER = (*_OPENPOSE, *_LIMBS, *_TRUNK_AND_FACE)


class JointSource(Protocol):
    """Where 24 posed joints come from; a `BodyModel` is one, of its kinematic joints."""

    def posed_joints(self, pose: Tensor, betas: Tensor | None = None) -> Tensor:
        """Joints (..., 24, 3), metres, of a pose as `BodyModel.pose` takes it."""

    def to(self, device: torch.device | str) -> JointSource:
        """The same on another device."""


@dataclass(frozen=True, eq=False)
class ReleaseJoints:
    """The last 24 of the release's 49 joints."""

    body: BodyModel
    extra: Float[Tensor, "9 6890"]
    """SPIN's regressor of 9 joints from posed vertices."""

    def posed_joints(self, pose: Tensor, betas: Tensor | None = None) -> Float[Tensor, "*b 24 3"]:
        """Joints (..., 24, 3), metres, of a pose as `BodyModel.pose` takes it."""
        return release_joints(self.body.pose(pose, betas), self.extra)[..., -24:, :]

    def to(self, device: torch.device | str) -> ReleaseJoints:
        """The same on another device."""
        return replace(self, body=self.body.to(device), extra=self.extra.to(device))


def coco_keypoints(name: str) -> list[int | None]:
    """Which of the 24 joints of that name each of COCO's 17 keypoints is; None for none of them.

    BadInput for another name.
    """
    if name == KINEMATIC:
        return [*[None] * (len(KEYPOINT_NAMES) - len(BODY_KEYPOINTS)), *BODY_KEYPOINTS]
    if name != RELEASE_24:
        raise unknown_name("joint set", name, (KINEMATIC, RELEASE_24))
    return [*_RELEASE_FACE, *_RELEASE_LIMBS]


def release_joints(
    posed: PosedBody, extra: Float[Tensor, "9 6890"]
) -> Float[Tensor, "*batch 49 3"]:
    """The 49 joints (..., 49, 3) of a posed body of SMPL's mesh, metres (method.md, appendix)."""
    places = [posed.joints, posed.vertices[..., MESH_VERTICES, :], extra @ posed.vertices]
    return torch.cat(places, dim=-2)[..., ORDER, :]


def joint_source(name: str, body: BodyModel, imports_dir: Path) -> JointSource:
    """The joints of that name, of a body: `kinematic` or `release-24`.

    BadInput for another name, for `release-24` of a body without SMPL's mesh, and for a damaged
    regressor; Unavailable if the regressor is not below the imports folder.
    """
    if name == KINEMATIC:
        return body
    if name != RELEASE_24:
        raise unknown_name("joint set", name, (KINEMATIC, RELEASE_24))
    vertices = len(body.v_template)
    if vertices != VERTICES:
        raise BadInput(
            f"the joints {RELEASE_24!r} need the mesh of SMPL, {VERTICES} vertices; the body "
            f"{body.name!r} has {vertices}. Give SMPL's file with --body, or take --joints "
            f"{KINEMATIC}."
        )
    return ReleaseJoints(body, torch.from_numpy(_read_extra(registry.require(WEIGHT, imports_dir))))


def _read_extra(path: Path) -> Float[np.ndarray, "9 6890"]:
    try:
        with path.open("rb") as stream:
            check_npy(stream, path.stat().st_size, path.name)
        extra = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(
            f"{path} cannot be read as .npy ({type(error).__name__}: {error}); "
            f"{registry.how_to_replace(path)}."
        ) from error
    shape = getattr(extra, "shape", None)  # an archive of arrays has none
    if shape != (EXTRA_JOINTS, VERTICES) or extra.dtype.kind != "f" or not np.isfinite(extra).all():
        raise BadInput(
            f"{path} is not SPIN's regressor of extra joints: expected finite numbers of shape "
            f"({EXTRA_JOINTS}, {VERTICES}), found shape {shape}; {registry.how_to_replace(path)}."
        )
    return extra.astype(np.float32)

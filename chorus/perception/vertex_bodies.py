"""Bodies fitted to the vertices of another body model's meshes, over a stated correspondence.

Of SAM 3D Body's MHR meshes. The fit is `smplfitter`'s (MIT, its numpy back end): rotations of the
body's parts, shape and place by linear least squares, in turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from chorus.body.model import BodyModel
from chorus.errors import BadInput, Unavailable
from chorus.perception.poses_of_npz import NpzArrays
from chorus.perception.poses_of_sam3d import MHR_VERTICES

if TYPE_CHECKING:
    from smplfitter.np import BodyFitter

_ROUNDS = 3
_SHAPE_WEIGHT = 1.0  # of the shape's square beside that of the vertices: smplfitter's own
_UNITY = 1e-3


@dataclass(frozen=True)
class Correspondence:
    """Where each of a body's V vertices lies on the other mesh: in a face of three of its vertices
    (V, 3), at barycentric weights (V, 3)."""

    faces: Int[np.ndarray, "V 3"]
    weights: Float[np.ndarray, "V 3"]

    def carried(self, vertices: Float[np.ndarray, "P N 3"]) -> Float[np.ndarray, "P V 3"]:
        """The body's vertices on other meshes."""
        return np.einsum("vk,pvkc->pvc", self.weights, vertices[:, self.faces])


def read_correspondence(path: Path, body: BodyModel) -> Correspondence:
    """The correspondence of an `.npz` with `faces` and `weights`; BadInput if it is not MHR's
    with this body."""
    stored = NpzArrays(path)
    count = len(body.v_template)
    faces, weights = (_array(stored, name, count, path) for name in ("faces", "weights"))
    if faces.dtype.kind not in "iu" or faces.min() < 0 or faces.max() >= MHR_VERTICES:
        raise BadInput(
            f"{path}: faces are {faces.dtype} from {faces.min()} to {faces.max()}; expected "
            f"numbers of MHR's {MHR_VERTICES} vertices, from 0."
        )
    if not np.isfinite(weights).all() or np.abs(weights.sum(1) - 1).max() > _UNITY:
        raise BadInput(f"{path}: the weights of a vertex must add up to 1.")
    return Correspondence(faces.astype(np.int64), weights.astype(np.float64))


def _array(stored: Mapping[str, np.ndarray], name: str, count: int, path: Path) -> np.ndarray:
    found = stored.get(name)
    if found is None or found.shape != (count, 3) or found.dtype.kind not in "fiu":
        what = "nothing" if found is None else f"{found.dtype} {found.shape}"
        raise BadInput(
            f"{path}: {name} is {what}; expected numbers ({count}, 3), a row for each vertex of "
            "the body: --body must be the one that the correspondence was made for."
        )
    return found


@dataclass(frozen=True)
class VertexFits:
    """P bodies: pose (P, 24, 3) axis-angle in the meshes' axes, betas (P, S), translation (P, 3) of
    the body's origin, metres; residual (P,): root mean squared distance of the vertices, metres."""

    pose: Float[Tensor, "P 24 3"]
    betas: Float[Tensor, "P S"]
    translation: Float[Tensor, "P 3"]
    residual: Float[Tensor, " P"]


class VertexFitter:
    """Fits one body model to meshes. Unavailable if smplfitter is missing."""

    def __init__(self, body: BodyModel, correspondence: Correspondence):
        self._body = body
        self._correspondence = correspondence
        self._fitter = _fitter(body)

    def __call__(self, meshes: Float[np.ndarray, "P N 3"]) -> VertexFits:
        """Fit every mesh; one that is not finite comes out as NaN."""
        target = self._correspondence.carried(meshes).astype(np.float32)
        finite = np.isfinite(target).all(axis=(1, 2))
        target[~finite] = self._body.v_template.numpy()
        found = self._fitter.fit(target, num_iter=_ROUNDS, beta_regularizer=_SHAPE_WEIGHT)
        pose, betas, translation = (
            torch.from_numpy(np.asarray(found[name], np.float32))
            for name in ("pose_rotvecs", "shape_betas", "trans")
        )
        pose = pose.unflatten(1, (-1, 3))
        pose[torch.from_numpy(~finite)] = torch.nan
        away = self._body.pose(pose, betas, translation).vertices - torch.from_numpy(target)
        return VertexFits(pose, betas, translation, away.square().sum(-1).mean(-1).sqrt())


def _fitter(body: BodyModel) -> BodyFitter:
    try:
        from smplfitter.np import BodyFitter
        from smplfitter.np import BodyModel as Model
    except ImportError as error:
        raise Unavailable(
            "--correspondence needs the package smplfitter: "
            "pip install -c constraints.txt -e '.[mhr]'"
        ) from error

    def array(values: Tensor) -> np.ndarray:
        return np.ascontiguousarray(values.numpy(), np.float32)

    count, joints = len(body.v_template), len(body.parents)
    # smplfitter reads models from files of its own; ours has what these would give.
    model = object.__new__(Model)
    posedirs = torch.zeros(9 * (joints - 1), 3 * count) if body.posedirs is None else body.posedirs
    model.__dict__.update(
        model_name="smpl",
        gender="neutral",
        v_template=array(body.v_template),
        shapedirs=array(body.shapedirs),
        posedirs=array(posedirs.T.unflatten(0, (count, 3))),
        J_regressor_post_lbs=array(body.joint_regressor),
        J_template=array(body.rest()[1]),
        J_shapedirs=array(body.joint_shapedirs),
        kid_shapedir=np.zeros((count, 3), np.float32),
        kid_J_shapedir=np.zeros((joints, 3), np.float32),
        weights=array(body.weights),
        kintree_parents=np.array(body.parents),
        num_joints=joints,
        num_vertices=count,
        num_betas=body.shapedirs.shape[-1],
    )
    return BodyFitter(model)

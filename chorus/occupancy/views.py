"""Samples made ready for aggregation: unusable ones refused, mirrored, one matrix per joint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from roma import rotvec_to_rotmat
from torch import Tensor

from chorus.body.model import mirror_pose
from chorus.errors import BadInput
from chorus.geometry.cameras import mirror_camera
from chorus.occupancy.canonical import CanonicalSpace
from chorus.occupancy.mask_bits import MaskBits, of_mask


class Views(NamedTuple):
    """What aggregation needs of B samples.

    pose (B, 24, 3) axis-angle, radians (the global rotation is ignored: the camera has it);
    R (B, 3, 3), t (B, 3) metres: body frame to camera; K (B, 3, 3) pixels; masks: B arrays
    (H, W) bool or the same as `MaskBits`, the union of the category's instances, sizes may differ;
    level: as how many samples each counts, 1 or more; all as one if None.
    """

    pose: Float[Tensor, "B 24 3"]
    R: Float[Tensor, "B 3 3"]
    t: Float[Tensor, "B 3"]
    K: Float[Tensor, "B 3 3"]
    masks: Sequence[Bool[np.ndarray, "H W"] | MaskBits]
    level: Sequence[int] | None = None

    @classmethod
    def of(
        cls,
        pose: Float[np.ndarray, "B 24 3"],
        R: Float[np.ndarray, "B 3 3"],
        t: Float[np.ndarray, "B 3"],
        K: Float[np.ndarray, "B 3 3"],
        masks: Sequence[Bool[np.ndarray, "H W"] | MaskBits],
        level: Sequence[int] | None = None,
    ) -> Views:
        """Samples from arrays, lists or tensors; the last dimensions may be flat, as in tables.

        BadInput if they do not hold equally many samples of these shapes.
        """
        shapes = {"pose": (24, 3), "R": (3, 3), "t": (3,), "K": (3, 3)}
        tensors = []
        for (name, shape), values in zip(shapes.items(), (pose, R, t, K), strict=True):
            tensor = torch.as_tensor(np.asarray(values, np.float32))
            if tensor.numel() != len(masks) * math.prod(shape):
                raise BadInput(
                    f"{len(masks)} masks need {name} of shape {(len(masks), *shape)}; found "
                    f"{tuple(tensor.shape)}."
                )
            tensors.append(tensor.reshape(len(masks), *shape))
        return cls(*tensors, list(masks), None if level is None else list(level))

    def levels(self) -> Int[np.ndarray, " B"]:
        """(B,): as how many samples each counts. BadInput unless all are whole numbers of 1 or
        more, one for each sample."""
        count = len(self.masks)
        levels = np.ones(count, np.int64) if self.level is None else np.asarray(self.level)
        whole = levels.shape == (count,) and (levels.dtype.kind in "iu" or not count)
        if not whole or (levels < 1).any():
            raise BadInput(
                f"{count} samples need as many levels, whole numbers of 1 or more; found "
                f"{levels.dtype} {levels.shape}, smallest {levels.min(initial=1)}."
            )
        return levels

    def select(self, index: Sequence[int]) -> Views:
        """The samples of these numbers, in this order."""
        rows = torch.as_tensor(list(index), dtype=torch.long)
        masks = [self.masks[i] for i in index]
        level = None if self.level is None else [self.level[i] for i in index]
        return Views(*(tensor[rows] for tensor in self[:4]), masks, level)


def unusable(views: Views) -> list[str]:
    """Per sample the reason it cannot be aggregated, "" if it can."""
    faults = [""] * len(views.masks)
    for name, tensor in zip(("pose", "R", "t", "K"), views[:4], strict=True):
        finite = torch.isfinite(tensor).flatten(1).all(dim=1)
        for index in torch.nonzero(~finite)[:, 0].tolist():
            faults[index] = faults[index] or f"{name} is not finite"
    seeing = (views.K[:, 0, 0] > 0) & (views.K[:, 1, 1] > 0)
    for index in torch.nonzero(~seeing)[:, 0].tolist():
        faults[index] = faults[index] or "the focal length is not above 0"
    for index, mask in enumerate(views.masks):
        if isinstance(mask, MaskBits):
            if not mask.size:
                faults[index] = faults[index] or "the mask has no pixel"
        elif mask.ndim != 2 or mask.size == 0 or mask.dtype != bool:
            faults[index] = faults[index] or (
                f"the mask is {mask.dtype} {mask.shape}, not bool (height, width)"
            )
    return faults


def packed(mask: Bool[np.ndarray, "H W"] | MaskBits) -> MaskBits:
    """The mask as bits."""
    return mask if isinstance(mask, MaskBits) else of_mask(mask)


def _dense(mask: Bool[np.ndarray, "H W"] | MaskBits) -> Bool[np.ndarray, "H W"]:
    return mask.dense() if isinstance(mask, MaskBits) else mask


def mirrored(views: Views) -> Views:
    """The same samples seen in a mirror: left and right exchanged (method.md 8).

    K stays, which is right where the principal point is the middle of the image.
    """
    R, t = mirror_camera(views.R, views.t)
    masks = [_dense(mask)[:, ::-1] for mask in views.masks]
    return Views(mirror_pose(views.pose), R, t, views.K, masks, views.level)


def joint_cameras(space: CanonicalSpace, views: Views) -> Float[Tensor, "B 24 3 4"]:
    """Per sample and joint the map from the star pose to homogeneous pixels, float32.

    K [R | t] A A_star^-1 with zero shape and zero global rotation (method.md 7); K [R | t] alone
    where the settings do not canonicalise. A place's pixel is the blend of these by its skinning
    weights.
    """
    camera = _cameras(views)
    if not space.settings.canonicalise:
        return camera[:, None].expand(-1, 24, 3, 4).float()
    return (camera[:, None] @ space.transforms(views.pose)).float()


def body_cameras(
    space: CanonicalSpace, views: Views
) -> tuple[Float[Tensor, "B 24 3 4"], Float[Tensor, "B 207"]]:
    """Per sample and joint the map from the rest pose to homogeneous pixels, float64, and what the
    pose blend shapes are multiplied by, float32.

    K [R | t] A with zero shape and zero global rotation, whether the settings canonicalise or not:
    the person is in the pose either way.
    """
    pose = space.unturned(views.pose)
    rotations = rotvec_to_rotmat(pose)
    feature = (rotations[:, 1:] - torch.eye(3, dtype=pose.dtype)).flatten(1)
    transforms = space.body.skinning_transforms(rotations).double()
    return _cameras(views)[:, None] @ transforms, feature.float()


def _cameras(views: Views) -> Float[Tensor, "B 3 4"]:
    """K [R | t], float64."""
    return views.K.double() @ torch.cat([views.R, views.t[..., None]], dim=-1).double()

"""Hands of crops by TempCLR's network: parameters, joints, mesh and camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import roma
import torch
from jaxtyping import Float

from chorus.geometry.weak_perspective import project_weak
from chorus.hands.hand_model import HandModel
from chorus.hands.network import HandNetwork, HandPrediction
from chorus.perception.person_crops import Crop, normalised


@dataclass(frozen=True, eq=False)
class RegressedHands:
    """N hands.

    pose (N, 16, 3) absolute axis-angle, the first row the global rotation in the camera's
    orientation; betas (N, 10); camera (N, 3) = (s, tx, ty), crop coordinate in [-1, 1] =
    s * ((X, Y) + (tx, ty)); crop_centre (N, 2), crop_side (N,) image pixels; joints (N, 21, 3) in
    HO-3D's order and vertices (N, V, 3), metres, in the camera's orientation about the model's own
    origin; keypoints (N, 21, 2) image pixels of the joints.
    """

    pose: Float[np.ndarray, "N 16 3"]
    betas: Float[np.ndarray, "N 10"]
    camera: Float[np.ndarray, "N 3"]
    crop_centre: Float[np.ndarray, "N 2"]
    crop_side: Float[np.ndarray, " N"]
    joints: Float[np.ndarray, "N 21 3"]
    vertices: Float[np.ndarray, "N V 3"]
    keypoints: Float[np.ndarray, "N 21 2"]


class HandRegressor:
    """A network and its hand on a device."""

    def __init__(self, network: HandNetwork, hand: HandModel, device: str = "cpu"):
        self._network = network.eval().to(device)
        self._hand = hand.to(device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, crops: Sequence[Crop]) -> RegressedHands:
        """The hands of crops of 256 pixels (`person_crops.whole_pixel_crop`)."""
        predicted = self._network(normalised(list(crops), self._device))
        posed = self._hand.pose(predicted.rotations, predicted.betas)
        centre = torch.from_numpy(np.stack([crop.centre for crop in crops])).to(self._device)
        side = torch.tensor([crop.side for crop in crops], device=self._device)
        keypoints = project_weak(posed.joints21, weak_camera(predicted), centre, side)
        found = {
            "pose": roma.rotmat_to_rotvec(predicted.rotations.double()).float(),
            "betas": predicted.betas,
            "camera": predicted.camera,
            "crop_centre": centre,
            "crop_side": side,
            "joints": posed.joints21,
            "vertices": posed.vertices,
            "keypoints": keypoints,
        }
        return RegressedHands(**{name: value.cpu().numpy() for name, value in found.items()})


def weak_camera(predicted: HandPrediction) -> Float[torch.Tensor, "B 3"]:
    """The camera as docs/conventions.md has it, s * (X, Y) + (tx, ty): here the network's
    translation, which is metres, is scaled."""
    scale = predicted.camera[..., :1]
    return torch.cat([scale, scale * predicted.camera[..., 1:]], dim=-1)


def together(parts: Sequence[RegressedHands]) -> RegressedHands:
    """The hands of several batches as one."""
    return RegressedHands(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(RegressedHands)
        }
    )

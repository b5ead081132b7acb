"""Hands of one photograph: found, fitted, and posed in its camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from chorus.geometry import cameras
from chorus.hands.hand_model import HandModel
from chorus.hands.landmark_fit import HandFitter, HandLandmarks
from chorus.hands.mediapipe_hands import FoundHand, MediapipeHands


@dataclass(frozen=True, eq=False)
class PerceivedHand:
    """A hand in a photograph.

    found: its landmarks; pose (16, 3) absolute axis-angle, the first row the global rotation in the
    image's camera, betas (S,), root (3,) the wrist in that camera, metres; K (3, 3) pixels;
    vertices (V, 3) and joints (21, 3), FreiHAND's order, in that camera, metres; error: root mean
    squared distance of the fitted landmarks from the found ones as a share of the hand's extent.
    """

    found: FoundHand
    pose: Float[np.ndarray, "16 3"]
    betas: Float[np.ndarray, " S"]
    root: Float[np.ndarray, " 3"]
    K: Float[np.ndarray, "3 3"]
    vertices: Float[np.ndarray, "V 3"]
    joints: Float[np.ndarray, "21 3"]
    error: float


class HandPerceiver:
    """Networks that find hands, and the hand that is fitted to what they find."""

    def __init__(self, networks: MediapipeHands, hand: HandModel):
        self._networks = networks
        self._hands = {"right": hand, "left": hand.mirrored()}
        self._fit = HandFitter(hand)

    def faces(self, side: str) -> np.ndarray:
        """The triangles of a side's mesh."""
        return self._hands[side].faces.numpy()

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> list[PerceivedHand]:
        """The hands of an image (H, W, 3) RGB, best first."""
        found = self._networks.find_hands(image)
        return self.fitted(found, image.shape[1::-1]) if found else []

    def fitted(self, found: Sequence[FoundHand], size: tuple[int, int]) -> list[PerceivedHand]:
        """Found hands with the hand model fitted, in an image of (width, height); one that is not
        finite is left out."""
        from chorus.hands.joints import gather

        fits = self._fit(
            HandLandmarks(
                pixels=_tensor([one.landmarks[:, :2] for one in found]),
                metres=_tensor([one.world for one in found]),
                right=torch.tensor([one.side == "right" for one in found]),
                image_size=torch.tensor([size] * len(found), dtype=torch.float32),
            )
        )
        K = cameras.intrinsics(fits.focal / size[0], size[0], size[1])
        hands = []
        for at, one in enumerate(found):
            if not fits.pose[at].isfinite().all():
                continue
            model = self._hands[one.side]
            wrist = model.rest(fits.betas[at])[1][0]
            posed = model.pose(fits.pose[at], fits.betas[at], fits.root[at] - wrist)
            order = gather("ho3d", "freihand")
            hands.append(
                PerceivedHand(
                    found=one,
                    pose=fits.pose[at].numpy(),
                    betas=fits.betas[at].numpy(),
                    root=fits.root[at].numpy(),
                    K=K[at].numpy(),
                    vertices=posed.vertices.numpy(),
                    joints=posed.joints21[order].numpy(),
                    error=float(fits.error[at]),
                )
            )
        return hands


def _tensor(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))

"""A hand as the anchor of a distribution: the same counting, in a small grid about a hand.

The canonical hand is the flat hand of zero shape; a sample's world is its hand's frame (zero global
rotation), which the camera maps to the image. So the kernels, counts and estimators of `occupancy`
work as they do for bodies. A grid of 0.6 m with 48 voxels a side has voxels of 12.5 mm, where the
body's are 62.5 mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from chorus.errors import BadInput
from chorus.hands.hand_model import HandModel
from chorus.occupancy.body_proxy import BodyProxy, body_proxy
from chorus.occupancy.canonical import CanonicalSpace
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.mask_bits import MaskBits
from chorus.occupancy.presets import AggregationSettings, EvidenceSettings, FieldSettings
from chorus.occupancy.regions import Part
from chorus.occupancy.skinning_field import skinning_field
from chorus.occupancy.views import Views

PART = "hand"
"""The name of the one cluster: every sample joins it."""

HAND_SETTINGS = AggregationSettings(
    side=0.6,
    # a fifth of the body's lengths, as the grid is
    field=FieldSettings(reach=0.16),
    estimator="evidence",
    evidence=EvidenceSettings(widths=(0.012, 0.0), own_width=0.006),
    hidden=True,
    hidden_margin=0.006,
)
"""As those of bodies, a fifth as large."""

_CLUSTER = 0.01  # metres: edge of the cubes whose vertices become one


@dataclass(frozen=True, eq=False)
class HandSpace(CanonicalSpace):
    """The canonical space of a hand; J is 16, the canonical pose is the flat hand."""

    body: HandModel

    @cached_property
    def proxy(self) -> BodyProxy:
        """The hand's coarse surface, which hides voxels."""
        return body_proxy(self.body, _CLUSTER)

    @cached_property
    def depth_inside(self) -> Float[np.ndarray, "N N N"]:
        """Zeros: the hand's surface is open at the wrist, so nothing is taken to be inside."""
        return np.zeros(self.grid.shape)

    def with_parts(self, clusters: tuple[Part, ...]) -> CanonicalSpace:
        """BadInput: the parts of a body are no parts of a hand."""
        raise BadInput("the clusters of a hand's space cannot be parts of the body.")


def hand_space(
    hand: HandModel,
    settings: AggregationSettings = HAND_SETTINGS,
    cache_dir: str | Path | None = None,
    threads: int = 1,
) -> HandSpace:
    """The canonical space of a hand, its grid centred on the wrist of the free hand's frame.

    BadInput for samples mirrored into the same space (`symmetric`), where they would be the other
    hand's.
    """
    if settings.symmetric:
        raise BadInput(
            "samples cannot be mirrored in a hand's space (symmetric): mirrored, they are the "
            "other hand's; count them in its space."
        )
    grid = VoxelGrid(settings.resolution, settings.side)
    hand = hand.to("cpu")
    field = skinning_field(
        hand.v_template, hand.weights, grid, settings.field, cache_dir=cache_dir, threads=threads
    )
    joints = hand.weights.shape[1]
    return HandSpace(
        body=hand,
        settings=settings,
        grid=grid,
        centres=grid.centres(),
        weights=field.numpy(),
        star_inverse=torch.eye(4, dtype=torch.float64).expand(joints, 4, 4),
        parts=(Part(PART),),
        regions={},
    )


def hand_views(
    hand: HandModel,
    pose: Float[Tensor, "B 16 3"],
    root: Float[Tensor, "B 3"],
    K: Float[Tensor, "B 3 3"],
    masks: Sequence[Bool[np.ndarray, "H W"] | MaskBits],
) -> Views:
    """Samples of one side's hands, as fitted (`landmark_fit.FittedHands`), and the object's masks.

    pose (B, 16, 3): the first row the global rotation in the image's camera; root (B, 3): the wrist
    joint there, metres. BadInput if there are not equally many.
    """
    if not len(pose) == len(root) == len(K) == len(masks):
        raise BadInput(
            f"samples need as many poses, roots, cameras and masks; found {len(pose)}, "
            f"{len(root)}, {len(K)} and {len(masks)}."
        )
    R = roma.rotvec_to_rotmat(pose[:, 0].double())
    wrist = hand.rest()[1][0].double()
    t = root.double() - (R @ wrist[:, None])[..., 0]
    return Views(pose.float(), R.float(), t.float(), K.float(), list(masks))

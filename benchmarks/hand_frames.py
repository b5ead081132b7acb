"""What a hand's frame is worth for a phone: `python -m benchmarks.hand_frames [samples] [noise]`.

Made hands, the free one, hold a phone in the palm, in any orientation before the camera, fingers
bent by 30 to 50 degrees, the phone a little elsewhere each time. The same samples are counted in
the hand's grid (0.6 m) and in one about the hand with the body's voxels (3 m), by both estimators;
the figure is the average precision of voxels against the phones' true places, percent. noise:
radians of error of every joint angle, and then 5 % of error of the distance.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import roma
import torch
import trimesh
from torch import Tensor

from chorus.evaluation.truth_scores import average_precision
from chorus.hands.anchor import HAND_SETTINGS, PART, hand_space, hand_views
from chorus.hands.free_hand import load_hand
from chorus.hands.hand_model import HandModel
from chorus.occupancy.accumulate import accumulate
from chorus.occupancy.evidence import estimate
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.presets import FieldSettings
from chorus.rendering.raycast import cast

PHONE = np.array([0.145, 0.008, 0.072])
"""Edges, metres, along the fingers, out of the palm, across."""

_CENTRE = np.array([-0.09, -0.028, 0.0])
_PIXELS, _FOCAL = 512, 200.0  # wide, so that most of the large grid is seen
_K = np.array([[_FOCAL, 0, _PIXELS / 2], [0, _FOCAL, _PIXELS / 2], [0, 0, 1]])
BODY_SIDE, _WIDTHS = 3.0, (0.06, 0.0)
_TRUE_PHONES, _PROBES = 60, {0.6: 2, 3.0: 8}


class Held(NamedTuple):
    """Hands: pose (B, 16, 3), root (B, 3), masks; phones: places (B, 3), rotations (B, 3, 3)."""

    pose: Tensor
    root: Tensor
    masks: list[np.ndarray]
    places: np.ndarray
    rotations: np.ndarray


def held(hand: HandModel, count: int, seed: int = 0) -> Held:
    """Made samples."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    pose = torch.zeros(count, 16, 3)
    pose[:, 1:13, 2] = 0.5 + 0.35 * torch.rand(count, 12, generator=generator)
    fingers = hand.pose(pose).vertices.numpy()
    pose[:, 0] = 2 * torch.randn(count, 3, generator=generator)
    spread = torch.tensor([0.03, 0.03, 0.08])
    root = torch.tensor([0, 0, 0.7]) + spread * torch.randn(count, 3, generator=generator)
    places = _CENTRE + rng.normal(0, 0.006, (count, 3))
    turns = torch.from_numpy(rng.normal(0, 0.12, (count, 3)))
    rotations = roma.rotvec_to_rotmat(turns).numpy()
    box = trimesh.creation.box(PHONE)
    R = roma.rotvec_to_rotmat(pose[:, 0]).numpy()
    t = root.numpy() - R @ hand.rest()[1][0].numpy()
    masks = []
    for at in range(count):
        phone = box.vertices @ rotations[at].T + places[at]
        meshes = [(phone, box.faces), (fingers[at], hand.faces.numpy())]
        masks.append(cast(meshes, R[at], t[at], _K, _PIXELS, _PIXELS).mesh_id == 0)
    return Held(pose, root, masks, places, rotations)


def true_share(samples: Held, grid: VoxelGrid, probes: int) -> np.ndarray:
    """(N^3,): of the phones, as a flat hand has them, the mean share of each voxel."""
    steps = (np.stack(np.meshgrid(*[np.arange(probes)] * 3, indexing="ij"), -1) + 0.5) / probes
    offsets = (steps.reshape(-1, 3) - 0.5) * grid.size
    centres = grid.centres()
    near = np.linalg.norm(centres - _CENTRE, axis=1) < PHONE.max() + grid.size
    share = np.zeros(len(centres))
    phones = list(zip(samples.places, samples.rotations, strict=True))[:_TRUE_PHONES]
    for place, rotation in phones:
        for offset in offsets:
            local = (centres[near] + offset - place) @ rotation
            share[near] += (np.abs(local) < PHONE / 2).all(axis=1)
    return share / (len(phones) * len(offsets))


def precisions(count: int, noise: float = 0.0) -> dict[tuple[float, str], float]:
    """Average precision, percent, by the grid's side and the estimator."""
    hand = load_hand()
    samples = held(hand, count)
    generator = torch.Generator().manual_seed(1)
    pose = samples.pose + noise * torch.randn(samples.pose.shape, generator=generator)
    far = 1 + (0.05 if noise else 0.0) * torch.randn(count, 1, generator=generator)
    K = torch.tensor(_K).expand(count, 3, 3)
    views = hand_views(hand, pose, samples.root * far, K, samples.masks)
    found = {}
    for side, probes in _PROBES.items():
        reach = HAND_SETTINGS.field.reach * side / HAND_SETTINGS.side
        settings = replace(HAND_SETTINGS, side=side, field=FieldSettings(reach=reach))
        if side == BODY_SIDE:
            settings = replace(settings, evidence=replace(settings.evidence, widths=_WIDTHS))
        space = hand_space(hand, settings)
        counts = accumulate(space, views).counts[PART]
        share = true_share(samples, space.grid, probes)
        for estimator in ("quotient", "evidence"):
            used = replace(space, settings=replace(settings, estimator=estimator))
            scores = estimate(counts, used).ravel()
            found[side, estimator] = 100 * average_precision(scores, share, 1 - share)
    return found


if __name__ == "__main__":
    words = sys.argv[1:]
    table = precisions(int(words[0]) if words else 200, float(words[1]) if words[1:] else 0.0)
    for (side, estimator), precision in table.items():
        sys.stdout.write(f"grid of {side} m, {estimator}: {precision:.2f} %\n")

"""The calibration in its plainest form: one person at a time, a loop of Adam steps.

See method.md 6.
"""

from __future__ import annotations

import math

import roma
import torch


def calibrate_one(joints3d, joints2d, rotation, weak, width, height, steps=2400, stop=0.7):
    """R, t, K, residual of one person. weak: s, tx, ty of the regressor's camera."""
    focal = torch.tensor(0.5 / math.tan(math.radians(46.4) / 2))
    unknowns = [
        roma.rotmat_to_rotvec(rotation).clone(),
        torch.stack([weak[1], weak[2], 2 * focal / weak[0]]),
        focal,
    ]
    for unknown in unknowns:
        unknown.requires_grad_(True)
    adam = torch.optim.Adam(unknowns, lr=0.01)
    middle = torch.tensor([width / 2, height / 2])
    best = math.inf
    for _ in range(steps):
        vector, t, focal = unknowns
        points = joints3d @ roma.rotvec_to_rotmat(vector).T + t
        pixels = focal * width * points[:, :2] / points[:, 2:] + middle
        residual = (pixels - joints2d).norm() / len(joints2d)
        if residual.item() < best:
            best = residual.item()
            solution = [unknown.detach().clone() for unknown in unknowns]
        if best < stop:
            break
        adam.zero_grad()
        residual.backward()
        adam.step()
    vector, t, focal = solution
    f = (focal * width).item()
    K = torch.tensor([[f, 0.0, width / 2], [0.0, f, height / 2], [0.0, 0.0, 1.0]])
    return roma.rotvec_to_rotmat(vector), t, K, best

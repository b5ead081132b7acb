"""Aggregation as method.md 7-9 words it, one image after the other."""

from __future__ import annotations

import numpy as np
import torch

from chorus.body.model import star_body
from chorus.geometry.cameras import azimuth_bin
from chorus.occupancy.views import Views


def plain_counts(space, views: Views):
    """method.md 7-9 in float64, by image: counts (parts, 12, N^3) twice, members (parts, B)."""
    centres = np.c_[space.grid.centres(), np.ones(space.grid.count)].astype(float)
    star = star_body(space.body).transforms.double()
    image = np.zeros((len(space.parts), 12, space.grid.count), int)
    mask_count = image.copy()
    members = np.zeros((len(space.parts), len(views.masks)), bool)
    for b, mask in enumerate(views.masks):
        pose = views.pose[b].clone()
        pose[0] = 0
        posed = space.body.pose(pose).transforms.double() @ torch.linalg.inv(star)
        if not space.settings.canonicalise:
            posed = torch.eye(4).double().expand(24, 4, 4)
        blend = np.einsum("pj,jrc->prc", space.weights.astype(float), posed.numpy())
        world = np.einsum("prc,pc->pr", blend, centres)[:, :3]
        camera = world @ views.R[b].double().numpy().T + views.t[b].double().numpy()
        pixel = camera @ views.K[b].double().numpy().T
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = (pixel[:, :2] / pixel[:, 2:]).T
            if space.settings.projection == "release":
                column, row = np.trunc(u), np.trunc(v)
                front = np.isfinite(u) & np.isfinite(v)
            else:
                column, row = np.floor(u), np.floor(v)
                front = camera[:, 2] > 0
        height, width = mask.shape
        seen = front & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        hit = np.zeros_like(seen)
        hit[seen] = mask[row[seen].astype(int), column[seen].astype(int)]
        azimuth = int(azimuth_bin(views.R[b].double(), views.t[b].double()))
        for p, part in enumerate(space.parts):
            touches = {group: hit[voxels].any() for group, voxels in space.regions.items()}
            members[p, b] = all(touches[group] for group in part.pass_sets) and not any(
                touches[group] for group in part.block_sets
            )
            if members[p, b]:
                image[p, azimuth] += seen
                mask_count[p, azimuth] += hit
    return image, mask_count, members

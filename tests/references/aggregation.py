"""Aggregation as method.md 7-9 words it, one image after the other."""

from __future__ import annotations

import numpy as np
import torch

from chorus.body.model import star_body
from chorus.geometry.cameras import azimuth_bin
from chorus.occupancy.body_depth import CELLS
from chorus.occupancy.views import Views
from chorus.rendering.raycast import cast


def plain_counts(space, views: Views):
    """method.md 7-9 in float64, by image: counts (parts, 12, N^3) of image, mask and hidden, and
    members (parts, B)."""
    centres = np.c_[space.grid.centres(), np.ones(space.grid.count)].astype(float)
    star = star_body(space.body).transforms.double()
    image = np.zeros((len(space.parts), 12, space.grid.count), int)
    mask_count, hidden_count = image.copy(), image.copy()
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
        hidden = np.zeros_like(seen)
        if space.settings.hidden:
            limit = body_limits(space, views, b)
            hidden[seen] = camera[seen, 2] > limit[row[seen].astype(int), column[seen].astype(int)]
        azimuth = int(azimuth_bin(views.R[b].double(), views.t[b].double()))
        for p, part in enumerate(space.parts):
            touches = {group: hit[voxels].any() for group, voxels in space.regions.items()}
            members[p, b] = all(touches[group] for group in part.pass_sets) and not any(
                touches[group] for group in part.block_sets
            )
            if members[p, b]:
                image[p, azimuth] += seen
                mask_count[p, azimuth] += hit
                hidden_count[p, azimuth] += hidden & ~hit
    return image, mask_count, hidden_count, members


def body_limits(space, views: Views, b: int):
    """(H, W): per pixel the depth beyond which image b's body proxy, cast with embree, hides."""
    pose = views.pose[b].clone()
    pose[0] = 0
    number = {tuple(vertex): i for i, vertex in enumerate(space.body.v_template.tolist())}
    kept = [number[tuple(vertex)] for vertex in space.proxy.vertices.tolist()]
    vertices = space.body.pose(pose).vertices.double().numpy()[kept]
    R, t, K = (tensor[b].double().numpy() for tensor in (views.R, views.t, views.K))
    depth = (vertices @ R.T + t)[:, 2]
    front = depth > 0.01
    height, width = views.masks[b].shape
    limit = np.full((height, width), np.inf)
    if not front.any():
        return limit
    pixel = ((vertices[front] @ R.T + t) @ K.T)[:, :2] / depth[front, None]
    low = np.maximum(np.floor(pixel.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(pixel.max(axis=0)), [width, height]).astype(int)
    if (low >= high).any():
        return limit
    side = -(-int((high - low).max()) // CELLS)
    cells = np.diag([1 / side, 1 / side, 1]) @ (K - np.outer([*low, 0], [0, 0, 1]))
    faces = space.proxy.faces[front[space.proxy.faces].all(axis=1)]
    coarse = cast([(vertices, faces)], R, t, cells, CELLS, CELLS).depth
    fine = np.repeat(np.repeat(coarse, side, axis=0), side, axis=1)
    fine = fine[: height - low[1], : width - low[0]]
    bottom, right = np.array(fine.shape) + low[::-1]
    limit[low[1] : bottom, low[0] : right] = fine + space.settings.hidden_margin
    return limit

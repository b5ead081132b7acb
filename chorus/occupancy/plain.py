"""Aggregation of a batch with plain tensor operations, on any device (method.md 8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.geometry.cameras import from_homogeneous
from chorus.occupancy.body_depth import CELLS, BodyDepths
from chorus.occupancy.canonical import CanonicalSpace
from chorus.occupancy.counts import BinCounts
from chorus.occupancy.mask_bits import MaskBits

_PAIRS_AT_ONCE = 1 << 20
"""Places times images handled at a time: about 100 MB of blended matrices."""


class PlainBatch:
    """Images ready to be counted on the device of their cameras. Calls as in `FusedBatch`."""

    def __init__(
        self,
        space: CanonicalSpace,
        cameras: Float[Tensor, "B 24 3 4"],
        masks: Sequence[MaskBits],
        depths: BodyDepths | None = None,
    ) -> None:
        """As for `FusedBatch`."""
        device = cameras.device
        self._space = space
        self._cameras = cameras
        sizes = torch.tensor([(mask.height, mask.width) for mask in masks], device=device)
        self._height, self._width = sizes[:, 0], sizes[:, 1]
        self._offset = torch.cumsum(self._height * self._width, 0) - self._height * self._width
        flat = np.concatenate([mask.dense().T.reshape(-1) for mask in masks])
        self._pixels = torch.from_numpy(flat).to(device)
        self._release = space.settings.projection == "release"
        self._depths = None
        if depths is not None:
            self._depths = [torch.from_numpy(array).to(device) for array in depths]

    def touched(self, region: tuple[str, ...]) -> Bool[np.ndarray, " B"]:
        """(B,) bool: images in which any voxel of the region lies inside the mask."""
        voxels = self._space.regions[region]
        weights, centres = self._space.weights[voxels], self._space.centres[voxels]
        touched = torch.zeros(len(self._cameras), dtype=torch.bool, device=self._pixels.device)
        for _, verdicts in self._verdicts(weights, centres):
            touched |= verdicts["mask"].any(dim=0)
        return touched.cpu().numpy()

    def count(
        self,
        members: Bool[np.ndarray, "clusters B"],
        bins: Int[np.ndarray, " B"],
        levels: Int[np.ndarray, " B"],
        counts: Sequence[BinCounts],
    ) -> None:
        """Add the images, each as often as its level says, to the voxel counts of the clusters they
        are members of, in place."""
        # (B, clusters * 12): the level where an image belongs to a cluster and a bin. Whole numbers
        # below 2^24 are exact in float32, so one matrix product sums a block.
        one_hot = np.eye(len(counts[0].image), dtype=np.float32)[bins]
        belongs = (members.T * levels[:, None]).astype(np.float32)[:, :, None] * one_hot[:, None]
        belongs = torch.from_numpy(belongs.reshape(len(bins), -1)).to(self._pixels.device)
        for start, verdicts in self._verdicts(self._space.weights, self._space.centres):
            for name, verdict in verdicts.items():
                sums = (verdict.float() @ belongs).round().to(torch.int64).cpu().numpy()
                sums = sums.reshape(len(sums), len(counts), -1).astype(np.uint32)
                for number, cluster in enumerate(counts):
                    rows = getattr(cluster, name).reshape(len(cluster.image), -1)
                    rows[:, start : start + len(sums)] += sums[:, number].T

    def _verdicts(
        self, weights: np.ndarray, centres: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Bool[Tensor, "P B"]]]]:
        """(start, verdicts by the names of the counts) for block after block of places."""
        device = self._pixels.device
        matrices = self._cameras.permute(1, 0, 2, 3).flatten(1)
        block = max(1, _PAIRS_AT_ONCE // len(self._cameras))
        for start in range(0, len(centres), block):
            place = torch.from_numpy(centres[start : start + block]).to(device)
            weight = torch.from_numpy(weights[start : start + block]).to(device)
            blended = (weight @ matrices).unflatten(1, (-1, 3, 4))
            homogeneous = blended[..., :3] @ place[:, None, :, None]
            yield start, self._look_up(homogeneous[..., 0] + blended[..., 3])

    def _look_up(self, homogeneous: Float[Tensor, "P B 3"]) -> dict[str, Bool[Tensor, "P B"]]:
        """What homogeneous pixels show, by the names of the counts."""
        u, v = from_homogeneous(homogeneous).unbind(-1)
        depth = homogeneous[..., 2]
        seen = (u > -1) & (v > -1) if self._release else (u >= 0) & (v >= 0) & (depth > 0)
        seen &= (u < self._width) & (v < self._height)
        # Conversion to whole numbers rounds toward zero, which is what either setting wants here.
        column = torch.where(seen, u, 0).long()
        row = torch.where(seen, v, 0).long()
        hit = seen & self._pixels[self._offset + column * self._height + row]
        if self._depths is None:
            return {"image": seen, "mask": hit}
        beyond = depth > self._limit(row, column)
        return {"image": seen, "mask": hit, "hidden": seen & ~hit & beyond}

    def _limit(self, row: Int[Tensor, "P B"], column: Int[Tensor, "P B"]) -> Float[Tensor, "P B"]:
        """The depths beyond which the body hides what lies at these pixels."""
        limit, left, top, side = self._depths
        row, column = (row - top) // side, (column - left) // side
        within = (row >= 0) & (row < CELLS) & (column >= 0) & (column < CELLS)
        image = torch.arange(len(side), device=limit.device).expand_as(row)
        found = limit[image, row.clamp(0, CELLS - 1), column.clamp(0, CELLS - 1)]
        return torch.where(within, found, torch.inf)

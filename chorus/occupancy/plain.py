"""Aggregation of a batch with plain tensor operations, on any device (method.md 8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.geometry.cameras import from_homogeneous
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
        threads: int = 1,
    ) -> None:
        """As for `FusedBatch`; `threads` is torch's own business here."""
        device = cameras.device
        self._space = space
        self._cameras = cameras
        sizes = torch.tensor([(mask.height, mask.width) for mask in masks], device=device)
        self._height, self._width = sizes[:, 0], sizes[:, 1]
        self._offset = torch.cumsum(self._height * self._width, 0) - self._height * self._width
        flat = np.concatenate([mask.dense().T.reshape(-1) for mask in masks])
        self._pixels = torch.from_numpy(flat).to(device)
        self._release = space.settings.projection == "release"

    def touched(self, region: tuple[str, ...]) -> Bool[np.ndarray, " B"]:
        """(B,) bool: images in which any voxel of the region lies inside the mask."""
        voxels = self._space.regions[region]
        weights, centres = self._space.weights[voxels], self._space.centres[voxels]
        touched = torch.zeros(len(self._cameras), dtype=torch.bool, device=self._pixels.device)
        for _, _, hit in self._verdicts(weights, centres):
            touched |= hit.any(dim=0)
        return touched.cpu().numpy()

    def count(
        self,
        members: Bool[np.ndarray, "clusters B"],
        bins: Int[np.ndarray, " B"],
        counts: Sequence[BinCounts],
    ) -> None:
        """Add the images to the voxel counts of the clusters they are members of, in place."""
        # (B, clusters * 12): 1 where an image belongs to a cluster and a bin. Counts of at most 64
        # are exact in float32, so one matrix product sums a block.
        one_hot = np.eye(len(counts[0].image), dtype=np.float32)[bins]
        belongs = members.T[:, :, None] * one_hot[:, None]
        belongs = torch.from_numpy(belongs.reshape(len(bins), -1)).to(self._pixels.device)
        for start, seen, hit in self._verdicts(self._space.weights, self._space.centres):
            for verdict, name in ((seen, "image"), (hit, "mask")):
                sums = (verdict.float() @ belongs).round().to(torch.int64).cpu().numpy()
                sums = sums.reshape(len(sums), len(counts), -1).astype(np.uint32)
                for number, cluster in enumerate(counts):
                    rows = getattr(cluster, name).reshape(len(cluster.image), -1)
                    rows[:, start : start + len(sums)] += sums[:, number].T

    def _verdicts(
        self, weights: np.ndarray, centres: np.ndarray
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """(start, seen, hit) for block after block of places, bool (places, B)."""
        device = self._pixels.device
        matrices = self._cameras.permute(1, 0, 2, 3).flatten(1)
        block = max(1, _PAIRS_AT_ONCE // len(self._cameras))
        for start in range(0, len(centres), block):
            place = torch.from_numpy(centres[start : start + block]).to(device)
            weight = torch.from_numpy(weights[start : start + block]).to(device)
            blended = (weight @ matrices).unflatten(1, (-1, 3, 4))
            homogeneous = blended[..., :3] @ place[:, None, :, None]
            yield start, *self._look_up(homogeneous[..., 0] + blended[..., 3])

    def _look_up(self, homogeneous: Float[Tensor, "P B 3"]) -> tuple[Tensor, Tensor]:
        """(seen, hit), bool (P, B), of homogeneous pixels."""
        u, v = from_homogeneous(homogeneous).unbind(-1)
        if self._release:
            seen = (u > -1) & (v > -1)
        else:
            seen = (u >= 0) & (v >= 0) & (homogeneous[..., 2] > 0)
        seen &= (u < self._width) & (v < self._height)
        # Conversion to whole numbers rounds toward zero, which is what either setting wants here.
        column = torch.where(seen, u, 0).long()
        row = torch.where(seen, v, 0).long()
        return seen, seen & self._pixels[self._offset + column * self._height + row]

"""Aggregation of a batch on the CPU with the fused kernels (method.md 8).

`FusedBatch` and `plain.PlainBatch` do the same with the same calls; their integers agree but for
pixels that fall within rounding (about 1e-4 px) of a pixel's edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.occupancy import kernels
from chorus.occupancy.canonical import CanonicalSpace
from chorus.occupancy.counts import BINS, BinCounts, target_words
from chorus.occupancy.mask_bits import MaskBits

_BLOCK = 8192
"""Voxels per job of a thread; a multiple of 4 whose words stay in the cache."""


class FusedBatch:
    """At most 64 images ready to be counted: their matrices side by side, their masks as bits."""

    def __init__(
        self,
        space: CanonicalSpace,
        cameras: Float[Tensor, "B 24 3 4"],
        masks: Sequence[MaskBits],
        threads: int = 1,
    ) -> None:
        """cameras: see `views.joint_cameras`."""
        self._space = space
        lanes = -(-len(masks) // kernels.LANES) * kernels.LANES
        self._cameras = np.zeros((cameras.shape[1], 3, 4, lanes), np.float32)
        self._cameras[..., : len(masks)] = cameras.permute(1, 2, 3, 0).numpy()
        self._images = _pack(masks, lanes, space.settings.projection == "release")
        self._bits = np.uint64(1) << np.arange(len(masks), dtype=np.uint64)
        self._threads = threads

    def touched(self, region: tuple[str, ...]) -> Bool[np.ndarray, " B"]:
        """(B,) bool: images in which any voxel of the region lies inside the mask."""
        voxels = self._space.regions[region]
        rows = _in_fours(self._space.weights[voxels]), _in_fours(self._space.centres[voxels])
        word = np.uint64(kernels.touch(rows, self._cameras, self._images))
        return (word & self._bits) != 0

    def count(
        self,
        members: Bool[np.ndarray, "clusters B"],
        bins: Int[np.ndarray, " B"],
        counts: Sequence[BinCounts],
    ) -> None:
        """Add the images to the voxel counts of the clusters they are members of, in place."""
        targets = []
        for row, word in zip(*target_words(members, bins, self._bits), strict=True):
            cluster, azimuth = counts[row // BINS], row % BINS
            image_row, mask_row = cluster.image[azimuth], cluster.mask[azimuth]
            targets.append((word, image_row.reshape(-1), mask_row.reshape(-1)))
        if not targets:
            return
        rows = _in_fours(self._space.weights), _in_fours(self._space.centres)
        total = len(rows[0])

        def run(start: int) -> None:
            stop = min(start + _BLOCK, total)
            seen, hit = np.empty((2, stop - start), np.uint64)
            kernels.verdicts(start, stop, rows, self._cameras, self._images, seen, hit)
            for word, image_row, mask_row in targets:
                kernels.add_ones(seen, word, image_row[start:stop])
                kernels.add_ones(hit, word, mask_row[start:stop])

        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(run, range(0, total, _BLOCK)))


def _pack(masks: Sequence[MaskBits], lanes: int, release: bool) -> tuple:
    """The kernels' `images`: sizes, and all masks as the bits of one run of words."""
    width, height = np.zeros((2, lanes), np.float32)
    stride, offset = np.zeros((2, lanes), np.int32)
    words = [np.zeros(1, np.uint32)]  # word 0: where places outside an image look
    begin = 1
    for image, mask in enumerate(masks):
        height[image], width[image] = mask.height, mask.width
        stride[image], offset[image] = mask.height, begin * 32
        words.append(mask.words)
        begin += mask.words.size
    # Rounding toward zero puts the open interval (-1, 0) into pixel 0.
    lowest = np.nextafter(np.float32(-1), np.float32(0)) if release else np.float32(0)
    behind = np.float32(-np.inf if release else 0)
    return width, height, stride, offset, np.concatenate(words), lowest, behind


def _in_fours(rows: np.ndarray) -> np.ndarray:
    """The rows, followed by rows of zeros (places nobody sees) up to a multiple of four."""
    missing = -len(rows) % kernels.ABREAST
    rows = np.pad(rows, ((0, missing), (0, 0))) if missing else rows
    return np.ascontiguousarray(rows, np.float32)

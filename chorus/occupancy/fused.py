"""Aggregation of a batch on the CPU with the fused kernels (method.md 8).

`FusedBatch` and `plain.PlainBatch` do the same with the same calls; their integers agree but for
pixels that fall within rounding (about 1e-4 px) of a pixel's edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64
from torch import Tensor

from chorus.occupancy import kernels
from chorus.occupancy.body_depth import CELLS, BodyDepths
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
        depths: BodyDepths | None = None,
        threads: int = 1,
    ) -> None:
        """cameras: see `views.joint_cameras`; depths: where hidden voxels are counted, too."""
        self._space = space
        lanes = -(-len(masks) // kernels.LANES) * kernels.LANES
        self._cameras = np.zeros((cameras.shape[1], 3, 4, lanes), np.float32)
        self._cameras[..., : len(masks)] = cameras.permute(1, 2, 3, 0).numpy()
        self._images = _pack(masks, lanes, space.settings.projection == "release")
        self._maps = None if depths is None else _pack_maps(depths, lanes)
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
        levels: Int[np.ndarray, " B"],
        counts: Sequence[BinCounts],
    ) -> None:
        """Add the images, each as often as its level says, to the voxel counts of the clusters they
        are members of, in place."""
        names = ("image", "mask") if self._maps is None else ("image", "mask", "hidden")
        targets = []
        for row, word in zip(*target_words(members, bins, self._bits, levels), strict=True):
            volumes = (getattr(counts[row // BINS], name) for name in names)
            targets.append((word, [volume[row % BINS].reshape(-1) for volume in volumes]))
        if not targets:
            return
        rows = _in_fours(self._space.weights), _in_fours(self._space.centres)
        total = len(rows[0])

        def run(start: int) -> None:
            stop = min(start + _BLOCK, total)
            words = np.empty((len(names), stop - start), np.uint64)
            self._verdicts(start, stop, rows, words)
            for word, counted in targets:
                for verdict, row in zip(words, counted, strict=True):
                    kernels.add_ones(verdict, word, row[start:stop])

        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(run, range(0, total, _BLOCK)))

    def _verdicts(
        self,
        start: int,
        stop: int,
        rows: tuple[np.ndarray, np.ndarray],
        words: UInt64[np.ndarray, "names P"],
    ) -> None:
        """Write the words of the places start..stop-1: seen, hit and, with maps, hidden."""
        given = start, stop, rows, self._cameras, self._images
        if self._maps is None:
            kernels.verdicts(*given, *words)
        else:
            kernels.verdicts_and_hidden(*given, self._maps, *words)


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


def _pack_maps(depths: BodyDepths, lanes: int) -> tuple:
    """The kernels' `maps`."""
    left, top, reach, scale = np.zeros((4, lanes), np.float32)
    count = len(depths.side)
    left[:count], top[:count] = depths.left, depths.top
    reach[:count] = CELLS * depths.side
    scale[:count] = 1 / depths.side
    limits = np.concatenate([np.full(1, np.inf, np.float32), depths.limit.reshape(-1)])
    return left, top, reach, scale, limits


def _in_fours(rows: np.ndarray) -> np.ndarray:
    """The rows, followed by rows of zeros (places nobody sees) up to a multiple of four."""
    missing = -len(rows) % kernels.ABREAST
    rows = np.pad(rows, ((0, missing), (0, 0))) if missing else rows
    return np.ascontiguousarray(rows, np.float32)

"""Aggregation of a batch with one fused kernel on a GPU (method.md 8), in NVIDIA Warp.

The same work as `kernels` does on a CPU: one thread blends, projects and looks up one voxel in all
images of the batch and keeps its verdicts as the bits of two words. The skinning field lies on the
device as the few joints that each voxel follows, and the counts stay there until `collect`. Warp
compiles the kernels for a CPU too, where tests run them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import warp as wp
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.occupancy.canonical import CanonicalSpace
from chorus.occupancy.counts import BINS, BinCounts, target_words
from chorus.occupancy.mask_bits import MaskBits

wp.config.quiet = True

_Camera = wp.types.matrix(shape=(3, 4), dtype=wp.float32)


@wp.struct
class _Images:
    """Masks of a batch as in `fused`: pixel (row, column) of image b is bit
    offset[b] + column * height[b] + row of `words`."""

    cameras: wp.array2d(dtype=_Camera)
    height: wp.array(dtype=wp.int32)
    width: wp.array(dtype=wp.int32)
    offset: wp.array(dtype=wp.int64)
    words: wp.array(dtype=wp.uint32)
    lowest: wp.float32
    behind: wp.float32


@wp.struct
class _Field:
    """Places and the joints they follow: `joint[k, place]` with `weight[k, place]`."""

    centre: wp.array(dtype=wp.vec3)
    joint: wp.array2d(dtype=wp.uint8)
    weight: wp.array2d(dtype=wp.float32)
    joints: wp.array(dtype=wp.int32)


@wp.struct
class _Verdict:
    seen: wp.uint64
    hit: wp.uint64


@wp.func
def _look(place: wp.int32, field: _Field, images: _Images) -> _Verdict:
    verdict = _Verdict()
    verdict.seen = wp.uint64(0)
    verdict.hit = wp.uint64(0)
    centre = field.centre[place]
    homogeneous = wp.vec4(centre[0], centre[1], centre[2], 1.0)
    for image in range(images.height.shape[0]):
        pixel = wp.vec3(0.0, 0.0, 0.0)
        for k in range(field.joints[place]):
            joint = wp.int32(field.joint[k, place])
            pixel += field.weight[k, place] * (images.cameras[image, joint] * homogeneous)
        u = pixel[0] / pixel[2]
        v = pixel[1] / pixel[2]
        inside = (
            pixel[2] > images.behind
            and u >= images.lowest
            and v >= images.lowest
            and u < wp.float32(images.width[image])
            and v < wp.float32(images.height[image])
        )
        if inside:
            image_bit = wp.uint64(1) << wp.uint64(image)
            verdict.seen = verdict.seen | image_bit
            # Conversion rounds toward zero, which puts (-1, 0) of the release into pixel 0.
            bit = (
                images.offset[image]
                + wp.int64(wp.int32(u)) * wp.int64(images.height[image])
                + wp.int64(wp.int32(v))
            )
            word = images.words[wp.int32(bit >> wp.int64(5))]
            if ((word >> wp.uint32(bit & wp.int64(31))) & wp.uint32(1)) != wp.uint32(0):
                verdict.hit = verdict.hit | image_bit
    return verdict


@wp.kernel
def _count(
    field: _Field,
    images: _Images,
    members: wp.array(dtype=wp.uint64),
    rows: wp.array(dtype=wp.int32),
    seen: wp.array2d(dtype=wp.uint32),
    hit: wp.array2d(dtype=wp.uint32),
):
    place = wp.tid()
    verdict = _look(place, field, images)
    for target in range(members.shape[0]):
        row = rows[target]
        seen[row, place] += wp.uint32(wp.bit_count(verdict.seen & members[target]))
        hit[row, place] += wp.uint32(wp.bit_count(verdict.hit & members[target]))


@wp.kernel
def _touch(
    region: wp.array(dtype=wp.int32),
    field: _Field,
    images: _Images,
    touched: wp.array(dtype=wp.uint64),
):
    verdict = _look(region[wp.tid()], field, images)
    if verdict.hit != wp.uint64(0):
        wp.atomic_or(touched, 0, verdict.hit)


class DeviceCounts:
    """The counts of an aggregation on one device, and the field they are counted with."""

    def __init__(self, space: CanonicalSpace, device: torch.device) -> None:
        """Memory on the device: 96 bytes a voxel and cluster, and the field."""
        self._device = wp.get_device(str(device))
        self._release = space.settings.projection == "release"
        used = space.weights != 0
        order = np.argsort(~used, axis=1, kind="stable")[:, : int(used.sum(axis=1).max())]
        self._field = _Field()
        self._field.centre = self._array(space.centres, wp.vec3)
        self._field.joint = self._array(order.T.astype(np.uint8), wp.uint8)
        sparse = np.take_along_axis(space.weights, order, axis=1)
        self._field.weight = self._array(sparse.T, wp.float32)
        self._field.joints = self._array(used.sum(axis=1).astype(np.int32), wp.int32)
        self._regions = {
            name: self._array(voxels.astype(np.int32), wp.int32)
            for name, voxels in space.regions.items()
        }
        shape = len(space.parts) * BINS, space.grid.count
        self._seen, self._hit = (
            wp.zeros(shape, dtype=wp.uint32, device=self._device) for _ in range(2)
        )

    def _array(self, values: np.ndarray, dtype: type) -> wp.array:
        return wp.array(np.ascontiguousarray(values), dtype=dtype, device=self._device)

    def batch(self, cameras: Float[Tensor, "B 24 3 4"], masks: Sequence[MaskBits]) -> DeviceBatch:
        """At most 64 images ready to be counted. Calls as in `fused.FusedBatch`."""
        sizes = np.array([(mask.height, mask.width) for mask in masks], np.int32)
        ends = np.cumsum([mask.words.size for mask in masks])
        offset = 32 * np.concatenate([[0], ends[:-1]]).astype(np.int64)
        images = _Images()
        images.cameras = self._array(cameras.cpu().numpy(), _Camera)
        images.height = self._array(sizes[:, 0], wp.int32)
        images.width = self._array(sizes[:, 1], wp.int32)
        images.offset = self._array(offset, wp.int64)
        images.words = self._array(np.concatenate([mask.words for mask in masks]), wp.uint32)
        images.lowest = np.nextafter(np.float32(-1), np.float32(0)) if self._release else 0.0
        images.behind = -np.inf if self._release else 0.0
        return DeviceBatch(self, images)

    def touched(self, region: tuple[str, ...], images: _Images) -> np.uint64:
        """The word of the images in which a voxel of the region lies inside the mask."""
        word = wp.zeros(1, dtype=wp.uint64, device=self._device)
        voxels = self._regions[region]
        self._launch(_touch, len(voxels), [voxels, self._field, images, word])
        return word.numpy()[0]

    def add(self, images: _Images, words: Int[np.ndarray, " T"], rows: Int[np.ndarray, " T"]):
        """Count the images of each word into a row: a cluster's number times 12 plus a bin."""
        targets = self._array(words, wp.uint64), self._array(rows.astype(np.int32), wp.int32)
        inputs = [self._field, images, *targets, self._seen, self._hit]
        self._launch(_count, len(self._field.centre), inputs)

    def _launch(self, kernel: wp.Kernel, size: int, inputs: list) -> None:
        wp.launch(kernel, dim=size, inputs=inputs, device=self._device)

    def collect(self, counts: Sequence[BinCounts]) -> None:
        """Add what was counted here to the clusters' counts, in place."""
        for name, counter in (("image", self._seen), ("mask", self._hit)):
            rows = counter.numpy().reshape(len(counts), BINS, -1)
            for cluster, mine in zip(counts, rows, strict=True):
                target = getattr(cluster, name).reshape(BINS, -1)
                np.add(target, mine, out=target)


class DeviceBatch:
    """One batch of images on the device."""

    def __init__(self, device_counts: DeviceCounts, images: _Images) -> None:
        self._counts, self._images = device_counts, images
        self._bits = np.uint64(1) << np.arange(len(images.height), dtype=np.uint64)

    def touched(self, region: tuple[str, ...]) -> Bool[np.ndarray, " B"]:
        """(B,) bool: images in which any voxel of the region lies inside the mask."""
        return (self._counts.touched(region, self._images) & self._bits) != 0

    def count(
        self,
        members: Bool[np.ndarray, "clusters B"],
        bins: Int[np.ndarray, " B"],
        counts: Sequence[BinCounts],
    ) -> None:
        """Count the images on the device; `counts` get them when the device's are collected."""
        del counts
        rows, words = target_words(members, bins, self._bits)
        if len(rows):
            self._counts.add(self._images, words, rows)

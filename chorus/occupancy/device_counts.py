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

from chorus.occupancy.body_depth import CELLS, BodyDepths
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
class _Maps:
    """`body_depth.BodyDepths` of a batch."""

    limit: wp.array3d(dtype=wp.float32)
    left: wp.array(dtype=wp.int32)
    top: wp.array(dtype=wp.int32)
    side: wp.array(dtype=wp.int32)


@wp.struct
class _Verdict:
    seen: wp.uint64
    hit: wp.uint64
    hidden: wp.uint64


@wp.func
def _project(place: wp.int32, image: wp.int32, field: _Field, images: _Images) -> wp.vec3:
    """The homogeneous pixel of a place."""
    centre = field.centre[place]
    homogeneous = wp.vec4(centre[0], centre[1], centre[2], 1.0)
    pixel = wp.vec3(0.0, 0.0, 0.0)
    for k in range(field.joints[place]):
        joint = wp.int32(field.joint[k, place])
        pixel += field.weight[k, place] * (images.cameras[image, joint] * homogeneous)
    return pixel


@wp.func
def _inside(pixel: wp.vec3, image: wp.int32, images: _Images) -> wp.bool:
    u = pixel[0] / pixel[2]
    v = pixel[1] / pixel[2]
    return (
        pixel[2] > images.behind
        and u >= images.lowest
        and v >= images.lowest
        and u < wp.float32(images.width[image])
        and v < wp.float32(images.height[image])
    )


@wp.func
def _masked(pixel: wp.vec3, image: wp.int32, images: _Images) -> wp.bool:
    """Whether a pixel inside the image is inside the mask."""
    # Conversion rounds toward zero, which puts (-1, 0) of the release into pixel 0.
    bit = (
        images.offset[image]
        + wp.int64(wp.int32(pixel[0] / pixel[2])) * wp.int64(images.height[image])
        + wp.int64(wp.int32(pixel[1] / pixel[2]))
    )
    word = images.words[wp.int32(bit >> wp.int64(5))]
    return ((word >> wp.uint32(bit & wp.int64(31))) & wp.uint32(1)) != wp.uint32(0)


@wp.func
def _beyond(pixel: wp.vec3, image: wp.int32, maps: _Maps) -> wp.bool:
    """Whether the body's first surface hides what a pixel inside the image shows."""
    column = wp.int32(pixel[0] / pixel[2]) - maps.left[image]
    row = wp.int32(pixel[1] / pixel[2]) - maps.top[image]
    reach = wp.static(CELLS) * maps.side[image]
    if column < 0 or row < 0 or column >= reach or row >= reach:
        return False
    return pixel[2] > maps.limit[image, row / maps.side[image], column / maps.side[image]]


@wp.func
def _look(place: wp.int32, field: _Field, images: _Images) -> _Verdict:
    """The words of a place without that of hidden."""
    verdict = _Verdict()
    for image in range(images.height.shape[0]):
        pixel = _project(place, image, field, images)
        if _inside(pixel, image, images):
            image_bit = wp.uint64(1) << wp.uint64(image)
            verdict.seen = verdict.seen | image_bit
            if _masked(pixel, image, images):
                verdict.hit = verdict.hit | image_bit
    return verdict


@wp.func
def _look_behind(place: wp.int32, field: _Field, images: _Images, maps: _Maps) -> _Verdict:
    """The words of a place."""
    verdict = _Verdict()
    for image in range(images.height.shape[0]):
        pixel = _project(place, image, field, images)
        if _inside(pixel, image, images):
            image_bit = wp.uint64(1) << wp.uint64(image)
            verdict.seen = verdict.seen | image_bit
            if _masked(pixel, image, images):
                verdict.hit = verdict.hit | image_bit
            elif _beyond(pixel, image, maps):
                verdict.hidden = verdict.hidden | image_bit
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
def _count_hidden(
    field: _Field,
    images: _Images,
    maps: _Maps,
    members: wp.array(dtype=wp.uint64),
    rows: wp.array(dtype=wp.int32),
    seen: wp.array2d(dtype=wp.uint32),
    hit: wp.array2d(dtype=wp.uint32),
    hidden: wp.array2d(dtype=wp.uint32),
):
    place = wp.tid()
    verdict = _look_behind(place, field, images, maps)
    for target in range(members.shape[0]):
        row = rows[target]
        seen[row, place] += wp.uint32(wp.bit_count(verdict.seen & members[target]))
        hit[row, place] += wp.uint32(wp.bit_count(verdict.hit & members[target]))
        hidden[row, place] += wp.uint32(wp.bit_count(verdict.hidden & members[target]))


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
        """Memory on the device: 96 bytes a voxel and cluster, 144 with hidden voxels, and the
        field."""
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
        names = ("image", "mask", "hidden") if space.settings.hidden else ("image", "mask")
        self._counters = {
            name: wp.zeros(shape, dtype=wp.uint32, device=self._device) for name in names
        }

    def _array(self, values: np.ndarray, dtype: type) -> wp.array:
        return wp.array(np.ascontiguousarray(values), dtype=dtype, device=self._device)

    def batch(
        self,
        cameras: Float[Tensor, "B 24 3 4"],
        masks: Sequence[MaskBits],
        depths: BodyDepths | None = None,
    ) -> DeviceBatch:
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
        return DeviceBatch(self, images, None if depths is None else self._maps(depths))

    def _maps(self, depths: BodyDepths) -> _Maps:
        maps = _Maps()
        maps.limit = self._array(depths.limit, wp.float32)
        maps.left = self._array(depths.left, wp.int32)
        maps.top = self._array(depths.top, wp.int32)
        maps.side = self._array(depths.side, wp.int32)
        return maps

    def touched(self, region: tuple[str, ...], images: _Images) -> np.uint64:
        """The word of the images in which a voxel of the region lies inside the mask."""
        word = wp.zeros(1, dtype=wp.uint64, device=self._device)
        voxels = self._regions[region]
        self._launch(_touch, len(voxels), [voxels, self._field, images, word])
        return word.numpy()[0]

    def add(
        self,
        images: _Images,
        maps: _Maps | None,
        words: Int[np.ndarray, " T"],
        rows: Int[np.ndarray, " T"],
    ) -> None:
        """Count the images of each word into a row: a cluster's number times 12 plus a bin."""
        targets = self._array(words, wp.uint64), self._array(rows.astype(np.int32), wp.int32)
        given = [images] if maps is None else [images, maps]
        inputs = [self._field, *given, *targets, *self._counters.values()]
        kernel = _count if maps is None else _count_hidden
        self._launch(kernel, len(self._field.centre), inputs)

    def _launch(self, kernel: wp.Kernel, size: int, inputs: list) -> None:
        wp.launch(kernel, dim=size, inputs=inputs, device=self._device)

    def collect(self, counts: Sequence[BinCounts]) -> None:
        """Add what was counted here to the clusters' counts, in place."""
        for name, counter in self._counters.items():
            rows = counter.numpy().reshape(len(counts), BINS, -1)
            for cluster, mine in zip(counts, rows, strict=True):
                target = getattr(cluster, name).reshape(BINS, -1)
                np.add(target, mine, out=target)


class DeviceBatch:
    """One batch of images on the device."""

    def __init__(self, device_counts: DeviceCounts, images: _Images, maps: _Maps | None) -> None:
        self._counts, self._images, self._maps = device_counts, images, maps
        self._bits = np.uint64(1) << np.arange(len(images.height), dtype=np.uint64)

    def touched(self, region: tuple[str, ...]) -> Bool[np.ndarray, " B"]:
        """(B,) bool: images in which any voxel of the region lies inside the mask."""
        return (self._counts.touched(region, self._images) & self._bits) != 0

    def count(
        self,
        members: Bool[np.ndarray, "clusters B"],
        bins: Int[np.ndarray, " B"],
        levels: Int[np.ndarray, " B"],
        counts: Sequence[BinCounts],
    ) -> None:
        """Count the images on the device, each as often as its level says; `counts` get them when
        the device's are collected."""
        del counts
        rows, words = target_words(members, bins, self._bits, levels)
        if len(rows):
            self._counts.add(self._images, self._maps, words, rows)

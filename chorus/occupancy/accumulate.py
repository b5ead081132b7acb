"""Aggregation: samples in, per-azimuth-bin counts out (method.md 8, 9).

Every sample is deformed, projected and counted once, for all clusters together; memory does not
depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool

from chorus.body.skeleton import SEGMENT_NAMES
from chorus.errors import BadInput
from chorus.geometry.cameras import azimuth_bin
from chorus.occupancy.body_depth import body_depths
from chorus.occupancy.canonical import CanonicalSpace
from chorus.occupancy.counts import BINS, BinCounts
from chorus.occupancy.plain import PlainBatch
from chorus.occupancy.views import Views, joint_cameras, mirrored, packed, unusable

Path = Literal["fused", "device", "plain"]

_IMAGES_AT_ONCE = 64
"""Images of one batch: the kernels keep a bit of a word for each."""
_PIXELS_AT_ONCE = 1 << 28
"""Pixels of the masks of one batch; a bit's number has to fit 32 bits."""


class Accumulation(NamedTuple):
    """What became of some samples.

    counts: per part the counts they were added to. members (parts, B) bool: which sample joined
    which part's cluster, False for refused samples. refused: per sample the reason, "" if it was
    used.
    """

    counts: dict[str, BinCounts]
    members: Bool[np.ndarray, "parts B"]
    refused: list[str]


def empty_counts(space: CanonicalSpace) -> dict[str, BinCounts]:
    """Counts of no sample for every part of the space."""
    settings = space.settings
    kinds = settings.hidden, settings.selection_levels > 1, settings.observed != "masks"
    return {part.name: BinCounts.empty(space.grid, *kinds) for part in space.parts}


def accumulate(
    space: CanonicalSpace,
    views: Views,
    into: dict[str, BinCounts] | None = None,
    threads: int = 1,
    device: torch.device | str = "cpu",
    path: Path | None = None,
) -> Accumulation:
    """Count samples into every part's cluster.

    `into` continues earlier counts, in place. The work is done by one of three paths: "fused"
    kernels with `threads` threads, the choice on a CPU; a "device" kernel, the choice elsewhere;
    "plain" tensor operations, which are there to be compared with and run on any device. A sample
    with NaN or infinity in its pose or camera or without a proper mask is refused with a reason
    and leaves no trace. A sample of level n is counted as n samples. With symmetric settings each
    sample is also counted mirrored, as one more; `members` then tells of the sample as it is.
    BadInput if `into` counts hidden voxels and the settings do not, or the other way round, and for
    levels that are not whole numbers of 1 or more.
    """
    counts = empty_counts(space) if into is None else into
    _check_hidden(space, counts)
    views.levels()  # wrong ones shall be heard of before anything is counted
    device = torch.device(device)
    make, collect = _batch_maker(space, threads, device, path)

    def add(batch: Views) -> Bool[np.ndarray, "parts B"]:
        masks = [packed(mask) for mask in batch.masks]
        depths = body_depths(space, batch, masks, threads) if space.settings.hidden else None
        images = make(joint_cameras(space, batch).to(device), masks, depths)
        return _add(space, batch, images, counts)

    refused = unusable(views)
    usable = [index for index, fault in enumerate(refused) if not fault]
    members = np.zeros((len(space.parts), len(refused)), bool)
    for index in _batches(views, usable):
        batch = views.select(index)
        members[:, index] = add(batch)
        if space.settings.symmetric:
            add(mirrored(batch))
    if collect is not None:
        collect([counts[part.name] for part in space.parts])
    return Accumulation(counts, members, refused)


def touched_segments(
    space: CanonicalSpace,
    views: Views,
    threads: int = 1,
    device: torch.device | str = "cpu",
    path: Path | None = None,
) -> Bool[np.ndarray, "24 B"]:
    """(24, B) bool: which body segments' interaction regions meet which samples' object masks.

    A region meets a mask as in `accumulate` (method.md 9); nothing is counted. Segments are in
    SMPL's order and must each have a region of their own in the space, as with the preset `auto`:
    BadInput if one has none. A sample that `accumulate` would refuse touches nothing.
    """
    groups = [(segment,) for segment in SEGMENT_NAMES]
    missing = [segment for (segment,) in groups if (segment,) not in space.regions]
    if missing:
        raise BadInput(
            f"the canonical space has no region of its own for {', '.join(missing)}; make it with "
            'the body-part preset "auto".'
        )
    device = torch.device(device)
    make, _ = _batch_maker(replace(space, parts=()), threads, device, path)
    refused = unusable(views)
    touched = np.zeros((len(groups), len(refused)), bool)
    for index in _batches(views, [index for index, fault in enumerate(refused) if not fault]):
        batch = views.select(index)
        masks = [packed(mask) for mask in batch.masks]
        images = make(joint_cameras(space, batch).to(device), masks)
        touched[:, index] = [images.touched(group) for group in groups]
    return touched


def _batch_maker(
    space: CanonicalSpace, threads: int, device: torch.device, path: Path | None
) -> tuple[Callable[..., Any], Callable[..., None] | None]:
    """What makes a batch of images, and what fetches counts that wait on a device, if any do."""
    path = path or ("fused" if device.type == "cpu" else "device")
    if path == "device":
        from chorus.occupancy.device_counts import DeviceCounts

        on_device = DeviceCounts(space, device)
        return on_device.batch, on_device.collect
    if path == "plain":
        return partial(PlainBatch, space), None
    from chorus.occupancy.fused import FusedBatch

    return partial(FusedBatch, space, threads=threads), None


def _batches(views: Views, usable: list[int]) -> Iterator[list[int]]:
    """Sample numbers in batches of at most 64 images and 2^28 pixels."""
    batch, pixels = [], 0
    for index in usable:
        size = views.masks[index].size
        if batch and (len(batch) == _IMAGES_AT_ONCE or pixels + size > _PIXELS_AT_ONCE):
            yield batch
            batch, pixels = [], 0
        batch.append(index)
        pixels += size
    if batch:
        yield batch


def _add(
    space: CanonicalSpace, views: Views, images: Any, counts: dict[str, BinCounts]
) -> Bool[np.ndarray, "parts B"]:
    """Count one batch of usable samples; returns who joined which cluster."""
    bins = azimuth_bin(views.R.double(), views.t.double()).numpy()
    regions = [images.touched(region) for region in space.regions]
    touched = np.stack(regions) if regions else np.zeros((0, len(bins)), bool)
    members = space.members(touched)
    levels = views.levels()
    repeated, joined = np.repeat(bins, levels), np.repeat(members, levels, axis=1)
    targets = [counts[part.name] for part in space.parts]
    images.count(members, bins, levels, targets)
    for cluster, own in zip(targets, members, strict=True):
        if cluster.once is not None:
            cluster.once[0] += np.bincount(bins, minlength=BINS)
            cluster.once[1] += np.bincount(bins[own], minlength=BINS)
    for cluster, mine in zip(targets, joined, strict=True):
        np.add(cluster.samples, np.bincount(repeated, minlength=BINS), out=cluster.samples)
        np.add(cluster.members, np.bincount(repeated[mine], minlength=BINS), out=cluster.members)
    return members


def _check_hidden(space: CanonicalSpace, counts: dict[str, BinCounts]) -> None:
    """BadInput unless the counts have hidden voxels if and only if the settings ask for them."""
    wanted = space.settings.hidden
    wrong = [name for name, one in counts.items() if (one.hidden is not None) != wanted]
    if wrong:
        raise BadInput(
            f"the counts of {', '.join(wrong)} were begun {'without' if wanted else 'with'} hidden "
            f"voxels and cannot be continued {'with' if wanted else 'without'} them; begin anew, "
            "or use the same setting `hidden`."
        )

"""Rows of the benchmark whose cost grows with the samples: cameras, counts, masks, tables."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks import references
from benchmarks.inputs import PIXELS, POOL, Samples, Setting
from benchmarks.measuring import Disagreement, Job, Work, within
from chorus.geometry.masks import decode
from chorus.occupancy.accumulate import accumulate, empty_counts
from chorus.occupancy.mask_bits import of_counts


def calibration(setting: Setting, persons: int = 256) -> Job:
    """Cameras of persons whose joints a regressor saw under weak perspective."""
    from chorus.calibration.settings import CalibrationSettings
    from chorus.calibration.weak_to_perspective import calibrate
    from chorus.geometry.cameras import project

    people = references.from_tests("references/people.py")
    adam = references.from_tests("references/adam.py").calibrate_one
    compared = 2 if setting.quick else 4
    samples = Samples.random(persons)
    pose = torch.from_numpy(samples.pose).clone()
    pose[:, 0] = 0
    seen = people.photograph(setting.body.posed_joints(pose).double())
    settings = CalibrationSettings()

    def run(number: int):
        torch.set_num_threads(1)  # as the stage does, whose processes share the cores
        given = (seen.joints3d, seen.joints2d, seen.rotation, seen.size)
        given = (one[:number].float().to(setting.device) for one in given)
        return calibrate(*given, settings=settings)

    def reference() -> list[float]:
        return [
            adam(
                seen.joints3d[one].float(),
                seen.joints2d[one].float(),
                seen.rotation[one].float(),
                seen.weak[one].float(),
                people.SIZE,
                people.SIZE,
            )[3]
            for one in range(compared)
        ]

    def check(found, expected) -> str:
        if not bool(found.converged.all()):
            raise Disagreement(f"{int((~found.converged).sum())} persons did not converge")
        # Both may stop at 0.7 px; below that neither is better than the other.
        camera = (one[:compared].cpu().double() for one in (found.R, found.t, found.K))
        pixels, _ = project(seen.joints3d[:compared], *camera)
        missed = (pixels - seen.joints2d[:compared]).flatten(1).norm(dim=1)
        residual = missed.numpy() / seen.joints2d.shape[1]
        excess = residual - np.maximum(expected, 0.7)
        return within("residual above the loop's, px", float(max(excess.max(), 0)), 0.05)

    # Per step and person 24 joints: projection, 2 x 7 derivatives, their products (about 400
    # operations a joint), and a 7 x 7 system (about 500).
    return Job(
        size=f"{persons} persons",
        fast=partial(run, persons),
        warm=partial(run, 2),
        work=lambda found: Work(float(found.iterations.sum()) * (24 * 400 + 500), "flop"),
        check=check,
        unit="person",
        units=persons,
        reference=reference,
        reference_units=compared,
        reference_size=f"{compared} persons",
    )


def aggregation(
    setting: Setting,
    name: str,
    images: int,
    resolution: int = 48,
    compare: bool = True,
    hidden: bool = False,
) -> Job:
    """Counting samples from run-length masks, `images` a call, at most POOL held at a time."""
    space = setting.space(name, resolution, hidden)
    counted = ("image", "mask", "hidden") if hidden else ("image", "mask")
    samples = Samples.random(min(images, POOL))
    compared = 2 if setting.quick else 8
    path = "device" if setting.device == "cuda" else None

    def run(number: int):
        torch.set_num_threads(1)  # as the stage does, whose kernels have threads of their own
        counts, members = empty_counts(space), []
        for start in range(0, number, POOL):
            batch = min(POOL, number - start)
            done = accumulate(
                space, samples.views(batch), counts, setting.threads, setting.device, path
            )
            members.append(done.members)
        return counts, np.concatenate(members, axis=1)

    def reference():
        masks = [decode(one, PIXELS, PIXELS) for one in samples.counts[:compared]]
        given = (one[:compared] for one in (samples.pose, samples.R, samples.t, samples.K))
        return references.aggregate(space, *given, masks)

    def check(found, expected) -> str:
        if expected is None:
            total = int(found[0]["all"].samples.sum())
            return within("samples not counted", float(images - total), 0)
        counts, members = run(compared)
        if not np.array_equal(members, expected[-1]):
            raise Disagreement("the samples joined other clusters than in the plain reference")
        differing = 0
        for number, part in enumerate(space.parts):
            for which, name in enumerate(counted):
                mine = getattr(counts[part.name], name).reshape(12, -1).astype(np.int64)
                differing += int(np.abs(mine - expected[which][number]).sum())
        share = differing / (len(counted) * compared * len(space.parts) * space.grid.count)
        return within("share of voxels counted otherwise (rounding)", share, 1e-4)

    # A blend of 12 numbers by the non-zero weights, then place, division, bounds and look-up.
    flops = 24 * np.count_nonzero(space.weights) + 30 * space.grid.count
    return Job(
        size=f"{name}{', hidden' * hidden}, {images:,} images of {PIXELS}^2, {resolution}^3 voxels",
        fast=partial(run, images),
        warm=partial(run, 2),
        work=lambda _: Work(float(images * flops), "flop"),
        check=check,
        unit="image",
        units=images,
        reference=reference if compare else None,
        reference_units=compared,
        reference_size=f"{compared} images",
    )


def mask(setting: Setting, masks: int = 1024) -> Job:
    """Run-length masks to bits."""
    counts = Samples.random(masks).counts

    def run(number: int):
        return [of_counts([each], PIXELS, PIXELS) for each in counts[:number]]

    def check(found, expected) -> str:
        for bits, pixels in zip(found, expected, strict=False):
            if not np.array_equal(bits.dense(), pixels):
                raise Disagreement("a mask decoded otherwise than by COCO's own decoder")
        return "every pixel equal"

    moved = sum(map(len, counts)) + masks * PIXELS * PIXELS / 8
    return Job(
        size=f"{masks:,} masks of {PIXELS}^2",
        fast=partial(run, masks),
        warm=partial(run, 1),
        work=lambda _: Work(moved, "B"),
        check=check,
        unit="mask",
        units=masks,
        reference=partial(references.masks, counts[:64], PIXELS, PIXELS),
        reference_units=min(64, masks),
        reference_size=f"{min(64, masks)} masks",
    )


def table(setting: Setting, rows: int = 1000) -> Job:
    """Reading and checking a table of segmentations."""
    from chorus.records.keys import ShardKey
    from chorus.records.tables import Table, read_table, write_table

    counts = Samples.random(rows).counts
    written = Table(ShardKey("model", "chair", "A person sits on a chair", "original"), {})
    for index in range(rows):
        detections = [
            {"label": label, "score": 0.5, "box": [0.0, 1.0, 2.0, 3.0], "mask": mask}
            for label, mask in (("chair", counts[index]), ("person", counts[index - 1]))
        ]
        size = {"width": PIXELS, "height": PIXELS, "detections": detections}
        written.rows[index] = {"index": index, "status": "done", "reason": "", **size}
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "table.parquet"
    write_table(path, "segmentations", written)

    def check(found, expected) -> str:
        if found.rows != written.rows or expected != list(written.rows.values()):
            raise Disagreement("the table read is not the one written")
        folder.cleanup()
        return "every value as written"

    return Job(
        size=f"{rows:,} rows of two masks, {path.stat().st_size / 1e3:,.0f} kB",
        fast=partial(read_table, path, "segmentations"),
        warm=partial(read_table, path, "segmentations"),
        work=lambda _: Work(float(path.stat().st_size), "B"),
        check=check,
        reference=partial(references.read_rows, path),
        reference_size=f"{rows:,} rows",
    )

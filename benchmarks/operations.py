"""The rows of the benchmark: each makes its inputs and says what to run and to compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks import per_sample, references
from benchmarks.inputs import PIXELS, Samples, Setting
from benchmarks.measuring import Job, Work, within
from chorus.geometry.masks import decode
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.presets import FieldSettings
from chorus.occupancy.regions import PARTS, interaction_region
from chorus.occupancy.skinning_field import skinning_field


def field(setting: Setting, resolution: int = 48, compare: bool = True) -> Job:
    """The skinning field of the star body."""
    vertices = setting.star.vertices.to(setting.device)
    weights = setting.body.weights.to(setting.device)
    settings, small = FieldSettings(), setting.grid(setting.compared)

    def run(grid: VoxelGrid):
        return skinning_field(vertices, weights, grid, settings, threads=setting.threads)

    def check(found, expected) -> str:
        if expected is None:
            return within("rows sum to one but for", float((found.sum(1) - 1).abs().max()), 1e-5)
        difference = np.abs(found.cpu().numpy() - expected).max()
        return within("largest difference of a weight", float(difference), 1e-4)

    voxels = resolution**3
    numbers = voxels * weights.shape[1] * 4
    return Job(
        size=f"{resolution}^3 voxels, {len(vertices):,} vertices",
        fast=partial(run, setting.grid(resolution)),
        warm=partial(run, setting.grid(8)),
        # Each round of smoothing reads and writes the field once; so does making it.
        work=lambda _: Work(2 * (settings.smoothing_rounds + 1) * numbers, "B"),
        check=check,
        same=partial(run, small) if compare and small.resolution != resolution else None,
        reference=partial(
            references.skinning_field,
            vertices.cpu(),
            weights.cpu().numpy(),
            small,
            settings,
        )
        if compare
        else None,
        reference_size=f"{small.resolution}^3",
    )


def _posing(setting: Setting, resolution: int) -> Distribution:
    """A random field in the canonical space."""
    grid = setting.grid(resolution)
    values = np.random.default_rng(1).random(grid.shape, np.float32)
    return Distribution(values, grid, np.ones(grid.shape, np.uint32))


def _posing_work(setting: Setting, resolution: int) -> Work:
    """As for the skinning field, of 12 numbers a voxel, each round reading and writing once."""
    return Work(2.0 * 31 * resolution**3 * 12 * 4, "B")


def pap(setting: Setting, resolution: int = 48) -> Job:
    """One test image: pose and project the field, and its figures over all thresholds."""
    from chorus.evaluation.labelled_images import LabelledImage
    from chorus.evaluation.pap import prepare, score
    from chorus.evaluation.pap_settings import PapSettings

    samples, settings = Samples.random(1, seed=3), PapSettings()
    mask = decode(samples.counts[0], PIXELS, PIXELS)
    image = LabelledImage(samples.pose[0], samples.R[0], samples.t[0], samples.K[0], mask)
    star = setting.star

    def run(size: int):
        field = _posing(setting, size)
        ready = prepare(image, setting.body, field.grid, settings, threads=setting.threads)
        return score(field.probability, ready, settings)

    def reference():
        field = _posing(setting, setting.compared)
        target = run(8).target
        return references.pap(
            field.probability,
            image,
            target,
            setting.body,
            star,
            field.grid,
            FieldSettings(),
            settings,
        )

    def check(found, expected) -> str:
        difference = np.abs(found.pap[:2] - expected).max()
        return within("largest difference of PAP", float(difference), 0.005)

    return _with_small(setting, resolution, run, reference, check)


def pose_distribution(setting: Setting, resolution: int = 48) -> Job:
    """A distribution around the body in another pose."""
    pose, star = Samples.random(1, seed=3).pose[0], setting.star

    def run(size: int):
        return _posing(setting, size).pose(setting.body, pose, threads=setting.threads)

    def reference():
        small = _posing(setting, setting.compared)
        return references.pose_distribution(small, setting.body, star, pose, FieldSettings())

    def check(found, expected) -> str:
        share = np.mean(found.probability != expected)
        return within("share of voxels looked up elsewhere (rounding)", float(share), 1e-3)

    return _with_small(setting, resolution, run, reference, check)


def _with_small(
    setting: Setting, resolution: int, run: Callable, reference: Callable, check: Callable
) -> Job:
    """A job over a grid whose reference may run on a smaller one."""
    small = setting.compared
    return Job(
        size=f"{resolution}^3 voxels",
        fast=partial(run, resolution),
        warm=partial(run, 8),
        work=lambda _: _posing_work(setting, resolution),
        check=check,
        same=partial(run, small) if small != resolution else None,
        reference=reference,
        reference_size=f"{small}^3",
    )


def regions(setting: Setting, resolution: int = 48) -> Job:
    """The interaction regions of all parts of the presets."""
    from chorus.body.skeleton import SEGMENT_NAMES

    groups = [group for some in PARTS.values() for part in some for group in part.pass_sets]
    vertices = setting.star.vertices.numpy()
    part_of_vertex = setting.body.part_of_vertex.numpy()

    def run(size: int):
        grid = setting.grid(size)
        return [interaction_region(vertices, part_of_vertex, group, grid) for group in groups]

    def reference():
        grid = setting.grid(setting.compared)
        numbers = [[SEGMENT_NAMES.index(name) for name in group] for group in groups]
        return [references.region(vertices, part_of_vertex, one, grid, 0.13) for one in numbers]

    def check(found, expected) -> str:
        differing = sum(len(np.setxor1d(*pair)) for pair in zip(found, expected, strict=True))
        return within("voxels in only one of the regions", float(differing), 2)

    job = _with_small(setting, resolution, run, reference, check)
    moved = len(groups) * (resolution**3 * 12 + vertices.nbytes)
    return replace(
        job,
        size=f"{len(groups)} segment sets, {resolution}^3 voxels",
        work=lambda found: Work(float(moved + sum(one.nbytes for one in found)), "B"),
    )


def pose_body(setting: Setting, poses: int = 64) -> Job:
    """Posing the body: kinematics and linear blend skinning of every vertex."""
    pose = torch.from_numpy(Samples.random(poses).pose).to(setting.device)
    body = setting.body.to(setting.device)
    vertices = len(body.v_template)
    compared = min(poses, 8)

    def check(found, expected) -> str:
        difference = np.abs(found.vertices[:compared].cpu().numpy() - expected).max()
        return within("largest distance, m", float(difference), 1e-5)

    return Job(
        size=f"{poses} poses of {vertices:,} vertices",
        fast=partial(body.pose, pose),
        warm=partial(body.pose, pose[:1]),
        work=lambda _: Work(float(poses * vertices * (24 * 12 * 2 + 18)), "flop"),
        check=check,
        unit="pose",
        units=poses,
        reference=partial(references.pose_body, setting.body, pose[:compared].cpu()),
        reference_units=compared,
        reference_size=f"{compared} poses",
    )


ROWS: dict[str, Callable[[Setting], Job]] = {
    "skinning-field": field,
    "calibration": per_sample.calibration,
    "aggregation-quant-64": partial(per_sample.aggregation, name="quant:full", images=64),
    "aggregation-quant-1024": partial(per_sample.aggregation, name="quant:full", images=1024),
    "aggregation-hidden-64": partial(
        per_sample.aggregation, name="quant:full", images=64, hidden=True
    ),
    "aggregation-qual-64": partial(per_sample.aggregation, name="qual:demo", images=64),
    "aggregation-qual-1024": partial(per_sample.aggregation, name="qual:demo", images=1024),
    "pap": pap,
    "interaction-regions": regions,
    "read-table": per_sample.table,
    "mask-decoding": per_sample.mask,
    "posing-bodies": pose_body,
    "posing-a-distribution": pose_distribution,
}
"""The benchmark's rows by name."""

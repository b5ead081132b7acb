"""The rows of the benchmark: each makes its inputs and says what to run and to compare with."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from benchmarks import references
from benchmarks.measuring import Disagreement, Job, Work, within
from chorus.body.loading import load_body
from chorus.body.model import star_body
from chorus.geometry.cameras import intrinsics, look_at
from chorus.geometry.masks import decode, encode
from chorus.occupancy.accumulate import accumulate, empty_counts
from chorus.occupancy.canonical import canonical_space
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.mask_bits import of_counts
from chorus.occupancy.presets import FieldSettings, preset
from chorus.occupancy.regions import PARTS, Part, interaction_region, parts
from chorus.occupancy.skinning_field import skinning_field
from chorus.occupancy.views import Views

SIDE, PIXELS, POOL = 3.0, 512, 1024


@dataclass(frozen=True)
class Setting:
    """What all rows share: where the body is, the device, and whether to be quick."""

    imports: str = "imports"
    device: str = "cpu"
    quick: bool = False
    threads: int = os.cpu_count() or 1

    @cached_property
    def body(self):
        """The free body, built at first use."""
        return load_body(imports=self.imports)

    @cached_property
    def star(self):
        """The body in the canonical pose."""
        return star_body(self.body)

    def grid(self, resolution: int) -> VoxelGrid:
        """A grid of the usual side."""
        return VoxelGrid(resolution, SIDE)

    @property
    def compared(self) -> int:
        """Resolution at which slow references are run."""
        return 24 if self.quick else 48

    def space(self, name: str, resolution: int = 48):
        """The canonical space of a preset as `chorus aggregate` makes it."""
        settings = replace(preset(name), resolution=resolution)
        clusters = (Part("all"), *parts(settings.parts))
        cache = Path(self.imports) / "cache"
        return canonical_space(self.body, settings, cache, clusters, self.threads)


@dataclass(frozen=True, eq=False)
class Samples:
    """Synthetic samples: poses, cameras all around and elliptic objects as compressed counts."""

    pose: np.ndarray
    R: np.ndarray
    t: np.ndarray
    K: np.ndarray
    counts: list[bytes]

    @classmethod
    def random(cls, number: int, seed: int = 0) -> Samples:
        """Bodies within the picture, seen from 2.5 to 4 m, with an object near the person."""
        rng = np.random.default_rng(seed)
        pose = rng.normal(0, 0.3, (number, 24, 3)).astype(np.float32)
        angle = rng.uniform(0, 2 * np.pi, number)
        eye = np.stack([np.sin(angle), rng.uniform(-0.1, 0.3, number), np.cos(angle)], axis=1)
        eye = torch.tensor(eye * rng.uniform(2.5, 4, (number, 1)), dtype=torch.float32)
        R, t = look_at(eye, torch.zeros(3).expand(number, 3))
        K = intrinsics(torch.full((number,), 1.17), PIXELS, PIXELS)
        rows, columns = np.ogrid[:PIXELS, :PIXELS]
        counts = []
        for _ in range(number):
            y, x = rng.uniform(150, 360, 2)
            a, b = rng.uniform(40, 140, 2)
            counts.append(encode(((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 < 1))
        return cls(pose, R.numpy(), t.numpy(), K.float().numpy(), counts)

    def views(self, number: int) -> Views:
        """The first samples as aggregation takes them, from their compressed masks."""
        masks = [of_counts([one], PIXELS, PIXELS) for one in self.counts[:number]]
        return Views.of(
            self.pose[:number], self.R[:number], self.t[:number], self.K[:number], masks
        )


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
    setting: Setting, name: str, images: int, resolution: int = 48, compare: bool = True
) -> Job:
    """Counting samples from run-length masks, `images` a call, at most POOL held at a time."""
    space = setting.space(name, resolution)
    samples = Samples.random(min(images, POOL))
    compared = 2 if setting.quick else 8
    path = "device" if setting.device == "cuda" else None

    def run(number: int):
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
        if not np.array_equal(members, expected[2]):
            raise Disagreement("the samples joined other clusters than in the plain reference")
        differing = 0
        for number, part in enumerate(space.parts):
            for which, name in enumerate(("image", "mask")):
                mine = getattr(counts[part.name], name).reshape(12, -1).astype(np.int64)
                differing += int(np.abs(mine - expected[which][number]).sum())
        share = differing / (2 * compared * len(space.parts) * space.grid.count)
        return within("share of voxels counted otherwise (rounding)", share, 1e-4)

    # A blend of 12 numbers by the non-zero weights, then place, division, bounds and look-up.
    flops = 24 * np.count_nonzero(space.weights) + 30 * space.grid.count
    return Job(
        size=f"{name}, {images:,} images of {PIXELS}^2, {resolution}^3 voxels",
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
    from chorus.evaluation.pap import prepare, score
    from chorus.evaluation.pap_settings import PapSettings
    from chorus.evaluation.test_set import LabelledImage

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


def table(setting: Setting, rows: int = 1000) -> Job:
    """Reading and checking a table of segmentations."""
    from chorus.samples import ShardKey
    from chorus.tables import Table, read_table, write_table

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

    def check(found, _) -> str:
        if found.rows != written.rows:
            raise Disagreement("the table read is not the one written")
        folder.cleanup()
        return "every value as written"

    return Job(
        size=f"{rows:,} rows of two masks, {path.stat().st_size / 1e3:,.0f} kB",
        fast=partial(read_table, path, "segmentations"),
        warm=partial(read_table, path, "segmentations"),
        work=lambda _: Work(float(path.stat().st_size), "B"),
        check=check,
    )


def mask(setting: Setting, masks: int = 1024) -> Job:
    """Run-length masks to bits."""
    counts = Samples.random(masks).counts

    def run(number: int):
        return [of_counts([one], PIXELS, PIXELS) for one in counts[:number]]

    def check(found, expected) -> str:
        for one, other in zip(found, expected, strict=False):
            if not np.array_equal(one.dense(), other):
                raise Disagreement("a mask decoded otherwise than by the plain decoder")
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
        reference=lambda: [decode(one, PIXELS, PIXELS) for one in counts[:64]],
        reference_units=min(64, masks),
        reference_size=f"{min(64, masks)} masks",
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
    "calibration": calibration,
    "aggregation-quant-64": partial(aggregation, name="quant:full", images=64),
    "aggregation-quant-1024": partial(aggregation, name="quant:full", images=1024),
    "aggregation-qual-64": partial(aggregation, name="qual:demo", images=64),
    "aggregation-qual-1024": partial(aggregation, name="qual:demo", images=1024),
    "pap": pap,
    "interaction-regions": regions,
    "read-table": table,
    "mask-decoding": mask,
    "posing-bodies": pose_body,
    "posing-a-distribution": pose_distribution,
}
"""The benchmark's rows by name."""

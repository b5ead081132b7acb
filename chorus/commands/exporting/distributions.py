"""Distributions as files: GLB, still and moving, NRRD volumes, and a Rerun recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chorus.commands.exporting.options import Options
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput
from chorus.files import atomic_write, beside, display_name
from chorus.filtering.rules import parse_combination
from chorus.records import aggregations
from chorus.records.gathering import Retained, gather
from chorus.records.keys import TOTAL

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.occupancy.distribution import Distribution

POSES = 4
"""Retained poses that an animation goes through."""


@dataclass(frozen=True)
class Posed:
    """A distribution of an aggregation, and what is written of it."""

    folder: Path
    part: str
    distribution: Distribution
    body: BodyModel

    @property
    def stem(self) -> Path:
        """<category>/<prompt>/<aggregation>/<cluster>, which the files' suffixes are added to."""
        return Path(*self.folder.parts[-3:]) / self.part


def write_meshes(options: Options, report: CommandResult, progress: Progress) -> str:
    """A GLB for every cluster of every aggregation."""
    from chorus.viewing.gltf import distribution_glb

    def write(which: Posed) -> None:
        content = distribution_glb(which.distribution, which.body, options.threshold)
        atomic_write(beside(options.out / which.stem, ".glb"), content)

    return f"{_each(options, report, progress, 'glb', write)} GLB files"


def write_animations(options: Options, report: CommandResult, progress: Progress) -> str:
    """A GLB for every cluster of every aggregation that moves through some retained poses."""
    import torch

    from chorus.viewing.gltf import animated_glb, spread_of_poses

    gathered: dict[tuple[str, ...], Retained] = {}

    def write(which: Posed) -> None:
        key = (which.distribution.category, which.distribution.prompt, which.folder.name)
        if key not in gathered:
            gathered.clear()  # folders come one after the other
            gathered[key] = _retained(options, which)
        samples = gathered[key]
        poses = torch.from_numpy(np.stack(samples.pose))
        chosen = spread_of_poses(poses, which.body, POSES)
        names = [str(samples.keys[at]) for at in chosen]
        content = animated_glb(
            which.distribution, which.body, poses[chosen], options.threshold, names
        )
        atomic_write(beside(options.out / which.stem, ".animation.glb"), content)

    return f"{_each(options, report, progress, 'animation', write)} animations"


def write_volumes(options: Options, report: CommandResult, progress: Progress) -> str:
    """An NRRD volume for every cluster of every aggregation."""
    from chorus.viewing.nrrd_volume import nrrd_volume

    def write(which: Posed) -> None:
        atomic_write(beside(options.out / which.stem, ".nrrd"), nrrd_volume(which.distribution))

    return f"{_each(options, report, progress, 'nrrd', write)} volumes"


def write_recording(options: Options, report: CommandResult, progress: Progress) -> str:
    """distributions.rrd: all clusters of all aggregations in one recording."""
    from chorus.viewing.rerun_recording import Recording

    recording = Recording()

    def write(which: Posed) -> None:
        recording.add(which.stem.parts, which.distribution, which.body, options.threshold)

    count = _each(options, report, progress, "rerun", write)
    if count:
        atomic_write(options.out / "distributions.rrd", recording.content())
    return f"a recording of {count} distributions"


def _each(
    options: Options,
    report: CommandResult,
    progress: Progress,
    name: str,
    write: Callable[[Posed], Any],
) -> int:
    """Write every distribution that is asked for; how many there were. What cannot be written is
    told, and does not stop the others."""
    from chorus.body.loading import load_body

    folders = _folders(options)
    body = load_body(options.body, options.imports_dir)
    root = options.tree.folder("aggregations")
    count = 0
    with progress_bar(progress, len(folders), name, "aggregation") as advance:
        for folder in folders:
            for part, distribution in aggregations.load(folder).items():
                try:
                    _check_body(distribution.body, body, options)
                    write(Posed(folder, part, distribution, body))
                    count += 1
                except BadInput as error:
                    report.problems.append(f"{folder.relative_to(root)}/{part}: {error}")
            advance(1)
    report.ok = report.ok and count > 0
    return count


def _folders(options: Options) -> list[Path]:
    """The folders of the aggregations that are asked for; BadInput if there is none."""
    tree, model = options.tree, options.models.model_key
    folders = [
        folder
        for folder in aggregations.stored(tree, model, set(options.categories) or None)
        if not options.prompts or display_name(folder.parts[-2]) in options.prompts
    ]
    if not folders:
        where = tree.folder("aggregations") / model
        raise BadInput(f"no aggregation of what is asked for in {where}; run aggregate first.")
    return folders


def _retained(options: Options, which: Posed) -> Retained:
    """The samples of a distribution's prompt, or of its category for a total; BadInput if there
    are none any more."""
    tree, model = options.tree, options.models.model_key
    said, prompt = which.distribution, which.distribution.prompt
    name = aggregations.parsed_name(display_name(which.folder.name) or "")
    settings = aggregations.read_record(which.folder)["settings"]
    shards = tree.shards("filtered", model, (said.category,), () if prompt == TOTAL else (prompt,))
    rules = parse_combination(name[0] if name else "")
    samples = gather(tree, shards, rules, settings.get("anchor", "calibrated"))
    if not len(samples):
        raise BadInput("no retained sample is there any more that the body could be posed as.")
    return samples


def _check_body(fingerprint: str, body: BodyModel, options: Options) -> None:
    if fingerprint and fingerprint != body.fingerprint:
        given = options.body or "the free body"
        raise BadInput(
            f"it was aggregated with another body than {given}; give its file as --body."
        )

"""`chorus export`: tables and distributions → forms that other programs read.

    <out>/instances.json        images, masks, keypoints: COCO's form, which `chorus import` reads
    <out>/poses.npz             human poses, shapes and cameras, a row per person
    <out>/<category>/<prompt>/<aggregation>/<cluster>.glb   distribution around the canonical body

and, where --formats asks for them, moving GLB files, NRRD volumes, a Rerun recording, .smpl files,
SMPL-X's npz, and the two files of COCO's keypoint evaluation. docs/bring-your-own.md describes
every key.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from chorus.commands.exporting.distributions import (
    write_animations,
    write_meshes,
    write_recording,
    write_volumes,
)
from chorus.commands.exporting.images import write_coco, write_keypoints
from chorus.commands.exporting.options import Format, Options
from chorus.commands.exporting.poses import write_npz, write_smpl, write_smplx
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import ChorusError, unknown_name
from chorus.files import display_name
from chorus.records import aggregations

_WRITERS: dict[Format, Callable[[Options, CommandResult, Progress], str]] = {
    "coco": write_coco,
    "npz": write_npz,
    "glb": write_meshes,
    "animation": write_animations,
    "smpl": write_smpl,
    "smplx": write_smplx,
    "coco_keypoints": write_keypoints,
    "nrrd": write_volumes,
    "rerun": write_recording,
}


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Write every format that is asked for; what one of them lacks does not stop the others."""
    started = time.monotonic()
    report = CommandResult("")
    _check_categories(options)
    written = []
    for name in dict.fromkeys(options.formats):
        try:
            written.append(_WRITERS[name](options, report, progress))
        except ChorusError as error:
            if len(options.formats) == 1:
                raise
            report.problems.append(f"{name}: {error}")
            report.ok = False
    seconds = time.monotonic() - started
    report.line = f"export: {'; '.join(written) or 'nothing'} in {seconds:.1f} s → {options.out}"
    return report


def _check_categories(options: Options) -> None:
    """BadInput for a category of which the tree has nothing at all."""
    tree, model = options.tree, options.models.model_key
    tables = ("segmentations", "humans")
    known = {s.category for name in tables for s in tree.shards(name, model, required=False)}
    known |= {display_name(folder.parts[-3]) for folder in aggregations.stored(tree, model)}
    for category in options.categories:
        if category not in known:
            raise unknown_name(f"category in {tree.root}:", category, known - {None})

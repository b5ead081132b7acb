"""`chorus perceive PHOTO…`: persons of photographs, without a results tree.

    <out>/<photo>.overlay.jpg   the photograph with bodies, outlines and keypoints
    <out>/<photo>.json          a record per person: box, mask, keypoints, landmarks, body, camera
    <out>/<photo>.npz           the same numbers as arrays, a row per person, and the bodies' meshes
    <out>/instances.json, <out>/poses.npz   all photographs together, as `chorus import` reads them

docs/bring-your-own.md describes every key.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from chorus.commands.perceiving.photos import photographs_of, pixels_of
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput
from chorus.settings import BodyOptions

OVERLAY = ".overlay.jpg"
"""How the names of the pictures end that are written; they are no photographs."""


@dataclass(frozen=True)
class Options(BodyOptions):
    """Find persons in photographs: keypoints, masks, bodies and cameras, with a picture of each."""

    photographs: Positional[tuple[Path, ...]] = dataclasses.field(kw_only=True)
    """Image files, or folders of them (and of folders)."""
    out: Path = Path("seen")
    """Folder to write into; files of the same names are replaced."""

    def __post_init__(self) -> None:
        if not self.photographs:
            raise BadInput("give image files or folders: chorus perceive photo.jpg --out seen")
        if self.out.exists() and not self.out.is_dir():
            raise BadInput(f"--out {self.out} is a file; give a folder.")


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Perceive every photograph; one that cannot be read is reported and does not stop the rest."""
    from chorus.body.loading import load_body
    from chorus.commands.perceiving.results import Results
    from chorus.perception import blazepose
    from chorus.perception.perceiving import Perceiver

    started = time.monotonic()
    photos = photographs_of(options.photographs, OVERLAY)
    blazepose.check("perceive", "", options.imports_dir)
    body = load_body(options.body, options.imports_dir)
    perceive = Perceiver(options.imports_dir, body)
    results = Results(options.out, body, OVERLAY)
    problems = []
    with progress_bar(progress, len(photos), "perceive", "photo") as advance:
        for photo in photos:
            try:
                pixels = pixels_of(photo.path)
                results.add(photo.name, pixels, perceive(pixels))
            except BadInput as error:
                problems.append(f"{photo.name}: {error}")
            advance(1)
    results.finish()
    line = (
        f"perceive: {results.persons} persons, {results.bodies} with a body, in {results.done} of "
        f"{len(photos)} photographs in {time.monotonic() - started:.1f} s → {options.out}"
    )
    return CommandResult(line, [*problems, *results.remarks()], ok=not problems)

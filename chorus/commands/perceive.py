"""`chorus perceive PHOTO…`: persons of photographs, without a results tree.

    <out>/<photo>.overlay.jpg   the photograph with bodies, outlines and keypoints
    <out>/<photo>.json          a record per person: box, mask, keypoints, landmarks, body, camera
    <out>/<photo>.npz           the same numbers as arrays, a row per person, and the bodies' meshes
    <out>/instances.json, <out>/poses.npz   all photographs together, as `chorus import` reads them

docs/bring-your-own.md describes every key.
"""

from __future__ import annotations

import dataclasses
import io
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from tyro.conf import Positional

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


class _Photo(NamedTuple):
    name: str
    """With the folders below the one that was given, separated by /."""
    path: Path


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Perceive every photograph; one that cannot be read is reported and does not stop the rest."""
    from chorus.body.loading import load_body
    from chorus.commands.perceiving.results import Results
    from chorus.perception import blazepose
    from chorus.perception.perceiving import Perceiver

    started = time.monotonic()
    photos = _photos(options.photographs)
    blazepose.check("perceive", "", options.imports_dir)
    body = load_body(options.body, options.imports_dir)
    perceive = Perceiver(options.imports_dir, body)
    results = Results(options.out, body, OVERLAY)
    problems = []
    with progress_bar(progress, len(photos), "perceive", "photo") as advance:
        for photo in photos:
            try:
                pixels = _pixels(photo.path)
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


def _photos(given: Sequence[Path]) -> list[_Photo]:
    """The photographs of files and folders. BadInput where there is none, or two of one name."""
    from chorus.commands.importing.sources import pictures_of

    photos: list[_Photo] = []
    for path in dict.fromkeys(given):
        if path.is_dir():
            names = [name for name in pictures_of(path) if not name.endswith(OVERLAY)]
            if not names:
                raise BadInput(f"{path} holds no photograph (JPEG, PNG, WebP, BMP, TIFF, HEIC).")
            photos += [_Photo(name, path / name) for name in names]
        elif path.is_file():
            photos.append(_Photo(path.name, path))
        else:
            raise BadInput(f"{path} is not there; give image files or folders.")
    twice = [name for name, count in Counter(photo.name for photo in photos).items() if count > 1]
    if twice:
        paths = " and ".join(str(photo.path) for photo in photos if photo.name == twice[0])
        raise BadInput(
            f"{paths} have one name, and so would their results; perceive them into different "
            "folders (--out)."
        )
    return photos


def _pixels(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """A photograph upright, RGB; BadInput if it cannot be read."""
    from PIL import Image

    from chorus.perception.photographs import upright_rgb

    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"it cannot be read ({error.strerror})") from error
    upright = upright_rgb(content)
    return np.asarray(Image.open(io.BytesIO(upright.content)))

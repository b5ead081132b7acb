"""`chorus reconstruct`: where the object of an image is, in the frame of the person who uses it.

    <out>/<category>/<image>.json               every person and object: pairing, place, extent
    <out>/<category>/<image>.png                the photograph, and views from the side and above
    <out>/<category>/<image>.glb, <image>.npz   body and object; with .0, .1 … for several objects

docs/reconstruction.md says how it is computed and how good it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tyro.conf import Positional

from chorus.body.loading import load_body
from chorus.commands.touching.chosen import aggregated, chosen_kind
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput, ChorusError
from chorus.files import portable_name
from chorus.settings import AggregationOptions, BodyOptions, PromptOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chorus.body.model import BodyModel
    from chorus.commands.reconstructing.cases import Case
    from chorus.commands.touching.chosen import Aggregated
    from chorus.occupancy.distribution import Distribution
    from chorus.reconstruction.reconstruct import Reconstruction
    from chorus.records.aggregations import AggregationKind


@dataclass(frozen=True)
class Options(BodyOptions, PromptOptions, AggregationOptions):
    """Say where objects are in 3D, of samples of the tree or of photographs with --masks."""

    photographs: Positional[tuple[Path, ...]] = ()
    """Photographs that `chorus perceive` has seen; samples of the tree if left out."""
    masks: Path | None = None
    """Folder of PNG masks of the photographs' objects: a.png is the mask of a.jpg, a folder a holds
    a file for each of several objects."""
    seen: Path = Path("seen")
    """What `chorus perceive --out` wrote of the photographs."""
    num_images: int = 6
    """Samples of the tree of each category, the first retained ones, their prompts by turns."""
    out: Path = Path("reconstructed")
    """Folder to write into; files of the same names are replaced."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.photographs) != (self.masks is not None):
            raise BadInput(
                "photographs and the masks of their objects belong together: chorus reconstruct "
                "photo.jpg --masks masks --categories surfboard; give both, or neither for samples "
                "of the tree."
            )
        if self.photographs and len(self.categories) != 1:
            raise BadInput(
                "name the one category that the masks are of: --categories surfboard; found "
                f"{' '.join(self.categories) or 'none'}."
            )
        for path in (self.masks, self.seen if self.photographs else None):
            if path is not None and not path.is_dir():
                raise BadInput(f"{path} is not a folder; give the folder of the files.")
        if self.num_images < 1:
            raise BadInput(f"--num_images must be 1 or more, not {self.num_images}.")
        if self.out.exists() and not self.out.is_dir():
            raise BadInput(f"--out {self.out} is a file; give a folder.")


def run(options: Options, progress: Progress = None) -> CommandResult:
    """The files of every image; one that cannot be reconstructed does not stop the others."""
    started = time.monotonic()
    kind = chosen_kind(options)
    found = aggregated(options, kind)
    body = load_body(options.body, options.imports_dir)
    report, done, tables = CommandResult(""), 0, []
    for category in options.categories or sorted({each.category for each in found}):
        try:
            done += _category(options, kind, found, category, body, report, tables, progress)
        except ChorusError as error:
            report.problems.append(str(error))
    report.ok = done > 0 and not report.problems
    report.text = _table(tables)
    many = "object" if done == 1 else "objects"
    seconds = time.monotonic() - started
    report.line = f"reconstruct: {done} {many} in {seconds:.1f} s → {options.out}"
    return report


def _category(
    options: Options,
    kind: AggregationKind,
    found: list[Aggregated],
    category: str,
    body: BodyModel,
    report: CommandResult,
    tables: list[list[str]],
    progress: Progress,
) -> int:
    """A category's images; how many objects were reconstructed."""
    from chorus.commands.reconstructing.fields import fields_of
    from chorus.commands.reconstructing.files import write_files

    fields = fields_of(found, category, options.prompts)
    done = 0
    total = len(options.photographs) or options.num_images
    with progress_bar(progress, total, f"reconstruct {category}", "image") as advance:
        for case in _cases(options, kind, category, body):
            advance(1)
            if isinstance(case, BadInput):
                report.problems.append(str(case))
                continue
            try:
                best, pairs, reasons = pair(case, fields, body)
                folder = options.out / portable_name(category)
                write_files(folder, category, case, best, pairs, body)
            except ChorusError as error:
                report.problems.append(f"{case.name}: {error}")
                continue
            report.problems += [f"{case.name}: {reason}" for reason in reasons]
            tables += _rows(category, case, best, pairs)
            done += sum(each is not None for each in best)
    return done


def _cases(
    options: Options, kind: AggregationKind, category: str, body: BodyModel
) -> Iterator[Case | BadInput]:
    from chorus.commands.reconstructing.cases import photograph_cases, tree_cases

    if options.photographs:
        yield from photograph_cases(options.photographs, options.seen, options.masks, body)
        return
    model, most = options.models.model_key, options.num_images
    yield from tree_cases(options.tree, model, category, options.prompts, kind, most)


def pair(
    case: Case, fields: Sequence[Distribution], body: BodyModel
) -> tuple[list[tuple[int, Reconstruction] | None], np.ndarray, list[str]]:
    """For each object its likeliest person and where it is around that one, the probability (P, O)
    of every pair, and why objects are nobody's.

    BadInput for a mask that is empty, or of the only object if it is far from everybody.
    """
    import torch

    from chorus.reconstruction.cone import check_seen
    from chorus.reconstruction.pairing import pair_probabilities
    from chorus.reconstruction.posterior import PosteriorSettings
    from chorus.reconstruction.reconstruct import PersonInSpace, common_grid, person_and_mask

    settings, grid = PosteriorSettings(), common_grid(fields, body)
    for seen in case.persons:
        for mask in case.objects:
            check_seen(mask, seen.camera)
    around: list[list[Reconstruction | None]] = []
    reasons: dict[int, str] = {}
    for seen in case.persons:
        pose = torch.from_numpy(np.asarray(seen.pose, np.float32))
        person, row = PersonInSpace.of(body, pose, grid), []
        for number, mask in enumerate(case.objects):
            try:
                row.append(person_and_mask(person, fields, seen.camera, mask, settings))
            except BadInput as error:
                row.append(None)
                reasons[number] = str(error)
        around.append(row)
    evidence = np.array([[-np.inf if e is None else e.log_evidence for e in row] for row in around])
    pairs = pair_probabilities(evidence)
    best = []
    for number in range(len(case.objects)):
        likeliest = int(evidence[:, number].argmax())
        one = around[likeliest][number]
        best.append(None if one is None else (likeliest, one))
    if not any(best):
        raise BadInput(reasons[0])
    return best, pairs, [reasons[n] for n, each in enumerate(best) if each is None]


def _rows(
    category: str,
    case: Case,
    best: Sequence[tuple[int, Reconstruction] | None],
    pairs: np.ndarray,
) -> list[list[str]]:
    rows = []
    for number, found in enumerate(best):
        if found is None:
            continue
        person, where = found
        doing = max(where.interactions, key=where.interactions.get)
        rows.append(
            [
                f"{case.name} {number}" if len(best) > 1 else case.name,
                category,
                f"{person} ({100 * pairs[person, number]:.0f} %)",
                *(f"{value:+.2f}" for value in where.centroid),
                f"{100 * np.linalg.norm(where.deviation) / np.sqrt(3):.0f}",
                f"{doing} ({100 * where.interactions[doing]:.0f} %)",
            ]
        )
    return rows


def _table(rows: list[list[str]]) -> str:
    from chorus.viewing.text_table import format_table

    header = ["image", "object", "person", "left", "up", "forward, m", "± cm", "interaction"]
    return format_table(header, rows) if rows else ""

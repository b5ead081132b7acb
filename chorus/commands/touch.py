"""`chorus touch`: where objects touch the body, from their distributions alone.

    <out>/<category>.png, .glb, .npz, .json              of all its prompts
    <out>/<category> - <prompt>.png, .glb, .npz, .json   of one, with --prompts

docs/reconstruction.md says what the numbers mean, how they were chosen, and how good they are.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from chorus.body.loading import load_body
from chorus.commands.touching.chosen import Aggregated, aggregated, chosen_kind, of_prompts
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput, ChorusError
from chorus.records.aggregations import WHOLE
from chorus.records.keys import TOTAL
from chorus.settings import AggregationOptions, BodyOptions
from chorus.viewing.text_table import format_table

Layout = Literal["chorus", "damon"]

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.reconstruction.contact import ContactMap


@dataclass(frozen=True)
class Options(BodyOptions, AggregationOptions):
    """Say where objects touch the body, of categories as a whole or of --prompts."""

    prompts: tuple[str, ...] = ()
    """Prompts, in full; if left out, each category's total over all of its prompts (or with
    --against all prompts)."""
    part: str = WHOLE
    """The cluster that is read, e.g. all, fullbody, rightArm."""
    out: Path = Path("touch")
    """Folder to write into; files of the same names are replaced."""
    layout: Layout = "chorus"
    """Keys of the npz: damon is what DECO reads, for SMPL bodies alone (6890 vertices)."""
    against: Literal["truth"] | None = None
    """truth: instead of files, compare every prompt's contacts with the synthetic world's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out.exists() and not self.out.is_dir():
            raise BadInput(f"--out {self.out} is a file; give a folder.")


def run(options: Options, progress: Progress = None) -> CommandResult:
    """The files and a table of parts, or a table of scores."""
    found = aggregated(options, chosen_kind(options))
    body = load_body(options.body, options.imports_dir)
    if options.against:
        return _against_truth(options, found, body, progress)
    return write_maps(options, of_prompts(found, options.prompts), body, progress)


def write_maps(
    options: Options, chosen: list[Aggregated], body: BodyModel, progress: Progress = None
) -> CommandResult:
    """The files of some aggregations' contacts, and a table of the parts of each."""
    from chorus.commands.touching.files import check_layout, write_files
    from chorus.reconstruction.contact import contact_map

    check_layout(options.layout, body)
    started = time.monotonic()
    report, tables = CommandResult(""), []
    with progress_bar(progress, len(chosen), "touch", "distribution") as advance:
        for which in chosen:
            try:
                distribution = which.load(options.part)
                contact = contact_map(distribution, body)
                name = which.name if options.part == WHOLE else f"{which.name} - {options.part}"
                picture = write_files(
                    options.out, name, distribution, contact, body, options.layout
                )
                tables.append(f"{name} → {picture}\n{part_table(contact)}")
            except ChorusError as error:
                report.problems.append(f"{which.name}: {error}")
            advance(1)
    report.ok = bool(tables) and not report.problems
    report.text = "\n\n".join(tables)
    many = "map" if len(tables) == 1 else "maps"
    seconds = time.monotonic() - started
    report.line = f"touch: {len(tables)} contact {many} in {seconds:.1f} s → {options.out}"
    return report


def part_table(contact: ContactMap) -> str:
    """The parts, the likeliest first, as plain text."""
    rows = [
        [
            f"{part.segment}{' *' if part.touched else ''}",
            f"{part.probability:.2f}",
            f"{1e4 * part.area:.0f}",
            f"{100 * part.share:.0f}",
            *(f"{value:+.2f}" for value in part.direction),
        ]
        for part in sorted(contact.parts, key=lambda part: -part.probability)
    ]
    header = ["part (* touched)", "probability", "cm2", "% of it", "object: left", "up", "forward"]
    return format_table(header, rows)


def _against_truth(
    options: Options, found: list[Aggregated], body: BodyModel, progress: Progress
) -> CommandResult:
    from chorus.commands.touching.against_truth import HEADER, Scores, score
    from chorus.reconstruction.contact import contact_map

    if options.profile != "synthetic":
        raise BadInput(
            f"only the synthetic world knows true contacts; profile {options.profile!r} has none. "
            "Run with --profile synthetic."
        )
    started = time.monotonic()
    every = tuple(dict.fromkeys(each.prompt for each in found if each.prompt != TOTAL))
    chosen = of_prompts(found, options.prompts or every)
    report, by_category = CommandResult(""), {}
    with progress_bar(progress, len(chosen), "touch", "prompt") as advance:
        for which in chosen:
            try:
                contact = contact_map(which.load(options.part), body)
                model = options.models.model_key
                scores = score(options.tree, model, which, contact, body)
                of_it = by_category.setdefault(which.category, Scores())
                by_category[which.category] = of_it + scores
            except ChorusError as error:
                report.problems.append(f"{which.name}: {error}")
            advance(1)
    rows = [[category, *scores.row()] for category, scores in by_category.items()]
    if rows:
        columns = np.array([[float(cell) for cell in row[1:]] for row in rows])
        mean = [f"{value:.1f}" for value in columns[:, 1:].mean(axis=0)]
        rows.append(["mean of categories", f"{columns[:, 0].sum():.0f}", *mean])
        report.text = format_table(["percent", *HEADER], rows)
    report.ok = bool(rows)
    seconds = time.monotonic() - started
    report.line = f"touch: contacts of {len(chosen)} prompts against the truth in {seconds:.1f} s"
    return report

"""`chorus place MESH`: where an object of known shape most likely is around a person.

    <out>/<mesh>.png, .glb, .json

docs/reconstruction.md says how it is computed and how good it is.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from chorus.body.loading import load_body
from chorus.commands.placing.persons import PersonOptions, Samples, person_of
from chorus.commands.touching.chosen import aggregated, chosen_kind, of_prompts
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput, ChorusError
from chorus.records.aggregations import WHOLE, AggregationKind
from chorus.settings import AggregationOptions, BodyOptions
from chorus.viewing.text_table import format_table

if TYPE_CHECKING:
    from chorus.reconstruction.placement import Placements
    from chorus.records.gathering import Retained


@dataclass(frozen=True)
class Options(PersonOptions, BodyOptions, AggregationOptions):
    """Put an object's mesh where it most likely is around a person."""

    mesh: Positional[Path] = dataclasses.field(kw_only=True)
    """The object: .glb, .gltf, .obj, .ply or .stl."""
    unit: Literal["m", "cm", "mm", "in", "ft", "any"] | None = None
    """Of the mesh's lengths; any: find the scale as well; left out: the one that fits."""
    prompts: tuple[str, ...] = ()
    """Prompts, in full, each placed for itself; the category's total if left out."""
    part: str = WHOLE
    """The cluster that is read, e.g. all, fullbody, rightArm."""
    out: Path = Path("placed")
    """Folder to write into; files of the same names are replaced."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.categories) > 1:
            raise BadInput(
                f"one mesh is of one category; found {len(self.categories)} in --categories: "
                f"{', '.join(self.categories)}. Give the object's category."
            )
        if self.out.exists() and not self.out.is_dir():
            raise BadInput(f"--out {self.out} is a file; give a folder.")


def run(options: Options, progress: Progress = None) -> CommandResult:
    """The files, and a table of modes, of each distribution."""
    from chorus.commands.placing.files import write_files
    from chorus.reconstruction.placement import place
    from chorus.reconstruction.placement_mesh import read_mesh

    started = time.monotonic()
    thing = read_mesh(options.mesh)
    kind = chosen_kind(options)
    candidates = aggregated(options, kind)
    present = sorted({each.category for each in candidates})
    if len(present) > 1:
        raise BadInput(
            f"one mesh is of one category; there are distributions of {', '.join(present)}. Give "
            "the object's, --categories."
        )
    chosen = of_prompts(candidates, options.prompts)
    body = load_body(options.body, options.imports_dir)
    person = person_of(options, _samples_of(options, kind, present[0]), body)
    report, tables = CommandResult("", problems=list(person.notes)), []
    with progress_bar(progress, len(chosen), "place", "distribution") as advance:
        for which in chosen:
            try:
                field = which.load(options.part)
                found = place(thing, field, body, person.pose, person.view, unit=options.unit)
                name = f"{options.mesh.stem} - {which.name}"
                picture = write_files(options.out, name, found, field, body, person)
                notes = "".join(f"\n{note}" for note in found.notes)
                tables.append(f"{which.name} → {picture}{notes}\n{mode_table(found)}")
            except ChorusError as error:
                if len(chosen) == 1:
                    raise
                report.problems.append(f"{which.name}: {error}")
                report.ok = False
            advance(1)
    report.text = "\n\n".join(tables)
    seconds = time.monotonic() - started
    report.line = f"place: {options.mesh.name} in {seconds:.1f} s → {options.out}"
    return report


def _samples_of(options: Options, kind: AggregationKind, category: str) -> Samples:
    """How the retained samples are read that a category's aggregation was made from."""

    def read() -> Retained:
        from chorus.occupancy.presets import preset
        from chorus.records.gathering import gather

        tree, model = options.tree, options.models.model_key
        shards = tree.shards("filtered", model, (category,), options.prompts)
        return gather(tree, shards, kind.rules, preset(kind.preset).anchor)

    return read


def mode_table(found: Placements) -> str:
    """The modes, the likeliest first, as plain text."""
    rows = []
    for number, mode in enumerate(found.modes, 1):
        middle = mode.matrix[:3, :3] @ found.mesh.centre + mode.matrix[:3, 3]
        seen = f"{mode.terms['silhouette']:.3f}" if "silhouette" in mode.terms else "-"
        rows.append(
            [
                f"mode {number}",
                f"{mode.probability:.2f}",
                *(f"{100 * value:+.0f}" for value in middle),
                f"{mode.scale * found.mesh.size:.2f}",
                f"{mode.terms['occupancy']:.3f}",
                f"{1000 * mode.terms['penetration']:.1f}",
                seen,
            ]
        )
    header = ["", "probability", "left, cm", "up", "forward", "size, m", "occupancy"]
    return format_table([*header, "in body, mm", "off mask"], rows)

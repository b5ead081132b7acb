"""`chorus score FIELD.npz`: PAP (method.md 12) of one voxel field, of any method."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput
from chorus.evaluation.labelled_sets import table_of, usual_set
from chorus.settings import BodyOptions, CategoryOptions, TreeOptions, WorkerOptions
from chorus.viewing.text_table import format_table


@dataclass(frozen=True)
class Options(WorkerOptions, BodyOptions, TreeOptions, CategoryOptions):
    """Score one voxel field on test images (PAP)."""

    field: Positional[Path] = dataclasses.field(kw_only=True)
    """The field: a distribution, or a file as docs/evaluation.md describes it."""
    metric: str = "pap/v2"
    """Version of the metric: pap/v1 is the paper's, pap/v2 closes its curve, pap/v2-relative also
    divides every field by its highest value."""
    test_set: str | None = None
    """Test images: synthetic, coco-eft-val, or the name that `import --as test_set` gave to your
    own; the synthetic world's for profile synthetic, else extended COCO-EFT (coco-eft-val)."""


def run(options: Options, progress: Progress = None) -> CommandResult:
    """The figures of the field on the test images of its category, or of --categories."""
    from chorus.body.loading import load_body
    from chorus.evaluation.pap_settings import VARIANTS, PapSettings
    from chorus.evaluation.scoring import score
    from chorus.evaluation.voxel_field import read_field

    del progress  # some seconds for the images of one category
    started = time.monotonic()
    settings = PapSettings(metric=options.metric)
    field = read_field(options.field)
    categories = options.categories or ((field.category,) if field.category else ())
    if len(categories) != 1:
        raise BadInput(
            f"{options.field} says nothing of its category; name the one whose test images it is "
            "scored on with --categories."
            if not categories
            else f"a field is scored on one category, found {len(categories)} in --categories."
        )
    tested_on = options.test_set or usual_set(options.profile)
    table = table_of(options.tree, tested_on, categories[0])
    body = load_body(options.body, options.imports_dir)
    result = score(field, table, body=body, settings=settings, threads=options.worker_count)
    figures = result.figures
    names = (f"m{name} ({result.metric})" for name in VARIANTS)
    rows = [
        [name, *("-" if value != value else f"{100 * value:.1f}" for value in values)]
        for name, *values in zip(names, figures.mean, figures.low, figures.high, strict=True)
    ]
    line = (
        f"score: {options.field.name} on {figures.images} images of {categories[0]} ({tested_on}) "
        f"by {result.metric} in {time.monotonic() - started:.1f} s"
    )
    text = format_table(["percent", "mean", "95 % from", "to"], rows)
    return CommandResult(line, text=text)

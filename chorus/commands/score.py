"""`chorus score FIELD.npz`: PAP of one voxel field, of any method, on a test set (SPEC 12)."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from chorus.commands.status import format_table
from chorus.commands.testset import shard_of
from chorus.engine.command_result import Progress, Report
from chorus.errors import BadInput
from chorus.evaluation.result_files import MAKES
from chorus.settings import RunOptions


@dataclass(frozen=True)
class Options(RunOptions):
    """Score one voxel field on test images (PAP)."""

    field: Positional[Path] = dataclasses.field(kw_only=True)
    """The field: a distribution, or a file as docs/evaluation.md describes it."""
    metric: str = "pap/v2"
    """Version of the metric: pap/v1 is the paper's, pap/v2 closes its curve."""
    test_set: Literal["synthetic", "coco-eft-val"] | None = None
    """Test images; the synthetic world's for profile synthetic, else extended COCO-EFT."""


def run(options: Options, progress: Progress = None) -> Report:
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
    tested_on = options.test_set or (
        "synthetic" if options.profile == "synthetic" else "coco-eft-val"
    )
    table = options.tree.table("test_set", shard_of(tested_on, categories[0]))
    if not table.is_file():
        raise BadInput(
            f"{tested_on} has no test images of {categories[0]!r} ({table} is missing); run "
            f"{MAKES[tested_on]} first."
        )
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
    return Report(line, text=text)

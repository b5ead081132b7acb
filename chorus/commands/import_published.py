"""`chorus import_published`: the release's published results → our aggregations.

They are fetched from Google Drive by their public ids into <imports>/published, checked, and stored
as total aggregations under the profile `paper`'s model key; `view` and `evaluate` take them with
`--profile paper`. Nothing in the files is executed.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput, ChorusError, StaleResults, Unavailable, unknown_name
from chorus.files import portable_name
from chorus.models.registry import PROFILES
from chorus.records.aggregations import WHOLE, aggregation_name, is_stored, record_of, store
from chorus.records.keys import TOTAL
from chorus.settings import BodyOptions, CategoryOptions, RedoOptions, TreeOptions

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.evaluation.published import PublishedResult
    from chorus.occupancy.distribution import Distribution

MODEL_KEY = PROFILES["paper"].model_key
PRESET = "quant:full"


@dataclass(frozen=True)
class Options(BodyOptions, RedoOptions, TreeOptions, CategoryOptions):
    """Fetch, check and convert the published results of the quantitative categories."""

    published_dir: Path | None = None
    """Where the files lie, <category>.json and .pickle; <imports_dir>/published if left out."""
    fetch: bool = True
    """Fetch what is not there; --no_fetch takes only files that are."""

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self.published_dir or self.imports_dir / "published"


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Import every category; those that fail are reported and the others go on."""
    from chorus.evaluation.published_files import drive_ids

    started = time.monotonic()
    known = drive_ids()
    for category in options.categories:
        if category not in known:
            raise unknown_name("category with published results:", category, known)
    categories = options.categories or tuple(known)
    body = _body(options)
    report = CommandResult("")
    imported = kept = 0
    with progress_bar(progress, len(categories), "import", "category") as advance:
        for category in categories:
            try:
                if _import(options, category, body):
                    imported += 1
                else:
                    kept += 1
            except (StaleResults, Unavailable):
                raise
            except ChorusError as error:
                report.problems.append(f"{category}: {error}")
            advance(1)
    report.ok = not report.problems
    if body is None:
        report.problems.append(
            "the results were not compared with a body; they belong to SMPL's neutral body, so "
            "give its file as --body here, to view and to evaluate."
        )
    already = f", {kept} already there" if kept else ""
    report.line = (
        f"import_published: {imported} of {len(categories)} categories imported{already} in "
        f"{time.monotonic() - started:.1f} s → {options.tree.folder('aggregations') / MODEL_KEY}"
    )
    return report


def _body(options: Options) -> BodyModel | None:
    from chorus.body.loading import load_body

    return load_body(options.body, options.imports_dir) if options.body else None


def _import(options: Options, category: str, body: BodyModel | None) -> bool:
    """Import one category; False if it was there. BadInput if a file is missing or another."""
    from chorus.evaluation.published import import_published
    from chorus.evaluation.published_files import published_rules

    rules = published_rules(_obtained(options, category, "json", published_rules))
    path = _obtained(options, category, "pickle", lambda file: import_published(file, category))
    name = aggregation_name(rules, PRESET)
    folder = options.tree.aggregation(MODEL_KEY, category, TOTAL, name)
    settings = {
        "source": "published CHORUS code",
        "projection": "release",
        "body": body.fingerprint if body else "",
    }
    record = record_of(name, settings, 0, _digest(path))
    if not options.fresh and is_stored(folder, record):
        return False
    result = import_published(path, category, TOTAL, body)
    record["samples"] = result.total.metadata["samples"]
    store(options.tree, folder, _by_part(result, record), record)
    return True


def _by_part(result: PublishedResult, record: dict) -> dict[str, Distribution]:
    """The total as the cluster of everything, and the body parts' clusters."""
    distributions = {WHOLE: replace(result.total, part=WHOLE), **result.parts}
    for part in result.parts:
        if part == WHOLE or portable_name(part) != part:
            raise BadInput(f"the body part {part!r:.80} is not one that the published code names.")
    return {
        part: replace(distribution, metadata={**distribution.metadata, "name": record["name"]})
        for part, distribution in distributions.items()
    }


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _obtained(options: Options, category: str, kind: str, check: Callable[[Path], object]) -> Path:
    """A category's file, fetched if it is not there; a fetched one must pass `check` first."""
    from chorus.evaluation.published_files import drive_ids

    path = options.folder / f"{portable_name(category)}.{kind}"
    if path.is_file():
        return path
    if not options.fetch:
        raise BadInput(f"{path} is missing; fetch it with scripts/download_pretrained_chorus.sh.")
    arriving = path.with_name(f"{path.name}.arriving")
    path.parent.mkdir(parents=True, exist_ok=True)
    _fetch(drive_ids()[category][kind], arriving)
    try:
        check(arriving)
    except BadInput as error:
        arriving.unlink(missing_ok=True)
        raise BadInput(f"{error} What was fetched was removed.") from error
    os.replace(arriving, path)
    return path


def _fetch(identifier: str, path: Path) -> None:
    """Fetch a public file of Google Drive; goes on with what an interrupted run left."""
    try:
        import gdown
    except ImportError as error:
        raise Unavailable(
            "fetching from Google Drive needs the package gdown: pip install -c constraints.txt "
            "-e '.[paper]'. Or put the files in place by hand and give --no_fetch."
        ) from error
    try:
        gdown.download(id=identifier, output=str(path), quiet=True, resume=True)
    except (gdown.exceptions.DownloadError, OSError) as error:
        raise BadInput(
            f"https://drive.google.com/uc?id={identifier} could not be fetched "
            f"({str(error).strip()[:300]}); rerun later, or fetch it in a browser and save it as "
            f"{path.with_suffix('')}."
        ) from error
    if not path.is_file():
        raise BadInput(f"gdown fetched nothing for https://drive.google.com/uc?id={identifier}.")

"""`chorus view`: distributions → stills, turntables, one interactive page, and a contact sheet.

Stills and turntables lie beside their distribution and are drawn once; `--save_dir` collects all of
a category's pictures in one folder together with the page and the sheet.
"""

from __future__ import annotations

import functools
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from chorus.engine.command_result import CommandResult
from chorus.engine.processes import in_processes
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput
from chorus.files import atomic_write, display_name, portable_name, replacing
from chorus.filtering.rules import parse_combination
from chorus.records import aggregations
from chorus.records.keys import TOTAL, ShardKey
from chorus.settings import (
    AggregationOptions,
    BodyOptions,
    ImageTreeOptions,
    PromptOptions,
    RedoOptions,
    WorkerOptions,
)
from chorus.viewing.made_from import remembered
from chorus.viewing.sheet import SHEET_TABLES, SheetSettings, write_sheet

if TYPE_CHECKING:
    from chorus.occupancy.distribution import Distribution
    from chorus.viewing.displayed import DisplayedBody, DisplayedDistribution

_RECORD = "pictures.json"
_RECORD_VERSION = 4
"""Of the pictures of one distribution."""
_PAGE_VERSION = 6
"""Of a page and its contact sheet."""


@dataclass(frozen=True)
class Options(
    WorkerOptions, BodyOptions, RedoOptions, AggregationOptions, ImageTreeOptions, PromptOptions
):
    """Draw distributions and the images they were learned from."""

    save_dir: Path | None = None
    """Collect everything here; a folder per category if there are several."""
    renderer: Literal["cpu", "gl"] = "cpu"
    """Draw on the CPU, or with OpenGL off screen (VTK, pyrender) where that works."""


class Drawing(NamedTuple):
    """One distribution to be drawn."""

    folder: Path
    part: str

    def file(self, suffix: str) -> Path:
        """Where its still (.png) or turntable (.mp4) lies."""
        return self.folder / f"{self.part}{suffix}"


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Draw what is missing or older than its distribution, then write the pages."""
    started = time.monotonic()
    report = CommandResult("")
    names = [kind.name for kind in options.kinds()]
    groups = _collect(options, names, report.problems)
    if not groups:
        raise BadInput(
            f"no aggregation {', '.join(names)} of what is asked for in "
            f"{options.tree.folder('aggregations')}; run aggregate first, with "
            "--aggr_setting_names of the same presets."
        )
    drawn, total, pages = 0, sum(map(len, groups.values())), []
    with progress_bar(progress, total, "view", "distribution") as advance:
        for (category, name), group in groups.items():
            try:
                with aggregations.category_lock(
                    options.tree, options.models.model_key, category, name
                ):
                    stale = [d for d in group if options.fresh or not _is_drawn(d)]
                    for _ in _draw_all(options, stale):
                        advance(1)
                    pages.append(_page(options, category, name, group, len(groups) > 1))
                    drawn += len(stale)
            except BadInput as error:
                report.problems.append(str(error))
    already = f", {total - drawn} already there" if drawn < total else ""
    seconds = time.monotonic() - started
    where = ", ".join(map(str, pages))
    many = "distribution" if drawn == 1 else "distributions"
    report.line = f"view: {drawn} {many} drawn{already} in {seconds:.1f} s → {where}"
    report.ok = not report.problems
    return report


def _collect(
    options: Options, names: Sequence[str], problems: list[str]
) -> dict[tuple[str, str], list[Drawing]]:
    """Drawings by (category, aggregation name), prompts in order and the total last.

    What is wrong with a folder is added to `problems`, and the others are drawn.
    """
    tree, model = options.tree, options.models.model_key
    groups: dict[tuple[str, str], list[Drawing]] = {}
    for category, prompts in sorted(_prompts(options).items()):
        for name in names:
            folders = [tree.aggregation(model, category, p, name) for p in (*prompts, TOTAL)]
            group = []
            for folder in filter(Path.is_dir, folders):
                try:
                    parts = aggregations.read_record(folder)["parts"]
                    group += [Drawing(folder, part) for part in parts]
                except BadInput as error:
                    problems.append(str(error))
            if group:
                groups[category, name] = _without_repeated_total(group)
    return groups


def _without_repeated_total(drawings: list[Drawing]) -> list[Drawing]:
    """The drawings; without the total's where it is the distributions of the only prompt again."""
    from chorus.occupancy.distribution import Distribution

    folders = list(dict.fromkeys(drawing.folder for drawing in drawings))
    if len(folders) != 2 or display_name(folders[1].parts[-2]) != TOTAL:
        return drawings
    prompt, total = ([d for d in drawings if d.folder == folder] for folder in folders)
    if [d.part for d in prompt] != [d.part for d in total]:
        return drawings
    for pair in zip(prompt, total, strict=True):
        try:
            first, second = (Distribution.load(d.file(".npz")).probability for d in pair)
        except BadInput:
            return drawings  # drawing it tells what is wrong
        if not (first.shape == second.shape and (first == second).all()):
            return drawings
    return prompt


def _prompts(options: Options) -> dict[str, list[str]]:
    """The prompts of every category; none of one whose total alone is there, being imported."""
    tree, model = options.tree, options.models.model_key
    by_category: dict[str, list[str]] = {}
    if not options.prompts:
        imported = (display_name(path.parts[-3]) for path in aggregations.stored(tree, model))
        by_category = {category: [] for category in imported if category is not None}
    chosen = [category for category in options.categories if category not in by_category]
    if chosen:
        tree.shards("filtered", model, chosen, options.prompts)  # tells what is not there
    for shard in tree.shards("filtered", model, (), options.prompts, required=False):
        prompts = by_category.setdefault(shard.category, [])
        if shard.prompt not in prompts:
            prompts.append(shard.prompt)
    return {
        c: p for c, p in by_category.items() if not options.categories or c in options.categories
    }


def _is_drawn(drawing: Drawing) -> bool:
    record = _drawn_before(drawing.folder)
    whole = all(drawing.file(suffix).is_file() for suffix in (".png", ".mp4"))
    return whole and record.get(drawing.part) == _fingerprint(drawing)


def _drawn_before(folder: Path) -> dict[str, str]:
    """What each part's pictures were drawn of; nothing if the record is missing or damaged."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _fingerprint(drawing: Drawing) -> str:
    import hashlib

    content = drawing.file(".npz").read_bytes()
    return f"{_RECORD_VERSION}-{hashlib.sha256(content).hexdigest()}"


def _draw_all(options: Options, drawings: Sequence[Drawing]) -> Iterator[Drawing]:
    """Draw on several processes; gives each drawing when it is finished and remembered."""
    calls = [functools.partial(_draw, options, drawing) for drawing in drawings]
    for number, _ in in_processes(calls, options.worker_count, "view") if calls else ():
        _remember(drawings[number])
        yield drawings[number]


def _remember(drawing: Drawing) -> None:
    record = {**_drawn_before(drawing.folder), drawing.part: _fingerprint(drawing)}
    atomic_write(drawing.folder / _RECORD, json.dumps(record, sort_keys=True).encode())


def _draw(options: Options, drawing: Drawing) -> None:
    from chorus.occupancy.distribution import Distribution
    from chorus.viewing.figures import still
    from chorus.viewing.turntable import turntable

    distribution = displayed(Distribution.load(drawing.file(".npz")))
    body = displayed_body(options.body, options.imports_dir)
    still(distribution, body, drawing.file(".png"), kind=options.renderer)
    turntable(distribution, body, drawing.file(".mp4"), kind=options.renderer)


def displayed(distribution: Distribution) -> DisplayedDistribution:
    """A distribution with the facts that its page shows."""
    from chorus.viewing.displayed import DisplayedDistribution

    metadata = distribution.metadata
    facts = {
        "aggregation": metadata.get("name"),
        "view weighting": metadata.get("weighting"),
        "samples of the prompt": metadata.get("samples"),
    }
    return DisplayedDistribution.of(
        distribution, [(name, str(fact)) for name, fact in facts.items() if fact]
    )


@functools.cache  # its shading is computed once per process
def displayed_body(body: Path | None, imports_dir: Path) -> DisplayedBody:
    """The canonical body: zero shape, star pose."""
    from chorus.body.loading import load_body
    from chorus.viewing.displayed import DisplayedBody

    return DisplayedBody.of(load_body(body, imports_dir))


def _page(
    options: Options, category: str, name: str, group: Sequence[Drawing], several: bool
) -> Path:
    """Collect a category's pictures and write its page and contact sheet, unless they are there and
    nothing that they show has changed; the page's path."""
    from chorus.occupancy.distribution import Distribution

    rules = parse_combination(aggregations.parsed_name(name)[0])
    total = options.tree.aggregation(options.models.model_key, category, TOTAL, name)
    folder = options.save_dir or (total if total.is_dir() else group[-1].folder)
    if options.save_dir is not None and several:
        folder = options.save_dir / portable_name(category) / portable_name(name)
    folder.mkdir(parents=True, exist_ok=True)
    distributions = [Distribution.load(drawing.file(".npz")) for drawing in group]
    stills, turntables, copies = [], [], []
    for drawing, distribution in zip(group, distributions, strict=True):
        files = [drawing.file(suffix) for suffix in (".png", ".mp4")]
        if options.save_dir is not None:
            prompt = "total" if distribution.prompt == TOTAL else distribution.prompt
            stem = portable_name(f"{prompt} - {drawing.part}")
            places = [folder / f"{stem}{file.suffix}" for file in files]
            copies += zip(files, places, strict=True)
            files = places
        stills.append(files[0])
        turntables.append(files[1])
    page, sheets = folder / "index.html", []
    shards = options.tree.shards("filtered", options.models.model_key, required=False)
    shown = [shard for shard in shards if shard.category == category]
    if shown:
        sheets.append(("Images and verdicts", folder / "contact_sheet.png"))
    made_from = _made_from(options, group, shown)
    whole = all(path.is_file() for path in (*stills, *turntables, *(file for _, file in sheets)))
    if whole and not options.fresh and remembered(page) == made_from:
        return page
    from chorus.body.loading import load_body
    from chorus.viewing.distribution_page import Gallery, write_page

    for file, copy in copies:
        with replacing(copy) as temporary:
            shutil.copyfile(file, temporary)
    if sheets:
        about = SheetSettings(options.tree, options.models.model_key, options.prompts, rules)
        body = load_body(options.body, options.imports_dir)
        write_sheet(about, category, body, sheets[0][1], options.renderer)
    return write_page(
        page,
        [displayed(distribution) for distribution in distributions],
        displayed_body(options.body, options.imports_dir),
        title=f"{category}: where it is around the person who uses it",
        gallery=Gallery(stills, turntables, sheets),
        made_from=made_from,
    )


def _made_from(options: Options, group: Sequence[Drawing], shards: Sequence[ShardKey]) -> str:
    """A digest of what a page and its contact sheet show; of tables, whether they were written
    since, which is quick to tell of many."""
    import hashlib

    tables = [
        (str(path), state.st_size, state.st_mtime_ns)
        for shard in shards
        for name in SHEET_TABLES
        if (path := options.tree.table(name, shard)).is_file() and (state := path.stat())
    ]
    drawn = [(str(drawing.folder), drawing.part, _fingerprint(drawing)) for drawing in group]
    content = json.dumps(
        [_PAGE_VERSION, options.renderer, options.body_name, options.prompts, drawn, tables]
    )
    return hashlib.sha256(content.encode()).hexdigest()

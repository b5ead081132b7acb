"""`chorus view`: distributions → stills, turntables, one interactive page, and a contact sheet.

Stills and turntables lie beside their distribution and are drawn once; `--save_dir` collects all of
a category's pictures in one folder together with the page and the sheet. Aggregations of a category
by different presets share a page, which switches between their estimates.
"""

from __future__ import annotations

import functools
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from chorus.engine.command_result import CommandResult
from chorus.engine.processes import in_processes
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput
from chorus.files import atomic_write, display_name, portable_name, replacing
from chorus.occupancy.presets import AggregationSettings
from chorus.records import aggregations
from chorus.records.aggregations import AggregationKind
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
_RECORD_VERSION = 5
"""Of the pictures of one distribution."""
_PAGE_VERSION = 7
"""Of a page and its contact sheet."""
_RECIPE = ("anchor", "weighting", "canonicalise", "symmetric")
"""Settings without whose usual values the quotient is not the paper's recipe."""


@dataclass(frozen=True)
class Options(
    WorkerOptions, BodyOptions, RedoOptions, AggregationOptions, ImageTreeOptions, PromptOptions
):
    """Draw distributions and the images they were learned from."""

    save_dir: Path | None = None
    """Collect everything here; a folder per category, and per filter rules where
    one preset was aggregated by several, if there are several."""
    renderer: Literal["cpu", "gl"] = "cpu"
    """Draw on the CPU, or with OpenGL off screen (VTK, pyrender) where that works."""


class Drawing(NamedTuple):
    """One distribution to be drawn."""

    folder: Path
    part: str

    def file(self, suffix: str) -> Path:
        """Where its still (.png) or turntable (.mp4) lies."""
        return self.folder / f"{self.part}{suffix}"


class Page(NamedTuple):
    """One category's aggregations by different presets."""

    category: str
    kinds: dict[str, AggregationKind]
    """By preset; the filter rules of the first are those of the contact sheet."""
    groups: dict[str, list[Drawing]]
    """Drawings by preset: prompts in order and the total last."""

    @property
    def drawings(self) -> list[Drawing]:
        """What the page shows, in its order."""
        return [drawing for group in self.groups.values() for drawing in group]

    @property
    def rules(self) -> tuple[int, ...]:
        """Filter rules of the contact sheet."""
        return next(iter(self.kinds.values())).rules

    @property
    def names(self) -> list[str]:
        """Of its aggregations, in its order."""
        return [kind.name for kind in self.kinds.values()]


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Draw what is missing or older than its distribution, then write the pages."""
    started = time.monotonic()
    report = CommandResult("")
    kinds = options.kinds()
    pages = _collect(options, kinds, report.problems)
    if not pages:
        raise BadInput(
            f"no aggregation {', '.join(kind.name for kind in kinds)} of what is asked for in "
            f"{options.tree.folder('aggregations')}; run aggregate first, with "
            "--aggr_setting_names of the same presets."
        )
    drawn, total, written = 0, sum(len(page.drawings) for page in pages), []
    with progress_bar(progress, total, "view", "distribution") as advance:
        for page in pages:
            try:
                with _locked(options, page):
                    stale = [d for d in page.drawings if options.fresh or not _is_drawn(d)]
                    for _ in _draw_all(options, stale):
                        advance(1)
                    written.append(_write(options, page, len(pages) > 1))
                    drawn += len(stale)
            except BadInput as error:
                report.problems.append(str(error))
    already = f", {total - drawn} already there" if drawn < total else ""
    seconds = time.monotonic() - started
    where = ", ".join(map(str, written))
    many = "distribution" if drawn == 1 else "distributions"
    report.line = f"view: {drawn} {many} drawn{already} in {seconds:.1f} s → {where}"
    report.ok = not report.problems
    return report


@contextmanager
def _locked(options: Options, page: Page) -> Iterator[None]:
    """Hold a page's aggregations, in an order in which two runs never wait for each other."""
    with ExitStack() as locks:
        for name in sorted(page.names):
            locks.enter_context(
                aggregations.category_lock(
                    options.tree, options.models.model_key, page.category, name
                )
            )
        yield


def _collect(options: Options, kinds: Sequence[AggregationKind], problems: list[str]) -> list[Page]:
    """The pages of what is there, by category.

    What is wrong with a folder is added to `problems`, and the others are drawn.
    """
    pages = []
    for category, prompts in sorted(_prompts(options).items()):
        own: list[Page] = []
        for kind in kinds:
            group = _group(options, category, prompts, kind, problems)
            if not group:
                continue
            page = _page_of(own, kind)
            if page is None:
                page = Page(category, {}, {})
                own.append(page)
            page.kinds[kind.preset], page.groups[kind.preset] = kind, group
        pages += own
    return pages


def _page_of(pages: Sequence[Page], kind: AggregationKind) -> Page | None:
    """The page that a kind joins, None for a new one: of those without its preset one with the same
    filter rules, else the first."""
    free = [page for page in pages if kind.preset not in page.kinds]
    alike = [page for page in free if any(k.rules == kind.rules for k in page.kinds.values())]
    return next(iter((*alike, *free)), None)


def _group(
    options: Options,
    category: str,
    prompts: Sequence[str],
    kind: AggregationKind,
    problems: list[str],
) -> list[Drawing]:
    """One aggregation's drawings, prompts in order and the total last."""
    group = []
    for prompt in (*prompts, TOTAL):
        folder = options.tree.aggregation(options.models.model_key, category, prompt, kind.name)
        if folder.is_dir():
            try:
                parts = aggregations.read_record(folder)["parts"]
                group += [Drawing(folder, part) for part in parts]
            except BadInput as error:
                problems.append(str(error))
    return _without_repeated_total(group)


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
    """A distribution with the estimate and the facts that its page shows."""
    from chorus.viewing.displayed import DisplayedDistribution

    metadata = distribution.metadata
    estimate = _estimate(metadata)
    if _is_quotient(metadata):
        how = ("view weighting", metadata.get("weighting"))
    else:
        how = ("estimate", estimate)
    facts = [
        ("aggregation", metadata.get("name")),
        how,
        ("samples of the prompt", metadata.get("samples")),
    ]
    return DisplayedDistribution.of(
        distribution, [(name, str(fact)) for name, fact in facts if fact], estimate
    )


def _settings(metadata: Mapping) -> dict:
    """A distribution's settings as recorded; those that are not have their usual values."""
    settings = metadata.get("settings")
    return settings if isinstance(settings, dict) else {}


def _is_quotient(metadata: Mapping) -> bool:
    usual = AggregationSettings.estimator
    return _settings(metadata).get("estimator", usual) == usual


def _estimate(metadata: Mapping) -> str:
    """How a distribution was estimated, in words; the preset where there are none for it."""
    from chorus.viewing.displayed import PAPERS_RECIPE

    settings, usual = _settings(metadata), AggregationSettings()
    if not _is_quotient(metadata):
        refined = settings.get("anchor") == "refined"
        return "evidence" if refined else "evidence, persons not refined"
    if all(settings.get(name, getattr(usual, name)) == getattr(usual, name) for name in _RECIPE):
        return PAPERS_RECIPE
    name = str(metadata.get("name", ""))
    parts = aggregations.parsed_name(name)
    return parts[1] if parts else name


def told_apart(
    groups: Mapping[str, Sequence[DisplayedDistribution]],
) -> list[DisplayedDistribution]:
    """A page's distributions by preset in one list; estimates that presets share are named after
    the preset instead."""
    presets = {(preset, shown.estimate) for preset, group in groups.items() for shown in group}
    count = Counter(estimate for _, estimate in presets)
    return [
        replace(shown, estimate=preset) if count[shown.estimate] > 1 else shown
        for preset, group in groups.items()
        for shown in group
    ]


@functools.cache  # its shading is computed once per process
def displayed_body(body: Path | None, imports_dir: Path) -> DisplayedBody:
    """The canonical body: zero shape, star pose."""
    from chorus.body.loading import load_body
    from chorus.viewing.displayed import DisplayedBody

    return DisplayedBody.of(load_body(body, imports_dir))


def _write(options: Options, page: Page, several: bool) -> Path:
    """Collect a page's pictures and write it and its contact sheet, unless they are there and
    nothing that they show has changed; its path."""
    from chorus.occupancy.distribution import Distribution

    folder = _folder(options, page, several)
    folder.mkdir(parents=True, exist_ok=True)
    groups = {
        preset: [displayed(Distribution.load(drawing.file(".npz"))) for drawing in group]
        for preset, group in page.groups.items()
    }
    copies = _copies(page, groups, folder) if options.save_dir is not None else {}
    stills, turntables = (
        [copies.get(file, file) for file in (d.file(suffix) for d in page.drawings)]
        for suffix in (".png", ".mp4")
    )
    path, sheets = folder / "index.html", []
    shards = options.tree.shards("filtered", options.models.model_key, required=False)
    shown = [shard for shard in shards if shard.category == page.category]
    if shown:
        sheets.append(("Images and verdicts", folder / "contact_sheet.png"))
    made_from = _made_from(options, page.drawings, shown)
    whole = all(file.is_file() for file in (*stills, *turntables, *(file for _, file in sheets)))
    if whole and not options.fresh and remembered(path) == made_from:
        return path
    from chorus.body.loading import load_body
    from chorus.viewing.distribution_page import Gallery, write_page

    for file, copy in copies.items():
        with replacing(copy) as temporary:
            shutil.copyfile(file, temporary)
    if sheets:
        about = SheetSettings(options.tree, options.models.model_key, options.prompts, page.rules)
        body = load_body(options.body, options.imports_dir)
        write_sheet(about, page.category, body, sheets[0][1], options.renderer)
    return write_page(
        path,
        told_apart(groups),
        displayed_body(options.body, options.imports_dir),
        title=f"{page.category}: where it is around the person who uses it",
        gallery=Gallery(stills, turntables, sheets),
        made_from=made_from,
    )


def _folder(options: Options, page: Page, several: bool) -> Path:
    """Where a page lies: named after its first aggregation where there are several pages."""
    name = page.names[0]
    if options.save_dir is not None:
        own = (portable_name(page.category), portable_name(name)) if several else ()
        return options.save_dir.joinpath(*own)
    total = options.tree.aggregation(options.models.model_key, page.category, TOTAL, name)
    return total if total.is_dir() else next(iter(page.groups.values()))[-1].folder


def _copies(
    page: Page, groups: Mapping[str, Sequence[DisplayedDistribution]], folder: Path
) -> dict[Path, Path]:
    """Where in a folder a page's pictures are copied; those of presets after the first name it."""
    copies = {}
    for number, (preset, drawings) in enumerate(page.groups.items()):
        for drawing, shown in zip(drawings, groups[preset], strict=True):
            words = ["total" if shown.is_total else shown.prompt, drawing.part]
            stem = portable_name(" - ".join([*words, preset] if number else words))
            for suffix in (".png", ".mp4"):
                copies[drawing.file(suffix)] = folder / f"{stem}{suffix}"
    return copies


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

"""`chorus view`: distributions → stills, turntables, one interactive page, and a contact sheet.

Stills and turntables lie beside their distribution and are drawn once; `--save_dir` collects all of
a category's pictures in one folder together with the page and the sheet. Aggregations of a category
by different presets share a page, which switches between their estimates.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chorus.engine.command_result import CommandResult
from chorus.engine.processes import in_processes
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput
from chorus.files import display_name
from chorus.records import aggregations
from chorus.records.aggregations import AggregationKind
from chorus.records.keys import TOTAL
from chorus.settings import (
    AggregationOptions,
    BodyOptions,
    ImageTreeOptions,
    PromptOptions,
    RedoOptions,
    WorkerOptions,
)
from chorus.viewing.category_page import Page, PageSettings, page_of, write_category_page
from chorus.viewing.drawings import Drawing, draw, is_drawn, remember, without_repeated_total

if TYPE_CHECKING:
    import numpy as np

    from chorus.body.model import BodyModel
    from chorus.occupancy.distribution import Distribution


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

    @property
    def page_settings(self) -> PageSettings:
        """What the pages are made of."""
        return PageSettings(
            tree=self.tree,
            model=self.models.model_key,
            prompts=self.prompts,
            body=self.body,
            body_name=self.body_name,
            imports_dir=self.imports_dir,
            renderer=self.renderer,
            save_dir=self.save_dir,
            fresh=self.fresh,
            contact=_contact,
        )


def _contact(distribution: Distribution, body: BodyModel) -> np.ndarray:
    from chorus.reconstruction.contact import contact_map

    return contact_map(distribution, body).probability


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Draw what is missing or older than its distribution, then write the pages."""
    kinds = options.kinds()
    return draw_kinds(options, dict.fromkeys(_prompts(options), kinds), progress)


def draw_kinds(
    options: Options, kinds: Mapping[str, Sequence[AggregationKind]], progress: Progress = None
) -> CommandResult:
    """As `run`, of these kinds of aggregations by category, whichever the options name."""
    started = time.monotonic()
    report = CommandResult("")
    pages = _collect(options, kinds, report.problems)
    if not pages:
        names = dict.fromkeys(kind.name for some in kinds.values() for kind in some)
        raise BadInput(
            f"no aggregation {', '.join(names)} of what is asked for in "
            f"{options.tree.folder('aggregations')}; run aggregate first, with "
            "--aggr_setting_names of the same presets."
        )
    drawn, total, written = 0, sum(len(page.drawings) for page in pages), []
    with progress_bar(progress, total, "view", "distribution") as advance:
        for page in pages:
            try:
                with _locked(options, page):
                    stale = [d for d in page.drawings if options.fresh or not is_drawn(d)]
                    for _ in _draw_all(options, stale):
                        advance(1)
                    written.append(write_category_page(options.page_settings, page, len(pages) > 1))
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


def _collect(
    options: Options, kinds: Mapping[str, Sequence[AggregationKind]], problems: list[str]
) -> list[Page]:
    """The pages of what is there, by category.

    What is wrong with a folder is added to `problems`, and the others are drawn.
    """
    pages = []
    for category, prompts in sorted(_prompts(options).items()):
        own: list[Page] = []
        for kind in kinds.get(category, ()):
            group = _group(options, category, prompts, kind, problems)
            if not group:
                continue
            page = page_of(own, kind)
            if page is None:
                page = Page(category, {}, {})
                own.append(page)
            page.kinds[kind.preset], page.groups[kind.preset] = kind, group
        pages += own
    return pages


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
    return without_repeated_total(group)


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


def _draw_all(options: Options, drawings: Sequence[Drawing]) -> Iterator[Drawing]:
    """Draw on several processes; gives each drawing when it is finished and remembered."""
    around = (options.body, options.imports_dir, options.renderer)
    calls = [functools.partial(draw, drawing, *around) for drawing in drawings]
    for number, _ in in_processes(calls, options.worker_count, "view") if calls else ():
        remember(drawings[number])
        yield drawings[number]

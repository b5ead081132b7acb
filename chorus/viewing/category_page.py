"""The page of a category: which aggregations share it, where it lies, and its contact sheet."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chorus.errors import BadInput
from chorus.files import portable_name, replacing
from chorus.occupancy.presets import Anchor
from chorus.records.aggregations import AggregationKind, read_record
from chorus.records.keys import TOTAL, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.viewing.drawings import Drawing, displayed_body, fingerprint
from chorus.viewing.made_from import remembered
from chorus.viewing.sheet import BODIES, SheetSettings, write_sheet

if TYPE_CHECKING:
    import numpy as np

    from chorus.body.model import BodyModel
    from chorus.occupancy.distribution import Distribution
    from chorus.viewing.displayed import DisplayedDistribution
    from chorus.viewing.gl import Renderer
    from chorus.viewing.page_body import PageBody

_PAGE_VERSION = 9
"""Of a page and its contact sheet."""


@dataclass(frozen=True)
class PageSettings:
    """What pages are made of, and where they go."""

    tree: ResultsTree
    model: str
    prompts: tuple[str, ...]
    """Prompts whose images the contact sheet shows; all if empty."""
    body: Path | None
    """The body's file; None for the free one."""
    body_name: str
    imports_dir: Path
    renderer: Renderer
    save_dir: Path | None
    """Where everything is collected; None for the aggregations' own folders."""
    fresh: bool
    """Whether to write pages that are there anew."""
    contact: Callable[[Distribution, BodyModel], np.ndarray]
    """The probability of contact of each of the body's vertices, (V,); BadInput for a distribution
    of another body, or not in canonical space."""


class Page(NamedTuple):
    """One category's aggregations by different presets."""

    category: str
    kinds: dict[str, AggregationKind]
    """By preset; the filter rules and the bodies of the first are those of the contact sheet."""
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

    @property
    def anchor(self) -> Anchor:
        """Whose bodies the contact sheet draws: those that the first aggregation took. BadInput if
        its record is damaged."""
        settings = read_record(self.drawings[0].folder)["settings"]
        return "refined" if settings.get("anchor") == "refined" else "calibrated"


def page_of(pages: Sequence[Page], kind: AggregationKind) -> Page | None:
    """The page that a kind joins, None for a new one: of those without its preset one with the same
    filter rules, else the first."""
    free = [page for page in pages if kind.preset not in page.kinds]
    alike = [page for page in free if any(k.rules == kind.rules for k in page.kinds.values())]
    return next(iter((*alike, *free)), None)


def write_category_page(about: PageSettings, page: Page, several: bool) -> Path:
    """Collect a page's pictures and write it and its contact sheet, unless they are there and
    nothing that they show has changed; its path.

    several: whether the run writes several pages, which then have folders of their own.
    """
    from chorus.occupancy.distribution import Distribution
    from chorus.viewing.estimates import displayed, told_apart

    folder = _folder(about, page, several)
    folder.mkdir(parents=True, exist_ok=True)
    groups = {
        preset: [displayed(Distribution.load(drawing.file(".npz"))) for drawing in group]
        for preset, group in page.groups.items()
    }
    copies = _copies(page, groups, folder) if about.save_dir is not None else {}
    stills, turntables = (
        [copies.get(file, file) for file in (d.file(suffix) for d in page.drawings)]
        for suffix in (".png", ".mp4")
    )
    path, sheets = folder / "index.html", []
    shards = about.tree.shards("filtered", about.model, required=False)
    shown = [shard for shard in shards if shard.category == page.category]
    sheet = SheetSettings(about.tree, about.model, about.prompts, page.rules, page.anchor)
    if shown:
        caption = f"Images, verdicts and each person's {BODIES[sheet.anchor]}"
        sheets.append((caption, folder / "contact_sheet.png"))
    made_from = _made_from(about, page.drawings, shown, sheet.tables)
    whole = all(file.is_file() for file in (*stills, *turntables, *(file for _, file in sheets)))
    if whole and not about.fresh and remembered(path) == made_from:
        return path
    from chorus.body.loading import load_body
    from chorus.viewing.distribution_page import Gallery, write_page

    for file, copy in copies.items():
        with replacing(copy) as temporary:
            shutil.copyfile(file, temporary)
    body = load_body(about.body, about.imports_dir)
    if sheets:
        write_sheet(sheet, page.category, body, sheets[0][1], about.renderer)
    return write_page(
        path,
        told_apart(groups),
        displayed_body(about.body, about.imports_dir),
        title=f"{page.category}: where it is around the person who uses it",
        gallery=Gallery(stills, turntables, sheets),
        on_body=_on_body(about, page, sheet, body),
        made_from=made_from,
    )


def _on_body(about: PageSettings, page: Page, sheet: SheetSettings, body: BodyModel) -> PageBody:
    """What a page shows on the body: its poses, and the contacts of every distribution."""
    from chorus.occupancy.distribution import Distribution
    from chorus.viewing.page_body import PageBody
    from chorus.viewing.retained_poses import retained_poses

    contacts: list[np.ndarray | str] = []
    for drawing in page.drawings:
        distribution = Distribution.load(drawing.file(".npz"))
        try:
            contacts.append(about.contact(distribution, body))
        except BadInput as problem:
            contacts.append(str(problem))
    return PageBody(
        body,
        retained_poses(sheet, page.category, body),
        contacts,
        side=distribution.grid.side,
        cache_dir=about.imports_dir / "cache",
    )


def _folder(about: PageSettings, page: Page, several: bool) -> Path:
    """Where a page lies: named after its first aggregation where there are several pages."""
    name = page.names[0]
    if about.save_dir is not None:
        own = (portable_name(page.category), portable_name(name)) if several else ()
        return about.save_dir.joinpath(*own)
    total = about.tree.aggregation(about.model, page.category, TOTAL, name)
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


def _made_from(
    about: PageSettings,
    group: Sequence[Drawing],
    shards: Sequence[ShardKey],
    names: Sequence[str],
) -> str:
    """A digest of what a page and its contact sheet show; of the sheet's tables (`names`), whether
    they were written since, which is quick to tell of many."""
    tables = [
        (str(path), state.st_size, state.st_mtime_ns)
        for shard in shards
        for name in names
        if (path := about.tree.table(name, shard)).is_file() and (state := path.stat())
    ]
    drawn = [(str(drawing.folder), drawing.part, fingerprint(drawing)) for drawing in group]
    content = json.dumps(
        [_PAGE_VERSION, about.renderer, about.body_name, about.prompts, drawn, tables]
    )
    return hashlib.sha256(content.encode()).hexdigest()

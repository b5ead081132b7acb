"""The distributions that `touch` and `ask` read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from chorus.errors import BadInput, unknown_name
from chorus.files import display_name
from chorus.occupancy.distribution import Distribution
from chorus.records.aggregations import AggregationKind, read_record, stored
from chorus.records.keys import TOTAL
from chorus.settings import AggregationOptions


class Aggregated(NamedTuple):
    """One prompt's aggregation, or a category's total (prompt `TOTAL`)."""

    category: str
    prompt: str
    folder: Path

    @property
    def name(self) -> str:
        """How files of it are called."""
        return self.category if self.prompt == TOTAL else f"{self.category} - {self.prompt}"

    @property
    def text(self) -> str:
        """What a sentence is compared with: the prompt, or of a total the category."""
        return self.category if self.prompt == TOTAL else self.prompt

    def load(self, part: str) -> Distribution:
        """The distribution of one cluster; BadInput that names the others if there is none."""
        parts = read_record(self.folder)["parts"]
        if part not in parts:
            raise unknown_name(f"cluster of {self.name!r}:", part, parts)
        return Distribution.load(self.folder / f"{part}.npz")


def chosen_kind(options: AggregationOptions) -> AggregationKind:
    """The one kind of aggregation that is meant; BadInput if options name several."""
    kinds = options.kinds()
    if len(kinds) > 1:
        raise BadInput(
            f"contacts are read off one kind of aggregation, not {len(kinds)}: "
            f"{', '.join(kind.name for kind in kinds)}; name one with --aggr_setting_names and "
            "--filter_setting_nums."
        )
    return kinds[0]


def aggregated(options: AggregationOptions, kind: AggregationKind) -> list[Aggregated]:
    """All aggregations of a kind in the tree, of the options' categories; BadInput, with near
    names, for a category that has none."""
    tree, model = options.tree, options.models.model_key
    found = []
    for folder in stored(tree, model):
        category, prompt, name = (display_name(part) or part for part in folder.parts[-3:])
        if name == kind.name:
            found.append(Aggregated(category, prompt, folder))
    present = {each.category for each in found}
    if not present:
        raise BadInput(
            f"no aggregation {kind.name} in {tree.folder('aggregations')}; run aggregate first, "
            "or name another kind with --aggr_setting_names."
        )
    for category in options.categories:
        if category not in present:
            raise unknown_name(f"category with distributions {kind.name}:", category, present)
    return [each for each in found if not options.categories or each.category in options.categories]


def of_prompts(found: list[Aggregated], prompts: tuple[str, ...]) -> list[Aggregated]:
    """Those of some prompts, without any the categories' totals; BadInput for an unknown prompt."""
    known = {each.prompt for each in found} - {TOTAL}
    for prompt in prompts:
        if prompt not in known:
            raise unknown_name("prompt with distributions:", prompt, known)
    wanted = prompts or (TOTAL,)
    return [each for each in found if each.prompt in wanted]

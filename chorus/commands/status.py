"""`chorus status`: how far every prompt is, and why samples were not retained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput
from chorus.filtering.rules import DEFAULT_RULE, parse_combination
from chorus.filtering.verdicts import REASONS, RETAINED
from chorus.pipeline import main_tables
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import ANY_RULE, retained, verdict
from chorus.records.tables import DONE, FAILED, SKIPPED, read_table
from chorus.settings import ImageTreeOptions, SampleOptions
from chorus.viewing.text_table import format_table

_TABLES = main_tables()
_COLUMNS = {"filtered": ("verdicts",), "refined": ("doubt",)}
# Counted beside the statuses: refused are skipped samples that no verdict speaks against; what is
# wrong with damaged tables, `verify` says.
_DOUBTFUL, _REFUSED, _DAMAGED = "doubtful", "refused", "damaged"


@dataclass(frozen=True)
class Options(ImageTreeOptions, SampleOptions):
    """Count what is done, doubtful, refused, failed and retained, per prompt and stage."""

    filter_setting_nums: str = str(DEFAULT_RULE)
    """The filter rules whose verdicts are counted, e.g. 3 or 7,8."""


def run(options: Options, progress: Progress = None) -> CommandResult:
    """The status table, as the report's text."""
    del progress
    tree, model = options.tree, options.models.model_key
    rules = parse_combination(options.filter_setting_nums)
    shards = tree.shards("images", model, options.categories, options.prompts)
    by_prompt: dict[tuple[str, str], list[ShardKey]] = {}
    for shard in shards:
        by_prompt.setdefault((shard.category, shard.prompt), []).append(shard)
    header = ["category / prompt", *_TABLES, "retained"]
    rows, reasons = [], {}
    for (category, prompt), group in by_prompt.items():
        cells, verdicts = _counts(tree, group, rules)
        rows.append([f"{category} / {prompt}", *cells, str(verdicts[RETAINED])])
        reasons.setdefault(category, Counter()).update(verdicts)
    lines = [format_table(header, rows)]
    for category, counted in reasons.items():
        counts = [f"{counted[reason]} {reason}" for reason in REASONS if counted[reason]]
        lines.append(f"{category}, rule {options.filter_setting_nums}: {', '.join(counts) or '-'}")
    return CommandResult("", text="\n".join(lines))


def _counts(
    tree: ResultsTree, shards: Sequence[ShardKey], rules: Sequence[int]
) -> tuple[list[str], Counter]:
    """One cell per table, such as "done (n failed)", and the verdicts counted."""
    cells, verdicts = [], Counter()
    kept: dict[ShardKey, Collection[int]] = {}  # what any rule retains, once there are verdicts
    for name in _TABLES:
        if name == "filtered":
            kept = dict.fromkeys(shards, ())
        states: Counter = Counter()
        for shard in shards:
            path = tree.table(name, shard)
            if not path.is_file():
                continue
            try:
                rows = read_table(path, name, _COLUMNS.get(name, ())).rows.values()
            except BadInput:
                states[_DAMAGED] += 1
                continue
            states.update(state for row in rows for state in _states(row, kept.get(shard)))
            if name == "filtered":
                verdicts.update(verdict(row, rules) for row in rows if row["status"] == DONE)
                kept[shard] = {row["index"] for row in rows if retained(row, ANY_RULE)}
        cells.append(_cell(states))
    return cells, verdicts


def _states(row: Mapping[str, Any], kept: Collection[int] | None) -> Iterator[str]:
    """What a row counts as; `kept` are the retained samples, None where there are no verdicts."""
    if row["status"] != SKIPPED:
        yield row["status"]
    elif kept is None or row["index"] in kept:
        yield _REFUSED
    else:
        yield SKIPPED
    if row.get("doubt"):
        yield _DOUBTFUL


def _cell(states: Counter) -> str:
    """How many are done, and how many of what else; "-" for no table."""
    others = [f"{states[name]} {name}" for name in (_DOUBTFUL, _REFUSED, FAILED) if states[name]]
    others += [f"{states[_DAMAGED]} tables damaged"] if states[_DAMAGED] else []
    more = f" ({', '.join(others)})" if others else ""
    return f"{states[DONE]}{more}" if states else "-"

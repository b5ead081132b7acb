"""`chorus status`: how far every prompt is, and why samples were not retained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput
from chorus.filtering.rules import DEFAULT_RULE, parse_combination
from chorus.filtering.verdicts import REASONS, RETAINED
from chorus.pipeline import main_tables
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import verdict
from chorus.records.tables import DONE, FAILED, read_table
from chorus.settings import ImageTreeOptions, SampleOptions
from chorus.viewing.text_table import format_table

_TABLES = main_tables()


_DAMAGED = "damaged"  # counted beside the statuses; `verify` says what is wrong


@dataclass(frozen=True)
class Options(ImageTreeOptions, SampleOptions):
    """Count samples done, failed and retained, per category, prompt and stage."""

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
    """One cell per table, "done" or "done (n failed)", and the verdicts counted."""
    cells, verdicts = [], Counter()
    for name in _TABLES:
        statuses: Counter = Counter()
        for shard in shards:
            path = tree.table(name, shard)
            if not path.is_file():
                continue
            try:
                columns = ("verdicts",) if name == "filtered" else ()
                rows = read_table(path, name, columns).rows.values()
            except BadInput:
                statuses[_DAMAGED] += 1
                continue
            statuses.update(row["status"] for row in rows)
            if name == "filtered":
                verdicts.update(verdict(row, rules) for row in rows if row["status"] == DONE)
        failed = f" ({statuses[FAILED]} failed)" if statuses[FAILED] else ""
        damaged = f" ({statuses[_DAMAGED]} tables damaged)" if statuses[_DAMAGED] else ""
        cells.append(f"{statuses[DONE]}{failed}{damaged}" if statuses else "-")
    return cells, verdicts

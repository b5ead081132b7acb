"""Aggregations on disk: a folder of distributions by cluster, and a record of what was aggregated.

<tree>/aggregations/<model>/<category>/<prompt>/<name>/<cluster>.npz and, written last,
`aggregation.json` (docs/results-format.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from chorus.errors import BadInput, StaleResults, unknown_name
from chorus.files import atomic_write, display_name, parsed_json, portable_name
from chorus.filtering.rules import DEFAULT_RULE, NO_KEYPOINT_RULE, parse_combination
from chorus.occupancy.presets import preset
from chorus.records.keys import TOTAL
from chorus.records.results_tree import ResultsTree
from chorus.records.staleness import difference

if TYPE_CHECKING:
    from chorus.occupancy.distribution import Distribution

WHOLE = "all"  # the cluster of all retained samples, whatever part the object touches
_RECORD = "aggregation.json"
_RECORD_VERSION = 1


def aggregation_name(rules: Sequence[int], preset_name: str) -> str:
    """method.md 0: filter(<numbers>)-aggr(<preset>)."""
    return f"filter({','.join(map(str, rules))})-aggr({preset_name})"


def parsed_name(aggregation: str) -> tuple[str, str] | None:
    """Filter rules and preset of an aggregation's name, None if it is another name."""
    parts = re.fullmatch(r"filter\((.*)\)-aggr\((.*)\)", aggregation)
    return (parts[1], parts[2]) if parts else None


def usual_rules(preset_name: str) -> tuple[int, ...]:
    """The filter rules that a preset is meant for: the paper's rule 3, or rule 15, which has no
    keypoint rule, where a least quality of samples takes its place. BadInput for an unknown one."""
    return (NO_KEYPOINT_RULE,) if preset(preset_name).selection_least else (DEFAULT_RULE,)


class AggregationKind(NamedTuple):
    """One way to aggregate."""

    preset: str
    rules: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of its folders."""
        return aggregation_name(self.rules, self.preset)


def chosen_kinds(
    tree: ResultsTree,
    model: str,
    categories: Collection[str],
    presets: Sequence[str],
    rules: Sequence[str],
    usual: AggregationKind | None = None,
) -> list[AggregationKind]:
    """The kinds of aggregation that options name; without presets, what has been aggregated.

    presets and rules (such as "7,8") are combined; of presets alone their `usual_rules` are meant.
    Without presets the one that the tree has is meant, and without rules the one kind; if it has
    none, `usual`. BadInput that lists what is there if it has several, or none and nothing is
    usual.
    """
    if presets:
        combinations = [parse_combination(text) for text in rules]
        return [
            AggregationKind(name, rule_set)
            for name in presets
            for rule_set in combinations or [usual_rules(name)]
            if preset(name)
        ]
    rule_sets = list(dict.fromkeys(map(parse_combination, rules)))
    folders = stored(tree, model, set(categories) or None)
    present = {kind for folder in folders if (kind := _kind_of(folder)) is not None}
    if not present and usual is not None:
        return [usual._replace(rules=rule_set) for rule_set in rule_sets] or [usual]
    if not present:
        _check_categories(tree, model, categories)
        raise BadInput(nothing_aggregated(tree, model))
    if not rule_sets and len(present) == 1:
        return list(present)
    if rule_sets:
        with_rules = {kind.preset for kind in present if kind.rules in rule_sets}
        names = with_rules or {kind.preset for kind in present}
        if len(names) == 1:
            return [AggregationKind(*names, rule_set) for rule_set in rule_sets]
    raise BadInput(
        f"{tree.folder('aggregations') / portable_name(model)} has "
        f"{', '.join(kind.name for kind in sorted(present))}; say which is meant with "
        "--aggr_setting_names (the name after aggr) and --filter_setting_nums (the numbers after "
        "filter)."
    )


def _kind_of(folder: Path) -> AggregationKind | None:
    parts = parsed_name(display_name(folder.name) or "")
    try:
        return AggregationKind(parts[1], parse_combination(parts[0])) if parts else None
    except BadInput:  # a folder of another name
        return None


def _check_categories(tree: ResultsTree, model: str, categories: Collection[str]) -> None:
    """BadInput for the first category without aggregations where others have some."""
    names = (display_name(folder.parts[-3]) for folder in stored(tree, model))
    aggregated = {name for name in names if name is not None}
    for category in categories:
        if aggregated and category not in aggregated:
            where = tree.folder("aggregations") / portable_name(model)
            raise unknown_name(f"category with aggregations in {where}:", category, aggregated)


def nothing_aggregated(tree: ResultsTree, model: str) -> str:
    """The sentence that says that nothing is aggregated under a model key, and where there is."""
    others = tree.other_keys("aggregations", model, " There are some of --model_key {}.")
    where = tree.folder("aggregations") / portable_name(model)
    return f"no aggregation in {where}; run aggregate first.{others}"


def record_of(name: str, settings: dict, samples: int, made_from: str) -> dict:
    """What an aggregation says of itself; `settings` is what JSON holds."""
    return {
        "version": _RECORD_VERSION,
        "name": name,
        "settings": settings,
        "samples": samples,
        "made_from": made_from,
    }


def is_stored(folder: Path, record: dict) -> bool:
    """True if the folder holds the aggregation that `record` describes.

    Raises StaleResults if it holds one with other settings.
    """
    if not (folder / _RECORD).is_file():
        return False
    stored_record = read_record(folder)
    changes = difference(stored_record["settings"], record["settings"])
    if changes:
        raise StaleResults(
            f"{folder} was aggregated with other settings ({'; '.join(changes[:6])}). Run "
            "again with --overwrite to replace it, or give another --results_dir."
        )
    return stored_record["made_from"] == record["made_from"]


def store(
    tree: ResultsTree, folder: Path, distributions: Mapping[str, Distribution], record: dict
) -> None:
    """Write an aggregation's distributions by part, and its record last."""
    with tree.lock(folder):
        (folder / _RECORD).unlink(missing_ok=True)
        former = {path.stem for path in folder.glob("*.npz")} - distributions.keys()
        for path in list(folder.iterdir()) if former else []:
            if path.stem in former:  # a cluster that is no longer found, and its pictures
                path.unlink()
        for part, distribution in distributions.items():
            distribution.save(folder / f"{part}.npz")
        _write_record(folder, {**record, "parts": list(distributions)})


def update_record(tree: ResultsTree, folder: Path, **said: Any) -> None:
    """Change what a stored aggregation says of itself beside its distributions."""
    record = read_record(folder)
    if any(record.get(name) != value for name, value in said.items()):
        with tree.lock(folder):
            _write_record(folder, {**record, **said})


def _write_record(folder: Path, record: dict) -> None:
    text = json.dumps(record, indent=1, sort_keys=True)
    atomic_write(folder / _RECORD, f"{text}\n".encode())


def load(folder: Path) -> dict[str, Distribution]:
    """The distributions of an aggregation by part. Raises BadInput if it is missing or damaged."""
    from chorus.occupancy.distribution import Distribution

    return {
        part: Distribution.load(folder / f"{part}.npz") for part in read_record(folder)["parts"]
    }


def read_record(folder: Path) -> dict:
    """What an aggregation says of itself. Raises BadInput if that cannot be read."""
    path = folder / _RECORD
    try:
        record = parsed_json(path.read_text(encoding="utf-8"))
        if record["version"] != _RECORD_VERSION:
            raise ValueError(f"version {record['version']}, expected {_RECORD_VERSION}")
        if {"settings", "samples", "made_from", "parts"} - record.keys():
            raise ValueError("fields are missing")
    except FileNotFoundError as error:
        raise BadInput(f"{folder} holds no aggregation; run aggregate first.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is damaged ({error}); run aggregate --overwrite.") from error
    return record


def stored(tree: ResultsTree, model: str, categories: set[str] | None = None) -> list[Path]:
    """Folders of all aggregations of a tree, of the given categories."""
    root = tree.folder("aggregations") / portable_name(model)
    return [
        path.parent
        for path in sorted(root.glob(f"*/*/*/{_RECORD}"))
        if categories is None or display_name(path.parts[-4]) in categories
    ]


def same_samples(
    tree: ResultsTree, model: str, category: str, prompt: str, made_from: str
) -> Iterator[Path]:
    """Folders of a prompt's aggregations, here or in the tree below, of exactly these samples.

    Damaged ones are passed over: they are no reason not to aggregate anew.
    """
    layer: ResultsTree | None = tree
    while layer is not None:
        siblings = layer.aggregation(model, category, prompt, "any").parent
        for path in sorted(siblings.glob(f"*/{_RECORD}")):
            try:
                same = read_record(path.parent)["made_from"] == made_from
            except BadInput:
                continue
            if same:
                yield path.parent
        layer = layer.base


@contextmanager
def category_lock(tree: ResultsTree, model: str, category: str, name: str) -> Iterator[None]:
    """Hold all folders of one aggregation of a category: prompts and total change together.

    What a killed run left in their temporary files is removed.
    """
    total = tree.aggregation(model, category, TOTAL, name)
    root = total.parents[1]
    prompts = sorted(root.iterdir()) if root.is_dir() else []
    with tree.lock(root / total.name, *(prompt / total.name for prompt in prompts)):
        yield

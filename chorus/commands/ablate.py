"""`chorus ablate`: the full method and it less its parts, each measured alike, in one table.

Every ablation (`ablation/definitions.py`) is a small results tree <results>/ablations/<name>/ on
top of the main one, with nothing in it but what the ablation changes (`ablation/trees.py`). All are
scored on the same test images and against the same 3D truth (`ablation/scores.py`). What was
measured of the same tables is kept.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from chorus.commands.ablation.definitions import ABLATIONS, FULL, Ablation
from chorus.commands.ablation.scores import AblationScorer
from chorus.commands.ablation.table import rows_of, write_rows
from chorus.commands.ablation.trees import AblationOptions, ablation_tree, make_table, settings_of
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput, ChorusError, StaleResults, unknown_name
from chorus.evaluation.labelled_sets import table_of, usual_set
from chorus.files import atomic_write, parsed_json, portable_name
from chorus.occupancy.presets import preset
from chorus.pipeline import main_tables, maker
from chorus.records.aggregations import read_record
from chorus.records.keys import TOTAL, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import read_table
from chorus.stages import aggregate

VERSION = 2
_FIGURES = "figures"
_PROCESSES_FROM = 1500
"""Images from which a step starts processes; there are many steps, and each start costs seconds."""


@dataclass(frozen=True)
class Options(AblationOptions):
    """Measure what each part of the method is worth, by leaving it out or changing it."""

    ablations: tuple[str, ...] = ()
    """Names of the ablations (docs/ablations.md); all if left out. The reference is there too."""
    reference: str = FULL
    """The ablation that the others are compared with. Those that name no aggregation preset change
    its one thing about the reference's."""
    metric: tuple[str, ...] = ("pap/v1", "pap/v2")
    """Versions of PAP."""
    num_multiview_thres: int = 30
    """A category with fewer test images is left out of the mean PAP."""
    format: Literal["table", "csv", "json", "markdown"] = "table"
    """How the table is written."""


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Make and measure what is missing; the table is the report's text and lies in the tree."""
    started = time.monotonic()
    report = CommandResult("")
    names = _names(options)
    if not options.ablations:
        names = _possible(options, names, report.problems)
    work = _Work(options, names, progress)
    measured = sum(work.ablation(name, report.problems) for name in names)
    records = {name: work.records(name) for name in names}
    reference = options.reference
    if not records[reference]:
        report.ok = False
        report.line = f"ablate: {reference} could not be measured; nothing to compare with."
        return report
    rows, notes = rows_of(records, reference, options.metric, options.num_multiview_thres)
    report.problems += notes
    stem = portable_name(options.models.model_key)
    if reference != FULL:
        stem = f"{stem}.{reference}"
    path = options.results_dir / "ablations" / stem
    for form in ("json", "csv"):
        text = write_rows(rows, reference, form) + "\n"
        atomic_write(path.with_name(f"{stem}.{form}"), text.encode())
    report.text = write_rows(rows, reference, options.format)
    kept = sum(map(len, records.values())) - measured
    already = f", {kept} already there" if kept else ""
    report.ok = all(records[name].keys() == records[reference].keys() for name in names)
    report.line = (
        f"ablate: {measured} measurements (ablation and category) done{already} in "
        f"{time.monotonic() - started:.1f} s → {path}.json, {stem}.csv"
    )
    return report


def _names(options: Options) -> list[str]:
    """The ablations to run, the reference first. BadInput for those that cannot be."""
    from chorus.evaluation.pap_settings import PapSettings

    for metric in options.metric:
        PapSettings(metric)
    if options.tree.base is not None:
        raise BadInput(
            f"{options.results_dir} is an ablation's own tree; give the main one, "
            f"--results_dir {options.tree.base.root}."
        )
    for name in (options.reference, *options.ablations):
        if name not in ABLATIONS:
            raise unknown_name("ablation", name, ABLATIONS)
        if ABLATIONS[name].knob and options.profile != "synthetic":
            raise BadInput(
                f"ablation {name!r} changes the synthetic world's noise, which profile "
                f"{options.profile!r} does not have; leave it out, or run with --profile synthetic."
            )
    usable = [n for n, a in ABLATIONS.items() if options.profile == "synthetic" or not a.knob]
    return list(dict.fromkeys([options.reference, *(options.ablations or usable)]))


def _possible(options: Options, names: Sequence[str], problems: list[str]) -> list[str]:
    """Those of all ablations whose tables the tree has, and the reference; the others are told."""
    tree, model = options.tree, options.models.model_key
    made = {t for t in main_tables() if tree.shards(t, model, options.categories, required=False)}
    possible, without = [], {}
    for name in names:
        lacking = set(ABLATIONS[name].against(options.reference).ingredients) - made
        if name == options.reference or not lacking:
            possible.append(name)
        else:
            without.setdefault(min(lacking, key=main_tables().index), []).append(name)
    for table, left_out in without.items():
        problems.append(
            f"{', '.join(left_out)} left out: they need the table {table}, which chorus "
            f"{maker(table).name} makes."
        )
    return possible


class _Work:
    """One run: what all ablations share is looked up once."""

    def __init__(self, options: Options, names: Sequence[str], progress: Progress):
        self._options = options
        self._progress = progress
        self._tree, model = options.tree, options.models.model_key
        shards = self._tree.shards("images", model, options.categories)
        self._shards: dict[str, list[ShardKey]] = {}
        for shard in shards:
            self._shards.setdefault(shard.category, []).append(shard)
        self._ablations = {name: ABLATIONS[name].against(options.reference) for name in names}
        self._settings = settings_of(self._tree, shards, self._tables(self._ablations.values()))
        self._images: Counter[str] = Counter()
        for shard in shards:
            rows = read_table(self._tree.table("images", shard), "images").rows
            self._images[shard.category] += len(rows)
        self._fingerprints: dict[tuple[tuple[str, ...], str], str] = {}
        self._scorers: dict[str, AblationScorer] = {}

    @staticmethod
    def _tables(ablations: Iterable[Ablation]) -> list[str]:
        """The tables that some ablations' aggregations are made from."""
        return list(dict.fromkeys(t for ablation in ablations for t in ablation.ingredients))

    def _fingerprint(self, ablation: Ablation, category: str) -> str:
        """Of all that a category's measurements depend on besides the ablation itself."""
        known = ablation.ingredients, category
        if known not in self._fingerprints:
            tables = list(ablation.ingredients)
            if self._options.profile == "synthetic":
                tables.append("synthetic_truth")
            paths = [self._tree.table(name, s) for s in self._shards[category] for name in tables]
            paths.append(table_of(self._tree, usual_set(self._options.profile), category))
            content = hashlib.sha256(self._options.body_name.encode())
            for path in paths:
                content.update(hashlib.sha256(path.read_bytes()).digest())
            self._fingerprints[known] = content.hexdigest()
        return self._fingerprints[known]

    def _own_tree(self, name: str) -> ResultsTree:
        """The tree of an ablation; one that inherits the preset of a reference has another one."""
        reference = self._options.reference
        inherits = reference != FULL and not ABLATIONS[name].preset
        label = f"{name} of {reference}" if inherits else name
        return ablation_tree(self._tree, label, self._ablations[name])

    def ablation(self, name: str, problems: list[str]) -> int:
        """Make and measure an ablation; in how many categories that had not been done before."""
        tree = self._own_tree(name)
        with tree.lock(tree.root / _FIGURES):  # another run waits, and then finds it done
            return self._locked(tree, name, problems)

    def _locked(self, tree: ResultsTree, name: str, problems: list[str]) -> int:
        records = {category: self._record(tree, name, category) for category in self._shards}
        pending = {c: record for c, record in records.items() if not self._is_done(record)}
        unmade = {c: record for c, record in pending.items() if "pap" not in record}
        if unmade:
            try:
                self._make(tree, self._ablations[name], unmade, problems)
            except StaleResults:
                raise
            except ChorusError as error:
                problems.append(f"{name}: {error}")
                return 0
        done = 0
        for category, record in pending.items():
            try:
                self._measure(tree, self._ablations[name], category, record)
                done += 1
            except ChorusError as error:
                problems.append(f"{name}, {category}: {error}")
        return done

    def records(self, name: str) -> dict[str, dict[str, Any]]:
        """What was measured of an ablation, by category; those that could not be are missing."""
        tree = self._own_tree(name)
        records = {c: _read(self._path(tree, c)) for c in self._shards}
        return {c: record for c, record in records.items() if record and self._is_done(record)}

    def _path(self, tree: ResultsTree, category: str) -> Path:
        model = self._options.models.model_key
        return tree.root / _FIGURES / portable_name(model) / f"{portable_name(category)}.json"

    def _record(self, tree: ResultsTree, name: str, category: str) -> dict[str, Any]:
        """The record of an ablation and category; a new one if that is of something else."""
        about = {
            "version": VERSION,
            "ablation": name,
            "category": category,
            "changes": json.loads(json.dumps(self._ablations[name].recorded())),
            "made_from": self._fingerprint(self._ablations[name], category),
        }
        anew = self._options.fresh
        record = None if anew else _read(self._path(tree, category))
        if record and all(record.get(key) == value for key, value in about.items()):
            return record
        return {**about, "seconds": 0.0}

    def _is_done(self, record: dict[str, Any]) -> bool:
        return set(self._options.metric) <= record.get("pap", {}).keys()

    def _write(self, tree: ResultsTree, record: dict[str, Any]) -> None:
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"
        atomic_write(self._path(tree, record["category"]), text.encode())

    def _make(
        self,
        tree: ResultsTree,
        ablation: Ablation,
        records: dict[str, dict[str, Any]],
        problems: list[str],
    ) -> None:
        """Bring an ablation's tables and aggregations up to date; each step's seconds are kept.

        Categories share a step's seconds in proportion to their images.
        """
        own = {"results_dir": tree.root, "categories": tuple(records)}
        images = sum(self._images[category] for category in records)
        workers = self._options.workers if images >= _PROCESSES_FROM else 1
        options = self._options.carried_to(AblationOptions, **own, workers=workers)
        shards = [shard for category in records for shard in self._shards[category]]

        def spend(work: Callable[[], CommandResult]) -> None:
            started = time.monotonic()
            report = work()
            seconds = time.monotonic() - started
            for category, record in records.items():
                record["seconds"] += seconds * self._images[category] / images
                self._write(tree, record)
            name = record["ablation"]
            problems.extend(f"{name}: {problem}" for problem in report.problems)

        for table in ablation.makes:
            spend(
                partial(
                    *(make_table, table, ablation, options, self._settings[table], shards),
                    self._progress,
                )
            )
        aggregation = self._options.carried_to(
            aggregate.Options,
            **own,
            aggr_setting_names=(ablation.preset,),
            filter_setting_nums=(",".join(map(str, ablation.rules)),),
            shard=None,
        )
        spend(partial(aggregate.run, aggregation, self._progress))

    def _measure(
        self, tree: ResultsTree, ablation: Ablation, category: str, record: dict[str, Any]
    ) -> None:
        """Score an ablation's aggregations of a category and write the figures."""
        model, name = self._options.models.model_key, ablation.aggregation
        total = tree.aggregation(model, category, TOTAL, name)
        counted_twice = preset(ablation.preset).symmetric
        retained = read_record(total)["samples"] // (2 if counted_twice else 1)
        scorer = self._scorer(category)
        figures = {metric: scorer.pap(total, metric) for metric in self._options.metric}
        record["pap"] = record.get("pap", {}) | figures
        record["truth"] = scorer.truth(tree, name)
        record["retained"] = retained
        record["bytes"] = _size(tree, ablation, model, category)
        self._write(tree, record)

    def _scorer(self, category: str) -> AblationScorer:
        """The category's test images and truths, looked up when first needed."""
        if category not in self._scorers:
            self._scorers[category] = AblationScorer(
                self._options, category, self._shards[category], self._progress
            )
        return self._scorers[category]


def _size(tree: ResultsTree, ablation: Ablation, model: str, category: str) -> int:
    """Bytes of the files that an ablation added for a category."""
    below = (portable_name(model), portable_name(category))
    folders = (tree.folder(name).joinpath(*below) for name in (*ablation.makes, "aggregations"))
    return sum(p.stat().st_size for folder in folders for p in folder.rglob("*") if p.is_file())


def _read(path: Path) -> dict[str, Any] | None:
    """A record of measurements, None if there is none; BadInput if it is damaged."""
    try:
        record = parsed_json(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not isinstance(record["seconds"], int | float):
            raise ValueError("fields are missing")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"{path} is damaged ({error}); run ablate --overwrite.") from error
    return record

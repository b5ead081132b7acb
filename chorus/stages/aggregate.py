"""`chorus aggregate`: retained samples → per-azimuth-bin counts → distributions (SPEC 7-9).

One folder per prompt and one for the total, <tree>/aggregations/<model>/<category>/<prompt>/<name>,
each with a Distribution (probabilities and counts) per cluster and, written last,
`aggregation.json`: what was aggregated with which settings. Clusters are the whole body ("all") and
the preset's parts. Every sample is deformed and counted once; the total is the sum of the prompts'
counts.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chorus.engine.command_result import Progress, Report
from chorus.engine.loop import difference
from chorus.engine.torch_threads import one_torch_thread
from chorus.errors import BadInput, ChorusError, StaleResults
from chorus.filtering.rules import DEFAULT_RULE, parse_combination
from chorus.occupancy.presets import AggregationSettings, preset
from chorus.records.aggregations import (
    WHOLE,
    aggregation_name,
    category_lock,
    is_stored,
    load,
    read_record,
    record_of,
    same_samples,
    store,
)
from chorus.records.gathering import Retained, gather
from chorus.records.keys import TOTAL, ShardKey
from chorus.settings import RunOptions, resolve_device

if TYPE_CHECKING:
    from chorus.occupancy.canonical import CanonicalSpace
    from chorus.occupancy.counts import BinCounts

_BATCH = 1024  # samples whose masks, as bits, are held at a time: 32 MB at 512 x 512
_REASONS_TOLD = 5  # a network's failures may name each sample, so there may be very many


@dataclass(frozen=True)
class Options(RunOptions):
    """Aggregate retained samples into distributions, per prompt and in total."""

    eval_mode: Literal["quant", "qual"] | None = None
    """Must agree with the presets' names; the part before their colon."""
    aggr_setting_names: tuple[str, ...] = ("quant:full",)
    """Aggregation presets."""
    filter_setting_nums: tuple[str, ...] = (str(DEFAULT_RULE),)
    """Filter rules, one aggregation each; "7,8" takes what rule 7 or rule 8 retains."""
    visualize: bool = False
    """Also draw a still and a turntable of every distribution."""


def run(options: Options, progress: Progress = None) -> Report:
    """Aggregate what is missing or was made from other samples."""
    started = time.monotonic()
    tree, model = options.tree, options.models.model_key
    jobs = list(_jobs(options))
    shards = tree.shards("filtered", model, options.categories, options.prompts)
    categories = options.mine(sorted({shard.category for shard in shards}))
    report = Report("")
    done = skipped = 0
    for name, rules, settings in jobs:
        worker = Aggregator(options, name, rules, settings, progress)
        for category in categories:
            mine = [shard for shard in shards if shard.category == category]
            try:
                with category_lock(tree, model, category, worker.name):
                    made, kept = worker.category(category, mine)
                done, skipped = done + made, skipped + kept
            except StaleResults:
                raise
            except ChorusError as error:
                report.problems.append(str(error))
        report.problems += worker.notes
    report.ok = done + skipped > 0 or not categories
    where = tree.folder("aggregations") / model
    already = f", {skipped} already there" if skipped else ""
    seconds = time.monotonic() - started
    report.line = f"aggregate: {done} aggregations done{already} in {seconds:.1f} s → {where}"
    if options.visualize and report.ok:
        from chorus.stages import view

        shared = {name: getattr(options, name) for name in RunOptions.__dataclass_fields__}
        drawn = view.run(
            view.Options(
                **shared,
                aggr_setting_names=options.aggr_setting_names,
                filter_setting_nums=options.filter_setting_nums,
            ),
            progress,
        )
        report.problems += drawn.problems
        report.line += f"\n{drawn.line}"
    return report


def _jobs(options: Options) -> Iterator[tuple[str, tuple[int, ...], AggregationSettings]]:
    for name in options.aggr_setting_names:
        settings = preset(name)
        if options.eval_mode and name.split(":")[0] != options.eval_mode:
            raise BadInput(
                f"preset {name!r} does not belong to --eval_mode {options.eval_mode}; use "
                f"--eval_mode {name.split(':')[0]} or another preset."
            )
        for text in options.filter_setting_nums:
            yield name, parse_combination(text), settings


class Aggregator:
    """One preset and one combination of rules; the canonical space is made once."""

    def __init__(
        self,
        options: Options,
        name: str,
        rules: tuple[int, ...],
        settings: AggregationSettings,
        progress: Progress,
    ):
        self._options = options
        self.name = aggregation_name(rules, name)
        self.notes: list[str] = []
        self._rules = rules
        self._settings = settings
        self._progress = progress
        self._space: CanonicalSpace | None = None

    def category(self, category: str, shards: Sequence[ShardKey]) -> tuple[int, int]:
        """Aggregate a category's prompts and total; how many were made, how many were there.

        Raises BadInput if no sample is retained, with the reasons counted.
        """
        tree, model = self._options.tree, self._options.models.model_key
        by_prompt: dict[str, list[ShardKey]] = {}
        for shard in shards:
            by_prompt.setdefault(shard.prompt, []).append(shard)
        samples = {p: self._gather(group) for p, group in by_prompt.items()}
        if not any(map(len, samples.values())):
            raise BadInput(_nothing_retained(category, self._rules, samples.values()))
        for prompt, found in samples.items():
            if not len(found):
                label = f"{category} / {prompt}"
                self.notes.append(_nothing_retained(label, self._rules, [found]))
        parts = {prompt: found.digest() for prompt, found in samples.items() if len(found)}
        total_folder = tree.aggregation(model, category, TOTAL, self.name)
        total_digest = json.dumps(parts, sort_keys=True)
        # A total over some of the prompts would be mistaken for the total.
        total_wanted = not self._options.prompts and not self._is_done(total_folder, total_digest)
        made = kept = 0
        total: dict[str, BinCounts] = {}
        for prompt, digest in parts.items():
            folder = tree.aggregation(model, category, prompt, self.name)
            if self._is_done(folder, digest):
                counts = _counts(folder) if total_wanted else {}
                kept += 1
            else:
                counts = self._counted_before(category, prompt, digest) or self.accumulate(
                    samples[prompt], f"{category} / {prompt}"
                )
                self._write(folder, category, prompt, counts, digest)
                made += 1
            if total_wanted:
                total = {p: total[p].merge(c) for p, c in counts.items()} if total else counts
        if self._options.prompts:
            return made, kept
        if not total_wanted:
            return made, kept + 1
        self._write(total_folder, category, TOTAL, total, total_digest)
        return made + 1, kept

    def _gather(self, shards: Sequence[ShardKey]) -> Retained:
        """The retained samples of a prompt, or the settings' share of them."""
        return gather(self._options.tree, shards, self._rules).share(self._settings.share)

    def _counted_before(
        self, category: str, prompt: str, digest: str
    ) -> dict[str, BinCounts] | None:
        """Counts of another aggregation of the same samples that differs in its view weights."""
        if self._options.overwrite:
            return None
        settings = self._recorded_settings()
        tree, model = self._options.tree, self._options.models.model_key
        for folder in same_samples(tree, model, category, prompt, digest):
            changes = difference(read_record(folder)["settings"], settings)
            if all(change.startswith("weighting: ") for change in changes):
                return _counts(folder)
        return None

    def _recorded_settings(self) -> dict:
        return {**self._settings.recorded(), "body": self._options.body_name}

    def _record(self, digest: str, samples: int) -> dict:
        return record_of(self.name, self._recorded_settings(), samples, digest)

    def _is_done(self, folder: Path, digest: str) -> bool:
        return is_stored(folder, self._record(digest, 0), self._options)

    def accumulate(self, found: Retained, label: str) -> dict[str, BinCounts]:
        """Counts of retained samples for every cluster."""
        bar = (
            self._progress(total=len(found), desc=label, unit="sample") if self._progress else None
        )
        batches = [
            range(start, min(start + _BATCH, len(found))) for start in range(0, len(found), _BATCH)
        ]
        count = self._count_on_ray if self._options.engine == "ray" else self._count_here
        try:
            counts, refused = count(found, batches, bar.update if bar is not None else _ignore)
        finally:
            if bar is not None:
                bar.close()
        self.notes += [f"{label}: {n} samples refused, {why}" for why, n in refused.items()]
        return counts

    def _count_here(self, found: Retained, batches: Sequence[range], tick: Callable[[int], None]):
        from chorus.occupancy.accumulate import accumulate, empty_counts

        space = self.space()
        counts = empty_counts(space)
        refused: Counter[str] = Counter()
        device = resolve_device(self._options.device)
        for batch in batches:
            with one_torch_thread():
                into = accumulate(
                    space, views(found, batch), counts, self._options.worker_count, device
                )
            refused.update(filter(None, into.refused))
            tick(len(batch))
        return counts, refused

    def _count_on_ray(self, found: Retained, batches: Sequence[range], tick: Callable[[int], None]):
        from chorus.engine import ray_cluster as ray_engine

        chunks = [found.take(batch) for batch in batches]
        options = self._options
        return ray_engine.counted(self.space(), chunks, tick, options.ray_address, options.device)

    def space(self) -> CanonicalSpace:
        """The canonical space of the preset, with the whole-body cluster before its parts."""
        if self._space is None:
            from chorus.body.loading import load_body
            from chorus.occupancy.canonical import canonical_space
            from chorus.occupancy.regions import Part, parts

            self._space = canonical_space(
                load_body(self._options.body, self._options.imports_dir),
                self._settings,
                cache_dir=self._options.imports_dir / "cache",
                clusters=(Part(WHOLE), *parts(self._settings.parts)),
                threads=self._options.worker_count,
            )
        return self._space

    def _write(
        self,
        folder: Path,
        category: str,
        prompt: str,
        counts: dict[str, BinCounts],
        digest: str,
    ) -> None:
        from chorus.occupancy.distribution import Distribution

        samples = int(counts[WHOLE].samples.sum())
        record = self._record(digest, samples)
        body = self.space().body.fingerprint
        distributions = {
            part: Distribution.from_counts(
                counted,
                self._settings.weighting,
                category=category,
                prompt=prompt,
                part=part,
                body=body,
                metadata={
                    "name": self.name,
                    "settings": record["settings"],
                    "samples": samples,
                    "members": int(counted.members.sum()),
                },
            )
            for part, counted in counts.items()
        }
        store(self._options.tree, folder, distributions, record)


def _ignore(count: int) -> None:
    del count


def _counts(folder: Path) -> dict[str, BinCounts]:
    return {part: distribution.counts for part, distribution in load(folder).items()}


def views(found: Retained, batch: Sequence[int]):
    """The `occupancy.views.Views` of some of the retained samples."""
    from chorus.occupancy.views import Views

    arrays = ([values[at] for at in batch] for values in (found.pose, found.R, found.t, found.K))
    return Views.of(*arrays, [found.object_mask(at) for at in batch])


def _nothing_retained(label: str, rules: Sequence[int], samples: Iterable[Retained]) -> str:
    dropped = sum((one.dropped for one in samples), start=Counter())
    common = dropped.most_common(_REASONS_TOLD)
    counted = ", ".join(f"{count} {reason}" for reason, count in common)
    others = dropped.total() - sum(count for _, count in common)
    more = f", and {others} others" if others else ""
    return (
        f"{label}: no sample is retained by filter {','.join(map(str, rules))} "
        f"({counted or 'no samples'}{more}); generate more images, or choose other "
        "--filter_setting_nums."
    )

"""`chorus aggregate`: retained samples → counts per azimuth bin → distributions.

What is computed is in docs/method.md, 7 to 9.

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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Advance, Progress, progress_bar
from chorus.engine.ray_cluster import map_reduce
from chorus.engine.torch_threads import one_torch_thread
from chorus.errors import BadInput, ChorusError, StaleResults
from chorus.occupancy.presets import AUTO, AggregationSettings, preset
from chorus.records.aggregations import (
    WHOLE,
    AggregationKind,
    category_lock,
    is_stored,
    load,
    read_record,
    record_of,
    same_samples,
    store,
    update_record,
    usual_rules,
)
from chorus.records.discovered_parts import discovered, told, with_parts
from chorus.records.gathering import Retained, gather, gathered
from chorus.records.keys import TOTAL, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.soft_selection import selected
from chorus.records.staleness import difference
from chorus.settings import (
    AggregationOptions,
    BodyOptions,
    DeviceOptions,
    EngineOptions,
    ImageTreeOptions,
    PromptOptions,
    RedoOptions,
    ShardOptions,
    resolve_device,
)

if TYPE_CHECKING:
    from chorus.occupancy.canonical import CanonicalSpace
    from chorus.occupancy.counts import BinCounts
    from chorus.occupancy.views import Views

_BATCH = 1024  # samples whose masks, as bits, are held at a time: 32 MB at 512 x 512
_OF_ESTIMATES = ("weighting", "estimator", "evidence")  # settings that counts do not depend on
_REASONS = 5  # a network's failures may name each sample, so there may be very many


@dataclass(frozen=True)
class CountingOptions(DeviceOptions, BodyOptions, EngineOptions):
    """Where and with which body samples are counted."""


@dataclass(frozen=True)
class Options(
    CountingOptions,
    ShardOptions,
    RedoOptions,
    AggregationOptions,
    ImageTreeOptions,
    PromptOptions,
):
    """Aggregate retained samples into distributions, per prompt and in total."""

    eval_mode: Literal["quant", "qual"] | None = None
    """Must agree with the presets' names; the part before their colon."""
    visualize: bool = False
    """Also draw a still and a turntable of every distribution."""


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Aggregate what is missing or was made from other samples."""
    started = time.monotonic()
    tree, model = options.tree, options.models.model_key
    name = options.models.quantitative
    kinds = options.kinds(usual=AggregationKind(name, usual_rules(name)))
    for kind in kinds:
        _check_mode(options, kind.preset)
    shards = tree.shards("filtered", model, options.categories, options.prompts)
    categories = options.my_part(sorted({shard.category for shard in shards}))
    result = CommandResult("")
    done = skipped = 0
    found: list[str] = []
    for kind in kinds:
        worker = Aggregator(options, kind, preset(kind.preset), progress)
        for category in categories:
            category_shards = [shard for shard in shards if shard.category == category]
            try:
                with category_lock(tree, model, category, kind.name):
                    written, kept = worker.category(category, category_shards)
                done, skipped = done + written, skipped + kept
            except StaleResults:
                raise
            except ChorusError as error:
                result.problems.append(str(error))
        result.problems += worker.notes
        found += worker.found
    result.ok = done + skipped > 0 or not categories
    where = tree.folder("aggregations") / model
    already = f", {skipped} already there" if skipped else ""
    seconds = time.monotonic() - started
    result.line = f"aggregate: {done} aggregations done{already} in {seconds:.1f} s → {where}"
    result.line = "\n".join([*found, result.line])
    if options.visualize and result.ok:
        from chorus.stages import view

        rules = (",".join(map(str, kind.rules)) for kind in kinds)
        same = {
            "aggr_setting_names": tuple(dict.fromkeys(kind.preset for kind in kinds)),
            "filter_setting_nums": tuple(dict.fromkeys(rules)),
        }
        drawn = view.run(options.carried_to(view.Options, **same), progress)
        result.problems += drawn.problems
        result.line += f"\n{drawn.line}"
    return result


def _check_mode(options: Options, name: str) -> None:
    mode = name.split(":")[0]
    if options.eval_mode and mode != options.eval_mode:
        raise BadInput(
            f"preset {name!r} does not belong to --eval_mode {options.eval_mode}; use "
            f"--eval_mode {mode} or another preset."
        )


class Counted(NamedTuple):
    """Counts per part, and the reasons for which samples were refused."""

    counts: dict[str, BinCounts]
    refused: Counter[str]


class SampleCounter:
    """Counts samples in one canonical space, which is made once."""

    def __init__(self, options: CountingOptions, settings: AggregationSettings, progress: Progress):
        self._where = options
        self._settings = settings
        self._progress = progress
        self._space: CanonicalSpace | None = None
        self.notes: list[str] = []
        """Which samples were refused, and why."""

    def accumulate(self, samples: Retained, label: str) -> dict[str, BinCounts]:
        """Counts of retained samples for every cluster."""
        batches = [
            range(start, min(start + _BATCH, len(samples)))
            for start in range(0, len(samples), _BATCH)
        ]
        count = self._count_on_ray if self._where.engine == "ray" else self._count_here
        with progress_bar(self._progress, len(samples), label, "sample") as advance:
            counts, refused = count(samples, batches, advance)
        self.notes += [f"{label}: {n} samples refused, {why}" for why, n in refused.items()]
        return counts

    def _count_here(self, samples: Retained, batches: Sequence[range], advance: Advance) -> Counted:
        from chorus.occupancy.accumulate import accumulate, empty_counts

        space = self.space()
        counts = empty_counts(space)
        refused: Counter[str] = Counter()
        device = resolve_device(self._where.device)
        for batch in batches:
            with one_torch_thread():
                into = accumulate(
                    space, views(samples, batch), counts, self._where.worker_count, device
                )
            refused.update(filter(None, into.refused))
            advance(len(batch))
        return Counted(counts, refused)

    def _count_on_ray(
        self, samples: Retained, batches: Sequence[range], advance: Advance
    ) -> Counted:
        return map_reduce(
            self.space(),
            [samples.take(batch) for batch in batches],
            count_chunk,
            add_counts,
            name="aggregate",
            advance=advance,
            address=self._where.ray_address,
            device=self._where.device,
        )

    def space(self) -> CanonicalSpace:
        """The canonical space of the preset, with the whole-body cluster before its parts."""
        if self._space is None:
            from chorus.body.loading import load_body
            from chorus.occupancy.canonical import canonical_space
            from chorus.occupancy.regions import Part, parts

            self._space = canonical_space(
                load_body(self._where.body, self._where.imports_dir),
                self._settings,
                cache_dir=self._where.imports_dir / "cache",
                clusters=(Part(WHOLE), *parts(self._settings.parts)),
                threads=self._where.worker_count,
            )
        return self._space


class Aggregator(SampleCounter):
    """One kind of aggregation, in the results tree."""

    def __init__(
        self,
        options: Options,
        kind: AggregationKind,
        settings: AggregationSettings,
        progress: Progress,
    ):
        super().__init__(options, settings, progress)
        self._options = options
        self._kind = kind
        self.found: list[str] = []
        """Which body parts were found in which category, where the settings have none."""
        self._discovery: dict | None = None
        self._found_space: CanonicalSpace | None = None

    def category(self, category: str, shards: Sequence[ShardKey]) -> tuple[int, int]:
        """Aggregate a category's prompts and total; how many were written, how many were there.

        Raises BadInput if no sample is retained, with the reasons counted, or usable.
        """
        tree, model = self._options.tree, self._options.models.model_key
        by_prompt: dict[str, list[ShardKey]] = {}
        for shard in shards:
            by_prompt.setdefault(shard.prompt, []).append(shard)
        samples = {p: self._gather(group) for p, group in by_prompt.items()}
        if not any(map(len, samples.values())):
            raise BadInput(_nothing_retained(category, self._kind.rules, samples.values()))
        for prompt, chosen in samples.items():
            if not len(chosen):
                label = f"{category} / {prompt}"
                self.notes.append(_nothing_retained(label, self._kind.rules, [chosen]))
        digests = {prompt: chosen.digest() for prompt, chosen in samples.items() if len(chosen)}
        if self._settings.parts == AUTO:
            self._discover(category, samples)
            digests = {p: with_parts(digest, self._discovery) for p, digest in digests.items()}
        total_folder = tree.aggregation(model, category, TOTAL, self._kind.name)
        total_digest = json.dumps(digests, sort_keys=True)
        # A total over some of the prompts would be mistaken for the total.
        total_wanted = not self._options.prompts and not self._is_done(total_folder, total_digest)
        written = kept = 0
        total: dict[str, BinCounts] = {}
        for prompt, digest in digests.items():
            folder = tree.aggregation(model, category, prompt, self._kind.name)
            if self._is_done(folder, digest):
                counts = _counts(folder) if total_wanted else {}
                update_record(tree, folder, **self._discovered())
                kept += 1
            else:
                counts = self._counted_before(category, prompt, digest) or self.accumulate(
                    samples[prompt], f"{category} / {prompt}"
                )
                if not counts[WHOLE].samples.any():
                    self.notes.append(f"{category} / {prompt}: no sample is left to aggregate.")
                    continue
                self._write(folder, category, prompt, counts, digest)
                written += 1
            if total_wanted:
                total = {p: total[p].merge(c) for p, c in counts.items()} if total else counts
        if not written + kept:
            raise BadInput(f"{category}: every retained sample was refused.")
        if self._options.prompts:
            return written, kept
        if not total_wanted:
            return written, kept + 1
        self._write(total_folder, category, TOTAL, total, total_digest)
        return written + 1, kept

    def _gather(self, shards: Sequence[ShardKey]) -> Retained:
        """The retained samples of a prompt that the settings choose."""
        return chosen_samples(self._options.tree, shards, self._kind.rules, self._settings)

    def space(self) -> CanonicalSpace:
        """The canonical space with the clusters of the preset, or those found in the category."""
        space = super().space()
        if self._discovery is None:
            return space
        if self._found_space is None:
            from chorus.occupancy.regions import Part

            found = [
                Part(one["name"], (tuple(one["segments"]),)) for one in self._discovery["parts"]
            ]
            self._found_space = space.with_parts((Part(WHOLE), *found))
        return self._found_space

    def _discovered(self) -> dict:
        """What a record says of parts that were found; nothing for parts listed by hand."""
        return {} if self._discovery is None else {"discovery": self._discovery}

    def _discover(self, category: str, samples: dict[str, Retained]) -> None:
        """Find the category's body parts in the samples of all its prompts, asked for or not."""
        tree, model = self._options.tree, self._options.models.model_key
        if self._options.prompts:
            others: dict[str, list[ShardKey]] = {}
            for shard in tree.shards("filtered", model, (category,)):
                if shard.prompt not in samples:
                    others.setdefault(shard.prompt, []).append(shard)
            samples = samples | {p: self._gather(group) for p, group in others.items()}
        folders = [tree.aggregation(model, category, p, self._kind.name) for p in samples]
        self._discovery = self._found_space = None
        self._discovery = discovered(
            [] if self._options.fresh else folders,
            self._recorded_settings(),
            self._settings.discovery,
            samples,
            self._touched,
        )
        self.found.append(told(category, self._discovery))

    def _touched(self, samples: Retained) -> np.ndarray:
        """(24, samples) bool: who touches which segment. Worked out here, also with Ray."""
        from chorus.occupancy.accumulate import touched_segments

        device = resolve_device("cpu" if self._where.engine == "ray" else self._where.device)
        space, threads = super().space(), self._where.worker_count
        touched = [np.zeros((24, 0), bool)]
        for start in range(0, len(samples), _BATCH):
            batch = range(start, min(start + _BATCH, len(samples)))
            with one_torch_thread():
                touched.append(touched_segments(space, views(samples, batch), threads, device))
        return np.concatenate(touched, axis=1)

    def _counted_before(
        self, category: str, prompt: str, digest: str
    ) -> dict[str, BinCounts] | None:
        """Counts of another aggregation of the same samples that estimates otherwise from them."""
        if self._options.fresh:
            return None
        settings = self._recorded_settings()
        tree, model = self._options.tree, self._options.models.model_key
        for folder in same_samples(tree, model, category, prompt, digest):
            changes = difference(read_record(folder)["settings"], settings)
            if all(change.startswith(_OF_ESTIMATES) for change in changes):
                return _counts(folder)
        return None

    def _recorded_settings(self) -> dict:
        return {**self._settings.recorded(), "body": self._options.body_name}

    def _record(self, digest: str, samples: int) -> dict:
        return record_of(self._kind.name, self._recorded_settings(), samples, digest)

    def _is_done(self, folder: Path, digest: str) -> bool:
        return not self._options.fresh and is_stored(folder, self._record(digest, 0))

    def _write(
        self,
        folder: Path,
        category: str,
        prompt: str,
        counts: dict[str, BinCounts],
        digest: str,
    ) -> None:
        from chorus.occupancy.distribution import Distribution
        from chorus.occupancy.evidence import estimate

        samples = int(counts[WHOLE].samples.sum())
        record = {**self._record(digest, samples), **self._discovered()}
        space = self.space()
        distributions = {
            part: Distribution.from_counts(
                counted,
                self._settings.weighting,
                category=category,
                prompt=prompt,
                part=part,
                body=space.body.fingerprint,
                probability=estimate(counted, space),
                metadata={
                    "name": self._kind.name,
                    "settings": record["settings"],
                    "samples": samples,
                    "members": int(counted.members.sum()),
                },
            )
            for part, counted in counts.items()
        }
        store(self._options.tree, folder, distributions, record)


def tables_read(settings: AggregationSettings) -> tuple[str, ...]:
    """The tables that `chosen_samples` reads, verdicts first."""
    return (*gathered(settings.anchor), *(("quality",) if settings.selection else ()))


def chosen_samples(
    tree: ResultsTree,
    shards: Sequence[ShardKey],
    rules: Sequence[int],
    settings: AggregationSettings,
) -> Retained:
    """The retained samples of a prompt that the settings choose, by share and by quality."""
    samples = gather(tree, shards, rules, settings.anchor).share(settings.share)
    return selected(
        tree,
        samples,
        settings.selection,
        settings.selection_least,
        settings.selection_share,
        settings.selection_levels,
    )


def count_chunk(space: CanonicalSpace, chunk: Retained, device: str) -> Counted:
    """The counts of some samples."""
    from chorus.occupancy.accumulate import accumulate

    into = accumulate(space, views(chunk, range(len(chunk))), device=device)
    return Counted(into.counts, Counter(filter(None, into.refused)))


def add_counts(first: Counted, second: Counted) -> Counted:
    """The counts of two sets of samples together."""
    counts = {part: counts + second.counts[part] for part, counts in first.counts.items()}
    return Counted(counts, first.refused + second.refused)


def _counts(folder: Path) -> dict[str, BinCounts]:
    return {part: distribution.counts for part, distribution in load(folder).items()}


def views(samples: Retained, batch: Sequence[int]) -> Views:
    """Some of the retained samples; an object's mask is the union of its category's instances."""
    from chorus.occupancy.mask_bits import of_counts
    from chorus.occupancy.views import Views

    columns = (samples.pose, samples.R, samples.t, samples.K)
    arrays = ([values[at] for at in batch] for values in columns)
    masks = [of_counts(*samples.mask[at]) for at in batch]
    return Views.of(*arrays, masks, [samples.level[at] for at in batch])


def _nothing_retained(label: str, rules: Sequence[int], samples: Iterable[Retained]) -> str:
    dropped = sum((chosen.dropped for chosen in samples), start=Counter())
    common = dropped.most_common(_REASONS)
    counted = ", ".join(f"{count} {reason}" for reason, count in common)
    others = dropped.total() - sum(count for _, count in common)
    more = f", and {others} others" if others else ""
    return (
        f"{label}: no sample is retained by filter {','.join(map(str, rules))} "
        f"({counted or 'no samples'}{more}); generate more images, or choose other "
        "--filter_setting_nums."
    )

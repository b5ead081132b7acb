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
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from chorus.engine.command_result import CommandResult
from chorus.engine.found_parts import FoundPartsCounter
from chorus.engine.progress import Progress
from chorus.engine.sample_counting import CountingOptions
from chorus.errors import BadInput, ChorusError, StaleResults, unknown_name
from chorus.files import portable_name
from chorus.occupancy.presets import AUTO, AggregationSettings, Evidence, of_evidence, preset
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
from chorus.records.discovered_parts import told, with_parts
from chorus.records.gathering import Retained
from chorus.records.keys import TOTAL, ShardKey
from chorus.records.lifted_objects import TABLE
from chorus.records.soft_selection import chosen_samples
from chorus.records.staleness import difference
from chorus.settings import (
    AggregationOptions,
    ImageTreeOptions,
    PromptOptions,
    RedoOptions,
    ShardOptions,
)

if TYPE_CHECKING:
    from chorus.occupancy.counts import BinCounts

_OF_ESTIMATES = ("weighting", "estimator", "evidence")  # settings that counts do not depend on
_REASONS = 5  # a network's failures may name each sample, so there may be very many


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
    evidence: Evidence | None = None
    """What is counted: the objects' masks (as presets do if this is left out), their lifted meshes
    (`chorus import --lifted`), or both. The preset is then called e.g. quant:evidence+meshes."""

    def chosen_kinds(self) -> list[AggregationKind]:
        """The kinds of aggregation to be made."""
        name = self.models.quantitative
        kinds = self.kinds(usual=AggregationKind(name, usual_rules(name)))
        if self.evidence is None:
            return kinds
        for kind in kinds:
            if "+" in kind.preset and of_evidence(kind.preset, self.evidence) != kind.preset:
                raise BadInput(
                    f"--aggr_setting_names {kind.preset} has an evidence of its own, which is not "
                    f"--evidence {self.evidence}; leave one of them out."
                )
        named = (kind._replace(preset=of_evidence(kind.preset, self.evidence)) for kind in kinds)
        return list(dict.fromkeys(named))


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Aggregate what is missing or was made from other samples."""
    started = time.monotonic()
    tree, model = options.tree, options.models.model_key
    kinds = options.chosen_kinds()
    for kind in kinds:
        _check_mode(options, kind.preset)
    shards = _shards(options, [preset(kind.preset).observed for kind in kinds])
    categories = options.my_part(sorted({shard.category for shard in shards}))
    result = CommandResult("")
    done = skipped = 0
    found: list[str] = []
    made: dict[str, list[AggregationKind]] = {}
    for kind in kinds:
        worker = Aggregator(options, kind, preset(kind.preset), progress)
        for category in categories:
            category_shards = [shard for shard in shards if shard.category == category]
            try:
                with category_lock(tree, model, category, kind.name):
                    written, kept = worker.category(category, category_shards)
                done, skipped = done + written, skipped + kept
                made.setdefault(category, []).append(kind)
            except StaleResults:
                raise
            except ChorusError as error:
                result.problems.append(str(error))
                result.complete = False
        result.problems += worker.notes
        found += worker.found
    result.ok = done + skipped > 0 or not categories
    where = tree.folder("aggregations") / model
    already = f", {skipped} already there" if skipped else ""
    seconds = time.monotonic() - started
    result.line = f"aggregate: {done} aggregations done{already} in {seconds:.1f} s → {where}"
    result.line = "\n".join([*found, result.line])
    if options.visualize and made:
        from chorus.stages import view

        shown = options.carried_to(view.Options, categories=tuple(made))
        drawn = view.draw_kinds(shown, made, progress)
        result.problems += drawn.problems
        result.line += f"\n{drawn.line}"
    return result


def _shards(options: Options, observed: Collection[Evidence]) -> list[ShardKey]:
    """The shards with samples: judged ones and, where meshes are evidence, those with lifted
    objects. BadInput, naming the cure, without any."""
    tree, model = options.tree, options.models.model_key
    if set(observed) == {"masks"}:
        return tree.shards("filtered", model, options.categories, options.prompts)
    shards = set(tree.shards(TABLE, model, required=False))
    if not shards:
        raise BadInput(
            f"no lifted objects in {tree.folder(TABLE) / portable_name(model)}, which are evidence "
            "of meshes; run chorus import --lifted first."
        )
    shards |= set(tree.shards("filtered", model, required=False))
    for asked, there in (
        (options.categories, {shard.category for shard in shards}),
        (options.prompts, {shard.prompt for shard in shards}),
    ):
        for name in asked:
            if name not in there:
                raise unknown_name("category or prompt with samples:", name, there)
    return sorted(
        shard
        for shard in shards
        if (not options.categories or shard.category in options.categories)
        and (not options.prompts or shard.prompt in options.prompts)
    )


def _check_mode(options: Options, name: str) -> None:
    mode = name.split(":")[0]
    if options.eval_mode and mode != options.eval_mode:
        raise BadInput(
            f"preset {name!r} does not belong to --eval_mode {options.eval_mode}; use "
            f"--eval_mode {mode} or another preset."
        )


class Aggregator(FoundPartsCounter):
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

    def category(self, category: str, shards: Sequence[ShardKey]) -> tuple[int, int]:
        """Aggregate a category's prompts and total; how many were written, how many were there.

        Raises BadInput if no sample is retained, with the reasons counted, or usable.
        """
        tree, model = self._options.tree, self._options.models.model_key
        by_prompt: dict[str, list[ShardKey]] = {}
        for shard in shards:
            by_prompt.setdefault(shard.prompt, []).append(shard)
        samples = {p: self._gather(group) for p, group in by_prompt.items()}
        if not any(chosen.observed for chosen in samples.values()):
            raise BadInput(_nothing_retained(category, self._kind.rules, samples.values()))
        for prompt, chosen in samples.items():
            if not chosen.observed:
                label = f"{category} / {prompt}"
                self.notes.append(_nothing_retained(label, self._kind.rules, [chosen]))
        if self._settings.observed == "both" and not any(s.lifted for s in samples.values()):
            self.notes.append(
                f"{category}: no sample has a lifted object, so its masks alone are counted."
            )
        digests = {prompt: chosen.digest() for prompt, chosen in samples.items() if chosen.observed}
        if self._settings.parts == AUTO:
            found = self._discover(category, samples)
            digests = {p: with_parts(digest, found) for p, digest in digests.items()}
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
                update_record(tree, folder, **self.said_of_parts())
                kept += 1
            else:
                counts = self._counted_before(category, prompt, digest) or self.accumulate(
                    samples[prompt], f"{category} / {prompt}"
                )
                if not counts[WHOLE].count:
                    self.notes.append(f"{category} / {prompt}: no sample is left to aggregate.")
                    continue
                self._tell_empty(f"{category} / {prompt}", counts[WHOLE])
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

    def _tell_empty(self, label: str, counts: BinCounts) -> None:
        if not counts.mask.any() and (counts.filled is None or not counts.filled.any()):
            self.notes.append(
                f"{label}: the distribution is empty: no object lies in the "
                f"{self._settings.side:g} m around a person. Are meshes in metres, and masks and "
                "cameras of one image?"
            )

    def _gather(self, shards: Sequence[ShardKey]) -> Retained:
        """The retained samples of a prompt that the settings choose."""
        return chosen_samples(self._options.tree, shards, self._kind.rules, self._settings)

    def _discover(self, category: str, samples: dict[str, Retained]) -> dict[str, Any]:
        """Find the category's body parts in the samples of all its prompts, asked for or not."""
        tree, model = self._options.tree, self._options.models.model_key
        if self._options.prompts:
            others: dict[str, list[ShardKey]] = {}
            for shard in tree.shards("filtered", model, (category,)):
                if shard.prompt not in samples:
                    others.setdefault(shard.prompt, []).append(shard)
            samples = samples | {p: self._gather(group) for p, group in others.items()}
        folders = [tree.aggregation(model, category, p, self._kind.name) for p in samples]
        found = self.find_parts(
            [] if self._options.fresh else folders, self._recorded_settings(), samples
        )
        self.found.append(told(category, found))
        return found

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

        whole = counts[WHOLE]
        samples = whole.count
        record = {**self._record(digest, samples), **self.said_of_parts()}
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
                },
            )
            for part, counted in counts.items()
        }
        store(self._options.tree, folder, distributions, record)


def _counts(folder: Path) -> dict[str, BinCounts]:
    return {part: distribution.counts for part, distribution in load(folder).items()}


def _nothing_retained(label: str, rules: Sequence[int], samples: Collection[Retained]) -> str:
    dropped = sum((chosen.dropped for chosen in samples), start=Counter())
    common = dropped.most_common(_REASONS)
    counted = ", ".join(f"{count} {reason}" for reason, count in common)
    others = dropped.total() - sum(count for _, count in common)
    more = f", and {others} others" if others else ""
    left_out, rule = sum(chosen.left_out for chosen in samples), ",".join(map(str, rules))
    nothing = f"no sample is retained by filter {rule}"
    if left_out:
        nothing = f"no sample is left to aggregate, though filter {rule} retains {left_out}"
    return (
        f"{label}: {nothing} ({counted or 'no samples'}{more}); generate more images, or choose "
        "other --filter_setting_nums."
    )

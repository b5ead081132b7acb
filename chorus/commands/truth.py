"""`chorus truth`: learned distributions against the synthetic world's known 3D truth.

For every prompt the truth is the canonical occupancy of all its scenes without a deliberate fault.
The method is compared with itself less its parts: canonicalisation and view weighting.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.engine.sample_counting import CountingOptions, SampleCounter
from chorus.errors import BadInput, ChorusError
from chorus.evaluation.reliability import Reliability, reliability
from chorus.files import atomic_write, portable_name
from chorus.occupancy.presets import preset
from chorus.records.aggregations import WHOLE, AggregationKind, chosen_kinds, load
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.soft_selection import chosen_samples
from chorus.records.tables import DONE, read_table
from chorus.settings import SampleOptions, TreeOptions
from chorus.viewing.charts import reliability_diagram
from chorus.viewing.text_table import format_table

if TYPE_CHECKING:
    from trimesh import Trimesh

    from chorus.evaluation.truth_scores import KnownScene

FULL = "full method"
VARIANTS = {
    "no canonicalisation": (False, True),
    "no view weighting": (True, False),
    "neither": (False, False),
}
"""What the full method is compared with: canonicalised or not, views weighted or not. The evidence
estimator does not weight views, so only the first is a variant of it."""


@dataclass(frozen=True)
class Options(CountingOptions, TreeOptions, SampleOptions):
    """Score distributions of the synthetic world against its true 3D occupancy."""

    aggr_setting_name: str | None = None
    """The aggregation preset whose results are scored; if left out, what has been aggregated, if
    that is of one kind."""
    filter_setting_num: str | None = None
    """The filter rules whose results are scored, e.g. 3 or 7,8; if left out those of what has been
    aggregated; if a preset is named, rule 3, or 15 for one with a least quality
    of samples."""

    @property
    def kind(self) -> AggregationKind:
        """The kind of aggregation that is scored."""
        given = self.aggr_setting_name, self.filter_setting_num
        names, rules = ((choice,) if choice is not None else () for choice in given)
        key = self.models.model_key
        return chosen_kinds(self.tree, key, self.categories, names, rules)[0]


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Scores per prompt and variant, as a table, and in the tree:
    truth/<key>/<category>/<aggregation>.json."""
    if options.profile != "synthetic":
        raise BadInput(
            f"only the synthetic world knows the 3D truth of its images; profile "
            f"{options.profile!r} has none. Run with --profile synthetic."
        )
    started = time.monotonic()
    tree, model = options.tree, options.models.model_key
    shards = tree.shards("filtered", model, options.categories, options.prompts)
    where = tree.folder("truth") / portable_name(model)
    scorer = _Scorer(options, progress)
    report = CommandResult("")
    rows: list[list[str]] = []
    for category in sorted({shard.category for shard in shards}):
        scores = {}
        for prompt in dict.fromkeys(s.prompt for s in shards if s.category == category):
            group = [s for s in shards if (s.category, s.prompt) == (category, prompt)]
            try:
                scores[prompt] = scorer.prompt(category, prompt, group)
            except ChorusError as error:
                report.problems.append(str(error))
        report.complete = report.complete and bool(scores)
        if scores:
            path = where / portable_name(category) / f"{portable_name(options.kind.name)}.json"
            atomic_write(path, (json.dumps(scores, indent=1, sort_keys=True) + "\n").encode())
            rows += _rows(scores)
    report.ok = bool(rows)
    header = ["prompt", "variant", "samples", "scenes", "3D AP", "of at most", "region AP", "IoU"]
    report.text = format_table(header, rows) if rows else ""
    seconds = time.monotonic() - started
    report.line = f"truth: {len(rows)} scores in {seconds:.1f} s → {where}"
    if scorer.reliability:
        together = sum(scorer.reliability[1:], start=scorer.reliability[0])
        label = options.kind.preset
        path = where / f"{portable_name(options.kind.name)}.png"
        reliability_diagram({label: (*together.means, together.voxels)}, path)
        error = 100 * together.expected_calibration_error
        report.line += f"; expected calibration error {error:.1f} %, diagram: {path}"
    return report


def _rows(scores: dict[str, dict]) -> Iterator[list[str]]:
    for prompt, record in scores.items():
        for variant, s in record["variants"].items():
            yield [
                prompt,
                variant,
                str(record["samples"]),
                str(record["scenes"]),
                *(
                    f"{100 * s[name]:.1f}"
                    for name in ("soft_ap", "soft_ap_ceiling", "region_ap", "best_iou")
                ),
            ]


class _Scorer:
    """Scores prompts; the spaces with and without canonicalisation are made once."""

    def __init__(self, options: Options, progress: Progress):
        self._options = options
        self._kind = options.kind
        settings = self._settings = preset(self._kind.preset)
        self.reliability: list[Reliability] = []
        """Of every prompt's full method."""
        # Counts in memory only; the stored aggregation must exist and is what is scored.
        self._full, self._rigid = (
            SampleCounter(options, replace(settings, canonicalise=on), progress)
            for on in (True, False)
        )

    def prompt(self, category: str, prompt: str, shards: Sequence[ShardKey]) -> dict:
        """Scores of one prompt's variants, with the numbers of samples and scenes."""
        from chorus.evaluation.truth_scores import true_occupancy, truth_scores
        from chorus.occupancy.evidence import estimate

        tree, settings = self._options.tree, self._settings
        folder = tree.aggregation(shards[0].model, category, prompt, self._kind.name)
        learned = load(folder)[WHOLE]
        samples = chosen_samples(tree, shards, self._kind.rules, settings)
        rigid = self._rigid.accumulate(samples, f"{prompt}, no canonicalisation")[WHOLE]
        truth = true_occupancy(self._full.space(), known_scenes(tree, shards))
        found = {FULL: learned.probability}
        for variant, (canonical, weighted) in VARIANTS.items():
            if settings.estimator == "quotient":
                weighting = "azimuth-uniform-fine" if weighted else "total-uniform"
                counts = learned.counts if canonical else rigid
                found[variant] = counts.probability(weighting)
            elif weighted:
                found[variant] = estimate(rigid, self._rigid.space())
        scores = {name: asdict(truth_scores(volume, truth)) for name, volume in found.items()}
        self.reliability.append(reliability(learned.probability, truth.probability))
        return {"samples": samples.observed, "scenes": truth.scenes, "variants": scores}


def known_scenes(tree: ResultsTree, shards: Sequence[ShardKey]) -> Iterator[KnownScene]:
    """The synthetic world's scenes of a prompt without a deliberate fault."""
    from chorus.evaluation.truth_scores import KnownScene
    from chorus.synthetic.world.objects import contains

    for person, thing, mesh in known_objects(tree, shards):
        yield KnownScene(
            np.array(person["pose"]).reshape(24, 3),
            np.array(person["betas"]),
            np.array(thing["object_to_body"]).reshape(4, 4),
            mesh.bounds,
            lambda points, mesh=mesh: contains(mesh, points),
        )


def known_objects(
    tree: ResultsTree, shards: Sequence[ShardKey]
) -> Iterator[tuple[dict, dict, Trimesh]]:
    """The same scenes' person and object as the table has them, and the object's mesh in its own
    frame, metres."""
    from chorus.synthetic.world.objects import build

    for shard in shards:
        rows = read_table(tree.table("synthetic_truth", shard), "synthetic_truth").rows
        for row in rows.values():
            if row["status"] != DONE or row["fault"]:
                continue
            thing = row["objects"][0]
            yield row["persons"][0], thing, build(thing["kind"], **json.loads(thing["parameters"]))

"""`chorus filter`: a verdict with a reason for every sample, under all fifteen rules (SPEC 5)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from chorus.engine.command_result import Progress, Report, run_table_stage
from chorus.engine.loop import Outcome, Sample, Stage
from chorus.filtering.rules import DEFAULT_RULE
from chorus.filtering.verdicts import RETAINED, FilterSettings, judge
from chorus.records.tables import DONE, read_table
from chorus.settings import RunOptions
from chorus.vocabulary import strip_demo


@dataclass(frozen=True)
class Options(RunOptions):
    """Judge every sample under all filter rules; `aggregate` picks the rules it uses."""

    thresholds: FilterSettings = field(default_factory=FilterSettings)


class FilterWorker:
    """Judges samples."""

    def __init__(self, settings: FilterSettings):
        self._settings = settings

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Judge one batch."""
        return [self._judge(sample) for sample in samples]

    def _judge(self, sample: Sample) -> Outcome:
        detections = sample.inputs["segmentations"]["detections"]
        persons = sample.inputs["human_kps"]["persons"]
        verdict = judge(
            [d["label"] for d in detections],
            np.array([d["box"] for d in detections], np.float32).reshape(-1, 4),
            np.array([p["keypoints"] for p in persons], np.float32).reshape(-1, 17, 3),
            strip_demo(sample.key.category),
            self._settings,
        )
        return Outcome(
            {
                "verdicts": list(verdict.reasons),
                "person": verdict.person,
                "objects": list(verdict.objects),
            }
        )


def retained(row: dict, rules: Sequence[int]) -> bool:
    """Whether a row of the `filtered` table is retained by any of the numbered rules."""
    return row["status"] == DONE and any(row["verdicts"][n - 1] == RETAINED for n in rules)


def run(options: Options, progress: Progress = None) -> Report:
    """Judge what is missing; the summary counts what the default rule retains."""
    tree = options.tree
    shards = tree.shards(
        "segmentations", options.models.model_key, options.categories, options.prompts
    )
    stage = Stage(
        name="filter",
        output="filtered",
        inputs=("segmentations", "human_kps"),
        settings=asdict(options.thresholds),
        make_worker=functools.partial(FilterWorker, options.thresholds),
        processes=False,
    )
    report = run_table_stage(stage, options, shards, progress)
    paths = [path for shard in shards if (path := tree.table("filtered", shard)).is_file()]
    kept = total = 0
    for path in paths:
        rows = read_table(path, "filtered", columns=("verdicts",)).rows.values()
        kept += sum(retained(row, [DEFAULT_RULE]) for row in rows)
        total += len(rows)
    report.line += f"; rule {DEFAULT_RULE} retains {kept} of {total}"
    return report

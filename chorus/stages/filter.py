"""`chorus filter`: a verdict with a reason for every sample, under all rules (method.md 5)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from chorus.engine.command_result import CommandResult
from chorus.engine.loop import Outcome, Sample, Stage
from chorus.engine.progress import Progress
from chorus.engine.table_stage import run_table_stage
from chorus.filtering.rules import DEFAULT_RULE
from chorus.filtering.verdicts import FilterSettings, judge
from chorus.pipeline import step
from chorus.records.rows import boxes_of, keypoints_of, retained
from chorus.records.tables import DONE, read_table
from chorus.settings import SampleOptions, TableOptions
from chorus.vocabulary import strip_demo


@dataclass(frozen=True)
class Options(TableOptions, SampleOptions):
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
        verdict = judge(
            [detection["label"] for detection in detections],
            boxes_of(detections),
            keypoints_of(sample.inputs["human_kps"]["persons"]),
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


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Judge what is missing; the summary counts what the default rule retains."""
    tree = options.tree
    shards = tree.shards(
        "segmentations", options.models.model_key, options.categories, options.prompts
    )
    stage = Stage(
        step("filter"),
        settings=asdict(options.thresholds),
        make_worker=functools.partial(FilterWorker, options.thresholds),
        columns={
            "segmentations": ("detections.label", "detections.box"),
            "human_kps": ("persons.keypoints",),
        },
        processes=False,
    )
    result = run_table_stage(stage, options, shards, progress)
    kept = total = 0
    seen: dict[str, list[bool]] = {}
    for shard in shards:
        path = tree.table("filtered", shard)
        if not path.is_file():
            continue
        rows = read_table(path, "filtered", columns=("verdicts", "objects")).rows.values()
        kept += sum(retained(row, [DEFAULT_RULE]) for row in rows)
        total += len(rows)
        judged = [row for row in rows if row["status"] == DONE]
        seen.setdefault(shard.category, []).extend(bool(row["objects"]) for row in judged)
    result.line += f"; rule {DEFAULT_RULE} retains {kept} of {total}"
    result.problems += [
        f"{category}: none of {len(objects)} images has an object, only persons were looked for or "
        "found; import masks of the objects (docs/bring-your-own.md), or take a segmenter that "
        "knows them"
        for category, objects in seen.items()
        if objects and not any(objects)
    ]
    return result

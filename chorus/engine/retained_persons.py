"""What the steps share that work on the persons of retained samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chorus.engine.shard_work import Outcome, Sample
from chorus.records.rows import ANY_RULE, keypoints_of_body, retained


def why_not_retained(sample: Sample) -> str:
    """The verdict on a sample that no rule retains, empty if any does."""
    row = sample.inputs["filtered"]
    return "" if retained(row, ANY_RULE) else row["verdicts"][ANY_RULE[-1] - 1]


def outcomes(
    samples: Sequence[Sample],
    reasons: Sequence[str],
    work: Callable[[list[Sample]], Sequence[Outcome]],
) -> list[Outcome]:
    """What becomes of a batch: samples with a reason are skipped for it; the others, if there are
    any, are worked on together."""
    chosen = [sample for sample, reason in zip(samples, reasons, strict=True) if not reason]
    found = iter(work(chosen) if chosen else ())
    return [Outcome(skipped=reason) if reason else next(found) for reason in reasons]


def detected_person(sample: Sample) -> Mapping[str, Any] | None:
    """The row of the keypoints of a retained sample's body; None if there is none."""
    return keypoints_of_body(sample.inputs["humans"], sample.inputs["human_kps"])


def why_not_seen(sample: Sample) -> str:
    """Why a sample has no keypoints to be compared with its body, empty if it has."""
    reason = why_not_retained(sample)
    if not reason and detected_person(sample) is None:
        return "no keypoints of this person"
    return reason

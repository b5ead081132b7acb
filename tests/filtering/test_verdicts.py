"""Verdicts: the order of the checks, thresholds, and the published filter's own answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.filtering import verdicts
from chorus.filtering.rules import RULES
from chorus.filtering.verdicts import FilterSettings, judge

PERSON_BOX = (100, 100, 300, 400)
NEAR, FAR = (150, 150, 250, 250), (0, 0, 50, 50)


def keypoints(confidence: float = 0.9, persons: int = 1) -> np.ndarray:
    return np.full((persons, 17, 3), confidence, np.float32)


def verdict(*detections, confidence=0.9, category="surfboard", **settings):
    labels = [label for label, _ in detections]
    boxes = np.array([box for _, box in detections], np.float32)
    people = keypoints(confidence, labels.count("person"))
    return judge(labels, boxes, people, category, FilterSettings(**settings))


@pytest.mark.parametrize(
    ("detections", "reason"),
    [
        ([], verdicts.NO_HUMAN),
        ([("surfboard", NEAR)], verdicts.NO_HUMAN),
        ([("person", PERSON_BOX)] * 2, verdicts.MORE_HUMANS),
        ([("person", PERSON_BOX), ("kite", NEAR)], verdicts.NO_OBJECT),
        ([("person", PERSON_BOX), *[("surfboard", NEAR)] * 2], verdicts.MORE_OBJECTS),
        ([("person", PERSON_BOX), ("surfboard", FAR)], verdicts.OBJECT_ELSEWHERE),
        ([("surfboard", NEAR), ("kite", NEAR), ("person", PERSON_BOX)], verdicts.RETAINED),
    ],
)
def test_first_failed_check_is_the_reason(detections, reason):
    found = verdict(*detections)
    assert found.reasons[2] == reason
    assert len(found.reasons) == len(RULES)
    assert set(found.reasons) <= set(verdicts.REASONS)


def test_indices_of_person_and_objects():
    found = verdict(("surfboard", NEAR), ("kite", NEAR), ("person", PERSON_BOX))
    assert (found.person, found.objects) == (2, (0,))
    found = verdict(("person", PERSON_BOX), ("surfboard", FAR), *[("person", PERSON_BOX)])
    assert (found.person, found.objects) == (-1, (1,))


def test_overlap_is_of_the_object_box_and_must_exceed():
    # The box of 100 x 100 px reaches 10 px into the person's: exactly a tenth.
    touching = [("person", PERSON_BOX), ("surfboard", (10, 100, 110, 200))]
    assert verdict(*touching).reasons[14] == verdicts.OBJECT_ELSEWHERE
    assert verdict(*touching, overlap=0.0999).reasons[14] == verdicts.RETAINED


def test_confidence_must_exceed_and_nan_is_not_seen():
    pair = [("person", PERSON_BOX), ("surfboard", NEAR)]
    for confidence in (0.7, np.nan, -np.inf):
        found = verdict(*pair, confidence=confidence)
        assert found.reasons[2] == verdicts.KEYPOINT_RULE
        assert found.reasons[14] == verdicts.RETAINED
    assert verdict(*pair, confidence=0.71).reasons[2] == verdicts.RETAINED


def test_nan_box_is_not_near():
    found = verdict(("person", PERSON_BOX), ("surfboard", (np.nan,) * 4))
    assert set(found.reasons) == {verdicts.OBJECT_ELSEWHERE}


def test_mismatched_inputs_are_refused():
    with pytest.raises(BadInput, match="keypoint stage"):
        judge(["person"], np.array([PERSON_BOX]), keypoints(persons=2), "surfboard")
    with pytest.raises(BadInput, match="box per label"):
        judge(["person", "surfboard"], np.array([PERSON_BOX]), keypoints(), "surfboard")
    with pytest.raises(BadInput, match="confidence"):
        FilterSettings(confidence=7)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=17, max_size=17), st.floats(0, 0.5))
def test_rule_fifteen_retains_what_any_rule_retains(confidences, threshold):
    people = keypoints()
    people[0, :, 2] = confidences
    boxes = np.array([PERSON_BOX, NEAR])
    found = judge(
        ["person", "surfboard"], boxes, people, "surfboard", FilterSettings(confidence=threshold)
    )
    assert found.reasons[14] == verdicts.RETAINED


GOLDEN_REASONS = {
    "NO HUMAN": verdicts.NO_HUMAN,
    "MORE THAN 2 HUMAN": verdicts.MORE_HUMANS,
    "NO TARGET OBJECT": verdicts.NO_OBJECT,
    "MORE THAN 2 TARGET OBJECTS": verdicts.MORE_OBJECTS,
    "MORE THAN 2 VALID BBOX PER PERSON": verdicts.OBJECT_ELSEWHERE,
    "FILTERED VIA COCO KEYPOINTS": verdicts.KEYPOINT_RULE,
    "RETAINED": verdicts.RETAINED,
}


def test_agrees_with_the_published_filter(golden):
    data = golden("filter")
    for case, persons in enumerate(data["num_humans"]):
        objects = np.flatnonzero(data["object_class"][case] >= 0)
        labels = ["person"] * persons + [str(data["object_class"][case, i]) for i in objects]
        boxes = [data["human_boxes_xyxy"][case, :persons], data["object_boxes_xyxy"][case, objects]]
        found = judge(
            labels,
            np.concatenate(boxes),
            data["keypoints"][case, :persons],
            str(data["target_class"]),
        )
        expected = [GOLDEN_REASONS[text] for text in data["reasons"][:, case]]
        assert [found.reasons[n - 1] for n in data["filter_nums"]] == expected, case

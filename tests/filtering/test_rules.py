"""Keypoint rules: notation, the fifteen rules against hand cases, combinations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.filtering.rules import (
    KEYPOINTS,
    RULES,
    parse_combination,
    parse_rule,
    satisfied,
)


def seen(*names: str) -> np.ndarray:
    return np.array([name in names for name in KEYPOINTS])


def numbers(*names: str) -> set[int]:
    """Rules that keep a person of whom exactly these keypoints are seen."""
    return {rule.number for rule, ok in zip(RULES, satisfied(seen(*names)), strict=True) if ok}


FACE = KEYPOINTS[:5]


def test_the_rules_are_one_to_fifteen():
    assert [rule.number for rule in RULES] == list(range(1, 16))


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        ((), {15}),
        (("left_shoulder", "right_hip"), {3, 15}),
        (("left_shoulder", "right_shoulder"), {15}),
        (("left_shoulder", "right_hip", "right_elbow"), {3, 4, 15}),
        (("left_shoulder", "right_hip", "left_ankle"), {3, 5, 15}),
        (("left_shoulder", "left_hip", "left_knee", "right_ankle"), {3, 5, 11, 15}),
        (FACE, {1, 2, 12, 13, 15}),
        ((*FACE, "left_wrist"), {1, 12, 15}),
        ((*FACE, "left_shoulder"), {1, 2, 12, 13, 14, 15}),
        ((*FACE, "left_hip"), {15}),
        (("left_eye", "nose"), {12, 13, 15}),
        (("left_wrist",), {6, 7, 8, 9, 15}),
        (("right_wrist",), {6, 7, 8, 10, 15}),
        (("left_wrist", "right_wrist"), {6, 7, 8, 15}),
        (("left_wrist", "left_elbow"), {6, 7, 9, 15}),
        (("left_wrist", "right_elbow"), {6, 7, 15}),
        (("left_wrist", "left_shoulder"), {6, 15}),
        (("left_wrist", "nose"), {15}),
        (KEYPOINTS, {3, 4, 5, 11, 14, 15}),
    ],
)
def test_hand_cases(names, kept):
    assert numbers(*names) == kept


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=17, max_size=17))
def test_all_rules_at_once_agree_with_reading_each_aloud(flags):
    names = {name for name, flag in zip(KEYPOINTS, flags, strict=True) if flag}
    plain = [
        all(group & names for group in rule.must) and not any(g <= names for g in rule.must_not)
        for rule in RULES
    ]
    assert satisfied(np.array(flags)).tolist() == plain


def test_any_leading_dimensions():
    flags = np.random.default_rng(0).random((3, 4, 17)) > 0.5
    assert satisfied(flags).shape == (3, 4, 15)
    assert (satisfied(flags)[1, 2] == satisfied(flags[1, 2])).all()
    assert satisfied(np.zeros((0, 17), bool)).shape == (0, 15)


def test_a_must_not_group_needs_all_its_members():
    rule = parse_rule(99, "", "nose, left_eye / left_ear | left_hip, right_hip")
    assert rule.must == (frozenset({"nose", "left_eye"}), frozenset({"left_ear"}))
    assert rule.must_not == (frozenset({"left_hip", "right_hip"}),)


@pytest.mark.parametrize("text", ["nose", "nose | left_eye | left_ear", "nose, | ", "nose // | "])
def test_malformed_rules(text):
    with pytest.raises(BadInput, match="rule 7"):
        parse_rule(7, "", text)


def test_unknown_keypoint_suggests_the_near_one():
    with pytest.raises(BadInput, match="left_elbow"):
        parse_rule(7, "", "left_elbw |")


def test_combinations():
    assert parse_combination("3") == (3,)
    assert parse_combination(" 8, 7,8") == (7, 8)
    for text in ("", "0", "16", "7,", "7;8", "three", "³"):
        with pytest.raises(BadInput, match="filter rule"):
            parse_combination(text)

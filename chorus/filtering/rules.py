"""The fifteen numbered keypoint rules as data, and the reader of their notation (method.md 5).

A rule is written `must-groups | must-not-groups`; groups are separated by `/`, members by `,`. A
must-group holds if any member is seen; a must-not-group is violated if all its members are seen.
A sample satisfies a rule if every must-group holds and no must-not-group is violated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from chorus.errors import BadInput, unknown_name

KEYPOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""The 17 COCO keypoints in the order of every keypoint array, (..., 17)."""

Group = frozenset[str]


@dataclass(frozen=True)
class Rule:
    """One keypoint rule: its number, what it keeps in words, and its two lists of groups."""

    number: int
    about: str
    must: tuple[Group, ...]
    must_not: tuple[Group, ...]


def parse_rule(number: int, about: str, text: str) -> Rule:
    """Rule from its notation, for example "left_hip,right_hip / nose | left_knee / right_knee".

    BadInput for anything but exactly one `|`, for an empty group, and for an unknown keypoint.
    """
    sides = text.split("|")
    if len(sides) != 2:
        raise BadInput(
            f"keypoint rule {number} must read 'must-groups | must-not-groups' with one '|', "
            f"found {len(sides) - 1} in {text!r}."
        )
    must, must_not = (_parse_groups(side, number) for side in sides)
    return Rule(number, about, must, must_not)


def _parse_groups(side: str, number: int) -> tuple[Group, ...]:
    """The groups on one side of a rule; none if the side is blank."""
    if not side.strip():
        return ()
    groups = tuple(
        frozenset(member.strip() for member in group.split(",")) for group in side.split("/")
    )
    for name in (name for group in groups for name in sorted(group)):
        if not name:
            raise BadInput(
                f"keypoint rule {number} must name a keypoint between separators, found none in "
                f"{side.strip()!r}; remove the superfluous ',' or '/'."
            )
        if name not in KEYPOINTS:
            raise unknown_name(f"keypoint in rule {number}", name, KEYPOINTS)
    return groups


def _rules() -> tuple[Rule, ...]:
    """The table of method.md 5, with its abbreviations spelled out once."""
    torso = "left_shoulder,right_shoulder / left_hip,right_hip"
    face = "nose / left_eye / right_eye / left_ear / right_ear"
    side_face = "left_eye,right_eye / left_ear,right_ear,nose"
    legs = "left_knee / right_knee / left_ankle / right_ankle / left_hip / right_hip"
    arms = "left_wrist / right_wrist / left_elbow / right_elbow"
    shoulders = "left_shoulder / right_shoulder"
    body = f"{legs} / {face}"
    wrists = "left_wrist,right_wrist"
    table = [
        (1, "face, hand allowed", f"{face} | {legs}"),
        (2, "face, strict", f"{face} | {legs} / {arms}"),
        (3, "one shoulder and one hip (the default)", f"{torso} |"),
        (4, "as 3 and one elbow", f"{torso} / left_elbow,right_elbow |"),
        (5, "as 3 and a knee or ankle", f"{torso} / left_knee,right_knee,left_ankle,right_ankle |"),
        (6, "hands", f"{wrists} | {body}"),
        (7, "hands, no shoulders", f"{wrists} | {body} / {shoulders}"),
        (
            8,
            "hands, strict",
            f"{wrists} | {body} / {shoulders} / left_elbow / right_elbow",
        ),
        (9, "left hand only", f"left_wrist | {body} / {shoulders} / right_wrist / right_elbow"),
        (10, "right hand only", f"right_wrist | {body} / {shoulders} / left_wrist / left_elbow"),
        (
            11,
            "as 3, one knee and one ankle",
            f"{torso} / left_knee,right_knee / left_ankle,right_ankle |",
        ),
        (12, "face, also from the side, hand allowed", f"{side_face} | {legs}"),
        (13, "face, also from the side, strict", f"{side_face} | {legs} / {arms}"),
        (
            14,
            "face and one shoulder",
            "nose / left_eye,right_eye / left_ear,right_ear / left_shoulder,right_shoulder |",
        ),
        (15, "no keypoint rule", "|"),
    ]
    return tuple(parse_rule(*row) for row in table)


RULES: tuple[Rule, ...] = _rules()
"""Rules 1 to 15, in order."""

DEFAULT_RULE = 3
NO_KEYPOINT_RULE = 15


def parse_combination(text: str) -> tuple[int, ...]:
    """Rule numbers of a combination such as "7,8", ascending, each once.

    A combination keeps the union of what its rules keep, so neither order nor repetition matter.
    """
    known = {str(rule.number): rule.number for rule in RULES}
    names = [name.strip() for name in str(text).split(",")]
    for name in names:
        if name not in known:
            raise unknown_name("filter rule", name, known)
    return tuple(sorted({known[name] for name in names}))


def _members(side: str) -> tuple[Bool[np.ndarray, "G 17"], np.ndarray]:
    """All rules' groups of one side as rows of keypoint membership, and each row's rule index."""
    rows, owners = [], []
    for index, rule in enumerate(RULES):
        for group in getattr(rule, side):
            rows.append([name in group for name in KEYPOINTS])
            owners.append(index)
    return np.array(rows, bool), np.array(owners)


_MUST, _MUST_RULE = _members("must")
_MUST_NOT, _MUST_NOT_RULE = _members("must_not")


def satisfied(seen: Bool[np.ndarray, "*batch 17"]) -> Bool[np.ndarray, "*batch 15"]:
    """Which of RULES (..., 15) hold when the keypoints (..., 17) marked True are seen."""
    seen = np.asarray(seen, bool)[..., None, :]
    unmet = ~(seen & _MUST).any(axis=-1)
    violated = (seen | ~_MUST_NOT).all(axis=-1)
    broken = np.zeros((len(RULES), *seen.shape[:-2]), bool)
    np.logical_or.at(broken, _MUST_RULE, np.moveaxis(unmet, -1, 0))
    np.logical_or.at(broken, _MUST_NOT_RULE, np.moveaxis(violated, -1, 0))
    return ~np.moveaxis(broken, 0, -1)

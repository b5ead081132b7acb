"""Names of sets of body segments in words people use: "leftHand", "legs", "torsoArms"."""

from __future__ import annotations

from collections.abc import Sequence

from chorus.body.skeleton import SEGMENT_NAMES
from chorus.errors import unknown_name

_MIDDLE = {
    "head": {"head": ("head",), "neck": ("neck",)},
    "torso": {
        "chest": ("spine2", "leftShoulder", "rightShoulder"),
        "belly": ("spine", "spine1"),
        "hips": ("hips",),
    },
}
"""Words for regions of the middle, and within each for a part of it, with the part's segments."""
_LIMBS = {
    "arm": {
        "upperArm": ("Arm",),
        "forearm": ("ForeArm",),
        "hand": ("Hand", "HandIndex1"),
    },
    "leg": {"thigh": ("UpLeg",), "shin": ("Leg",), "foot": ("Foot", "ToeBase")},
}
"""The same for limbs; the segments of each side begin with "left" or "right"."""
_PLURALS = {"foot": "feet"}


def part_names(sets: Sequence[Sequence[str]]) -> list[str]:
    """A name for each set of segments: letters and digits, unique however letters' case is read.

    A set within one word's segments takes that word ("rightForearm"), otherwise the larger word
    that holds them ("rightArm"); both sides together are a plural; head, torso and arms become
    "upperBody", with legs "wholeBody". The second and later sets of one name get its number
    ("torso2"). BadInput for an unknown segment; the sets must not be empty.
    """
    names: list[str] = []
    for segments in sets:
        name, number = _name(segments), 1
        unique = name
        while unique in names:
            number += 1
            unique = f"{name}{number}"
        names.append(unique)
    return names


def _name(segments: Sequence[str]) -> str:
    for segment in segments:
        if segment not in SEGMENT_NAMES:
            raise unknown_name("body segment", segment, SEGMENT_NAMES)
    chosen = set(segments)
    middle = [_word(chosen, region, words) for region, words in _MIDDLE.items()]
    limbs = [_pair(chosen, limb, words) for limb, words in _LIMBS.items()]
    head, torso, arms, legs = *middle, *limbs
    words = [head, torso, arms, legs]
    if head and torso and arms == "arms":
        words = ["wholeBody"] if legs == "legs" else ["upperBody", legs]
    first, *rest = (word for word in words if word)
    return first + "".join(word[0].upper() + word[1:] for word in rest)


def _pair(chosen: set[str], limb: str, words: dict[str, tuple[str, ...]]) -> str:
    """The word for what is chosen of the limbs of both sides, "" for nothing."""
    left, right = (
        _word(
            chosen, limb, {word: tuple(side + end for end in ends) for word, ends in words.items()}
        )
        for side in ("left", "right")
    )
    if left and right:
        word = left if left == right else limb
        return _PLURALS.get(word, f"{word}s")
    if not left and not right:
        return ""
    side, word = ("left", left) if left else ("right", right)
    return side + word[0].upper() + word[1:]


def _word(chosen: set[str], region: str, words: dict[str, tuple[str, ...]]) -> str:
    """The word for what is chosen of a region: a part's, or the region's for several parts."""
    met = [word for word, segments in words.items() if chosen & set(segments)]
    return (met[0] if len(met) == 1 else region) if met else ""

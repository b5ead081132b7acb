"""Names of sets of body segments in words people use: "wholeLeftHand", "legs", "torsoArms"."""

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

    A set of one segment has the segment's name ("leftToeBase"), and no other set has the name of
    any segment. Several segments take the word that holds them ("chest", "torso"), or "whole" with
    the word where a segment is called so ("wholeHead", "wholeLeftHand", "wholeRightArm"); of a part
    of one limb, its words ("rightForearmHand"). Both sides together are a plural; head, torso and
    arms become "upperBody", with legs "wholeBody". The second and later sets of one name get its
    number ("torso2"). BadInput for an unknown segment; the sets must not be empty.
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
    return first + "".join(map(_capitalised, rest))


def _pair(chosen: set[str], limb: str, words: dict[str, tuple[str, ...]]) -> str:
    """The word for what is chosen of the limbs of both sides, "" for nothing."""
    sides = {
        side: {word: tuple(side + end for end in ends) for word, ends in words.items()}
        for side in ("left", "right")
    }
    left, right = (_met(chosen, own) for own in sides.values())
    if left and right:
        word = left[0] if left == right and len(left) == 1 else limb
        return _PLURALS.get(word, f"{word}s")
    side, met = ("left", left) if left else ("right", right)
    alone = _only(chosen, sides[side])
    if alone or not met:
        return alone
    if 1 < len(met) < len(words):
        return side + "".join(map(_capitalised, met))
    return f"whole{_capitalised(side)}{_capitalised(met[0] if len(met) == 1 else limb)}"


def _word(chosen: set[str], region: str, words: dict[str, tuple[str, ...]]) -> str:
    """The word for what is chosen of a region of the middle: a segment's, a part's, or the region's
    for several parts; "" for nothing."""
    met = _met(chosen, words)
    alone = _only(chosen, words)
    if alone or not met:
        return alone
    word = met[0] if len(met) == 1 else region
    return f"whole{_capitalised(word)}" if word in SEGMENT_NAMES else word


def _met(chosen: set[str], words: dict[str, tuple[str, ...]]) -> list[str]:
    """The words that have any of the chosen segments."""
    return [word for word, segments in words.items() if chosen & set(segments)]


def _only(chosen: set[str], words: dict[str, tuple[str, ...]]) -> str:
    """The only chosen segment of some words' segments, "" for none or several."""
    mine = [segment for segments in words.values() for segment in segments if segment in chosen]
    return mine[0] if len(mine) == 1 else ""


def _capitalised(word: str) -> str:
    return word[0].upper() + word[1:]

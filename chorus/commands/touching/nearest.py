"""Which of some texts a sentence is nearest to, by its letters alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches

from chorus.errors import BadInput
from chorus.records.aggregations import WHOLE
from chorus.viewing.displayed import WHOLE_BODY
from chorus.vocabulary import strip_demo

# fmt: off
_STOP_WORDS = frozenset({
    "a", "an", "the", "this", "that", "these", "those", "some", "any", "each", "every",
    "his", "her", "their", "its", "my", "your", "our",
    "he", "she", "it", "they", "him", "them", "i", "you", "we", "somebody", "someone",
    "on", "in", "of", "with", "to", "at", "under", "by", "for", "from", "into", "onto", "over",
    "and", "or", "but", "as", "while", "when", "who", "which", "where", "there",
    "is", "are", "was", "were", "be", "been", "being", "am",
    "has", "have", "had", "having", "does", "do", "did", "doing", "can",
})
# fmt: on
_SAME_WORD = 0.85
"""Words that alike are one word and a slip of the pen."""
_ENDINGS = {"ies": "y", "ied": "y", "ing": "", "es": "", "ed": "", "s": ""}


def named_objects(sentence: str, categories: Iterable[str]) -> set[str]:
    """The categories whose last word ("ball" of sports ball) a sentence has, or nearly.

    BadInput, with near categories, if it names none: a prompt may be like it in all but the object.
    """
    said, known = stems(sentence), sorted(categories)
    found = {
        category
        for category in known
        if get_close_matches(stems(strip_demo(category))[-1], said, n=1, cutoff=_SAME_WORD)
    }
    if not found:
        near = [c for c in known if get_close_matches(stems(strip_demo(c))[-1], said, cutoff=0.6)]
        raise BadInput(
            f"{sentence!r} names no object with a distribution here"
            + (f"; did you mean {' or '.join(map(repr, near))}? " if near else ". ")
            + f"There are distributions of {', '.join(known)}."
        )
    return found


def ranked(sentence: str, texts: Mapping[str, str]) -> list[tuple[str, float]]:
    """Names and likenesses from 0 to 1 of the named texts, the likest first; equal ones by name.

    Likeness is the mean of two: of words (Dice's coefficient of the two sets of stems, without
    the words of grammar) and of letters (the share that `difflib` matches, in order).
    """
    scores = {name: likeness(sentence, text) for name, text in texts.items()}
    return sorted(scores.items(), key=lambda each: (-each[1], each[0]))


def likeness(one: str, other: str) -> float:
    """From 0 to 1: 1 for the same words in the same order, whatever their endings and case."""
    first, second = stems(one), stems(other)
    if not first or not second:
        return 0.0
    words = 2 * len({*first} & {*second}) / (len({*first}) + len({*second}))
    letters = SequenceMatcher(None, " ".join(first), " ".join(second), autojunk=False).ratio()
    return (words + letters) / 2


def stems(text: str) -> list[str]:
    """The words of a text without their endings, in order; words of grammar are left out."""
    words = re.findall(r"\w+", text.lower())
    return [_stem(word) for word in words if word not in _STOP_WORDS]


def _stem(word: str) -> str:
    for ending, instead in _ENDINGS.items():
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending) + instead
            break
    return word.removesuffix("e")


def nearest_cluster(sentence: str, parts: Sequence[str]) -> str:
    """The cluster whose body part a sentence names, `rightArm` for "with the right arm"; the one
    of all samples if it names none. Of several the longest name is meant."""
    said = f" {' '.join(stems(sentence))} "
    named = [part for part in parts if part not in WHOLE_BODY and f" {_spoken(part)} " in said]
    return max(named, key=len, default=WHOLE)


def _spoken(part: str) -> str:
    return " ".join(stems(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", part)))

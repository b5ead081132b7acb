"""English nouns as sentences need them: articles, singular and plural, who a sentence is about."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml

_DATA = Path(__file__).parent / "data" / "nouns.yaml"

# Vowel letters with a consonant's sound ("a uniform", "a European", "a one-piece") and, after it,
# the reverse.
_LIKE_CONSONANT = re.compile(r"uni(?!n|m)|u[kst][aeiou]|ubi|ura|eu|ew|once\b|one\b", re.IGNORECASE)
_SILENT_H = re.compile(r"hour|honest|honou?r|heir", re.IGNORECASE)
_SAID_WITH_VOWEL = set("AEFHILMNORSX")  # letters whose names begin with a vowel: "an SUV"


@cache
def _words() -> MappingProxyType[str, object]:
    data = yaml.safe_load(_DATA.read_text(encoding="utf-8"))
    return MappingProxyType(
        {
            **{name: frozenset(data[name]) for name in ("plural_only", "uncountable")},
            "singular_in_s": frozenset(data["singular_in_s"]),
            "plurals": dict(data["irregular"]),
            "singulars": {plural: singular for singular, plural in data["irregular"].items()},
        }
    )


def with_article(noun: str) -> str:
    """A noun as one thing of it is named: "a chair", "an umbrella", "skis", "broccoli"."""
    head = _heads(noun)[0].lower()
    words = _words()
    if head in words["uncountable"] or _is_plural(head):
        return noun
    return f"{'an' if _begins_with_vowel_sound(noun) else 'a'} {noun}"


def _begins_with_vowel_sound(text: str) -> bool:
    first = re.split(r"[\s-]", text, maxsplit=1)[0]
    if len(first) == 1 or (first.isupper() and first.isalpha() and len(first) <= 3):
        return first[0].upper() in _SAID_WITH_VOWEL
    if _LIKE_CONSONANT.match(text):
        return False
    return text[0].lower() in "aeiou" or bool(_SILENT_H.match(text))


def _is_plural(word: str) -> bool:
    words = _words()
    if word in words["plural_only"] or (
        word in words["singulars"] and word not in words["plurals"]
    ):
        return True
    singular = word in words["singular_in_s"] or word.endswith(("ss", "us", "is"))
    return len(word) > 3 and word.endswith("s") and not singular


def _heads(noun: str) -> list[str]:
    """The words that carry the meaning: the last, and around an "of" the last of either side."""
    sides = re.split(r"\s+of\s+", noun.strip())
    return [side.split()[-1] for side in sides if side.split()]


def mentions(sentence: str, noun: str) -> bool:
    """Whether a sentence speaks of the noun or of its head, singular or plural, in any case.

    "A person rides two surfboards" mentions `surfboard`, "A boy drops a phone" `cell phone`, "A boy
    drops a cellphone" too; "A girl plays tennis" does not mention `tennis racket`.
    """
    return place_of(sentence, noun) is not None


def place_of(sentence: str, noun: str) -> int | None:
    """Where a sentence's last mention of a noun (`mentions`) begins; None without one."""
    names = [form for head in _heads(noun) for form in forms(head)]
    names.append("".join(noun.split()))
    either = "|".join(re.escape(name) for name in (noun, *names))
    found = list(re.finditer(rf"(?<!\w)(?:{either})(?!\w)", sentence, re.IGNORECASE))
    return found[-1].start() if found else None


def has_plural_form(word: str) -> bool:
    """Whether a word looks like a plural: "surfers", "women"."""
    return word in _words()["singulars"] or _is_plural(word)


def forms(word: str) -> set[str]:
    """A word with its plurals and singulars, lower case; some do not exist, none is another word's.

    `box` gives box and boxes, `skis` skis and ski, `mouse` mouse and mice.
    """
    word = word.lower()
    words = _words()
    spellings = {word, words["plurals"].get(word, word), words["singulars"].get(word, word)}
    if _is_plural(word):
        if word.endswith("ies") and len(word) > 4:
            spellings.add(f"{word[:-3]}y")
        elif word.endswith(("ches", "shes", "sses", "xes", "zes", "oes")):
            spellings.add(word[:-2])
        elif word.endswith("s"):
            spellings.add(word[:-1])
    elif re.search(r"[^aeiou]y$", word):
        spellings.add(f"{word[:-1]}ies")
    elif word.endswith(("s", "x", "z", "ch", "sh")):
        spellings.add(f"{word}es")
    else:
        spellings |= {f"{word}s", f"{word}es"} if word.endswith("o") else {f"{word}s"}
    return spellings

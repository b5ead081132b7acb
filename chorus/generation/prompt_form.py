"""Whether a sentence is a prompt of the form asked for: subject, verb, the category's noun.

See method.md 1. Thoughts, introductions, refusals and remarks of a language model may stand among
its sentences; a sentence counts only if it looks like a prompt.
"""

from __future__ import annotations

import re

from chorus.errors import BadInput
from chorus.generation.nouns import has_plural_form, mentions, place_of
from chorus.generation.prompts import clean_prompt

SHORTEST = 3  # words of a sentence: subject, verb, object
LONGEST = 12

_PRONOUNS = frozenset(
    {"i", "you", "he", "she", "it", "we", "they", "me", "him", "her", "us", "them", "this", "that"}
    | {"these", "those", "who", "mine", "yours", "hers", "ours", "theirs"}
    | {f"{which}{who}" for which in ("some", "any", "every", "no") for who in ("one", "body")}
)
# How lines begin in which a model talks about its answer.
_TALK = frozenset(
    {"sure", "certainly", "absolutely", "okay", "ok", "yes", "no", "great", "thanks", "sorry"}
    | {"here", "below", "note", "please", "let", "hope", "feel", "unfortunately", "as"}
)
# Words of which no physical interaction is told, and all talk about prompts is.
_ABOUT_PROMPTS = re.compile(
    r"\b(?:prompts?|sentences?|subject|object|verbs?|category|words?|pronouns?|request|sense"
    r"|examples?|ideas?|answers?|the user|maybe|perhaps|hmm+|should|must|would|could|might"
    r"|because|since|however|therefore|so that)\b",
    re.IGNORECASE,
)
REFUSAL = re.compile(
    r"\b(?:(?:i[’']?m|i am|we[’']?re|we are)\s+(?:\w+\s+)?(?:sorry|unable|not able)"
    r"|i\s+(?:can(?:no|[’'])?t|cannot|can not|won[’']?t|will not|apologi[sz]e)"
    r"|sorry,|as an? (?:ai|language model)|against (?:my|our) (?:guidelines|policy|policies))",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"[\"“”„«»`\[\]{}<>|=\\*_~^]")
_ONE = frozenset({"a", "an", "one", "each", "every", "another"})
_DETERMINERS = _ONE | frozenset(
    {"the", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "several"}
    | {"some", "many", "few", "both", "all"}
)
# Persons that need no determiner.
_PERSONS = frozenset(
    {"person", "man", "woman", "boy", "girl", "child", "kid", "people", "men", "women", "children"}
)
# They end as verbs of the third person do, and are none.
_NO_VERBS = frozenset({"as", "its", "his", "this", "always", "across", "towards", "besides"})


def fault(sentence: str, noun: str) -> str:
    """Why a sentence of a reply is no prompt for the noun; empty if it is one."""
    words = sentence.split()
    first = re.split(r"[’'\s,.!:]", sentence.lower(), maxsplit=1)[0]
    if REFUSAL.search(sentence):
        return "refusals"
    if first in _PRONOUNS:
        return "a pronoun as the subject"
    if first in _TALK or len(words) < SHORTEST or sentence.endswith(("?", ":")):
        return "not a sentence about an interaction"
    if not mentions(sentence, noun):
        return f"without the word {noun!r}"
    try:
        clean_prompt(sentence, noun)
    except BadInput:
        return "not a short line of plain text"
    if sentence.startswith("#"):
        return "begins with #"
    if len(words) > LONGEST:
        return f"longer than {LONGEST} words"
    if _MARKUP.search(sentence) or sentence.endswith((",", ";")):
        return "with marks that are not of a sentence"
    if _ABOUT_PROMPTS.search(_without(noun, sentence)) or not _has_the_form(sentence, noun):
        return "not subject, verb and object"
    return ""


def _without(noun: str, sentence: str) -> str:
    return re.sub(re.escape(noun), "", sentence, flags=re.IGNORECASE)


def _has_the_form(sentence: str, noun: str) -> bool:
    """Whether a subject and a verb stand before the noun, as far as their endings tell.

    The last mention counts: "A kite flyer holds a kite" is about a kite. After a single subject the
    verb ends in s, ing or ed; after any other it may be any word.
    """
    words = re.findall(r"[^\W_]+(?:[-’'][^\W_]+)*", sentence[: place_of(sentence, noun)].lower())
    while words and words[-1] in _DETERMINERS:
        words.pop()
    if not words:
        return False
    if words[0] in _DETERMINERS or words[0].isdigit():
        single = words[0] in _ONE
        rest = words[2:]
    elif words[0] in _PERSONS or has_plural_form(words[0]):
        single = False
        rest = words[1:]
    else:
        return False
    return (
        any(map(_may_be_verb, rest)) if single else any(word not in _DETERMINERS for word in rest)
    )


def _may_be_verb(word: str) -> bool:
    ends = word.endswith(("s", "ing", "ed")) and not word.endswith(("ss", "us"))
    return ends and word not in _NO_VERBS and "'" not in word and "’" not in word

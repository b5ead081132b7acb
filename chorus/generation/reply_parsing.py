"""The sentences in a language model's reply, whatever it wraps them in.

A reply is taken apart by its structure: what a reasoning model thinks is not part of the answer;
JSON is read wherever it stands; else every line is a sentence. What the sentences say is judged by
`prompt_form`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from chorus.generation.prompts import clean_reply

_NAMES = r"(?:think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad|monologue)"
# </think>, </seed:think>, [/THINK], ◁/think▷, <|END_THINKING|>, <|end_of_thought|>
_CLOSES = re.compile(
    rf"(?:<|\[|◁)\s*/\s*(?:\w+:)?{_NAMES}\s*(?:>|\]|▷)|<\|/?end_(?:of_)?{_NAMES}\|>", re.IGNORECASE
)
_OPENS = re.compile(
    rf"(?:<|\[|◁)\s*(?:\w+:)?{_NAMES}\s*(?:>|\]|▷)|<\|(?:start|begin)_(?:of_)?{_NAMES}\|>",
    re.IGNORECASE,
)
# Replies in channels: the answer is in the last one, `final`; the others are thoughts. Servers that
# drop the markers leave the bare words, some write the marks the other way round.
_FINAL = re.compile(
    r"<\|channel\|?>\s*final\b[^<]*(?:<\|message\|>)?|^analysis.*assistantfinal"
    r"|<\|?channel\|>(?!\s*(?:thought|analysis|commentary))",
    re.IGNORECASE | re.DOTALL,
)
_OTHER_CHANNEL = re.compile(r"<\|channel\|?>\s*(?:thoughts?|analysis|commentary)\b", re.IGNORECASE)
_MARKERS = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?[A-Za-z][^<>\n]{0,40}>")

_LISTS = ("prompts", "prompt", "sentences", "sentence")
_PARTS = ("subject", "verb", "object")
_SHORTEST = 3  # words
_MOST_BRACKETS = 2000  # at which JSON is looked for; no reply has so many
_LONGEST = 200_000  # characters of a reply that are read


def parse_reply(text: str, truncated: bool = False) -> list[str]:
    """The sentences of a reply in their order, cleaned but not judged.

    Of a reply that was cut off, the last line is left out, since its sentence may be; JSON that was
    cut off has none.
    """
    answer = _MARKERS.sub("\n", _without_thoughts(text[:_LONGEST])).strip()
    found = [s for s in _strings_of_json(answer) if len(s.split()) >= _SHORTEST]
    if not found:
        lines = answer.splitlines()
        found = [
            sentence
            for line in (lines[:-1] if truncated else lines)
            for sentence in _of_listing(line)
        ]
    return clean_reply("\n".join(" ".join(sentence.split()) for sentence in found))


def _without_thoughts(text: str) -> str:
    """What follows the last closing tag of thoughts, up to an opening one that is never closed; of
    channels the final one.

    The opening tag may be missing: templates write it into the request.
    """
    finals = list(_FINAL.finditer(text))
    if finals:
        text = text[finals[-1].end() :]
    elif channel := _OTHER_CHANNEL.search(text):
        text = text[: channel.start()]
    closed = list(_CLOSES.finditer(text))
    if closed:
        text = text[closed[-1].end() :]
    opened = _OPENS.search(text)
    return text[: opened.start()] if opened else text


def _strings_of_json(text: str) -> list[str]:
    """The strings in all JSON that stands in a text, sentences that are given in parts joined."""
    decoder, found = json.JSONDecoder(), []
    brackets = list(re.finditer(r"[\[{]", text))[:_MOST_BRACKETS]
    end = 0
    for at in (bracket.start() for bracket in brackets):
        if at < end:
            continue
        try:
            value, end = decoder.raw_decode(text, at)
            found += _strings(value)
        except (ValueError, RecursionError):
            continue
    return found


def _strings(value: object) -> Iterator[str]:
    """The strings of a JSON value, of an object those under the names that lists of prompts have if
    there are any."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        if all(isinstance(value.get(part), str) for part in _PARTS):
            yield " ".join(value[part] for part in _PARTS)
            return
        named = [value[name] for name in _LISTS if name in value]
        for item in named or value.values():
            yield from _strings(item)


_QUOTED = re.compile(r"\"([^\"]+)\"(?=\s*[,\]}]|\s*$)|(?<!\w)'([^\"]+?)'(?=\s*[,\]}]|\s*$)")


def _of_listing(line: str) -> list[str]:
    """The sentences of one line: of a piece of a list, such as damaged JSON or a list in another
    notation, what is quoted; else the line."""
    bare = line.strip()
    if bare.startswith(("[", "{", '"', "'")):
        quoted = [double or single for double, single in _QUOTED.findall(bare)]
        if quoted:
            return [each for each in quoted if len(each.split()) >= _SHORTEST]
    return [line]

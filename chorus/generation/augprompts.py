"""Augprompts: suffixes that steer view and framing (method.md 2).

An augprompt is named by the suffix itself (`, side view`); `original` stands for no suffix. That is
also its name in the results tree.

A file of augprompts starts with one of two headers. Blank lines and `#` lines do not count.

    AUGPROMPT_COMMON          |  AUGPROMPT_PER_PROMPT
    original                  |  category: surfboard
    , side view               |  PROMPT: A person carries a surfboard
    , full body photo         |  original
                              |  , side view
                              |  PROMPT: A person paddles on a surfboard
                              |  , top view
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chorus.errors import BadInput, unknown_name
from chorus.generation.prompts import clean_prompt, read_text
from chorus.vocabulary import strip_demo

ORIGINAL = "original"

AUGPROMPTS: tuple[str, ...] = (
    ORIGINAL,
    ", side view",
    ", back view",
    ", front view",
    ", top view",
    ", bottom view",
    ", realistic photo",
    ", seen from side",
    ", seen from back",
    ", seen from various views",
    ", seen from close view",
    ", seen from far away",
    ", scenic view",
    ", full body photo",
    ", hand photo",
    ", face photo",
    ", photo taken close to hand",
    ", photo taken close to face",
    ", selfie",
    ", close-up photo",
    ", hand only",
    ", face only",
)

_COMMON = "AUGPROMPT_COMMON"
_PER_PROMPT = "AUGPROMPT_PER_PROMPT"


@dataclass(frozen=True)
class AugpromptTable:
    """Which augprompts each prompt gets: `common` for all, or `per_prompt` by (category, prompt).

    Exactly one of the two is filled. `source` names the file in errors.
    """

    common: tuple[str, ...] = AUGPROMPTS
    per_prompt: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    source: str = "the built-in list"

    def of(self, category: str, prompt: str) -> tuple[str, ...]:
        """Augprompts of one prompt; BadInput if the file is per prompt and leaves this one out."""
        if not self.per_prompt:
            return self.common
        for name in (category, strip_demo(category)):
            if (name, prompt) in self.per_prompt:
                return self.per_prompt[name, prompt]
        known = [text for name, text in self.per_prompt if strip_demo(name) == strip_demo(category)]
        near = difflib.get_close_matches(prompt, known, n=1, cutoff=0.6)
        raise BadInput(
            f"{self.source} has no augprompts for {prompt!r} of category {category!r}"
            + (f"; the nearest there is {near[0]!r}." if near else ".")
            + f" Add a 'PROMPT: {prompt}' line below 'category: {category}' with its augprompts, "
            f"or use a file with the header {_COMMON}."
        )

    def without(self, not_to_use: Sequence[str]) -> AugpromptTable:
        """The same table less some augprompts, given with or without their leading comma.

        Raises BadInput for one that is in none of the lists, or if a prompt is left without any.
        """
        present = set(self.common).union(*self.per_prompt.values())
        dropped = {canonical_augprompt(text) for text in not_to_use}
        for augprompt in sorted(dropped - present):
            raise unknown_name(f"augprompt (of {self.source})", augprompt, present)

        def less(augprompts: tuple[str, ...], whose: str) -> tuple[str, ...]:
            kept = tuple(a for a in augprompts if a not in dropped)
            if augprompts and not kept:
                raise BadInput(f"no augprompt is left for {whose}; leave out fewer of them.")
            return kept

        return AugpromptTable(
            less(self.common, "any prompt"),
            {key: less(value, repr(key[1])) for key, value in self.per_prompt.items()},
            self.source,
        )


def canonical_augprompt(text: str) -> str:
    """An augprompt's name: `original`, or its suffix, comma included (`, side view`)."""
    text = text.strip()
    if not text or text == ORIGINAL:
        return ORIGINAL
    return text if text[0] in ",;:.-" else f", {text}"


def full_text(prompt: str, augprompt: str) -> str:
    """What the image model is given: the prompt and its suffix; `original` adds nothing."""
    return prompt if augprompt == ORIGINAL else f"{prompt}{augprompt}"


def read_augprompts(path: str | Path) -> AugpromptTable:
    """Read a file of augprompts, common to all prompts or per prompt (format: see this module).

    Raises BadInput, naming file and line, for a missing header, an augprompt before its prompt, a
    prompt named twice or without augprompts, or an empty list. Duplicate augprompts count once.
    """
    path = Path(path)
    lines = [
        (number, line.strip())
        for number, line in enumerate(read_text(path).split("\n"), start=1)
        if line.strip() and not line.strip().startswith("#")
    ]
    header = lines[0][1] if lines else "nothing"
    if header == _COMMON:
        augprompts = tuple(dict.fromkeys(_augprompt(path, *entry) for entry in lines[1:]))
        if not augprompts:
            raise BadInput(
                f"{path} lists no augprompt below {_COMMON}; `original` is the plainest."
            )
        return AugpromptTable(augprompts, {}, str(path))
    if header == _PER_PROMPT:
        return AugpromptTable((), _read_per_prompt(path, lines[1:]), str(path))
    raise BadInput(
        f"{path} starts with {header[:60]!r}; expected a header line, {_COMMON} (one list for all "
        f"prompts) or {_PER_PROMPT} (a list for each)."
    )


def _augprompt(path: Path, number: int, line: str) -> str:
    where = f"{path}, line {number}"
    if _keyword(line):
        raise BadInput(f"{where}: {line[:60]!r} belongs in a file with the header {_PER_PROMPT}.")
    clean_prompt(line, where)  # the same demands: printable, a word in it, not absurdly long
    return canonical_augprompt(line)


def _keyword(line: str) -> str:
    """`category` or `prompt` if the line names one, else an empty string."""
    head = line.partition(":")[0].strip().lower()
    return head if ":" in line and head in ("category", "prompt") else ""


def _read_per_prompt(
    path: Path, lines: Sequence[tuple[int, str]]
) -> dict[tuple[str, str], tuple[str, ...]]:
    by_prompt: dict[tuple[str, str], list[str]] = {}
    category, key = "", None
    for number, line in lines:
        where = f"{path}, line {number}"
        keyword, text = _keyword(line), line.partition(":")[2].strip()
        if keyword == "category":
            category, key = text, None
        elif keyword == "prompt":
            if not category:
                raise BadInput(f"{where}: a 'category:' line must come before {line[:60]!r}.")
            key = (category, clean_prompt(text, where))
            if key in by_prompt:
                raise BadInput(f"{where}: prompt {key[1]!r} of {category!r} is listed twice.")
            by_prompt[key] = []
        elif key is None:
            raise BadInput(f"{where}: a 'PROMPT:' line must come before {line[:60]!r}.")
        else:
            by_prompt[key].append(_augprompt(path, number, line))
    for (category, prompt), augprompts in by_prompt.items():
        if not augprompts:
            raise BadInput(f"{path}: prompt {prompt!r} of {category!r} has no augprompt below it.")
    if not by_prompt:
        raise BadInput(f"{path} lists no prompt below {_PER_PROMPT}.")
    return {key: tuple(dict.fromkeys(value)) for key, value in by_prompt.items()}

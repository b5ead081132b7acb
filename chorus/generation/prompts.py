"""Prompt files: one subject-verb-object sentence per line, one file per category (method.md 1)."""

from __future__ import annotations

import difflib
import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from chorus.errors import BadInput
from chorus.files import atomic_write, display_name, portable_name
from chorus.vocabulary import strip_demo

log = logging.getLogger(__name__)

LONGEST_PROMPT = 300  # characters; CLIP's text encoder reads 77 tokens


def read_prompts(path: str | Path) -> list[str]:
    """Prompts of a file in their order (method.md 1): without `#` lines, blanks, final stop,
    duplicates.

    The file is UTF-8. Raises BadInput, naming file and line, if it cannot be read, holds no prompt,
    or if a line is not text that can be a prompt.
    """
    path = Path(path)
    prompts = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        line = line.strip()
        if line and not line.startswith("#"):
            prompts.append(clean_prompt(line, f"{path}, line {number}"))
    if not prompts:
        raise BadInput(
            f"{path} holds no prompt; expected one sentence per line, such as 'A person carries a "
            "surfboard' (blank lines and lines that start with # do not count)."
        )
    return list(dict.fromkeys(prompts))


def read_text(path: Path) -> str:
    """Text of a UTF-8 file, with or without a byte order mark; BadInput if it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8; save the "
            "file as plain text in UTF-8."
        ) from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from None


def clean_prompt(line: str, where: str) -> str:
    """One prompt without the blanks around it and its final stops; `where` names it in errors."""
    # All of them, so that a prompt that was cleaned once stays as it is.
    prompt = re.sub(r"[\s.]+$", "", line.strip())
    if len(prompt) > LONGEST_PROMPT:
        raise BadInput(
            f"{where}: {len(prompt)} characters, where a prompt has at most {LONGEST_PROMPT}; put "
            "one short sentence on each line."
        )
    # Cc are control characters, Zl and Zp line and paragraph separators, Cs lone surrogates.
    odd = next((c for c in prompt if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs")), None)
    if odd is not None:
        raise BadInput(
            f"{where}: control character U+{ord(odd):04X} in {prompt[:60]!r}; expected plain text."
        )
    if not any(char.isalpha() for char in prompt):
        raise BadInput(f"{where}: {prompt[:60]!r} has no word in it; expected a sentence.")
    return prompt


def write_prompts(path: str | Path, prompts: Iterable[str]) -> list[str]:
    """Write prompts one per line, whole or not at all, and return them as they will be read again.

    They are cleaned as `read_prompts` does. Raises BadInput for a line that is not a prompt or if
    none is left.
    """
    path = Path(path)
    cleaned = [
        clean_prompt(line, f"prompt {n} for {path}") for n, line in enumerate(prompts, start=1)
    ]
    for prompt in cleaned:
        if prompt.startswith("#"):
            raise BadInput(f"a prompt for {path} starts with '#', which marks a comment: {prompt}")
    kept = list(dict.fromkeys(cleaned))
    if not kept:
        raise BadInput(f"no prompt is left to write to {path}.")
    atomic_write(path, ("\n".join(kept) + "\n").encode("utf-8"))
    return kept


def prompt_file(prompt_dir: str | Path, category: str) -> Path:
    """Where the prompts of a category are written: <prompt_dir>/<category>.txt."""
    return Path(prompt_dir) / f"{portable_name(category)}.txt"


def prompt_categories(prompt_dir: str | Path) -> list[str]:
    """Categories that have a prompt file in a folder, sorted."""
    stems = (path.stem for path in Path(prompt_dir).glob("*.txt") if not path.name.startswith("."))
    return sorted(display_name(stem) or stem for stem in stems)


def existing_prompt_file(prompt_dir: str | Path, category: str) -> Path | None:
    """The prompt file of a category, None if there is none; `surfboard-demo` falls back to
    `surfboard.txt`."""
    paths = (prompt_file(prompt_dir, name) for name in (category, strip_demo(category)))
    return next((path for path in paths if path.is_file()), None)


def find_prompt_file(prompt_dir: str | Path, category: str) -> Path:
    """The prompt file of a category (`existing_prompt_file`).

    Raises BadInput if there is none, with near names among those that are there.
    """
    if path := existing_prompt_file(prompt_dir, category):
        return path
    path = prompt_file(prompt_dir, category)
    known = prompt_categories(prompt_dir)
    near = difflib.get_close_matches(category, known, n=3, cutoff=0.5)
    if near:
        there = f"did you mean {' or '.join(map(repr, near))}? Otherwise "
    elif known:
        there = f"there are {', '.join(known)}; "
    else:
        there = "the folder has no prompt files; "
    raise BadInput(
        f"no prompts for category {category!r} in {prompt_dir}: {there}write {path.name} there, "
        f"one sentence per line, or let `chorus prompts --categories '{strip_demo(category)}' "
        f"--save_dir '{prompt_dir}'` do it."
    )


def template_prompts(category: str, known: Sequence[str], count: int | None = None) -> list[str]:
    """Prompts for a category out of those that a source knows, at most `count`, in its order.

    The synthetic world can only show interactions it has data for: `known` are those. Asking for
    more gives all there are, with a warning. Raises BadInput if there is none.
    """
    if count is not None and count < 1:
        raise BadInput(f"the number of prompts is {count}; expected at least 1.")
    if not known:
        raise BadInput(
            f"no interaction is known for category {category!r}: the synthetic world shows only "
            "what its data files describe; use a language model, or write the prompts yourself."
        )
    if count is not None and count > len(known):
        log.warning("%s: %d prompts asked for, %d known", category, count, len(known))
    return list(known[:count])


# "1.", "2)", "(3)", "[4]", "5:", "Prompt 6:", "#7", "- ", "* ", "•" before a sentence. A number
# must be followed by a mark, so that "3 friends lift a canoe" keeps its subject.
_NUMBERING = re.compile(
    r"^\s*(?:[-*+•–—]\s+|•|(?:(?:prompt|sentence)\s+)?#?[(\[]?\d{1,3}[.):\]]\s*|#\d{1,3}\s+)",
    re.IGNORECASE,
)
_QUOTES = "\"'`“”‘’«»*_ \t"


def clean_reply(text: str) -> list[str]:
    """Sentences in a language model's reply, in order (method.md 1).

    Drops numbering and bullets, quotes and emphasis around a sentence, its final stop, blank lines,
    code fences, introductions (lines that end in a colon), and duplicates. What the sentences say
    is not judged here.
    """
    sentences = []
    for line in text.splitlines():
        if line.strip().startswith("```"):
            continue
        # Emphasis may enclose the numbering or follow it.
        line = _NUMBERING.sub("", line.strip().removeprefix("**"), count=1)
        line = line.strip(_QUOTES).removesuffix(".").strip(_QUOTES)
        if line and not line.endswith(":"):
            sentences.append(line)
    return list(dict.fromkeys(sentences))

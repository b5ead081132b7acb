"""Prompts from a table of verbs, without a language model and for any noun.

Weaker than a language model: every subject is "A person", the verbs of a noun outside the table are
the general ones of handling things, and nobody asks whether they make sense for it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from chorus.generation.nouns import with_article

_DATA = Path(__file__).parent / "data" / "verbs.yaml"


@cache
def _verbs() -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    data = yaml.safe_load(_DATA.read_text(encoding="utf-8"))
    own = {category: tuple(verbs) for category, verbs in data["categories"].items()}
    return tuple(data["generic"]), own


def verbs(category: str) -> tuple[str, ...]:
    """The verb phrases of a category, the general ones for one that the table does not list."""
    generic, own = _verbs()
    return own.get(category.lower(), generic)


def sentences(category: str) -> list[str]:
    """Subject-verb-object sentences for a category, in the table's order (method.md 1)."""
    thing = with_article(category)
    return [f"A person {verb} {thing}" for verb in verbs(category)]

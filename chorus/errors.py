"""Errors made for people: what was expected, what was found, and what fixes it, in one sentence.

The command line prints them without a traceback and ends with status 2.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Set
from typing import Any


class ChorusError(Exception):
    """Base of every error a user can cause and mend. Its text is a complete sentence."""


class BadInput(ChorusError):
    """A file, row or value is not what its format promises; names the file, row and value."""


class Unavailable(ChorusError):
    """A package, weight file, body or device is missing; names what brings it."""


class StaleResults(ChorusError):
    """A table was made with other settings than those asked for; names the difference."""


_LONGEST = 120  # characters of a name that an error shows


def unknown_name(kind: str, name: str, known: Iterable[str]) -> BadInput:
    """Error for a name outside a closed list, with the nearest known names as suggestions."""
    known = sorted(known) if isinstance(known, Set) else list(known)
    near = difflib.get_close_matches(name[:_LONGEST], known, n=3, cutoff=0.5)
    every = ", ".join(each[:_LONGEST] for each in known)
    tail = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {every:.1000}."
    return BadInput(f"unknown {kind} {name[:_LONGEST]!r}; {tail}")


def shown(value: Any, most: int = 80) -> str:
    """What a file holds, for people: bounded also where parts are nested deeply or shared, of which
    Python's own form never ends."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = most
    return brief.repr(value)[:most]

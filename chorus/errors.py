"""Errors made for people: what was expected, what was found, and what fixes it, in one sentence.

The command line prints them without a traceback and ends with status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Set


class ChorusError(Exception):
    """Base of every error a user can cause and mend. Its text is a complete sentence."""


class BadInput(ChorusError):
    """A file, row or value is not what its format promises; names the file, row and value."""


class Unavailable(ChorusError):
    """A package, weight file, body or device is missing; names what brings it."""


class StaleResults(ChorusError):
    """A table was made with other settings than those asked for; names the difference."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> BadInput:
    """Error for a name outside a closed list, with the nearest known names as suggestions."""
    known = sorted(known) if isinstance(known, Set) else list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    tail = (
        f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(known)}."
    )
    return BadInput(f"unknown {kind} {name!r}; {tail}")

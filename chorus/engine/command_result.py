"""What a command says to its user at the end."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class CommandResult:
    """One summary line, problems that did not stop the command, and whether all went well.

    `text` is longer output that was asked for (the table of `status`, say). `complete` is False
    where a whole category, or a row that could be worked on, is left out of what else went well:
    the exit status tells, and `run` goes on with the others.
    """

    line: str
    problems: list[str] = field(default_factory=list)
    ok: bool = True
    text: str = ""
    complete: bool = True

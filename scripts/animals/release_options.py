"""The release's options of animals3d in terms of `chorus animals`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from chorus.cli import main

FLAG, VALUE = 0, 1


def run(
    task: str,
    published: Sequence[str] = (),
    without_effect: Mapping[str, int] | None = None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run `chorus animals <task>` with the release's defaults and options; the exit status.

    published: options that make the task do what the release does, unless they are given.
    without_effect: the release's options that change nothing here, and how many values each has.
    The root folder is the working directory unless --root is given.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    kept, dropped = without(given, without_effect or {})
    if dropped:
        sys.stderr.write(f"without effect here: {', '.join(dropped)}\n")
    for option, value in (*_pairs(published), ("--root", ".")):
        if option not in {each.partition("=")[0] for each in kept}:
            kept += [option, value]
    return main(["animals", task, *kept])


def _pairs(options: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(options[::2], options[1::2], strict=True))


def without(given: list[str], dead: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """The options that count, and the names of those that change nothing here."""
    kept, dropped = [], []
    number = 0
    while number < len(given):
        name, sign, _ = given[number].partition("=")
        if name in dead:
            dropped.append(name)
            number += 1 if sign else 1 + dead[name]
        else:
            kept.append(given[number])
            number += 1
    return kept, dropped


if __name__ == "__main__":
    sys.exit("run one of the scripts in prepare_data, pose and acsm/scripts beside this file.")

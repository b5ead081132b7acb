"""Every fast operation of CHORUS against its plain reference and against this machine.

    python -m benchmarks [--device cpu|cuda] [--quick] [--only NAME ...] [--json PATH]
                         [--compare OLD.json] [--imports imports]

What the columns mean: docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measuring import (
    Row,
    check_can_save,
    in_child,
    load,
    machine,
    measure,
    save,
    settle_on,
)

NAMES = (
    "skinning-field",
    "calibration",
    "aggregation-quant-64",
    "aggregation-quant-1024",
    "aggregation-hidden-64",
    "aggregation-qual-64",
    "aggregation-qual-1024",
    "pap",
    "interaction-regions",
    "read-table",
    "mask-decoding",
    "posing-bodies",
    "posing-a-distribution",
)
"""The rows, which `operations.ROWS` makes; importing that here would cost every row's memory."""
NOT_QUICK = ("aggregation-quant-1024", "aggregation-qual-1024")
"""Rows that --quick leaves out."""
_ITSELF = "machine"
"""The row in which the machine is measured."""


def main(arguments: list[str] | None = None) -> None:
    """Measure the rows asked for, each in a process of its own, and print the table."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.row:
        sys.stdout.write(json.dumps(_one(options)))
        return
    earlier = load(options.compare)[1] if options.compare else None
    unknown = set(options.only) - set(NAMES)
    if unknown:
        parser.error(f"no row is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    check_can_save(parser, options.json)
    if options.device == "cuda":
        _check_gpu(parser)
    names = options.only or [n for n in NAMES if not (options.quick and n in NOT_QUICK)]
    given = ["--device", options.device, "--imports", str(options.imports)]
    given += ["--quick"] if options.quick else []
    found = in_child("benchmarks", ["--row", _ITSELF, *given])
    rows = [Row(**in_child("benchmarks", ["--row", name, *given])) for name in names]
    results = {"device": options.device, "quick": options.quick, "machine": found}
    sys.stdout.write(table(rows, found) + "\n")
    if earlier is not None:
        sys.stdout.write("\n" + comparison(earlier, rows) + "\n")
    if options.json:
        save(options.json, results, rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="small references, fewer rows")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these rows")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the results here")
    parser.add_argument(
        "--compare", type=Path, metavar="OLD.json", help="ratios to earlier results"
    )
    parser.add_argument("--imports", type=Path, default=Path("imports"), help="where the body is")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    return parser


def _check_gpu(parser: argparse.ArgumentParser) -> None:
    import torch

    if not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no CUDA device here")


def _one(options: argparse.Namespace) -> dict:
    """One row, in this process."""
    if options.row == _ITSELF:
        return machine(options.device)
    from benchmarks.inputs import Setting
    from benchmarks.operations import ROWS

    setting = Setting(str(options.imports), options.device, options.quick)
    budget = 1.0 if options.quick else 5.0
    job = ROWS[options.row](setting)
    return asdict(measure(options.row, job, budget, settle_on(options.device)))


def duration(seconds: float) -> str:
    """Seconds in a unit that suits them."""
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= 0.9995 * scale:  # 999.9 µs would be printed as 1e+03
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def amount(number: float) -> str:
    """A large number with its prefix."""
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= scale:
            return f"{number / scale:.3g} {prefix}"
    return f"{number:.3g} "


def table(rows: list[Row], found: dict[str, Any]) -> str:
    """The Markdown table, after a line about the machine."""
    lines = [
        f"{found['name']}: {found['threads']} threads, copies at {amount(found['bandwidth'])}B/s, "
        f"multiplies float32 matrices at {amount(found['float32_rate'])}flop/s.",
        "Versions: " + ", ".join(" ".join(one) for one in found["versions"].items()) + ".",
        "",
        "| operation | size | median | spread | memory | work | attained | reference | ratio "
        "| agreement |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        limit = found["bandwidth" if row.work_unit == "B" else "float32_rate"]
        per = f" / {row.unit}"
        reference = "—"
        if row.reference is not None:
            reference = f"{duration(row.reference)} ({row.reference_size})"
        ratio = (
            "—"
            if row.ratio is None
            else f"{row.ratio:,.0f}"
            if row.ratio >= 100
            else f"{row.ratio:.3g}"
        )
        lines.append(
            f"| {row.name} | {row.size} | {duration(row.median)}{per} | {duration(row.spread)} "
            f"| {row.memory / 1e6:,.0f} MB | {amount(row.work)}{row.work_unit} "
            f"| {100 * row.rate / limit:.2g}% | {reference} | {ratio} | {row.agreement} |"
        )
    return "\n".join(lines)


def comparison(earlier: list[Row], rows: list[Row]) -> str:
    """A Markdown table of the rows that both have: new over old, so below 1 is better."""
    before = {row.name: row for row in earlier}
    lines = [
        "| operation | earlier | now | now / earlier | memory, now / earlier |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        old = before.get(row.name)
        if old is None or (old.size, old.unit) != (row.size, row.unit):
            continue
        memory = f"{row.memory / old.memory:.2f}" if old.memory else "—"
        lines.append(
            f"| {row.name} | {duration(old.median)} | {duration(row.median)} "
            f"| {row.median / old.median:.2f} | {memory} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

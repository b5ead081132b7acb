"""How time and memory grow with the grid's resolution and with the number of images.

    python -m benchmarks.scaling [--full] [--json PATH] [--plot docs/images/scaling.png]
                                 [--imports imports]

Every measurement has a process of its own. `--full` adds 100,000 images.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.__main__ import duration
from benchmarks.measuring import Row, check_can_save, in_child, measure, save

RESOLUTIONS = (24, 48, 96, 128)
IMAGES = (100, 1000, 10_000)
_MANY = 100_000
_PRESET, _CALL = "quant:full", 256  # images of a call; the first touch of the counts weighs little


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the tables, and draw them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--full", action="store_true", help=f"also {_MANY:,} images")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the results here")
    parser.add_argument("--plot", type=Path, metavar="PATH", help="also draw the curves here")
    parser.add_argument("--imports", type=Path, default=Path("imports"), help="where the body is")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.row:
        sys.stdout.write(json.dumps(asdict(_one(options.row, str(options.imports)))))
        return
    check_can_save(parser, options.json)
    names = [f"{kind}:{size}" for kind in ("field", "aggregation") for size in RESOLUTIONS]
    names += [f"images:{count}" for count in (*IMAGES, *([_MANY] if options.full else []))]
    given = ["--imports", str(options.imports)]
    rows = [Row(**in_child("benchmarks.scaling", ["--row", name, *given])) for name in names]
    sys.stdout.write(table(rows) + "\n")
    if options.json:
        save(options.json, {}, rows)
    if options.plot:
        draw(rows, options.plot)


def _one(name: str, imports: str) -> Row:
    """One measurement, in this process; large ones are run as rarely as `measure` allows."""
    from benchmarks.inputs import Setting
    from benchmarks.operations import field
    from benchmarks.per_sample import aggregation

    kind, size = name.split(":")
    setting, number = Setting(imports), int(size)
    if kind == "field":
        job = field(setting, number, compare=False)
    elif kind == "aggregation":
        job = aggregation(setting, _PRESET, _CALL, number, compare=False)
    else:
        job = aggregation(setting, _PRESET, number, compare=False)
    return measure(name, job, budget=1.0, runs=1 if number >= 10_000 else 3)


def _split(rows: list[Row], kind: str) -> list[tuple[int, Row]]:
    """(number, row) of the measurements of a kind."""
    pairs = [(row.name.split(":"), row) for row in rows]
    return [(int(number), row) for (of, number), row in pairs if of == kind]


def table(rows: list[Row]) -> str:
    """Two Markdown tables: by resolution and by number of images."""
    lines = [
        "| operation | resolution | median | per voxel | memory |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind, label in (("field", "skinning field"), ("aggregation", "aggregation, an image")):
        lines += [
            f"| {label} | {number}^3 | {duration(row.median)} | "
            f"{duration(row.median / number**3)} | {row.memory / 1e6:,.0f} MB |"
            for number, row in _split(rows, kind)
        ]
    lines += ["", "| images | cost of an image | memory |", "|---:|---:|---:|"]
    lines += [
        f"| {number:,} | {duration(row.median)} | {row.memory / 1e6:,.0f} MB |"
        for number, row in _split(rows, "images")
    ]
    return "\n".join(lines)


def draw(rows: list[Row], path: Path) -> None:
    """The curves: seconds over voxels beside a line of constant cost, and cost over images."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for kind, label in (("field", "skinning field"), ("aggregation", "aggregation of an image")):
        points = [(number**3, row.median) for number, row in _split(rows, kind)]
        (line,) = left.loglog(*zip(*points, strict=True), "o-", label=label)
        voxels = [points[0][0], points[-1][0]]
        cost = points[1][1] / points[1][0]
        left.loglog(voxels, [cost * v for v in voxels], ":", color=line.get_color())
    left.set(xlabel="voxels (dotted: in proportion)", ylabel="seconds")
    left.legend()
    images = _split(rows, "images")
    right.semilogx([n for n, _ in images], [row.median * 1e3 for _, row in images], "o-")
    right.set(xlabel="images", ylabel="milliseconds an image", ylim=(0, None))
    memory = right.twinx()
    memory.semilogx([n for n, _ in images], [row.memory / 1e6 for _, row in images], "s--", c="C3")
    memory.set_ylabel("peak memory, MB (dashed)")
    memory.set_ylim(0, None)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()

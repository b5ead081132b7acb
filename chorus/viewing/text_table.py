"""Tables of plain text."""

from __future__ import annotations


def format_table(header: list[str], rows: list[list[str]]) -> str:
    """A plain-text table; the first column to the left, the others to the right."""
    widths = [max(len(row[at]) for row in [header, *rows]) for at in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, *rows]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])

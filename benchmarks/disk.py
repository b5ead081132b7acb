"""Bytes on disk per generated image, folder by folder, of a results tree.

    python -m benchmarks.disk results [--images 528924]

`--images` projects the sizes to that many images; the default is the number that the paper's
quantitative run makes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

PAPERS_IMAGES = 528_924
CONSTANT = ("aggregations", "truth", "test_set", "quant_results", "ablations", "prompts")
"""Folders that do not grow with the number of images."""
TABLES = (
    *("segmentations", "humans", "human_kps"),
    *("filtered", "refined", "quality", "filtered_cameras"),
)


def sizes(root: Path) -> tuple[int, dict[str, int]]:
    """Number of generated images of a results tree, and bytes by folder, tables of images apart."""
    from chorus.records.tables import DONE, read_table

    tables = [path for path in root.glob("images/*/*/*/*.parquet") if path.name[0] != "."]
    count = sum(
        row["status"] == DONE for path in tables for row in read_table(path, "images").rows.values()
    )
    found = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        files = [path for path in folder.rglob("*") if path.is_file()]
        if folder.name == "images":
            found["images: tables"] = sum(path.stat().st_size for path in tables)
            files = [path for path in files if path.suffix != ".parquet"]
        found[folder.name] = sum(path.stat().st_size for path in files)
    return count, {name: size for name, size in found.items() if size}


def table(count: int, found: dict[str, int], images: int) -> str:
    """A Markdown table of bytes per image, and gigabytes at so many images."""
    per_image = {name: size / count for name, size in found.items()}
    networks = sum(per_image.get(name, 0.0) for name in TABLES)
    lines = [f"| folder | bytes an image | GB at {images:,} images |", "|---|---:|---:|"]
    rows = [*per_image.items(), ("tables of the seven stages after images", networks)]
    lines += [
        f"| {name} | (not per image) | {size * count / 1e9:,.3f} |"
        if name in CONSTANT
        else f"| {name} | {size:,.0f} | {size * images / 1e9:,.1f} |"
        for name, size in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the table of the tree that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--images", type=int, default=PAPERS_IMAGES)
    arguments = parser.parse_args()
    count, found = sizes(arguments.results)
    if not count:
        raise SystemExit(f"{arguments.results} holds no generated images; run chorus images first.")
    text = table(count, found, arguments.images)
    sys.stdout.write(f"{count} images in {arguments.results}\n\n{text}\n")


if __name__ == "__main__":
    main()

"""`chorus import --dry_run`: what an import would take, match and drop, without writing results.

The import is done as always, on a copy of the tables in a temporary folder, where no picture is
written: what it says is what the import itself would do.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from chorus.errors import ChorusError
from chorus.files import portable_name
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, read_table
from chorus.viewing.text_table import format_table
from chorus.vocabulary import PERSON

_TABLES = ("images", "annotations", "segmentations", "human_kps", "humans", "lifted")
_MOST_ROWS = 200


@contextmanager
def scratch_copy(tree: ResultsTree, model: str) -> Iterator[Path]:
    """A temporary folder with a copy of the tables that an import reads and writes.

    Errors on the way name the tree itself.
    """
    with tempfile.TemporaryDirectory(prefix="chorus_import_") as scratch:
        for name in _TABLES:
            source = tree.folder(name) / portable_name(model)
            for path in source.rglob("*.parquet"):
                copy = Path(scratch) / name / source.name / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        try:
            yield Path(scratch)
        except ChorusError as error:
            raise type(error)(str(error).replace(scratch, str(tree.root))) from error


def outcome_table(tree: ResultsTree, names: Mapping[ShardKey, Sequence[str]]) -> str:
    """A line per image of some shards: what of it was taken, and why what was not, was dropped.

    names: what the images of a shard are called, by sample index.
    """
    lines = [line for shard in sorted(names) for line in _lines(tree, shard, names[shard])]
    dropped = [line for line in lines if line[-1]]
    shown = lines if len(lines) <= _MOST_ROWS else dropped[:_MOST_ROWS]
    header = ["image", "category", "persons", "objects", "keypoints", "poses", "dropped because"]
    if any(len(line) > len(header) for line in lines):
        header.insert(-1, "meshes")
    text = format_table(header, shown) if shown else ""
    if len(shown) < len(lines):
        text += f"\n({len(lines) - len(shown)} more images, {len(dropped)} in all dropped)"
    return text.lstrip("\n")


def _lines(tree: ResultsTree, shard: ShardKey, names: Sequence[str]) -> Iterator[list[str]]:
    tables = {}
    for table in _TABLES:
        path = tree.table(table, shard)
        tables[table] = read_table(path, table).rows if path.is_file() else {}
    for index, name in enumerate(names):
        rows = {table: of_table.get(index) for table, of_table in tables.items()}
        done = {table: row for table, row in rows.items() if row and row["status"] == DONE}
        instances = done.get("segmentations") or done.get("annotations")
        labels = [each["label"] for each in instances["detections"]] if instances else None
        persons = labels.count(PERSON) if labels is not None else None
        objects = len(labels) - persons if labels is not None else None
        known, posed = (
            len(done[table]["persons"]) if table in done else None
            for table in ("human_kps", "humans")
        )
        why = [row["reason"] for row in rows.values() if row and row["status"] != DONE]
        counts = [
            "-" if count is None else str(count) for count in (persons, objects, known, posed)
        ]
        if tables["lifted"]:
            counts.append(str(len(done["lifted"]["objects"])) if "lifted" in done else "-")
        yield [name, shard.category, *counts, why[0] if why else ""]

"""Parquet tables: one schema per stage, versioned, checked when read and when written.

A table holds one row per sample. Three columns are common: `index` (the sample's number in its
shard), `status` ("done", "skipped" or "failed") and `reason` (empty when done). The file's metadata
carries the schema's name and version, the shard, and the settings it was made with, including
those of the tables it was made from. docs/results-format.md describes every column.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus.errors import BadInput
from chorus.files import parsed_json, replacing
from chorus.records.keys import ShardKey
from chorus.records.schemas import COMMON, SCHEMAS

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_METADATA = b"chorus"
_MOST_VALUES = 1 << 26  # of a table: those of 400,000 persons
_MOST_BYTES = 1 << 29  # of a column of texts or masks
_BYTES_AT_ONCE = 1 << 26
DONE, SKIPPED, FAILED = "done", "skipped", "failed"


@dataclass
class Table:
    """A table in memory: its shard, the settings it was made with, and rows by sample index."""

    shard: ShardKey
    settings: dict
    rows: dict[int, dict] = field(default_factory=dict)

    def finished(self) -> set[int]:
        """Samples that need no more work (done or skipped)."""
        return {index for index, row in self.rows.items() if row["status"] != FAILED}


def write_table(path: Path, name: str, table: Table) -> None:
    """Write a table atomically. Raises BadInput if a row does not fit the schema."""
    import pyarrow
    import pyarrow.parquet

    schema = _arrow_schema(name)
    metadata = {
        "schema": name,
        "version": SCHEMAS[name].version,
        "shard": list(table.shard),
        "settings": table.settings,
    }
    rows = [table.rows[index] for index in sorted(table.rows)]
    check_rows(rows, str(path), SCHEMAS[name].columns)
    try:
        content = pyarrow.Table.from_pylist(rows, schema=schema)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        raise BadInput(f"{path}: a row does not fit the schema {name!r}: {error}") from error
    content = content.replace_schema_metadata({_METADATA: _json(metadata)})
    with replacing(path) as temporary:
        pyarrow.parquet.write_table(
            content, temporary, compression="zstd", write_page_checksum=True
        )


def read_table(path: Path, name: str, columns: Collection[str] | None = None) -> Table:
    """Read and check a table.

    columns: read only these and the common ones; a pass over many tables is quick without masks
    and poses. "detections.box" is the field `box` of every entry of the list `detections`. Raises
    BadInput naming the file and what is wrong: not a Parquet file, no CHORUS table, another schema
    or version, columns missing or of another type, rows that break the schema's rules.
    """
    expected = SCHEMAS[name]
    schema = _arrow_schema(name)
    with _opened(path) as (file, metadata):
        if (metadata["schema"], metadata["version"]) != (name, expected.version):
            raise BadInput(
                f"{path} holds a table {metadata['schema']!r} version {metadata['version']}, "
                f"expected {name!r} version {expected.version}; make it again with --overwrite."
            )
        if not file.schema_arrow.equals(schema):
            types = {f.name: str(f.type) for f in file.schema_arrow}
            odd = [
                f"{f.name} ({types.get(f.name, 'missing')}, expected {f.type})"
                for f in schema
                if types.get(f.name) != str(f.type)
            ] or [f"{n} (not expected)" for n in types if n not in schema.names]
            raise BadInput(
                f"{path} has a foreign schema: {', '.join(odd)}; make it with --overwrite."
            )
        kinds = expected.columns if columns is None else _selected(expected.columns, columns)
        rows = _content(file, path, None if columns is None else [*COMMON, *_paths(columns)])
    check_rows(rows, str(path), kinds)
    shard = ShardKey(*metadata["shard"])
    return Table(shard, metadata["settings"], {row["index"]: row for row in rows})


def _selected(kinds: dict[str, Any], columns: Collection[str]) -> dict[str, Any]:
    """Kinds of the columns that are read; of a list of structs perhaps some fields only."""
    chosen: dict[str, Any] = {}
    for column in columns:
        name, _, inner = column.partition(".")
        if inner:
            chosen.setdefault(name, [{}])[0][inner] = kinds[name][0][inner]
        else:
            chosen[name] = kinds[name]
    return chosen


def _paths(columns: Collection[str]) -> list[str]:
    """The columns as Parquet calls them."""
    return [column.replace(".", ".list.element.") for column in columns]


def _content(file: ParquetFile, path: Path, columns: list[str] | None) -> list[dict]:
    import pyarrow

    try:
        _check_size(file, path)
        return file.read(columns).to_pylist()
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise BadInput(
            f"{path} is damaged ({error}); delete it and run the stage again."
        ) from error


def _check_size(file: ParquetFile, path: Path) -> None:
    """BadInput for a table that is much larger than any once it is unpacked: a few bytes can stand
    for a million equal rows, or for a million copies of one long text."""
    groups = [file.metadata.row_group(at) for at in range(file.metadata.num_row_groups)]
    chunks = [group.column(at) for group in groups for at in range(group.num_columns)]
    if sum(chunk.num_values for chunk in chunks) > _MOST_VALUES:
        raise BadInput(
            f"{path} claims {file.metadata.num_rows:,} rows, more than a table has; delete it and "
            "run the stage again."
        )
    for chunk in chunks:
        # no text is longer than all of them are in the file
        longest = max(1, chunk.total_uncompressed_size)
        if chunk.physical_type != "BYTE_ARRAY" or chunk.num_values * longest <= _MOST_BYTES:
            continue
        at_once = min(1024, max(1, _BYTES_AT_ONCE // longest))
        size = 0
        for batch in file.iter_batches(at_once, columns=[chunk.path_in_schema]):
            size += batch.nbytes
            if size > _MOST_BYTES:
                raise BadInput(
                    f"{path} unpacks to more than {_MOST_BYTES:,} bytes; delete it and run the "
                    "stage again."
                )


def read_settings(path: Path) -> dict:
    """The settings a table was made with, without reading its rows."""
    with _opened(path) as (_, metadata):
        return metadata["settings"]


def read_key(path: Path) -> ShardKey:
    """The shard a table belongs to, without reading its rows."""
    with _opened(path) as (_, metadata):
        return ShardKey(*metadata["shard"])


def check_rows(rows: Iterable[dict], where: str, kinds: Mapping[str, Any]) -> None:
    """Raise BadInput at the first row that breaks its schema's rules.

    Checked: indexes unique and not negative, a known status, a reason exactly where a sample is
    not done, and the length of every fixed-length list in the columns of a done row that `kinds`
    gives the kind of.
    """
    seen: set[int] = set()
    for row in rows:
        index, status = row["index"], row["status"]
        if index is None or index < 0 or index in seen:
            raise BadInput(f"{where}: index {index} is missing, negative or repeated.")
        seen.add(index)
        if status not in (DONE, SKIPPED, FAILED):
            raise BadInput(
                f"{where}: row {index} has status {status!r}, expected done/skipped/failed."
            )
        if (status == DONE) == bool(row["reason"]):
            raise BadInput(f"{where}: row {index} is {status} with reason {row['reason']!r}.")
        if status == DONE:
            for column, kind in kinds.items():
                _check_value(row.get(column), kind, f"{where}: row {index}, {column}")


def _check_value(value: Any, kind: Any, where: str) -> None:
    if value is None:
        raise BadInput(f"{where}: no value, expected {kind}.")
    if isinstance(kind, dict):
        for name, inner in kind.items():
            _check_value(value.get(name), inner, f"{where}.{name}")
    elif isinstance(kind, list):
        for at, item in enumerate(value):
            _check_value(item, kind[0], f"{where}[{at}]")
    elif kind.endswith("]"):
        length = int(kind[kind.index("[") + 1 : -1])
        if len(value) != length:
            raise BadInput(f"{where}: {len(value)} values, expected {length}.")


def _arrow_type(kind: Any):
    import pyarrow

    if isinstance(kind, dict):
        return pyarrow.struct([(name, _arrow_type(inner)) for name, inner in kind.items()])
    if isinstance(kind, list):
        return pyarrow.list_(_arrow_type(kind[0]))
    if kind.endswith("]"):
        return pyarrow.list_(_arrow_type(kind[: kind.index("[")]))
    return {
        "bool": pyarrow.bool_,
        "int32": pyarrow.int32,
        "int64": pyarrow.int64,
        "float32": pyarrow.float32,
        "float64": pyarrow.float64,
        "string": pyarrow.string,
        "binary": pyarrow.binary,
    }[kind]()


@functools.cache
def _arrow_schema(name: str):
    import pyarrow

    return pyarrow.schema([(n, _arrow_type(kind)) for n, kind in SCHEMAS[name].fields.items()])


@contextmanager
def _opened(path: Path) -> Iterator[tuple[ParquetFile, dict]]:
    """A table's file and its checked metadata; BadInput if it is no CHORUS table."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; run the stage that makes it first.") from error
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise BadInput(
            f"{path} is not a readable Parquet table ({error}); delete it and run the stage again."
        ) from error
    with file:
        try:
            metadata = parsed_json((file.schema_arrow.metadata or {})[_METADATA])
            texts = isinstance(metadata["shard"], list) and [
                text for text in metadata["shard"] if isinstance(text, str)
            ]
            if not texts or len(texts) != 4 or not isinstance(metadata["settings"], dict):
                raise ValueError("incomplete metadata")
            if {"schema", "version"} - metadata.keys():
                raise ValueError("incomplete metadata")
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"{path} is a Parquet file but not a CHORUS table (no valid "
                f"{_METADATA.decode()!r} metadata); move it out of the results tree."
            ) from error
        yield file, metadata


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

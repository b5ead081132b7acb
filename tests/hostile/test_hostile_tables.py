"""Tables and archives of arrays in a results tree whose sizes lie, or that unpack without end."""

from __future__ import annotations

import functools
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile import assert_refused

from chorus.body.joint_sets import _read_extra
from chorus.body.loading import read_arrays
from chorus.evaluation.lifted import lifted_scenes, mesh_file
from chorus.occupancy.archive import read_archive
from chorus.occupancy.distribution import Distribution
from chorus.perception.poses_of_npz import read_npz
from chorus.records.keys import ShardKey
from chorus.records.tables import (
    _METADATA,
    DONE,
    Table,
    read_key,
    read_settings,
    read_table,
    write_table,
)

SHARD = ShardKey("m", "chair", "A person sits on a chair", "original")
NESTED = b'{"shard":' + b"[" * 200_000


def table(folder: Path) -> Path:
    """A whole table."""
    path = folder / "a.parquet"
    image = {"file": "0.jpg", "width": 4, "height": 3, "seed": 1, "text": "x"}
    rows = {at: {"index": at, "status": DONE, "reason": "", **image} for at in range(50)}
    write_table(path, "images", Table(SHARD, {"model": "m"}, rows))
    return path


def warm_up() -> None:
    """Start pyarrow's threads, and make what takes long."""
    packed_zeros()
    content_of(repeated_text)
    content_of(many_rows)
    with tempfile.TemporaryDirectory() as folder:
        read_table(table(Path(folder)), "images")


def changed(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = table(folder)
        path.write_bytes(change(path.read_bytes()))
        return path

    return write


def footer(value: int) -> Callable[[bytes], bytes]:
    """Another length of the footer than it has."""
    return lambda content: content[:-8] + value.to_bytes(4, "little") + content[-4:]


def with_metadata(content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = table(folder)
        read = pq.read_table(path)
        pq.write_table(read.replace_schema_metadata({_METADATA: content}), path)
        return path

    return write


def _schema(path: Path):
    return pq.read_schema(path)


def repeated_text(folder: Path) -> Path:
    """A text of 1 MB that 20,000 rows share: 20 GB once they are apart."""
    path = table(folder)
    schema, count = _schema(path), 20_000
    arrays = []
    for field in schema:
        if field.name in ("text", "file"):
            same = pa.DictionaryArray.from_arrays(
                pa.array(np.zeros(count, np.int32)), pa.array(["x" * (1 << 20)])
            )
            arrays.append(same)
        elif field.name == "index":
            arrays.append(pa.array(np.arange(count), field.type))
        elif field.name in ("status", "reason"):
            arrays.append(pa.array(["done" if field.name == "status" else ""] * count))
        else:
            arrays.append(pa.array(np.ones(count), field.type))
    made = pa.table(arrays, names=schema.names)
    with pq.ParquetWriter(path, made.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(made)
        writer.add_key_value_metadata(schema.metadata)
    return path


def many_rows(folder: Path) -> Path:
    """Nine million rows that are all alike, in some kilobytes."""
    path = table(folder)
    schema, part = _schema(path), 1_000_000
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        arrays = [
            pa.array(np.zeros(part), field.type)
            if pa.types.is_integer(field.type)
            else pa.nulls(part, field.type)
            for field in schema
        ]
        made = pa.table(arrays, schema=schema)
        for _ in range(9):
            writer.write_table(made)
    return path


@functools.cache
def content_of(write: Callable[[Path], Path]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder)).read_bytes()


TABLES = {
    "empty": changed(lambda content: b""),
    "zeros": changed(lambda content: bytes(len(content))),
    "only its marks": changed(lambda content: b"PAR1" + bytes(4) + b"PAR1"),
    "cut off": changed(lambda content: content[: len(content) // 2]),
    "cut off before its end": changed(lambda content: content[:-1]),
    "a footer that is too long": changed(footer(0x7FFFFFFF)),
    "a footer of 4 GiB": changed(footer(0xFFFFFFFF)),
    "a footer of one byte": changed(footer(1)),
    "a damaged page": changed(lambda content: content[:40] + bytes(60) + content[100:]),
    "metadata nested 200,000 times": with_metadata(NESTED),
    "metadata of a list": with_metadata(b"[[[]]]"),
    "metadata without settings": with_metadata(json.dumps({"shard": list(SHARD)}).encode()),
    "metadata of odd members": with_metadata(
        json.dumps(
            {"schema": "images", "version": 1, "shard": [1, None, {}, []], "settings": []}
        ).encode()
    ),
    "a text that 20,000 rows share": changed(lambda content: content_of(repeated_text)),
    "nine million rows": changed(lambda content: content_of(many_rows)),
}


def header_of(shape: str, descr: str = "<f4") -> bytes:
    said = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    said += b" " * (-(len(said) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(said).to_bytes(2, "little") + said


NPY = {
    "a shape of a tebibyte": header_of("(1099511627776,)") + bytes(64),
    "a shape of 2 GiB": header_of("(536870912,)") + bytes(64),
    "a negative shape": header_of("(-1, 6890)") + bytes(64),
    "a nested shape": header_of("(" * 90 + ")" * 90) + bytes(64),
    "a header of 64 KiB of marks": b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
    "a header that is cut off": b"\x93NUMPY\x01\x00\xff\xff" + b"{'descr'",
    "a header of 4 GiB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"{" * 100,
    "objects": header_of("(3,)", "|O") + b"cos\nsystem\n(S'true'\ntR.",
    "a later version": b"\x93NUMPY\x09\x00" + bytes(100),
    "no array": b"text",
    "empty": b"",
}
KEYS = (
    *("header", "pose", "v_template", "shapedirs", "weights", "J_regressor", "f"),
    *("kintree_table", "vertices", "faces", "probability"),
)


def npz(folder: Path, content: bytes) -> Path:
    path = folder / "a.npz"
    with zipfile.ZipFile(path, "w") as made:
        for key in KEYS:
            made.writestr(f"{key}.npy", content)
    return path


def truncated(folder: Path, content: bytes) -> Path:
    path = npz(folder, content)
    path.write_bytes(path.read_bytes()[:-30])
    return path


@functools.cache
def packed_zeros() -> bytes:
    """An archive of two arrays of 640 MiB in some megabytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for key in ("vertices", "faces"):
            with made.open(f"{key}.npy", "w", force_zip64=True) as stream:
                stream.write(header_of("(671088640,)", "|u1"))
                for _ in range(20):
                    stream.write(bytes(1 << 25))
    return content.getvalue()


def bomb(folder: Path) -> Path:
    path = folder / "a.npz"
    path.write_bytes(packed_zeros())
    return path


def lifted(path: Path) -> None:
    place = mesh_file(path.parent, "a")
    place.parent.mkdir(parents=True, exist_ok=True)
    path.rename(place)
    list(lifted_scenes(path.parent, [{"image": "a", "pose": [0.0] * 72}]))


ARCHIVES: dict[str, Callable[[Path], object]] = {
    "poses": read_npz,
    "bodies": read_arrays,
    "volumes": lambda path: read_archive(path, "chorus.distribution/1"),
    "distributions": Distribution.load,
    "lifted meshes": lifted,
}


def npy(folder: Path, content: bytes) -> None:
    path = folder / "a.npy"
    path.write_bytes(content)
    _read_extra(path)


CASES = {
    **{
        f"{reader.__name__}: {name}": functools.partial(
            lambda read, write, folder: read(write(folder)), read, write
        )
        for reader, read in (
            (read_table, lambda path: read_table(path, "images")),
            (read_settings, read_settings),
            (read_key, read_key),
        )
        for name, write in TABLES.items()
    },
    **{
        f"{reader}: {name}": functools.partial(
            lambda read, c, folder: read(npz(folder, c)), read, content
        )
        for reader, read in ARCHIVES.items()
        for name, content in NPY.items()
    },
    **{
        f"{reader}: cut off": functools.partial(
            lambda read, folder: read(truncated(folder, header_of("(0,)"))), read
        )
        for reader, read in ARCHIVES.items()
    },
    **{
        f"{reader}: a bomb": functools.partial(lambda read, folder: read(bomb(folder)), read)
        for reader, read in ARCHIVES.items()
    },
    **{
        f"extra joints: {name}": functools.partial(lambda c, folder: npy(folder, c), content)
        for name, content in NPY.items()
    },
}
# Settings and the key are in the footer, which these tables have whole.
WHOLE = {"a damaged page", "a text that 20,000 rows share", "nine million rows"}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_a_sentence(case):
    reader, _, name = case.partition(": ")
    assert_refused("test_hostile_tables", case, reader != "read_table" and name in WHOLE)

"""Checkpoints that lie, unpack without end or ask for more than data, for every reader of them."""

from __future__ import annotations

import functools
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hostile import assert_refused

from chorus.models.checkpoints import read_state_dict
from chorus.models.hub_cache import damaged_safetensors
from chorus.perception.pose_files import read_poses

SHARED = b"(" + b"K\x01" + b"t" + b"2\x86" * 80


def shared_lists() -> bytes:
    """Thirty lists of twice the next one: a thousand million in all."""
    made: list = []
    for _ in range(30):
        made = [made, made]
    return pickle.dumps({"pred_cam": made}, 2)


HEAD = b"\x80\x02"
PICKLES = {
    "shared tuples": HEAD + SHARED + b".",
    "200,000 marks": HEAD + b"(" * 200_000 + b".",
    "nested lists": HEAD + b"]" * 200_000 + b"a" * 199_999 + b".",
    "nested tuples": HEAD + b")" + b"\x85" * 200_000 + b".",
    "shared lists": shared_lists(),
    "a command": HEAD + b"cos\nsystem\n(X\x04\x00\x00\x00truetR.",
    "a far memo": HEAD + b"K\x01r\xff\xff\xff\x7f.",
    "bytes that are not there": HEAD + b"X\xff\xff\xff\x7fabc.",
    "cut off": HEAD + b"}q\x00(X",
    "empty": b"",
}


def packed(content: bytes, *more: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
        for name, inner in more:
            archive.writestr(name, inner)
    return made.getvalue()


def saved() -> bytes:
    made = io.BytesIO()
    torch.save({"state_dict": {"a.weight": torch.zeros(4, 5)}}, made)
    return made.getvalue()


def larger(numbers: int) -> bytes:
    """A whole file whose tensor claims to have as many numbers."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved())) as before, zipfile.ZipFile(content, "w") as after:
        for name in before.namelist():
            inner = before.read(name)
            if name.endswith("data.pkl"):
                assert inner.count(b"K\x14") == 1  # of twenty numbers
                inner = inner.replace(b"K\x14", b"\x8a\x06" + numbers.to_bytes(6, "little"))
                inner = inner.replace(b"K\x04K\x05\x86", b"J\xff\xff\xff\x7fK\x05\x86")
            after.writestr(name, inner)
    return content.getvalue()


@functools.cache
def unpacking() -> bytes:
    """A checkpoint of 1.5 GiB of zeros in some megabytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with zipfile.ZipFile(io.BytesIO(saved())) as whole:
            for name in whole.namelist():
                if not name.endswith("data/0"):
                    archive.writestr(name, whole.read(name))
        with archive.open("archive/data/0", "w", force_zip64=True) as stream:
            for _ in range(48):
                stream.write(bytes(1 << 25))
    return content.getvalue()


def safetensors(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict:
    return {"a.weight": {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}}


TENSORS = {
    "a header of 2^63 bytes": safetensors(b"{}", length=1 << 63),
    "a header of 2^64 - 1 bytes": safetensors(b"{}", length=(1 << 64) - 1),
    "a header of 1 GiB": safetensors(b"{}", length=1 << 30),
    "a nested header": safetensors(b"[" * 200_000),
    "a header of a list": safetensors([]),
    "a shape that lies": safetensors(entry([1 << 40], 0, 16), bytes(16)),
    "a shape that overflows": safetensors(entry([1 << 40, 1 << 40], 0, 16), bytes(16)),
    "a negative shape": safetensors(entry([-4], 0, 16), bytes(16)),
    "offsets beyond the end": safetensors(entry([1 << 40], 0, 1 << 42), bytes(16)),
    "offsets that fall": safetensors(entry([4], 16, 0), bytes(16)),
    "an unknown kind": safetensors(entry([4], 0, 16, "X7"), bytes(16)),
    "cut off": safetensors(entry([4], 0, 16), bytes(9)),
    "empty": b"",
}
CHECKPOINTS = {
    **{f"zip of {name}": (lambda c=c: packed(c)) for name, c in PICKLES.items()},
    **{f"plain {name}": (lambda c=c: c) for name, c in PICKLES.items()},
    "numbers that are not there": lambda: larger(1 << 40),
    "a bomb": unpacking,
    "a zip without a pickle": lambda: packed(b"")[:60],
    "cut off": lambda: saved()[:-200],
    "zeros": lambda: bytes(1000),
    "a list": lambda: pickle.dumps([1, 2, 3], 2),
}


def warm_up() -> None:
    unpacking()


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def header(folder: Path, content: bytes) -> None:
    written(folder, "a.safetensors", content)
    damaged_safetensors(folder)


CASES: dict[str, Callable[[Path], object]] = {
    **{
        f"{reader}: {name}": functools.partial(
            lambda read, make, folder: read(folder, make()), read, make
        )
        for reader, read in (
            ("weights", lambda f, c: read_state_dict(written(f, "a.pth", c), "state_dict")),
            ("poses", lambda f, c: read_poses(written(f, "hmr4d_results.pt", c))),
        )
        for name, make in CHECKPOINTS.items()
    },
    **{
        f"safetensors: {name}": functools.partial(
            lambda c, folder: read_state_dict(written(folder, "a.safetensors", c), "state_dict"), c
        )
        for name, c in TENSORS.items()
    },
    **{
        f"hub: {name}": functools.partial(lambda c, folder: header(folder, c), c)
        for name, c in TENSORS.items()
    },
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_a_sentence(case):
    # of a repository's files only the lengths are compared; what they hold tells the reader
    assert_refused("test_hostile_checkpoints", case, case.startswith("hub: "))

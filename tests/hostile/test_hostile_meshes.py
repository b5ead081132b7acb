"""Meshes of test sets whose sizes lie, that point nowhere, or that end too soon."""

from __future__ import annotations

import functools
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hostile import assert_refused

from chorus.perception.open3dhoi import read_mesh


def glb(document: object, binary: bytes = b"", length: int | None = None) -> bytes:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    size = 28 + len(text) + len(binary) if length is None else length
    head = struct.pack("<III", 0x46546C67, 2, size)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text
    return head + body + struct.pack("<II", len(binary), 0x004E4942) + binary


def one_mesh(count: int, offset: int = 0, kind: int = 5126) -> dict:
    accessor = {"bufferView": 0, "componentType": kind, "count": count, "type": "VEC3"}
    return {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [accessor],
        "bufferViews": [{"buffer": 0, "byteOffset": offset, "byteLength": 36}],
        "buffers": [{"byteLength": 36}],
    }


def circle() -> dict:
    """Two nodes that are below each other."""
    document = one_mesh(3)
    document["nodes"] = [{"mesh": 0, "children": [1]}, {"children": [0]}]
    return document


def ply(count: int, kind: str = "binary_little_endian", body: bytes = bytes(100)) -> bytes:
    said = f"ply\nformat {kind} 1.0\nelement vertex {count}\n"
    said += "property float x\nproperty float y\nproperty float z\n"
    said += f"element face {count}\nproperty list uchar int vertex_indices\nend_header\n"
    return said.encode() + body


def whole(kind: str) -> bytes:
    made = io.BytesIO()
    trimesh.creation.icosphere(subdivisions=2).export(made, file_type=kind)
    return made.getvalue()


TRIANGLE = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"
FILES = {
    "empty.obj": b"",
    "zeros.obj": bytes(1000),
    "no face.obj": TRIANGLE,
    "a vertex that is not there.obj": TRIANGLE + b"f 1 2 99999999999\n",
    "a negative vertex.obj": TRIANGLE + b"f -1 -2 -9\n",
    "no number.obj": b"v a b c\nf 1 2 3\n",
    "not a number.obj": b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "far.obj": b"v 1e999 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "a number of 200,000 digits.obj": TRIANGLE + b"f " + b"1" * 200_000 + b" 2 3\n",
    "a polygon without end.obj": TRIANGLE + b"f " + b"(" * 200_000,
    "nested marks.obj": b"(" * 200_000,
    "another's file.obj": b"mtllib ../../../../etc/passwd\nusemtl a\n" + TRIANGLE,
    "empty.ply": b"",
    "a tebibyte.ply": ply(1 << 38),
    "a tebibyte of text.ply": ply(1 << 38, "ascii", b"0 0 0\n" * 10),
    "a negative count.ply": ply(-5),
    "an unknown format.ply": ply(3, "backwards"),
    "no end.ply": b"ply\nformat ascii 1.0\n" + b"comment x\n" * 1000,
    "a list without end.ply": ply(3, body=bytes(36) + b"\xff" * 60),
    "cut off.ply": whole("ply")[:400],
    "empty.glb": b"",
    "a length that lies.glb": glb(one_mesh(3), bytes(36), 0xFFFFFFFF),
    "a tebibyte.glb": glb(one_mesh(1 << 38), bytes(36)),
    "beyond its buffer.glb": glb(one_mesh(3, 1 << 31), bytes(36)),
    "an unknown kind.glb": glb(one_mesh(3, kind=77), bytes(36)),
    "nodes in a circle.glb": glb(circle(), np.zeros((3, 3), np.float32).tobytes()),
    "nested.glb": glb(b"[" * 200_000),
    "text.glb": b"glTF" + b"x" * 100,
    "cut off.glb": whole("glb")[:300],
}
# What is wrong with these does not keep a reader from their triangles.
READABLE = {"a length that lies.glb", "nodes in a circle.glb"}


def read(name: str, folder: Path) -> None:
    path = folder / f"mesh{Path(name).suffix}"
    path.write_bytes(FILES[name])
    read_mesh(path)


CASES: dict[str, Callable[[Path], None]] = {name: functools.partial(read, name) for name in FILES}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_a_sentence(case):
    assert_refused("test_hostile_meshes", case, case in READABLE)


def test_whole_meshes_are_read(tmp_path):
    for kind in ("obj", "ply", "glb"):
        path = tmp_path / f"a.{kind}"
        content = whole(kind)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert len(read_mesh(path).faces) == 320
